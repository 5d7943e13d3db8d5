"""Runner: uvicorn for ``pondsocket serve``, with an end in the right order.

uvicorn by itself closes all sockets before an application hears of the shutdown, and
owns the signals. Here whoever calls owns them, and the connections are drained first.
It also never gives up on a socket that it is closing and whose client does not read;
here such a socket is aborted after ``Options.send_timeout``.
"""

import asyncio
import math
import os
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from errno import EADDRNOTAVAIL
from typing import Any
from weakref import WeakKeyDictionary

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pondsocket import Options, PondSocket
from pondsocket_asgi.app import PondASGIApp
from pondsocket_asgi.exchange import answer
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
    sockets = await _bind(host, port)
    for each in sockets:
        _end_what_nobody_acknowledges(each, pond.options)
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
            _close(sockets)


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


async def _bind(host: str, port: int) -> list[socket.socket]:
    """Return bound sockets for all addresses of ``host``, with one port for all."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            bound = _bind_one(
                socket.socket(family, kind, protocol), (address[0], port, *address[2:])
            )
            if bound is not None:
                sockets.append(bound)
                port = bound.getsockname()[1]
    except OSError as exc:
        _close(sockets)
        raise _cannot_listen(host, port, exc.errno) from exc
    if not sockets:
        raise _cannot_listen(host, port, EADDRNOTAVAIL)
    return sockets


def _bind_one(
    unbound: socket.socket, address: tuple[object, ...]
) -> socket.socket | None:
    """Bind a socket; None if this machine has no such address (IPv6, mostly)."""
    if sys.platform != "win32":  # there it would allow two servers on one port
        unbound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if unbound.family == socket.AF_INET6:  # 0.0.0.0 has a socket of its own
        unbound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        unbound.bind(address)
    except OSError as exc:
        unbound.close()
        if exc.errno == EADDRNOTAVAIL:
            return None
        raise
    return unbound


def _end_what_nobody_acknowledges(listening: socket.socket, options: Options) -> None:
    """Have the kernel end connections whose client vanished (RFC 5482).

    An event stream has no ping: what it sends now and then, nobody would acknowledge
    for a quarter of an hour.
    """
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        milliseconds = round((options.send_timeout + options.pong_wait) * 1000)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


def _cannot_listen(host: str, port: int, number: int | None) -> OSError:
    reason = os.strerror(number or 0)
    return OSError(number, f"cannot listen on {host}:{port}: {reason}")


def _close(sockets: Iterable[socket.socket]) -> None:
    for each in sockets:
        each.close()


def _with_pages(app: ASGIApp, pages: Pages) -> ASGIApp:
    async def serve_page(scope: Scope, receive: Receive, send: Send) -> None:
        page = pages.get(scope["path"]) if scope["type"] == "http" else None
        if page is None or scope["method"] not in {"GET", "HEAD"}:
            await app(scope, receive, send)
        else:
            await answer(send, 200, *page)

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
