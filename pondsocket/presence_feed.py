"""PresenceFeed: members who are told of presences by changes, and what waits for them.

A connection that asked with ``pond.presence=diff`` gets a snapshot when it joins a
channel, ``{"presences": {"ann": {"name": "Ann"}}}``, and from then on what changed. The
changes of one turn of the event loop go out as one message, encoded once. What else the
channel sends in that turn comes behind those made before it. When the budget is used
up, changes are gathered until its window ends. All others get full lists.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from pondsocket.fanout import FanOut
from pondsocket.frame import Frame
from pondsocket.ids import uuid
from pondsocket.metrics import Telemetry
from pondsocket.presence import PresenceBudget, PresenceChange, PresenceTracker
from pondsocket.presence_changes import DIFF, SYNC, PresenceChanges
from pondsocket.roster import Roster
from pondsocket.session import Intercept, Session
from pondsocket.types import Event, PresenceEventTypes, ServerActions
from pondsocket.wire import JSON_CODEC, Codec

__all__ = ["PresenceFeed"]

# Of all channels that nobody follows, and those are most: never written to.
_NO_CHANGES: Final = PresenceChanges()


class PresenceFeed:
    """Who of one channel's members in this process follows presences by changes.

    Args:
        name: The channel's full name.
        roster: The channel's members; the channel changes it.
        fanout: Where messages are queued.
        budget: Bytes of changes per second and connection; 0 is no limit. Snapshots do
            not count: each goes to one connection.
        telemetry: Told of changes that joined others.
        intercept: Returns the outgoing handlers that match an event's name, or None.

    Attributes:
        is_due: Whether changes of this turn wait, which :meth:`tell` has to send before
            anything else is queued.
    """

    __slots__ = (
        "_budget", "_changes", "_everybody", "_fanout", "_followers", "_intercept",
        "_name", "_others", "_roster", "_snapshot", "_telemetry", "_timer", "_told",
        "is_due",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        *,
        roster: Roster[Session],
        fanout: FanOut,
        budget: int,
        telemetry: Telemetry,
        intercept: Callable[[str], Intercept | None],
    ) -> None:
        self.is_due: bool = False
        self._name = name
        self._roster = roster
        self._fanout = fanout
        self._budget = PresenceBudget(budget)
        self._telemetry = telemetry
        self._intercept = intercept
        self._changes = _NO_CHANGES
        self._snapshot: Frame | None = None  # the last one, while it is true
        self._timer: asyncio.Handle | None = None
        # User ids, all of them in the roster; an empty set would take more memory.
        self._followers: dict[str, None] = {}
        self._everybody: tuple[Session, ...] = ()  # which these two are parts of
        self._told: tuple[Session, ...] = ()
        self._others: tuple[Session, ...] = ()

    @property
    def is_for_everybody(self) -> bool:
        """Whether there is no member who gets full lists."""
        return len(self._followers) == len(self._roster)

    @property
    def others(self) -> tuple[Session, ...]:
        """The members who get full lists."""
        self._divide()
        return self._others

    def add(self, session: Session, presence: PresenceTracker) -> None:
        """Send a new member what is shown, and changes from now on, if it asked.

        Called once it is in the roster and its acknowledgement is queued.
        """
        if not session.wants_presence_changes or self._is_guarded():
            return
        if not self._followers:
            self._changes = PresenceChanges()
        self._followers[session.id] = None
        self._changes.note_snapshot()
        frame = self._snapshot
        if frame is None or session.codec is not JSON_CODEC:
            frame = self._frame(SYNC, {"presences": presence.all()}, session.codec)
            self._snapshot = frame if session.codec is JSON_CODEC else None
        self._fanout.push(frame, (session,), self._intercept(SYNC))

    def remove(self, user_id: str) -> None:
        """Forget a member, whether it asked or not; it is in the roster no more."""
        self._followers.pop(user_id, None)
        self._everybody = self._told = self._others = ()  # they would hold its session
        if not self._followers:
            self._stop()
            self._changes = _NO_CHANGES

    def note(self, user_id: str, change: PresenceChange) -> None:
        """Tell of a change at the end of this turn, or when the budget allows it."""
        self._snapshot = None
        if not self._followers:
            return
        if self._changes and not self.is_due:
            self._telemetry.count("presence_coalesced")
        self._changes.note(user_id, *change)
        if self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        delay = self._budget.delay(loop.time())
        self.is_due = not delay
        if delay:
            self._timer = loop.call_later(delay, self.tell)
        else:
            self._timer = loop.call_soon(self.tell)

    def tell(self) -> None:
        """Send what waits, now; nothing if nothing does."""
        self._stop()
        if not self._changes:  # who joined has left again
            return
        self._divide()
        frame = self._frame(DIFF, self._changes.take())
        self._budget.delay(asyncio.get_running_loop().time())  # opens a new window
        self._budget.spend(frame.size)
        self._fanout.push(frame, self._told, self._intercept(DIFF))

    def _is_guarded(self) -> bool:
        """Tell whether an outgoing handler looks at full lists.

        Then nobody gets anything else: a client must not get round it by asking.
        """
        return any(self._intercept(kind) is not None for kind in PresenceEventTypes)

    def _frame(self, event: str, payload: object, codec: Codec = JSON_CODEC) -> Frame:
        message = Event(ServerActions.PRESENCE, self._name, uuid(), event, payload)
        return Frame(message, codec)

    def _stop(self) -> None:
        self.is_due = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _divide(self) -> None:
        """Divide the members into those told of changes and others, once a roster."""
        everybody = self._roster.handles()  # the same tuple until someone comes or goes
        if everybody is self._everybody:
            return
        self._everybody = everybody
        if self.is_for_everybody:  # the very tuple: the fan-out knows it by identity
            self._told, self._others = everybody, ()
        elif not self._followers:
            self._told, self._others = (), everybody
        else:
            followers = self._followers
            self._told = tuple(one for one in everybody if one.id in followers)
            self._others = tuple(one for one in everybody if one.id not in followers)
