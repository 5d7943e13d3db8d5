"""PresenceTracker: the published state of a channel's users. It sends nothing."""

import msgspec

from pondsocket.errors import BadRequest, Conflict, EncodingError, NotFound
from pondsocket.types import PondPresence, PresenceEventTypes

__all__ = ["PresenceBudget", "PresenceTracker", "to_presence"]

ENCODER = msgspec.json.Encoder()
DECODER = msgspec.json.Decoder(dict)


class PresenceTracker:
    """Presences of one channel by user id, in the order in which they appeared.

    Callers hand in objects that nobody else changes and never change what they get.

    Args:
        channel_name: For error messages.
    """

    __slots__ = ("_channel_name", "_presences")

    def __init__(self, channel_name: str) -> None:
        self._channel_name = channel_name
        self._presences: dict[str, PondPresence] = {}

    def __len__(self) -> int:
        """Return the number of tracked users."""
        return len(self._presences)

    def __contains__(self, user_id: object) -> bool:
        """Tell whether a user is tracked."""
        return user_id in self._presences

    def check_untracked(self, user_id: str) -> None:
        """Raise Conflict if the user is tracked."""
        if user_id in self._presences:
            raise Conflict(self._channel_name, f"presence of {user_id!r} is tracked")

    def check_tracked(self, user_id: str) -> None:
        """Raise NotFound if the user is not tracked."""
        if user_id not in self._presences:
            raise NotFound(self._channel_name, f"no presence of {user_id!r} is tracked")

    def put(self, user_id: str, presence: PondPresence) -> PresenceEventTypes:
        """Set a presence; tells whether that was its ``JOIN`` or an ``UPDATE``."""
        known = user_id in self._presences
        self._presences[user_id] = presence
        return PresenceEventTypes.UPDATE if known else PresenceEventTypes.JOIN

    def pop(self, user_id: str) -> PondPresence | None:
        """Remove a presence and return its last value; None if there was none."""
        return self._presences.pop(user_id, None)

    def find(self, user_id: str) -> PondPresence | None:
        """Return a user's presence, None if it is not tracked."""
        return self._presences.get(user_id)

    def all(self) -> dict[str, PondPresence]:
        """Return every presence by user id, as a new dictionary."""
        return dict(self._presences)


class PresenceBudget:
    """Decides whether one more full presence list may go out now.

    Full lists grow with the square of a room. In each window of a second, lists up to
    the budget go out at once; a further one has to wait for the window's end.

    Args:
        limit: Bytes per second and connection; 0 lets everything through.
    """

    __slots__ = ("_ends", "_last", "_limit", "_spent")

    WINDOW = 1.0  # seconds

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._spent = 0
        self._last = 0
        self._ends = float("-inf")

    def delay(self, now: float) -> float:
        """Return 0.0 if a list may go out at ``now``, else the seconds to wait.

        The next list is taken to be as large as the last one was.
        """
        if now >= self._ends:
            self._spent, self._ends = 0, now + self.WINDOW
        if (
            not self._limit
            or not self._spent
            or self._spent + self._last <= self._limit
        ):
            return 0.0
        return self._ends - now

    def spend(self, size: int) -> None:
        """Note that a list of ``size`` bytes went out."""
        self._spent += size
        self._last = size


def to_presence(data: PondPresence, channel_name: str, max_bytes: int) -> PondPresence:
    """Return the presence as everybody will see it: a copy, through JSON.

    Args:
        data: What the application wants to publish.
        channel_name: For error messages.
        max_bytes: Of its JSON; 0 is no limit.

    Raises:
        BadRequest: If it is no JSON object or too large.
    """
    try:
        encoded = ENCODER.encode(data)
        presence: PondPresence = DECODER.decode(encoded)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise EncodingError(
            channel_name, f"presence: expected a JSON object, {error}"
        ) from error
    if 0 < max_bytes < len(encoded):
        raise BadRequest(
            channel_name,
            f"presence: {len(encoded)} bytes, max_presence_bytes is {max_bytes}",
        )
    return presence
