"""Channel: the public verbs of one channel = its local part + its peers.

Every verb shows a change here first, synchronously, and then announces it to the other
nodes. There is no task and no lock: what must not be torn apart has no await inside. A
channel ends when it has neither members nor anything in progress that holds it open.
"""

import logging
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from pondsocket.callbacks import attempt
from pondsocket.changes import Left, Sent
from pondsocket.channel_options import ChannelOptions
from pondsocket.channel_users import ChannelUsers
from pondsocket.contexts.leave import LeaveContext
from pondsocket.event_names import check_event_name
from pondsocket.frame import Frame
from pondsocket.hooks import check_broadcast_rate
from pondsocket.ids import uuid
from pondsocket.local_channel import LocalChannel
from pondsocket.membership import Leaving, Membership
from pondsocket.metrics import Telemetry
from pondsocket.options import Options
from pondsocket.session import Session
from pondsocket.transport import Transport
from pondsocket.types import (
    AllExceptSender,
    AllUsers,
    ChannelReceiver,
    Event,
    LeaveReason,
    PondAssigns,
    PondMessage,
    PondPresence,
    RecipientSpec,
    ServerActions,
    SystemEvents,
    ToUsers,
    User,
)

__all__ = ["Channel"]

logger: logging.Logger = logging.getLogger(__name__)


class Channel:
    """A room of users who see each other's presence and get each other's messages.

    Applications get channels from their lobby and from contexts. Getters hand out
    copies. All verbs may be called from the event loop's thread only.
    """

    def __init__(self, opts: ChannelOptions) -> None:
        self.name: str = opts.name
        self.telemetry: Telemetry = opts.telemetry or _telemetry_of(opts.options)
        opts = opts.linked(self.telemetry)
        self.options: Options = opts.options
        self._opts = opts
        self._local = LocalChannel(
            opts.name, opts.options, self.telemetry, partial(opts.intercept, self)
        )
        self._users = ChannelUsers(
            self._local,
            opts.options,
            partial(opts.network.peers, opts.endpoint_path, opts.name),
            self._dismiss,
        )
        self._membership = Membership(
            self._local,
            self._users.peers,
            new_session=self._new_session,
            find_session=opts.find_session,
            on_left=self._run_leave_handler,
            on_end=self._on_end,
        )
        if self.telemetry.measuring:
            self.telemetry.channel_created(self.name)

    def __repr__(self) -> str:
        """Show the name and the number of members."""
        return f"<Channel {self.name!r} with {len(self._local.roster)} members>"

    @property
    def node_id(self) -> str:
        """Id of this node; empty for a single node."""
        return self.options.node_id

    @property
    def is_active(self) -> bool:
        """Whether the channel lives; an ended one sends nothing and takes no one."""
        return self._membership.is_active

    async def start(self) -> None:
        """Listen to other nodes; for a channel made by hand, joins do it themselves."""
        await self._users.peers.open()

    async def close(self) -> None:
        """End the channel: every member leaves, leave handlers run; idempotent."""
        await self._membership.close()

    # Members.

    async def user_count(self) -> int:
        """Return the number of members in this process."""
        return len(self._local.roster)

    async def has_user(self, user_id: str) -> bool:
        """Tell whether a user is a member in this process."""
        return user_id in self._local.roster

    async def add_user(self, transport: Transport) -> None:
        """Make the transport's user a member without an acknowledgement.

        Raises:
            Conflict: If the user is a member already.
            Unavailable: If the channel or the connection ended.
        """
        await self._membership.admit(self, transport, transport.clone_assigns(), None)

    async def join(
        self, transport: Transport, request_id: str, assigns: PondAssigns
    ) -> None:
        """Make the transport's user a member and acknowledge its request.

        Args:
            transport: The user's connection.
            request_id: Of the join.
            assigns: Added to the connection's own assigns, for this channel.

        Raises:
            Conflict: If the user is a member already.
            Unavailable: If the channel or the connection ended meanwhile.
        """
        ack = self._system(SystemEvents.ACKNOWLEDGE, {}, request_id)
        merged = {**transport.clone_assigns(), **assigns}
        await self._membership.admit(self, transport, merged, ack)

    async def remove_user(
        self, user_id: str, reason: str = LeaveReason.EXPLICIT_LEAVE
    ) -> bool:
        """Remove a user and run the leave handlers; False if it is not a member.

        For a user of another node that node does so, and this returns without waiting;
        leave handlers are told ``EXPLICIT_LEAVE`` there, whatever the reason.

        Raises:
            ValueError: If ``reason`` is no ``LeaveReason``.
        """
        return await self._users.remove(user_id, LeaveReason(reason))

    async def evict_user(self, user_id: str, reason: str) -> None:
        """Tell a user, on whatever node it lives, that it has to go, and remove it.

        Raises:
            NotFound: If the user is not a member.
        """
        await self._users.evict(user_id, reason)

    def _dismiss(
        self, user_id: str, reason: LeaveReason, why: str | None = None
    ) -> Leaving | None:
        farewell = None
        if why is not None:
            farewell = self._system(SystemEvents.EVICTED, {"reason": why}, uuid())
        return self._membership.dismiss(user_id, reason, farewell)

    async def leave(self, user_id: str, request_id: str) -> None:
        """Acknowledge a member's wish to leave, and remove it; else do nothing."""
        event = self._system(SystemEvents.EXIT_ACKNOWLEDGE, {}, request_id)
        leaving = self._membership.dismiss(user_id, LeaveReason.EXPLICIT_LEAVE, event)
        if leaving is not None:
            await leaving.finish()

    def remove(self, user_id: str, reason: LeaveReason) -> Leaving | None:
        """Remove a member at once; the caller has to finish the leaving."""
        return self._membership.dismiss(user_id, reason)

    async def get_user(self, user_id: str) -> User:
        """Return a snapshot of a user, on whatever node it lives.

        Raises:
            NotFound: If there is no such user.
        """
        return await self._users.get(user_id)

    def see_member(self, user_id: str) -> User:
        """Return a member as it is now, in this process; for each of its messages.

        Its presence is not copied: it is never changed, only replaced. Who hands it
        out copies it first.

        Raises:
            NotFound: If the user is not a member.
        """
        assigns = self._local.roster.get(user_id).assigns
        return User(user_id, dict(assigns), self._local.presence.own(user_id))

    # Assigns and presence.

    async def get_user_assign(self, user_id: str, key: str) -> Any:  # noqa: ANN401 - the application's own value
        """Return one assign of a user, None if it is not set.

        Raises:
            NotFound: If there is no such user.
        """
        return (await self.get_user(user_id)).assigns.get(key)

    async def update_assign(
        self,
        user_id: str,
        key: str,
        value: Any,  # noqa: ANN401 - the application's own value
    ) -> None:
        """Set one assign of a user in this channel.

        Raises:
            NotFound: If the user is not a member.
        """
        await self._users.set_assign(user_id, key, value)

    async def get_assigns(self) -> dict[str, PondAssigns]:
        """Return everyone's assigns by user id."""
        return self._users.assigns()

    async def get_presence(self) -> dict[str, PondPresence]:
        """Return everyone's presence by user id."""
        return self._users.presences()

    async def track_presence(self, user_id: str, data: PondPresence) -> None:
        """Start to show a user's presence to all members.

        Raises:
            BadRequest: If it is no JSON object or above ``max_presence_bytes``.
            NotFound: If the user is not a member.
            Conflict: If the user is tracked already.
        """
        await self._users.track(user_id, data)

    async def update_presence(self, user_id: str, data: PondPresence) -> None:
        """Replace a user's presence.

        Raises:
            BadRequest: If it is no JSON object or above ``max_presence_bytes``.
            NotFound: If the user is not tracked.
        """
        await self._users.update(user_id, data)

    async def untrack_presence(self, user_id: str) -> None:
        """Stop showing a user's presence.

        Raises:
            NotFound: If the user is not tracked.
        """
        await self._users.untrack(user_id)

    # Messages.

    async def broadcast(self, event: str, payload: PondMessage) -> None:
        """Send to every member, on every node.

        Returns once it is queued for each; no receiver is waited for. A broadcast on a
        channel that ended does nothing.

        Raises:
            BadRequest: If the payload cannot be encoded or the event's name is taken.
            TooManyRequests: If the channel's rate limiter denies it.
        """
        await self._broadcast(event, payload, AllUsers(), ChannelReceiver.ALL_USERS)

    async def broadcast_to(self, event: str, payload: PondMessage, *ids: str) -> None:
        """Send to the members named; raises as :meth:`broadcast` does."""
        await self._broadcast(event, payload, ToUsers(ids), list(ids))

    async def broadcast_from(
        self, event: str, payload: PondMessage, exclude_id: str
    ) -> None:
        """Send to every member but one; raises as :meth:`broadcast` does."""
        await self._broadcast(
            event,
            payload,
            AllExceptSender(exclude_id),
            ChannelReceiver.ALL_EXCEPT_SENDER,
            exclude_id,
        )

    async def _broadcast(
        self,
        event: str,
        payload: PondMessage,
        recipients: RecipientSpec,
        descriptor: object,
        sender: str = "CHANNEL",
    ) -> None:
        if not self.is_active:
            return
        check_event_name(event, self.name)
        message = Event(ServerActions.BROADCAST, self.name, uuid(), event, payload)
        message.recipient_descriptor = descriptor
        message.from_user_id = sender
        frame = Frame(message)  # encodes: what is wrong is raised here
        await check_broadcast_rate(self.options.hooks, self.name)
        if self.is_active:
            await self._users.apply(Sent(frame, recipients))

    async def send_system(
        self,
        event: str,
        payload: PondMessage,
        *,
        request_id: str,
        user_ids: list[str],
    ) -> None:
        """Send a ``SYSTEM`` message to some members in this process.

        Raises:
            BadRequest: If the payload cannot be encoded.
        """
        sessions = self._local.roster.select(ToUsers(tuple(user_ids)))
        self._local.send(self._system(event, payload, request_id), sessions)

    async def send_acknowledge(self, request_id: str, user_id: str) -> None:
        """Acknowledge a request of a member once more."""
        await self.send_system(
            SystemEvents.ACKNOWLEDGE, {}, request_id=request_id, user_ids=[user_id]
        )

    async def reply(
        self, transport: Transport, event: str, payload: PondMessage, request_id: str
    ) -> None:
        """Answer a request on its connection, in order with the channel's messages.

        Raises:
            BadRequest: If the payload cannot be encoded or the event's name is taken.
        """
        check_event_name(event, self.name)
        self._answer(transport, self._system(event, payload, request_id))

    async def decline(
        self, transport: Transport, request_id: str, code: int, message: str
    ) -> None:
        """Refuse a join."""
        payload = {"code": code, "message": message}
        self._answer(
            transport, self._system(SystemEvents.UNAUTHORIZED, payload, request_id)
        )

    def _answer(self, transport: Transport, answer: Event) -> None:
        session = self._membership.session_of(transport)
        self._local.send(answer, (session,))
        if self.name not in session.channels:  # what it gets next does not pass by here
            self.flush()

    def send_frame(self, session: Session, frame: Frame) -> None:
        """Queue a frame for one connection, behind what the channel sent before."""
        self._local.send_frame(frame, session)

    def flush(self) -> None:
        """Write everything that is pending, now."""
        self._local.flush()

    def _system(self, event: str, payload: PondMessage, request_id: str) -> Event:
        return Event(ServerActions.SYSTEM, self.name, request_id, event, payload)

    # The end.

    def held(self) -> AbstractAsyncContextManager[None]:
        """Keep the channel alive while a join is in progress; it may end after that."""
        return self._membership.held()

    async def _run_leave_handler(self, left: Left) -> None:
        handler = self._opts.leave_handler
        if handler is None:
            return
        context = LeaveContext(channel=self, user=left.user, reason=left.reason)
        error = await attempt(handler, context)
        if error is not None:
            self.telemetry.count("leave_failed")
            self.telemetry.error("leave_handler", error)
            logger.error("leave handler of %r failed", self.name, exc_info=error)

    def _new_session(self, transport: Transport) -> Session:
        return Session(transport, self.options, self.telemetry)

    async def _on_end(self) -> None:
        if self.telemetry.measuring:
            self.telemetry.channel_destroyed(self.name)
        if self._opts.on_destroy is not None:
            error = await attempt(self._opts.on_destroy)
            if error is not None:
                self.telemetry.error("on_destroy", error)
                logger.error("on_destroy of %r failed", self.name, exc_info=error)


def _telemetry_of(options: Options) -> Telemetry:
    return Telemetry(options.hooks.metrics if options.hooks else None)
