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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pondsocket import Options, PondSocket
from pondsocket.web import (
    BACKLOG,
    PageAnswers,
    Pages,
    close_sockets,
    open_sockets,
    size_limit_for,
)
from pondsocket_asgi.app import PondASGIApp
from pondsocket_asgi.draining import serve_and_drain
from pondsocket_asgi.exchange import send_answer
from pondsocket_asgi.scope import ASGIApp, Receive, Scope, Send
from pondsocket_asgi.uvicorn import DeflatingWebSocketProtocol, WebSocketProtocol

__all__ = ["serve"]

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

    What each argument means: see :class:`pondsocket.cli.Adapter`. ``host`` may be ""
    for all addresses; the options of ``pond`` set the limits of uvicorn too.

    Raises:
        OSError: If the address cannot be listened on; names the address.
    """
    sockets = await open_sockets(host, port, pond.options)
    actual_port: int = sockets[0].getsockname()[1]
    app = _with_pages(PondASGIApp(pond), PageAnswers(pages))
    server = _Server(
        _configure(app, pond.options),
        options=pond.options,
        on_started=lambda: on_ready(actual_port),
    )

    def end() -> None:
        """Have uvicorn leave its main loop."""
        server.should_exit = True

    try:
        await serve_and_drain(
            pond, server.serve(sockets), grace=grace, stop=stop, end=end
        )
    finally:
        close_sockets(sockets)


def _configure(app: ASGIApp, options: Options) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        interface="asgi3",
        lifespan="off",  # `serve` closes the pond itself
        http="h11",  # the other one takes headers without end
        ws=DeflatingWebSocketProtocol if options.compression else WebSocketProtocol,
        ws_max_size=size_limit_for(options) or sys.maxsize,
        ws_ping_interval=options.ping_interval or None,
        ws_ping_timeout=options.pong_wait,
        proxy_headers=False,  # who trusts them reads them on its own, on every server
        backlog=BACKLOG,
        timeout_graceful_shutdown=math.ceil(options.send_timeout),
        log_config=None,  # the caller's
        log_level="warning",  # below it are lines with query strings, and so tokens
        access_log=False,  # it would have a line for each message over SSE
        server_header=False,
    )


def _with_pages(app: ASGIApp, pages: PageAnswers) -> ASGIApp:
    async def serve_page(scope: Scope, receive: Receive, send: Send) -> None:
        is_http = scope["type"] == "http"
        page = pages.find(scope["method"], scope["path"]) if is_http else None
        if page is None:
            await app(scope, receive, send)
        else:
            await send_answer(send, page)

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
            self._abort_stuck(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()

    def _abort_stuck(self, now: float) -> None:
        """Abort what does not get its last bytes out, and what never asks anything."""
        for connection in tuple(self.server_state.connections):
            patience = self._patience_with(connection)
            # after each answer time begins anew
            stage = getattr(connection, "cycle", None) or connection
            if not patience:
                self._stuck_since.pop(stage, None)
            elif now - self._stuck_since.setdefault(stage, now) >= patience:
                connection.transport.abort()

    def _patience_with(self, connection: Any) -> float:  # noqa: ANN401 - a union of theirs
        """Return how many seconds a connection may stay as it is, 0 for ever."""
        if connection.transport.is_closing():
            return self._options.send_timeout
        is_silent = isinstance(connection, H11Protocol) and _asks_nothing(connection)
        return self._options.handshake_timeout if is_silent else 0.0


def _asks_nothing(connection: Any) -> bool:  # noqa: ANN401 - its types know no None
    """Tell whether nothing is being answered, and uvicorn itself does not mind.

    It lets go who says nothing after an answer, but any byte stops its timer.
    """
    if connection.cycle is None:
        return True
    is_minded = connection.timeout_keep_alive_task is not None
    return bool(connection.cycle.response_complete) and not is_minded
