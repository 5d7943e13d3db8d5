"""Server: listens, and gives each client to a Connection.

The order of an end: listen no more; tell all clients (1012) and their applications;
wait for these, and cancel what is left after ``shutdown_timeout``; end the lifespan.
"""

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from types import FrameType
from typing import Any, Final, cast

from pondsocket import Options
from pondsocket.web import BACKLOG, abort, close_sockets, open_sockets
from pondsocket_asgi.scope import ASGIApp
from pondsocket_asgi.ws_bridge.config import ServerConfig
from pondsocket_asgi.ws_bridge.connection import Connection
from pondsocket_asgi.ws_bridge.lifespan import Lifespan
from pondsocket_asgi.ws_bridge.opening import (
    AnswerHTTP,
    Handshake,
    read_handshake,
    refuse,
)
from pondsocket_asgi.ws_bridge.request import RequestReceived
from pondsocket_asgi.ws_bridge.response import render_response

__all__ = ["serve"]

logger: logging.Logger = logging.getLogger(__name__)

_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)

_ACCEPTED_AT_ONCE: Final = 64  # per turn of the loop; asyncio logs as often if it fails
_REFUSED_AT_ONCE: Final = 32  # who wait for their 503 beside ``max_connections``

_SERVER_ERROR: Final = 500
_UNAVAILABLE: Final = 503


def _no_pages(_: RequestReceived) -> None:
    """Answer no plain HTTP request."""


async def serve(  # noqa: PLR0913 - one call tells a server everything, by keyword
    app: ASGIApp,
    host: str = "127.0.0.1",
    port: int = 8000,
    config: ServerConfig | None = None,
    *,
    sockets: Sequence[socket.socket] | None = None,
    stop: asyncio.Event | None = None,
    on_ready: Callable[[int], None] | None = None,
    answer_http: AnswerHTTP = _no_pages,
) -> None:
    """Serve the WebSockets of an ASGI application until the end is wanted.

    Whatever is no WebSocket handshake gets a 426. At the end each client gets the close
    code 1012, each application its ``websocket.disconnect``, and the lifespan its
    shutdown.

    Args:
        app: The ASGI application; its lifespan is honoured.
        host: A name or an address, "" for all.
        port: 0 for any free one.
        config: Limits and deadlines; the defaults of ServerConfig if None.
        sockets: Bound TCP sockets to listen on, instead of ``host`` and ``port``; the
            caller closes them.
        stop: Serves until it is set or the task is cancelled. Without it SIGINT and
            SIGTERM end the serving, if this is the main thread.
        on_ready: Called once with the port, as soon as clients can connect.
        answer_http: Called with each complete request that is no handshake; may return
            a whole HTTP/1.1 response, which is sent as it is. Must not block.

    Raises:
        OSError: If the address cannot be listened on; names the address.
        ValueError: If one of ``sockets`` is not a TCP socket.
        LifespanError: If the application fails to start or to end (a RuntimeError).
    """
    server = _Server(app, config or ServerConfig(), answer_http)
    async with server.listening(host, port, sockets) as actual_port:
        if on_ready is not None:
            on_ready(actual_port)
        if stop is not None:
            await stop.wait()
        else:
            with _signals() as stopped:
                await stopped.wait()


class _Server:
    def __init__(
        self, app: ASGIApp, config: ServerConfig, answer_http: AnswerHTTP
    ) -> None:
        self._app = app
        self._config = config
        self._answer_http = answer_http
        self._lifespan = Lifespan(app, config.lifespan)
        self._clients: dict[asyncio.Task[None], Connection | None] = {}
        self._admitted: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    @asynccontextmanager
    async def listening(
        self, host: str, port: int, sockets: Sequence[socket.socket] | None
    ) -> AsyncIterator[int]:
        """Listen, and yield the port; at the end nothing of it is left."""
        async with AsyncExitStack() as stack:
            if sockets is None:
                sockets = await open_sockets(host, port, self._kernel_deadlines())
                stack.callback(close_sockets, sockets)
            await self._lifespan.start()
            stack.push_async_callback(
                self._lifespan.stop, self._config.shutdown_timeout
            )
            stack.push_async_callback(self._end_clients)
            for each in sockets:
                server = await self._listen(each)
                stack.callback(server.close)
            yield sockets[0].getsockname()[1]

    def _kernel_deadlines(self) -> Options:
        config = self._config
        return Options(send_timeout=config.close_timeout, pong_wait=config.ping_timeout)

    async def _listen(self, bound: socket.socket) -> asyncio.Server:
        if bound.family not in _FAMILIES:
            raise ValueError(f"sockets: expected TCP, got {bound.family.name}")
        # What is accepted takes it over. Otherwise several small frames would wait for
        # the client's acknowledgements, tens of milliseconds each.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        config = self._config
        tls: dict[str, Any] = {}
        if config.ssl is not None:
            tls = {
                "ssl": config.ssl,
                "ssl_handshake_timeout": config.handshake_timeout,
                "ssl_shutdown_timeout": config.close_timeout,
            }
        server = await asyncio.start_server(
            self._take, sock=bound, backlog=_ACCEPTED_AT_ONCE, **tls
        )
        bound.listen(BACKLOG)  # so many may wait all the same
        return server

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        refused = len(self._clients) - len(self._admitted)
        if self._is_stopping or refused >= _REFUSED_AT_ONCE:
            abort(writer.transport)
            return
        task = asyncio.create_task(self._serve_client(reader, writer), name="pond-ws")
        self._clients[task] = None
        limit = self._config.max_connections
        if not limit or len(self._admitted) < limit:
            self._admitted.add(task)
        task.add_done_callback(partial(self._forget, writer))

    def _forget(self, writer: asyncio.StreamWriter, task: "asyncio.Task[None]") -> None:
        abort(writer.transport)
        del self._clients[task]
        self._admitted.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.error("a connection failed", exc_info=error)

    async def _serve_client(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        handshake = await self._open(reader, is_admitted=task in self._admitted)
        if isinstance(handshake, bytes):
            await refuse(reader, writer, handshake, self._config)
            return
        connection = self._clients[task] = Connection(
            reader,
            writer,
            handshake,
            app=self._app,
            config=self._config,
            state=self._lifespan.state,
        )
        await connection.run()

    async def _open(
        self, reader: asyncio.StreamReader, *, is_admitted: bool
    ) -> Handshake | bytes:
        """Return the handshake, or the response to send instead."""
        if not is_admitted:
            return render_response(_UNAVAILABLE, (), b"too many connections\n")
        try:
            return await read_handshake(reader, self._config, self._answer_http)
        except OSError as error:
            logger.debug("a client was lost before its handshake: %r", error)
            return b""
        except Exception:  # the rim: whoever answers plain requests
            logger.exception("a request was not answered")
            return render_response(_SERVER_ERROR, (), b"")

    async def _end_clients(self) -> None:
        """Tell all clients, wait for their applications, cancel what is left."""
        self._is_stopping = True
        for task, connection in self._clients.items():
            if connection is None:
                task.cancel()
            else:
                connection.stop()
        if not self._clients:
            return
        clients = dict(self._clients)
        patience = self._config.shutdown_timeout
        _, late = await asyncio.wait(set(clients), timeout=patience)
        for task in late:
            task.cancel()
        running = sum(
            connection is not None and not connection.is_application_done
            for connection in map(clients.get, late)
        )
        if running:
            logger.warning("cancelled %d applications after %s s", running, patience)
        if late:
            await asyncio.wait(late)


@contextmanager
def _signals() -> Iterator[asyncio.Event]:
    """Yield an event that SIGINT and SIGTERM set, in the main thread."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(_: int, __: FrameType | None) -> None:
        loop.call_soon_threadsafe(stopped.set)

    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    # not loop.add_signal_handler: Windows has none
    before = {
        number: signal.signal(number, on_signal)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
