"""Membership: how users get into a channel and out of it, and when the channel ends.

Getting in and out is one synchronous step each; what waits comes after it. The channel
ends when it has no member and nothing (a join, a leaving) holds it open.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from pondsocket.changes import Left
from pondsocket.errors import Unavailable
from pondsocket.local_channel import LocalChannel
from pondsocket.ports import Peers
from pondsocket.session import JoinedChannel, Session
from pondsocket.transport import Transport
from pondsocket.types import Event, LeaveReason, PondAssigns

__all__ = ["Leaving", "Membership"]


class Membership:
    """The doors of one channel.

    Args:
        local: Where members are kept.
        peers: Who is told.
        new_session: Makes the session of a transport that no endpoint registered.
        find_session: Returns the session of a registered transport, or None.
        on_left: Runs the leave handler; never raises.
        on_end: Called once, when the channel ended; never raises.
    """

    def __init__(
        self,
        local: LocalChannel,
        peers: Peers,
        *,
        new_session: Callable[[Transport], Session],
        find_session: Callable[[Transport], Session | None],
        on_left: Callable[[Left], Awaitable[None]],
        on_end: Callable[[], Awaitable[None]],
    ) -> None:
        self.is_active: bool = True
        self._local = local
        self._peers = peers
        self._new_session = new_session
        self._find_session = find_session
        self._on_left = on_left
        self._on_end = on_end
        self._holds = 0
        self._hold = _Hold(self._take_hold, self._release)  # for each join: cheap
        self._private_sessions: dict[str, Session] = {}
        self._leavings: set[asyncio.Task[None]] = set()

    def held(self) -> AbstractAsyncContextManager[None]:
        """Keep the channel alive; when the last hold goes, an empty channel ends."""
        return self._hold

    def _take_hold(self) -> None:
        self._holds += 1

    async def _release(self) -> None:
        self._holds -= 1
        if not self._holds and not self._local.roster:
            await self._end()

    async def admit(
        self,
        channel: JoinedChannel,
        transport: Transport,
        assigns: PondAssigns,
        ack: Event | None,
    ) -> None:
        """Let a user in, once messages of other nodes arrive.

        Raises:
            Unavailable: If the channel or the connection ended meanwhile.
            Conflict: If the user is a member already.
        """
        async with self._hold:
            await self._peers.open()
            session = self.session_of(transport)
            if not self.is_active:
                raise Unavailable(self._local.name, "the channel has ended")
            if session.is_ended or not transport.is_active():
                raise Unavailable(self._local.name, "the connection has ended")
            joined = self._local.admit(session, assigns, ack)
            session.channels[self._local.name] = channel
            await self._peers.announce(joined)

    def session_of(self, transport: Transport) -> Session:
        """Return the session of a transport, a private one if it has none."""
        session = self._find_session(transport)
        if session is None:
            session = self._private_sessions.get(transport.get_id())
        if session is None or session.transport is not transport:
            session = self._new_session(transport)
            if transport.is_active():
                self._private_sessions[session.id] = session
                transport.on_close(self._on_private_close)
            else:  # an answer that comes too late
                session.is_ended = True
        return session

    async def _on_private_close(self, transport: Transport) -> None:
        session = self._private_sessions.get(transport.get_id())
        if session is not None and session.transport is transport:
            await session.end()

    def dismiss(
        self, user_id: str, reason: LeaveReason, farewell: Event | None = None
    ) -> "Leaving | None":
        """Take a user out at once; None if it is no member, else finish the leaving."""
        member = self._local.roster.find(user_id)
        left = self._local.dismiss(user_id, reason, farewell)
        if left is None or member is None:
            return None
        session = member.handle
        session.channels.pop(self._local.name, None)
        if not session.outbox_messages:
            self._private_sessions.pop(user_id, None)
        self._holds += 1
        # a task of its own: it goes on when whoever caused the leaving is cancelled
        task = asyncio.get_running_loop().create_task(
            self._finish(left), name=f"pond-leave-{user_id}"
        )
        self._leavings.add(task)
        task.add_done_callback(self._leavings.discard)
        return Leaving(task)

    async def _finish(self, left: Left) -> None:
        try:
            await self._peers.announce(left)
            await self._on_left(left)
        finally:
            await self._release()

    async def close(self) -> None:
        """Take everybody out, then end the channel; idempotent."""
        while self._local.roster:  # while leave handlers run, others may join
            leavings = [
                self.dismiss(member.user_id, LeaveReason.CONNECTION_CLOSED)
                for member in self._local.roster.members()
            ]
            for leaving in filter(None, leavings):
                await leaving.finish()
        await self._end()

    async def _end(self) -> None:
        if not self.is_active:
            return
        self.is_active = False
        self._local.close()
        await self._on_end()
        await self._peers.close()


class _Hold(AbstractAsyncContextManager[None]):
    """Holds a channel open for whoever is inside, any number at a time."""

    __slots__ = ("_release", "_take")

    def __init__(
        self, take: Callable[[], None], release: Callable[[], Awaitable[None]]
    ) -> None:
        self._take = take
        self._release = release

    async def __aenter__(self) -> None:
        self._take()

    async def __aexit__(self, *_: object) -> None:
        await self._release()


class Leaving:
    """A member was taken out; the rest of its leaving is under way."""

    __slots__ = ("_task",)

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    async def finish(self) -> None:
        """Wait until the leaving is announced and its handler has run."""
        await asyncio.shield(self._task)
