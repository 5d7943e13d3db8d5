"""Connections: the live sessions of one endpoint, and the one way in and out."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from pondsocket.base_transport import BaseTransport
from pondsocket.contexts.connection import ConnectionContext
from pondsocket.errors import Conflict, Unavailable
from pondsocket.frame import Frame
from pondsocket.hooks import Hooks, run_hook
from pondsocket.ids import uuid
from pondsocket.intake import Intake
from pondsocket.metrics import Telemetry
from pondsocket.options import Options
from pondsocket.session import Session
from pondsocket.transport import OnCloseCallback, Transport
from pondsocket.types import (
    Event,
    PondMessage,
    ServerActions,
    SystemEntity,
    SystemEvents,
)

__all__ = ["Connections"]

logger: logging.Logger = logging.getLogger(__name__)

CLOSE_GRACE = 1.0  # seconds
SERVICE_RESTART = 1012  # IANA WebSocket close codes; our protocol: server shutdown


class _Performance:
    """What is called with each message of one connection; smaller than a closure."""

    __slots__ = ("_perform", "_session")

    def __init__(
        self, session: Session, perform: Callable[[Session, Event], Awaitable[None]]
    ) -> None:
        self._session = session
        self._perform = perform

    def __call__(self, event: Event, _: Transport | None = None) -> Awaitable[None]:
        return self._perform(self._session, event)


class Connections:
    """Sessions by user id and by connection id.

    Args:
        endpoint_path: For the figures.
        options: Limits and hooks.
        telemetry: The framework's.
        perform: Carries out one message of a client; never raises.
    """

    def __init__(
        self,
        endpoint_path: str,
        options: Options,
        telemetry: Telemetry,
        perform: Callable[[Session, Event], Awaitable[None]],
    ) -> None:
        self.is_draining: bool = False
        self.handshakes: set[asyncio.Timeout] = set()  # connection handlers that run
        self._endpoint_path = endpoint_path
        self._options = options
        self._hooks = options.hooks or Hooks()
        self._telemetry = telemetry
        self._perform = perform
        self._on_close: OnCloseCallback = self._note_close  # one for all of them
        self._by_user: dict[str, Session] = {}
        self._by_connection: dict[str, Session] = {}
        self._opened: dict[Session, float] = {}  # only if that is measured
        self._endings: dict[Session, asyncio.Task[None]] = {}
        self._finishing: set[Session] = set()  # ended, while a handler of theirs runs
        self._limits = options.limits

    def __len__(self) -> int:
        """Return how many connections live."""
        return len(self._by_user)

    @property
    def is_full(self) -> bool:
        """Whether ``max_connections`` is reached."""
        return 0 < self._options.max_connections <= len(self)

    @property
    def has_room(self) -> bool:
        """Whether one more may ask: handshakes in progress take a place too."""
        limit = self._options.max_connections
        return not limit or len(self) + len(self.handshakes) < limit

    def sessions(self) -> tuple[Session, ...]:
        """Return all live sessions."""
        return tuple(self._by_user.values())

    def find_user(self, user_id: str) -> Session | None:
        """Return the session of a user, None if it is not connected."""
        return self._by_user.get(user_id)

    def find_connection(self, connection_id: str) -> Session | None:
        """Return the session of a secret connection id; never one of a user's id."""
        return self._by_connection.get(connection_id)

    def session_of(self, transport: Transport) -> Session | None:
        """Return the session of a registered transport, None if it has none."""
        session = self._by_user.get(transport.get_id())
        return session if session and session.transport is transport else None

    # In.

    async def register(
        self, transport: Transport, context: ConnectionContext | None
    ) -> None:
        """Make an accepted connection live.

        Raises:
            Unavailable: If the endpoint is full or shuts down.
            Conflict: If the user is connected already.
            BadRequest: If the handler's reply cannot be encoded.
        """
        self._check_admission(transport.get_id())
        session = Session(transport, self._options, self._telemetry)
        session.wants_presence_changes = _asks(context, "pond.presence", "diff")
        greeting = _greeting(session, context)
        self._add(session)
        self._connect_intake(session)
        transport.on_close(self._on_close)
        if context is not None:
            for key, value in context.assigns.items():
                transport.set_assign(key, value)
        session.write(greeting)
        if self._telemetry.measuring:
            self._telemetry.connection_opened(session.id, self._endpoint_path)
        try:
            if self._hooks.on_connect is not None:
                await self._run_hook(self._hooks.on_connect, transport)
            await transport.handle_messages()
        except BaseException:  # a custom transport's, or the adapter was cancelled
            await self._forget(session)
            raise
        if not transport.is_active():  # it closed before it was asked to tell
            await self._forget(session)

    def _check_admission(self, user_id: str) -> None:
        if self.is_draining:
            raise Unavailable("", "the server restarts")
        if self.is_full:
            raise Unavailable("", "the endpoint is full")
        if user_id in self._by_user:
            raise Conflict("", f"user {user_id!r} is connected already")

    def _add(self, session: Session) -> None:
        self._by_user[session.id] = session
        if session.connection_id != session.id:  # else it is no secret
            self._by_connection[session.connection_id] = session
        if self._telemetry.measuring:
            self._opened[session] = time.monotonic()

    def _connect_intake(self, session: Session) -> None:
        """Lead the client's messages to ``perform``, through limits and lanes."""
        transport, limits = session.transport, self._limits

        handle = _Performance(session, self._perform)
        if isinstance(transport, BaseTransport):
            transport.bind(limits, self._telemetry, session.send, session.flush)
            session.intake = transport.intake
            transport.on_message(handle)
            return
        session.intake = intake = Intake(
            session.id,
            limits=limits,
            telemetry=self._telemetry,
            codec=session.codec,
            handle=handle,
            answer=session.send,
            end=session.close_soon,
        )

        async def take(event: Event, _: Transport) -> None:
            intake.take(event)

        transport.on_message(take)

    # Out.

    async def _note_close(self, transport: Transport) -> None:
        session = self.session_of(transport)
        if session is not None:
            await self._forget(session, asyncio.current_task())

    async def _forget(
        self, session: Session, caller: asyncio.Task[Any] | None = None
    ) -> None:
        """End a session once, whoever noticed first; whoever else asks waits for it.

        It goes on when one of them is cancelled. ``caller``: whose task waits for this.
        """
        if self._by_user.get(session.id) is session:
            del self._by_user[session.id]
            self._by_connection.pop(session.connection_id, None)
            session.detach(caller)
            ending = asyncio.get_running_loop().create_task(
                self._end(session, caller), name=f"pond-forget-{session.id}"
            )
            self._endings[session] = ending
            ending.add_done_callback(lambda _: self._note_end(session))
        if session in self._endings:
            await asyncio.shield(self._endings[session])

    async def _end(self, session: Session, caller: asyncio.Task[Any] | None) -> None:
        await session.end(caller)
        if session in self._opened:
            duration = time.monotonic() - self._opened.pop(session)
            self._telemetry.connection_closed(session.id, duration)
        await self._run_hook(self._hooks.on_disconnect, session.transport)

    def _note_end(self, session: Session) -> None:
        del self._endings[session]
        self._finishing = {s for s in (*self._finishing, session) if not _is_idle(s)}

    async def close(self, session: Session, code: int, reason: str) -> None:
        """Send what a session has pending, then close it; never raises."""
        await session.close(code, reason, grace=self._options.send_timeout)
        await self._forget(session)  # a custom transport may forget to tell

    async def drain(self, grace: float) -> None:
        """Refuse new connections, close the live ones spread over ``grace`` seconds.

        A handshake may be decided meanwhile; in the end one that waits is refused.
        When the turn of a connection comes it is no longer listened to, its handlers
        finish, it gets what was queued for it, and 1012. What is still under way after
        the grace period is cut short.
        """
        count = len(self)
        await self._let_go(grace, step=grace / count if count else 0.0)

    async def close_all(self) -> None:
        """Close what lives with 1012 at once, within a second for what is in flight."""
        await self._let_go(CLOSE_GRACE, step=0.0)

    async def _let_go(self, grace: float, step: float) -> None:
        self.is_draining = True
        loop = asyncio.get_running_loop()
        ends = loop.time() + grace
        await asyncio.gather(
            *(
                self._let_one_go(session, index * step, ends)
                for index, session in enumerate(self.sessions())
            )
        )
        if self._endings:  # of those that left by themselves
            left = max(ends - loop.time(), 0.0)
            await asyncio.wait(tuple(self._endings.values()), timeout=left)
        await asyncio.gather(*(_settle(one, ends) for one in self._finishing))
        while self.handshakes:
            deciding = self.handshakes.pop()
            if not deciding.expired():  # by itself, in this turn of the loop
                deciding.reschedule(loop.time())

    async def _let_one_go(self, session: Session, delay: float, ends: float) -> None:
        await asyncio.sleep(delay)
        await _settle(session, ends)
        left = max(ends - asyncio.get_running_loop().time(), 0.0)
        await session.close(SERVICE_RESTART, "server restarts", grace=left)
        await self._forget(session)

    async def _run_hook(
        self,
        hook: Callable[[Transport], object] | None,
        transport: Transport,
    ) -> None:
        timeout = self._options.handler_timeout
        await run_hook(hook, transport, telemetry=self._telemetry, timeout=timeout)


def _is_idle(session: Session) -> bool:
    return session.intake is None or session.intake.is_idle


async def _settle(session: Session, ends: float) -> None:
    """Stop listening to a client and let its handlers finish, until ``ends``."""
    if session.intake is not None:  # pragma: no branch - registering gives it one
        session.intake.close()
        left = ends - asyncio.get_running_loop().time()
        await session.intake.settle(max(left, 0.0))


def _greeting(session: Session, context: ConnectionContext | None) -> list[Frame]:
    """Return ``CONNECTION``, the first message of all, and the handler's reply."""
    payload: PondMessage = {"id": session.id, "connectionId": session.connection_id}
    if _asks(context, "pond.protocol", "1"):
        payload["protocol"] = 1
    greeting: list[tuple[str, str, PondMessage]] = [
        (ServerActions.CONNECT, SystemEvents.CONNECTION, payload)
    ]
    if context is not None and context.pending_reply is not None:
        greeting.append((ServerActions.SYSTEM, *context.pending_reply))
    return [
        Frame(Event(action, SystemEntity.GATEWAY, uuid(), event, data), session.codec)
        for action, event, data in greeting
    ]


def _asks(context: ConnectionContext | None, name: str, value: str) -> bool:
    """Tell whether the client asked for something by a query parameter of ours."""
    return context is not None and context.query.get(name) == value
