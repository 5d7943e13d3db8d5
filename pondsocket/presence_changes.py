"""PresenceChanges: what a channel's members were not told of its presences yet.

It only merges; when something is told, and to whom, others decide. A client that keeps
a map by user id, sets in it what joined or was updated and deletes what left, ends up
with what is shown, whichever snapshots were handed out meanwhile.
"""

from typing import Final

from pondsocket.types import PondPresence, PresenceEventTypes

__all__ = ["DIFF", "SYNC", "PresenceChanges"]

SYNC: Final = "SYNC"
"""Event name of a ``PRESENCE`` message that holds every presence by user id."""
DIFF: Final = "DIFF"
"""Event name of a ``PRESENCE`` message that holds what changed, by user id."""


class PresenceChanges:
    """Changes that wait to be told in one message, at most one for each user id."""

    __slots__ = ("_joined", "_left", "_unseen", "_updated")

    def __init__(self) -> None:
        self._joined: dict[str, PondPresence] = {}
        self._updated: dict[str, PondPresence] = {}
        self._left: dict[str, PondPresence] = {}
        self._unseen: set[str] = set()  # joined, and in no snapshot since

    def __bool__(self) -> bool:
        """Tell whether anything waits."""
        return bool(self._joined or self._updated or self._left)

    def note(
        self, user_id: str, kind: PresenceEventTypes, presence: PondPresence
    ) -> None:
        """Add a change to those that wait.

        Args:
            user_id: Whose presence it is.
            kind: What happened to it.
            presence: What is shown now; of one that left, what was shown last.
        """
        match kind:
            case PresenceEventTypes.JOIN:
                self._note_join(user_id, presence)
            case PresenceEventTypes.UPDATE:
                is_new = user_id in self._joined
                (self._joined if is_new else self._updated)[user_id] = presence
            case _:
                self._note_leave(user_id, presence)

    def _note_join(self, user_id: str, presence: PondPresence) -> None:
        if self._left.pop(user_id, None) is not None:
            self._updated[user_id] = presence
            return
        self._joined[user_id] = presence
        self._unseen.add(user_id)

    def _note_leave(self, user_id: str, presence: PondPresence) -> None:
        self._joined.pop(user_id, None)
        self._updated.pop(user_id, None)
        if user_id in self._unseen:
            self._unseen.remove(user_id)
        else:
            self._left[user_id] = presence

    def note_snapshot(self) -> None:
        """Take into account that somebody was shown what is, with all that waits.

        Who joins and leaves again is from then on told of as gone: that member has it.
        """
        self._unseen.clear()

    def take(self) -> dict[str, dict[str, PondPresence]]:
        """Return the payload of a ``DIFF``; after that nothing waits any more.

        Kinds of change that there are none of are left out, since most messages hold a
        single change: ``{"joined": {"ann": {"name": "Ann"}}}``.
        """
        kinds = {"joined": self._joined, "updated": self._updated, "left": self._left}
        self._joined, self._updated, self._left = {}, {}, {}
        self._unseen.clear()
        return {name: changes for name, changes in kinds.items() if changes}
