"""Daphne: back-pressure for a host whose ``send`` never waits.

daphne hands what it is given to Twisted, which keeps it however much that is. Twisted
tells a *producer* when more than 64 KiB wait and when they are gone, so one of these is
registered for each WebSocket and each streamed response, and ``send`` waits for it.
daphne also refuses the close codes that RFC 6455 keeps for servers, such as 1012: these
are sent as it sends its own.

The connection is the one of whose application call daphne knows the task, as middleware
may stand between: a middleware that runs applications in tasks of their own gets
daphne's plain ``send``, and a warning. Nothing of daphne or Twisted is imported unless
daphne runs.
"""

import asyncio
import logging
import sys
from collections.abc import Iterator
from typing import Any

from pondsocket_asgi.scope import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Daphne"]

logger: logging.Logger = logging.getLogger(__name__)

_REFUSED = range(1001, 3000)  # close codes; of the others it takes what is a code
_TO_PRIVATE = 3000  # added where a connection is not found: 1012 becomes 4012


class Daphne:
    """The daphne that runs in this process, if one does.

    Args:
        max_message_size: Bytes of a client's WebSocket message that come through, 0 for
            any number. A longer one is closed with 1009; daphne by itself would cut the
            line, and at 1 MiB.
    """

    def __init__(self, max_message_size: int = 0) -> None:
        self.max_message_size = max_message_size
        self._servers: list[Any] = []
        self._has_warned = False

    def is_running(self) -> bool:
        """Tell whether daphne serves; having been imported does not count."""
        if "daphne.server" not in sys.modules:
            return False
        reactor = sys.modules.get("twisted.internet.reactor")  # an object, not a module
        return bool(getattr(reactor, "running", False))

    async def serve(
        self, app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Run an application whose ``send`` waits for the client.

        Called in the task in which daphne called the application.
        """
        throttle = _Throttle(self, asyncio.current_task(), send)
        try:
            await app(scope, receive, throttle.send)
        finally:
            throttle.end()

    def find_connection(self, task: "asyncio.Task[Any] | None") -> Any:  # noqa: ANN401 - theirs
        """Return daphne's protocol that runs its application in a task, or None."""
        found = self._look_for(task)
        if found is None:
            self._servers = list(_find_servers())
            found = self._look_for(task)
        if found is None and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "a connection of daphne was not found; what a client does not read "
                "is kept without bound (is there a middleware that makes tasks?)"
            )
        return found

    def _look_for(self, task: "asyncio.Task[Any] | None") -> Any:  # noqa: ANN401 - theirs
        for server in self._servers:
            for protocol, details in reversed(server.connections.items()):
                if details.get("application_instance") is task:
                    return protocol
        return None


def _find_servers() -> Iterator[Any]:
    """Yield the servers behind the ports that Twisted listens on."""
    reactor: Any = sys.modules["twisted.internet.reactor"]
    kind: type = sys.modules["daphne.server"].Server
    for reader in reactor.getReaders():
        factory = getattr(reader, "factory", None)
        while (inner := getattr(factory, "wrappedFactory", None)) is not None:  # TLS
            factory = inner
        server = getattr(factory, "server", None)
        if isinstance(server, kind):
            yield server


class _Throttle:
    """One connection's ``send``, which waits while Twisted's buffer is full."""

    __slots__ = (
        "_connection", "_daphne", "_full", "_is_accepted", "_send", "_task",
        "_transport",
    )  # fmt: skip

    def __init__(
        self, daphne: Daphne, task: "asyncio.Task[Any] | None", send: Send
    ) -> None:
        self._daphne = daphne
        self._task = task
        self._send = send
        self._connection: Any = None  # while registered there
        self._transport: Any = None
        self._full: asyncio.Future[None] | None = None
        self._is_accepted = False

    async def send(self, message: Message) -> None:
        """Send a message, then wait until there is room for another."""
        match message:
            case {"type": "websocket.accept"}:
                await self._send(message)
                self._is_accepted = True
                self._begin()
                self._limit_messages()
            case {"type": "http.response.start"}:
                self._begin()
                await self._send(message)
            case {"type": "http.response.body"} if not message.get("more_body"):
                self._unregister()  # Twisted demands it before the end
                await self._send(message)
            case {"type": "websocket.close", "code": int(code)} if (
                self._is_accepted and code in _REFUSED
            ):
                await self._close(message, code)
            case _:
                await self._send(message)
        while self._full is not None:
            await asyncio.wait({self._full})

    def end(self) -> None:
        """Let go of the connection; one whose client does not read is cut.

        daphne would keep it, and what it buffers, for as long as the client likes.
        """
        is_stuck = self._full is not None
        self._unregister()
        if is_stuck:
            self._transport.abortConnection()

    async def _close(self, message: Message, code: int) -> None:
        if self._connection is None:
            await self._send({**message, "code": code + _TO_PRIVATE})
        else:
            reason: str = message.get("reason") or ""
            self._connection.sendCloseFrame(code=code, reasonUtf8=reason.encode())

    def _begin(self) -> None:
        connection = self._daphne.find_connection(self._task)
        if connection is None or connection.transport is None:
            return
        self._connection, self._transport = connection, connection.transport
        connection.unregisterProducer()  # the HTTP channel that a WebSocket began as
        connection.registerProducer(self, True)

    def _limit_messages(self) -> None:
        if self._connection is not None:
            limit = self._daphne.max_message_size
            self._connection.failByDrop = False
            self._connection.maxMessagePayloadSize = limit and limit + 1  # ours first
            self._connection.maxFramePayloadSize = limit and limit + 1

    def _unregister(self) -> None:
        connection, self._connection = self._connection, None
        # of a request whose client has gone Twisted keeps no channel
        if connection is not None and getattr(connection, "channel", 1) is not None:
            connection.unregisterProducer()
        self.resumeProducing()

    # twisted.internet.interfaces.IPushProducer

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's
        """Have the next ``send`` wait; called when the buffer is full."""
        if self._full is None:
            self._full = asyncio.get_running_loop().create_future()

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's
        """Let ``send`` go on; called when the buffer is empty."""
        if self._full is not None:
            self._full.set_result(None)
            self._full = None

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's
        """Let ``send`` go on; called when the connection is lost."""
        self.resumeProducing()
