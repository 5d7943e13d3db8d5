"""LocalChannel: the part of a channel in this process = roster + presence + fan-out.

Everything here is synchronous: a change is complete before anyone can await. It shows
changes to the members of this process and can tell no other node, so what came from a
node cannot be announced again. Of users elsewhere it keeps what their nodes told.
"""

import asyncio
import copy
from collections.abc import Callable

from pondsocket.changes import (
    AssignsReplaced,
    AssignsSet,
    Joined,
    Left,
    PresenceGone,
    PresenceSet,
    RemoteChange,
    Sent,
)
from pondsocket.fanout import FanOut
from pondsocket.frame import Frame
from pondsocket.ids import uuid
from pondsocket.metrics import Telemetry
from pondsocket.options import Options
from pondsocket.presence import PresenceBudget, PresenceChange, PresenceTracker
from pondsocket.presence_feed import PresenceFeed
from pondsocket.remote_users import RemoteUsers
from pondsocket.roster import Roster
from pondsocket.session import Intercept, Session
from pondsocket.types import (
    Event,
    LeaveReason,
    PondAssigns,
    ServerActions,
    User,
)

__all__ = ["LocalChange", "LocalChannel"]

LocalChange = Sent | PresenceSet | PresenceGone | AssignsSet
"""What a channel does here and then announces."""


class LocalChannel:
    """Members, presences and pending frames of one channel in this process.

    Args:
        name: The channel's full name.
        options: ``presence_budget`` and ``node_id`` are read.
        telemetry: Told of broadcasts, joins, leaves and coalesced presences.
        intercept: Returns the outgoing handlers that match an event's name, or None.
    """

    def __init__(
        self,
        name: str,
        options: Options,
        telemetry: Telemetry,
        intercept: Callable[[str], Intercept | None],
    ) -> None:
        self.name = name
        self.roster: Roster[Session] = Roster(name)
        self.presence: PresenceTracker = PresenceTracker(name, options.node_id)
        self.remote: RemoteUsers = RemoteUsers()
        self._telemetry = telemetry
        self._intercept = intercept
        self._fanout = FanOut()
        self._budget = PresenceBudget(options.presence_budget)
        self._held: PresenceChange | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._feed = PresenceFeed(
            name,
            roster=self.roster,
            fanout=self._fanout,
            budget=options.presence_budget,
            telemetry=telemetry,
            intercept=intercept,
        )

    # Members.

    def admit(
        self, session: Session, assigns: PondAssigns, ack: Event | None
    ) -> Joined:
        """Add a member and acknowledge it, before anything else of this channel.

        Raises:
            Conflict: If the user is a member already.
        """
        self.flush()
        self.roster.add(session.id, session, assigns)
        if ack is not None:
            self._fanout.push(Frame(ack, session.codec), (session,))
        self._feed.add(session, self.presence)
        if self._telemetry.measuring:
            self._telemetry.channel_joined(session.id, self.name)
        return Joined(User(session.id, dict(assigns)))

    def dismiss(
        self, user_id: str, reason: LeaveReason, farewell: Event | None = None
    ) -> Left | None:
        """Remove a member and its presence; None if there is no such member.

        Args:
            user_id: Who leaves.
            reason: Why.
            farewell: The last event that the member gets from this channel.
        """
        member = self.roster.find(user_id)
        if member is None:
            return None
        session = member.handle
        if farewell is not None:
            self._fanout.push(Frame(farewell, session.codec), (session,))
        self.flush()
        self.roster.remove(user_id)
        self._feed.remove(user_id)
        presence = self.presence.own(user_id)
        self._show_presence(user_id, self.presence.pop(user_id))
        if self._telemetry.measuring:
            self._telemetry.channel_left(user_id, self.name)
        return Left(User(user_id, member.assigns, presence), reason)

    def user(self, user_id: str) -> User:
        """Return a snapshot of a member.

        Raises:
            NotFound: If the user is not a member.
        """
        assigns = self.roster.get(user_id).assigns
        presence = self.presence.own(user_id)
        return User(user_id, dict(assigns), copy.deepcopy(presence))

    def remote_user(self, user_id: str) -> User | None:
        """Return a snapshot of a user that lives on another node, None if unknown."""
        assigns = self.remote.assigns_of(user_id)
        if assigns is None:
            return None
        return User(user_id, assigns, copy.deepcopy(self.presence.find(user_id)))

    # What members see.

    def apply(self, change: LocalChange) -> bool:
        """Make a change and show it to the members.

        Returns:
            True if the caller should yield to the event loop before it sends more.
        """
        match change:
            case Sent(frame=frame, recipients=recipients):
                if self._feed.is_due:
                    self._feed.tell()
                sessions = self.roster.select(recipients)
                name = frame.name
                if self._telemetry.measuring:
                    self._telemetry.message_broadcast(self.name, name, len(sessions))
                return self._fanout.push(frame, sessions, self._intercept(name))
            case PresenceSet(user_id=user_id, presence=presence, node=node):
                shown = self.presence.put(user_id, presence, node)
                return self._show_presence(user_id, shown)
            case PresenceGone(user_id=user_id, node=node):
                return self._show_presence(user_id, self.presence.pop(user_id, node))
        self.roster.get(change.user_id).assigns[change.key] = change.value
        return False

    def apply_remote(self, change: RemoteChange) -> bool:
        """Take in a change that another node announced; True as for :meth:`apply`."""
        match change:
            case Joined(user=user, node=node):
                self.remote.put(node, user.id, user.assigns)
                return self._take_presence(user, node)
            case Left(user=user, node=node):
                self.remote.remove(node, user.id)
                return self.apply(PresenceGone(user.id, node))
            case AssignsReplaced(user_id=user_id, assigns=assigns, node=node):
                self.remote.put(node, user_id, assigns)
            case AssignsSet(user_id=user_id, key=key, value=value, node=node):
                self.remote.set_assign(node, user_id, key, value)
            case _:
                return self.apply(change)
        return False

    def _take_presence(self, user: User, node: str) -> bool:
        """Show the presence, or its absence, of another node's user if it is news."""
        if self.presence.is_known(user.id, user.presence, node):
            return False
        if user.presence is None:
            return self.apply(PresenceGone(user.id, node))
        return self.apply(PresenceSet(user.id, user.presence, node))

    def send(self, event: Event, sessions: tuple[Session, ...]) -> bool:
        """Queue an event for some connections; True as for :meth:`apply`."""
        if self._feed.is_due:
            self._feed.tell()
        return self._fanout.push(Frame(event), sessions)

    def send_frame(self, frame: Frame, session: Session) -> None:
        """Queue a ready frame for one connection."""
        if self._feed.is_due:
            self._feed.tell()
        self._fanout.push(frame, (session,))

    def flush(self) -> None:
        """Write everything that is queued, now.

        Changes of presence that were made in this turn are not: they go out together at
        its end, however many members come and go in it.
        """
        self._fanout.flush()

    def close(self) -> None:
        """Write what is pending and stop every timer."""
        self._show_held()
        self._feed.tell()
        self.flush()

    # Presence lists.

    def _show_presence(self, user_id: str, change: PresenceChange | None) -> bool:
        """Send the full list, or hold it back until the budget's window ends."""
        if change is None:
            return False
        self._feed.note(user_id, change)
        if self._feed.is_for_everybody:
            return False
        delay = self._budget.delay(asyncio.get_running_loop().time())
        if self._timer is None and not delay:
            return self._send_presence(change)
        if self._held is not None:
            self._telemetry.count("presence_coalesced")
        self._held = change
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(delay, self._show_held)
        return False

    def _show_held(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._held is not None:
            change, self._held = self._held, None
            self._send_presence(change)

    def _send_presence(self, change: PresenceChange) -> bool:
        sessions = self._feed.others
        if not sessions:
            return False
        kind, changed = change
        payload = {"presence": list(self.presence.all().values()), "changed": changed}
        frame = Frame(Event(ServerActions.PRESENCE, self.name, uuid(), kind, payload))
        self._budget.delay(asyncio.get_running_loop().time())  # opens a new window
        self._budget.spend(frame.size)
        return self._fanout.push(frame, sessions, self._intercept(kind))
