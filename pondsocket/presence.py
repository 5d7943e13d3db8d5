"""PresenceTracker: the published state of a channel's users. It sends nothing."""

import msgspec

from pondsocket.errors import BadRequest, Conflict, EncodingError, NotFound
from pondsocket.types import PondPresence, PresenceEventTypes

__all__ = ["PresenceBudget", "PresenceChange", "PresenceTracker", "to_presence"]

PresenceChange = tuple[PresenceEventTypes, PondPresence]
"""What a ``PRESENCE`` message tells: its event, and the presence that changed."""

ENCODER = msgspec.json.Encoder()
DECODER = msgspec.json.Decoder(dict)


class PresenceTracker:
    """Presences of one channel by user id, in the order in which they appeared.

    The same user id may be tracked on several nodes at a time. What everybody shows
    then is the presence on the node whose name sorts first, so all nodes show the same.
    Callers hand in objects that nobody else changes and never change what they get.

    Args:
        channel_name: For error messages.
        node_id: Name of this node.
    """

    __slots__ = ("_channel_name", "_node_id", "_own", "_remote", "_shown")

    def __init__(self, channel_name: str, node_id: str = "") -> None:
        self._channel_name = channel_name
        self._node_id = node_id
        self._own: dict[str, PondPresence] = {}
        self._remote: dict[str, dict[str, PondPresence]] = {}
        self._shown: dict[str, PondPresence] = {}

    def __len__(self) -> int:
        """Return the number of users that are shown."""
        return len(self._shown)

    def __contains__(self, user_id: object) -> bool:
        """Tell whether a user is shown."""
        return user_id in self._shown

    def check_untracked(self, user_id: str) -> None:
        """Raise Conflict if a user of this node is tracked."""
        if user_id in self._own:
            raise Conflict(self._channel_name, f"presence of {user_id!r} is tracked")

    def check_hidden(self, user_id: str) -> None:
        """Raise Conflict if a user of any node is shown by that id."""
        if user_id in self._shown:
            raise Conflict(self._channel_name, f"presence of {user_id!r} is tracked")

    def check_shown(self, user_id: str) -> None:
        """Raise NotFound if no user of any node is shown by that id."""
        if user_id not in self._shown:
            raise NotFound(self._channel_name, f"no presence of {user_id!r} is tracked")

    def check_tracked(self, user_id: str) -> None:
        """Raise NotFound if no user of this node is tracked by that id."""
        if user_id not in self._own:
            raise NotFound(self._channel_name, f"no presence of {user_id!r} is tracked")

    def put(
        self, user_id: str, presence: PondPresence, node: str = ""
    ) -> PresenceChange | None:
        """Set a presence and return what members see of it, None for nothing."""
        users = self._remote.setdefault(node, {}) if node else self._own
        users[user_id] = presence
        is_known = user_id in self._shown
        picked = self._pick(user_id)
        shown = self._shown[user_id] = presence if picked is None else picked
        if not is_known:
            return PresenceEventTypes.JOIN, shown
        return (PresenceEventTypes.UPDATE, shown) if shown is presence else None

    def pop(self, user_id: str, node: str = "") -> PresenceChange | None:
        """Remove a presence and return what members see of it, None for nothing."""
        users = self._remote.get(node, {}) if node else self._own
        if users.pop(user_id, None) is None:
            return None
        if node and not users:
            del self._remote[node]
        before, other = self._shown[user_id], self._pick(user_id)
        if other is None:
            return PresenceEventTypes.LEAVE, self._shown.pop(user_id)
        self._shown[user_id] = other
        return None if other is before else (PresenceEventTypes.UPDATE, other)

    def _pick(self, user_id: str) -> PondPresence | None:
        if not self._remote:
            return self._own.get(user_id)
        candidates = {n: p[user_id] for n, p in self._remote.items() if user_id in p}
        if user_id in self._own:
            candidates[self._node_id] = self._own[user_id]
        return candidates[min(candidates)] if candidates else None

    def own(self, user_id: str) -> PondPresence | None:
        """Return the presence of a user of this node, None if it is not tracked."""
        return self._own.get(user_id)

    def find(self, user_id: str) -> PondPresence | None:
        """Return what is shown of a user, None if nothing is."""
        return self._shown.get(user_id)

    def is_known(self, user_id: str, presence: PondPresence | None, node: str) -> bool:
        """Tell whether that is the presence of another node's user already."""
        return self._remote.get(node, {}).get(user_id) == presence

    def of(self, node: str) -> tuple[str, ...]:
        """Return the ids of another node's users that are tracked."""
        return tuple(self._remote.get(node, ()))

    def all(self) -> dict[str, PondPresence]:
        """Return every presence that is shown by user id, as a new dictionary."""
        return dict(self._shown)


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
