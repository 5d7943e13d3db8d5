"""Endpoint: one path; who may connect to it, its connections and its lobbies."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import overload

from pondsocket.actions import Actions
from pondsocket.callbacks import is_contained
from pondsocket.connections import Connections
from pondsocket.contexts.connection import ConnectionContext
from pondsocket.contexts.join import JoinContext
from pondsocket.errors import (
    DeadlineExceeded,
    Forbidden,
    NotFound,
    PondError,
    Unavailable,
    is_refusal,
)
from pondsocket.lobby import JoinHandler, Lobby, Registered
from pondsocket.metrics import Telemetry
from pondsocket.middleware import Middleware, run_chain
from pondsocket.options import Options
from pondsocket.origin import cors_origin, is_origin_allowed
from pondsocket.patterns import Pattern, compile_pattern
from pondsocket.ports import Network, NoNetwork
from pondsocket.transport import Transport
from pondsocket.types import (
    Headers,
    IncomingConnection,
    PondMessage,
    Route,
)

__all__ = ["ConnectionHandler", "Endpoint"]

logger: logging.Logger = logging.getLogger(__name__)

ConnectionHandler = Callable[[ConnectionContext], object]
CLOSED_NORMALLY = 1000  # RFC 6455 7.4.1
_CLOSING = "The server is shutting down"


class Endpoint:
    """One path that clients connect to; made by ``PondSocket.create_endpoint``.

    Args:
        path: The path's pattern.
        connection_handler: Decides about each handshake.
        connection_middlewares: Run around it.
        options: Limits and hooks.
        telemetry: The framework's; by default one for ``options.hooks.metrics``.
        network: The other nodes.
    """

    def __init__(
        self,
        *,
        path: str,
        connection_handler: ConnectionHandler,
        connection_middlewares: tuple[Middleware[ConnectionContext], ...] = (),
        options: Options | None = None,
        telemetry: Telemetry | None = None,
        network: Network | None = None,
    ) -> None:
        self.options: Options = options or Options()
        hooks = self.options.hooks
        self.telemetry: Telemetry = telemetry or Telemetry(
            hooks.metrics if hooks else None
        )
        self.pattern: Pattern = compile_pattern(path)
        self._handler = connection_handler
        self._middlewares = list(connection_middlewares)
        self._network = network or NoNetwork()
        self._lobbies: list[Lobby] = []
        actions = Actions(self._find_lobby, self.options, self.telemetry)
        self.connections: Connections = Connections(
            path, self.options, self.telemetry, actions.perform
        )

    @property
    def path(self) -> str:
        """The path's pattern."""
        return self.pattern.source

    @property
    def lobbies(self) -> tuple[Lobby, ...]:
        """The lobbies in order of registration."""
        return tuple(self._lobbies)

    def use(self, *middlewares: Middleware[ConnectionContext]) -> None:
        """Run middlewares around the connection handler, after those already there."""
        self._middlewares.extend(middlewares)

    @overload
    def create_channel(self, pattern: str) -> Callable[[JoinHandler], Lobby]: ...
    @overload
    def create_channel(
        self,
        pattern: str,
        handler: JoinHandler,
        *middlewares: Middleware[JoinContext],
    ) -> Lobby: ...
    def create_channel(
        self,
        pattern: str,
        handler: JoinHandler | None = None,
        *middlewares: Middleware[JoinContext],
    ) -> Lobby | Callable[[JoinHandler], Lobby]:
        """Open channels whose names match ``pattern`` to clients.

        The first lobby that matches a name has it. As a decorator it turns the join
        handler into the lobby.

        Raises:
            ValueError: If the pattern is malformed.
        """
        compiled = compile_pattern(pattern)

        def create(join_handler: JoinHandler) -> Lobby:
            lobby = Lobby(
                Registered(compiled, join_handler, middlewares),
                endpoint_path=self.path,
                options=self.options,
                telemetry=self.telemetry,
                network=self._network,
                find_session=self.connections.session_of,
            )
            self._lobbies.append(lobby)
            return lobby

        return create if handler is None else create(handler)

    # Getting in.

    @property
    def is_draining(self) -> bool:
        """Whether it takes nobody any more, since the server restarts."""
        return self.connections.is_draining

    def check_origin(self, headers: Headers) -> None:
        """Check the Origin of a request that a browser may have sent.

        Raises:
            Forbidden: If it is neither the request's own nor an allowed one.
        """
        options = self.options
        if not is_origin_allowed(
            headers,
            allowed_origins=options.allowed_origins,
            trust_forwarded=options.trust_forwarded,
        ):
            logger.warning(
                "refused Origin %.200r with Host %.200r; Options.allowed_origins or, "
                "behind a proxy that rewrites Host, Options.trust_forwarded allows it",
                headers.get("origin"),
                headers.get("host"),
            )
            raise Forbidden("", "Origin not allowed")

    def cors_origin(self, headers: Headers) -> str | None:
        """Return the value of ``access-control-allow-origin``, None for no header."""
        return cors_origin(
            headers,
            allowed_origins=self.options.allowed_origins,
            trust_forwarded=self.options.trust_forwarded,
        )

    async def request_connection(
        self, incoming: IncomingConnection, user_id: str | None = None
    ) -> ConnectionContext:
        """Decide about a handshake: limits, Origin, then the connection handler.

        Called by adapters before they accept. Never raises: what goes wrong is a
        declined context, which ``decline_info`` explains.

        Args:
            incoming: What the client sent; the user's id is its ``id`` by default.
            user_id: The user's id where it differs from the connection's.
        """
        context = ConnectionContext(
            user_id=user_id or incoming.id,
            request=incoming,
            route=incoming.route,
        )
        refusal = self._refusal(incoming.headers)
        if refusal is not None:
            self.telemetry.count("refused")
            return context.decline(*refusal)
        error = await self._decide(context)
        if error is not None:
            return self._decline(context, error)
        if not context.is_accepted and not context.is_declined:
            context.decline(401, "Unauthorized")
        return context

    def _refusal(self, headers: Headers) -> tuple[int, str] | None:
        if self.connections.is_draining:
            return 503, _CLOSING
        if not self.connections.has_room:
            return 503, "The endpoint is full"
        try:
            self.check_origin(headers)
        except Forbidden as error:
            return error.code, error.message
        return None

    async def _decide(self, context: ConnectionContext) -> BaseException | None:
        """Run the connection handler; return what it raised, or why it was cut off."""
        try:
            decided = (
                run_chain(self._middlewares, context, self._handler)
                if self._middlewares
                else self._handler(context)
            )
            if isawaitable(decided):  # else there is nothing to limit
                await self._wait_for(decided)
        except BaseException as error:
            if not is_contained(error):
                raise
            return error
        return None

    async def _wait_for(self, decided: Awaitable[object]) -> None:
        """Wait for a handler, but not for ever.

        Raises:
            DeadlineExceeded: After ``handshake_timeout``.
            Unavailable: When the server closes.
            BaseException: What the handler raises.
        """
        handshakes, limit = self.connections.handshakes, self.options.handshake_timeout
        deciding = asyncio.timeout(limit or None)
        handshakes.add(deciding)
        try:
            async with deciding:
                await decided
        except TimeoutError:
            if not deciding.expired():
                raise
            if deciding in handshakes:
                raise DeadlineExceeded("", f"took longer than {limit} s") from None
            raise Unavailable("", _CLOSING) from None
        finally:
            handshakes.discard(deciding)

    def _decline(
        self, context: ConnectionContext, error: BaseException
    ) -> ConnectionContext:
        """Turn a failed handler into a refusal; its own refusal stands."""
        code, message = 500, "Internal server error"
        if isinstance(error, PondError):
            code, message = error.code, error.message
        says_no = is_refusal(error)
        self.telemetry.count("refused" if says_no else "handler_failed")
        self.telemetry.error("connection_handler", error)
        if says_no:
            logger.debug("a connection to %r was refused: %s", self.path, error)
        else:
            logger.error("connection handler of %r failed", self.path, exc_info=error)
        if context.is_declined:
            return context
        refused = ConnectionContext(
            user_id=context.user_id, request=context.request, route=context.route
        )
        return refused.decline(code, message)

    async def register_transport(
        self, transport: Transport, context: ConnectionContext | None = None
    ) -> None:
        """Make an accepted connection live: greet it and start to read from it.

        Called by adapters once, after the handshake.

        Args:
            transport: The connection; its user id must be unique here.
            context: From :meth:`request_connection`: its assigns and pending reply.

        Raises:
            Unavailable: If the endpoint is full or shuts down.
            Conflict: If the user is connected already.
        """
        await self.connections.register(transport, context)

    # Who is there.

    async def get_transport(self, user_id: str) -> Transport | None:
        """Return a user's live transport, None if it is not connected."""
        session = self.connections.find_user(user_id)
        return None if session is None else session.transport

    async def connection_count(self) -> int:
        """Return how many connections live."""
        return len(self.connections)

    async def close_connection(self, user_id: str) -> None:
        """Send what is pending for a user, then close its connection.

        Raises:
            NotFound: If the user is not connected.
        """
        session = self.connections.find_user(user_id)
        if session is None:
            raise NotFound("", f"user {user_id!r} is not connected")
        await self.connections.close(session, CLOSED_NORMALLY, "")

    async def broadcast(self, channel: str, event: str, payload: PondMessage) -> None:
        """Send to a channel's members on every node, from outside any handler.

        Raises:
            NotFound: If no lobby's pattern matches the channel's name.
            BadRequest: As ``Lobby.broadcast``.
            TooManyRequests: As ``Lobby.broadcast``.
        """
        found = self._find_lobby(channel)
        if found is None:
            raise NotFound(channel, "no channel pattern matches the name")
        await found[0].broadcast(channel, event, payload)

    def _find_lobby(self, channel_name: str) -> tuple[Lobby, Route] | None:
        for lobby in self._lobbies:
            route = lobby.join.pattern.match(channel_name)
            if route is not None:
                return lobby, route
        return None

    # The end.

    async def drain(self, grace: float) -> None:
        """Refuse new connections, close the live ones over ``grace`` seconds."""
        await self.connections.drain(grace)

    async def close(self) -> None:
        """Close all connections (1012) and channels; leave handlers run. Idempotent."""
        await self.connections.close_all()
        await asyncio.gather(*(lobby.close() for lobby in self._lobbies))
