"""Lobby: one channel pattern, the handlers of its channels, and the channels by name.

Handler tables are read when a message comes, so a handler added later counts for the
channels that live already. Handlers match in order of registration, the first whose
pattern matches wins.
"""

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar, overload

from pondsocket.callbacks import attempt_within
from pondsocket.changes import Sent
from pondsocket.channel import Channel
from pondsocket.channel_options import ChannelOptions, LeaveHandler
from pondsocket.contexts.event import EventContext
from pondsocket.contexts.join import JoinContext
from pondsocket.contexts.leave import LeaveContext
from pondsocket.contexts.outgoing import OutgoingContext
from pondsocket.errors import BadRequest, MultiError, NotFound, Unavailable
from pondsocket.event_names import check_event_name
from pondsocket.frame import Frame
from pondsocket.hooks import check_broadcast_rate
from pondsocket.ids import uuid
from pondsocket.metrics import Telemetry
from pondsocket.middleware import Middleware, run_chain
from pondsocket.options import Options
from pondsocket.patterns import Pattern, compile_pattern
from pondsocket.ports import ChannelPort, Network
from pondsocket.session import Intercept, Session
from pondsocket.transport import Transport
from pondsocket.types import (
    AllUsers,
    Event,
    PondMessage,
    Route,
    ServerActions,
    User,
)

__all__ = ["EventHandler", "JoinHandler", "Lobby", "OutgoingHandler", "Registered"]

logger: logging.Logger = logging.getLogger(__name__)

REMEMBERED_NAMES = 256  # of events, for each kind of handler
REMEMBERED_LENGTH = 256

Context = TypeVar("Context")
_Handler = Callable[[Context], object]
JoinHandler = Callable[[JoinContext], object]
EventHandler = Callable[[EventContext], object]
OutgoingHandler = Callable[[OutgoingContext], object]


@dataclass(frozen=True, slots=True)
class Registered(Generic[Context]):
    """A handler with its middlewares and the pattern that leads to it."""

    pattern: Pattern
    handler: _Handler[Context]
    middlewares: tuple[Middleware[Context], ...]

    def run(self, context: Context) -> object:
        """Run the middlewares around the handler; raises what they raise.

        Returns:
            What is to be awaited, if it can be.
        """
        if not self.middlewares:
            return self.handler(context)
        return run_chain(self.middlewares, context, self.handler)


class _Handlers(Generic[Context]):
    """Handlers in order of registration; the first whose pattern matches is meant.

    Which one that is for a name is remembered, since few names come again and again.
    """

    __slots__ = ("_found", "_registered")

    def __init__(self) -> None:
        self._registered: list[Registered[Context]] = []
        self._found: dict[str, Registered[Context] | None] = {}

    def __len__(self) -> int:
        return len(self._registered)

    def add(self, registered: Registered[Context]) -> None:
        self._registered.append(registered)
        self._found.clear()

    def find(self, name: str) -> Registered[Context] | None:
        found = self._found
        if name in found:
            return found[name]
        first = next((r for r in self._registered if r.pattern.match(name)), None)
        if len(name) <= REMEMBERED_LENGTH:
            if len(found) >= REMEMBERED_NAMES:  # a client that makes up names
                found.clear()
            found[name] = first
        return first


class Lobby:
    """All channels whose names match one pattern; made by ``Endpoint.create_channel``.

    Args:
        join: The join handler, with the pattern of the channel names.
        endpoint_path: Path of the endpoint that it belongs to.
        options: Limits and hooks.
        telemetry: The framework's.
        network: The other nodes.
        find_session: Returns the session of a registered transport, or None.
    """

    def __init__(
        self,
        join: Registered[JoinContext],
        *,
        endpoint_path: str,
        options: Options,
        telemetry: Telemetry,
        network: Network,
        find_session: Callable[[Transport], Session | None],
    ) -> None:
        self.join = join
        self.options = options
        self._endpoint_path = endpoint_path
        self._telemetry = telemetry
        self._network = network
        self._find_session = find_session
        self._is_closed = False
        self._channels: dict[str, Channel] = {}
        self._message_handlers: _Handlers[EventContext] = _Handlers()
        self._leave_handlers: list[Registered[LeaveContext]] = []
        self._outgoing_handlers: _Handlers[OutgoingContext] = _Handlers()

    @property
    def path(self) -> str:
        """The pattern of the channels' names."""
        return self.join.pattern.source

    # Registering handlers.

    @overload
    def on_message(
        self, event_pattern: str
    ) -> Callable[[EventHandler], EventHandler]: ...
    @overload
    def on_message(
        self,
        event_pattern: str,
        handler: EventHandler,
        *middlewares: Middleware[EventContext],
    ) -> EventHandler: ...
    def on_message(
        self,
        event_pattern: str,
        handler: EventHandler | None = None,
        *middlewares: Middleware[EventContext],
    ) -> EventHandler | Callable[[EventHandler], EventHandler]:
        """Handle the members' messages whose event matches; also as a decorator.

        Raises:
            ValueError: If the pattern is malformed.
        """
        return _register(self._message_handlers, event_pattern, handler, middlewares)

    @overload
    def on_outgoing(
        self, event_pattern: str
    ) -> Callable[[OutgoingHandler], OutgoingHandler]: ...
    @overload
    def on_outgoing(
        self,
        event_pattern: str,
        handler: OutgoingHandler,
        *middlewares: Middleware[OutgoingContext],
    ) -> OutgoingHandler: ...
    def on_outgoing(
        self,
        event_pattern: str,
        handler: OutgoingHandler | None = None,
        *middlewares: Middleware[OutgoingContext],
    ) -> OutgoingHandler | Callable[[OutgoingHandler], OutgoingHandler]:
        """See each delivery of matching broadcasts and presences, per recipient.

        The handler may change or block a delivery. One that raises blocks it. Only
        events that match pay for it. Also as a decorator.

        Raises:
            ValueError: If the pattern is malformed.
        """
        return _register(self._outgoing_handlers, event_pattern, handler, middlewares)

    def on_leave(
        self, handler: LeaveHandler, *middlewares: Middleware[LeaveContext]
    ) -> LeaveHandler:
        """Run a handler for each member that left; several run in order.

        Also as a decorator.
        """
        self._leave_handlers.append(Registered(self.join.pattern, handler, middlewares))
        return handler

    # Channels.

    async def get_channel(self, name: str) -> Channel | None:
        """Return a living channel, None if there is none of that name."""
        return self.find(name)

    async def has_channel(self, name: str) -> bool:
        """Tell whether a channel of that name lives."""
        return name in self._channels

    async def get_or_create_channel(self, name: str) -> Channel:
        """Return a channel, made now if it does not live yet.

        Raises:
            BadRequest: If the name does not match the lobby's pattern, or cannot be
                told to other nodes.
            Unavailable: After :meth:`close`.
        """
        if self.join.pattern.match(name) is None:
            raise BadRequest(name, f"the name does not match {self.path!r}")
        if self._is_closed:
            raise Unavailable(name, "the lobby is closed")
        return self.open(name)

    async def list_channels(self) -> list[Channel]:
        """Return the channels that live."""
        return list(self._channels.values())

    async def broadcast(self, channel: str, event: str, payload: PondMessage) -> None:
        """Send to a channel's members on every node, also if none is on this one.

        Raises:
            BadRequest: As ``Channel.broadcast``, or if the name cannot be told to other
                nodes.
            TooManyRequests: As ``Channel.broadcast``.
        """
        found = self.find(channel)
        if found is not None:
            await found.broadcast(event, payload)
            return
        self._network.check_channel_name(channel)
        check_event_name(event, channel)
        message = Event(ServerActions.BROADCAST, channel, uuid(), event, payload)
        sent = Sent(Frame(message), AllUsers())
        await check_broadcast_rate(self.options.hooks, channel)
        await self._network.emit(self._endpoint_path, channel, sent)

    async def close(self) -> None:
        """End all channels, and make no new one; idempotent."""
        self._is_closed = True
        for channel in tuple(self._channels.values()):
            await channel.close()

    def find(self, name: str) -> Channel | None:
        """Return a living channel, None if there is none of that name."""
        return self._channels.get(name)

    @property
    def channel_count(self) -> int:
        """How many channels live."""
        return len(self._channels)

    def open(self, name: str) -> Channel:
        """Return the channel of that name, made now if it does not live yet.

        Raises:
            BadRequest: If the name cannot be told to other nodes.
        """
        channel = self._channels.get(name)
        if channel is None:
            self._network.check_channel_name(name)
            channel = self._channels[name] = Channel(
                ChannelOptions(
                    name=name,
                    options=self.options,
                    leave_handler=self._run_leave_handlers,
                    on_destroy=partial(self._forget, name),
                    endpoint_path=self._endpoint_path,
                    telemetry=self._telemetry,
                    network=self._network,
                    intercept=self._intercept,
                    find_session=self._find_session,
                )
            )
        return channel

    def _forget(self, name: str) -> None:
        self._channels.pop(name, None)

    # Finding and running handlers.

    def find_handler(self, event: str) -> Registered[EventContext] | None:
        """Return the first message handler whose pattern matches, None if none does."""
        return self._message_handlers.find(event)

    async def _run_leave_handlers(self, context: LeaveContext) -> None:
        """Run every leave handler with a context of its own; one may fail alone.

        Raises:
            MultiError: What failed, after all ran.
        """
        context.route = self.join.pattern.match(context.channel.name) or context.route
        errors: list[BaseException] = []
        for registered in self._leave_handlers:
            error = await attempt_within(
                self.options.handler_timeout, registered.run, copy.copy(context)
            )
            if error is not None:
                errors.append(error)
        if errors:
            raise MultiError(errors) if len(errors) > 1 else errors[0]

    def _intercept(self, channel: ChannelPort, event: str) -> Intercept | None:
        if not self._outgoing_handlers:
            return None
        registered = self._outgoing_handlers.find(event)
        if registered is None:
            return None
        route = registered.pattern.match(event)
        return partial(self._run_outgoing, channel, registered, route)

    async def _run_outgoing(
        self,
        channel: ChannelPort,
        registered: Registered[OutgoingContext],
        route: Route | None,
        frame: Frame,
        session: Session,
    ) -> Frame | None:
        """Return what goes to one recipient: the frame, another one, or nothing."""
        context = OutgoingContext(
            channel=channel,
            event=frame.copy_event(),
            user=await _recipient(channel, session),
            transport=session.transport,
            route=route,
        )
        error = await attempt_within(
            self.options.handler_timeout, registered.run, context
        )
        if error is None and not context.is_blocked():
            if not context.has_transformed():
                return frame
            try:
                return Frame(context.event, session.codec)
            except BadRequest as bad_payload:
                error = bad_payload
        if error is not None:
            self._telemetry.count("outgoing_failed")
            self._telemetry.error("outgoing_handler", error)
            logger.error("outgoing handler for %r failed", frame.name, exc_info=error)
        return None


async def _recipient(channel: ChannelPort, session: Session) -> User:
    try:
        return await channel.get_user(session.id)
    except NotFound:  # it left while the message waited
        return User(session.id, session.transport.clone_assigns())


def _register(
    table: _Handlers[Context],
    pattern: str,
    handler: _Handler[Context] | None,
    middlewares: tuple[Middleware[Context], ...],
) -> _Handler[Context] | Callable[[_Handler[Context]], _Handler[Context]]:
    compiled = compile_pattern(pattern)

    def register(function: _Handler[Context]) -> _Handler[Context]:
        table.add(Registered(compiled, function, middlewares))
        return function

    return register if handler is None else register(handler)
