"""Runner: uvicorn for ``pondsocket serve``, with an end in the right order.

uvicorn by itself closes all sockets before an application hears of the shutdown, and
owns the signals. Here whoever calls owns them, and the connections are drained first.
It also never gives up on a socket that it is closing and whose client does not read;
here such a socket is aborted after ``Options.send_timeout``.
"""

import asyncio
import math
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pondsocket import Options, PondSocket
from pondsocket.web import HTTPAnswer, close_sockets, open_sockets
from pondsocket_asgi.app import PondASGIApp
from pondsocket_asgi.exchange import send_answer
from pondsocket_asgi.scope import ASGIApp, Receive, Scope, Send
from pondsocket_asgi.uvicorn import WebSocketProtocol

__all__ = ["serve"]

Pages = Mapping[str, tuple[str, bytes]]

_SIZE_MARGIN = 4096  # bytes above our own limit, so that it is ours which speaks
_TICKS_PER_SECOND = 10  # of uvicorn's main loop


async def serve(  # noqa: PLR0913 - one call tells a host everything, by keyword
    pond: PondSocket,
    *,
    host: str,
    port: int,
    pages: Pages | None,
    grace: float,
    stop: asyncio.Event,
    on_ready: Callable[[int], None],
) -> None:
    """Serve ``pond`` until ``stop`` is set, then drain it, close it and end.

    Args:
        pond: What to serve; its options set the limits of uvicorn too.
        host: The address to listen on, "" for all.
        port: The port to listen on, 0 for any free one.
        pages: Plain GET pages beside the endpoints, path to (content type, body).
        grace: Seconds for ``pond.drain``.
        stop: Set by the caller, which owns the signals.
        on_ready: Called once, with the port, as soon as clients can connect.

    Raises:
        OSError: If the address cannot be listened on; names the address.
    """
    sockets = await open_sockets(host, port, pond.options)
    actual_port: int = sockets[0].getsockname()[1]
    app = _with_pages(PondASGIApp(pond), pages or {})
    server = _Server(
        _configure(app, pond.options),
        options=pond.options,
        on_started=lambda: on_ready(actual_port),
    )
    serving = asyncio.create_task(server.serve(sockets), name="pond-uvicorn")
    stopping = asyncio.create_task(stop.wait(), name="pond-stop")
    try:
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            await pond.drain(grace)
    finally:
        stopping.cancel()
        await pond.close()
        server.should_exit = True
        try:
            await serving
        finally:
            close_sockets(sockets)


def _configure(app: ASGIApp, options: Options) -> uvicorn.Config:
    limit = options.max_message_size
    return uvicorn.Config(
        app,
        interface="asgi3",
        lifespan="off",  # `serve` closes the pond itself
        http="h11",  # the other one takes headers without end
        ws=WebSocketProtocol,
        ws_max_size=limit + _SIZE_MARGIN if limit else sys.maxsize,
        ws_ping_interval=options.ping_interval or None,
        ws_ping_timeout=options.pong_wait,
        ws_per_message_deflate=options.compression,
        proxy_headers=options.trust_forwarded,
        timeout_graceful_shutdown=math.ceil(options.send_timeout),
        log_config=None,  # the caller's
        log_level="warning",  # below it are lines with query strings, and so tokens
        access_log=False,  # it would have a line for each message over SSE
        server_header=False,
    )


def _with_pages(app: ASGIApp, pages: Pages) -> ASGIApp:
    async def serve_page(scope: Scope, receive: Receive, send: Send) -> None:
        page = pages.get(scope["path"]) if scope["type"] == "http" else None
        if page is None or scope["method"] not in {"GET", "HEAD"}:
            await app(scope, receive, send)
        else:
            content_type, body = page
            kind = ("content-type", content_type)
            await send_answer(send, HTTPAnswer(200, [kind], body))

    return serve_page


class _Server(uvicorn.Server):
    """uvicorn without signals; it says when it listens, and aborts stuck sockets."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        options: Options,
        on_started: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._options = options
        self._on_started = on_started
        self._stuck_since: WeakKeyDictionary[object, float] = WeakKeyDictionary()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS_PER_SECOND == 0:
            self._abort_stuck()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()

    def _abort_stuck(self) -> None:
        """Abort what does not get its last bytes out, and what never asks anything."""
        now = asyncio.get_running_loop().time()
        for connection in tuple(self.server_state.connections):
            patience = self._patience_with(connection)
            if not patience:
                self._stuck_since.pop(connection, None)
            elif now - self._stuck_since.setdefault(connection, now) >= patience:
                connection.transport.abort()

    def _patience_with(self, connection: Any) -> float:  # noqa: ANN401 - a union of theirs
        """Return how many seconds a connection may stay as it is, 0 for ever."""
        if connection.transport.is_closing():
            return self._options.send_timeout
        is_silent = isinstance(connection, H11Protocol) and connection.cycle is None
        return self._options.handshake_timeout if is_silent else 0.0
