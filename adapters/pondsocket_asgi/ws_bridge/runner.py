"""Runner: the bridge for ``pondsocket serve``, with an end in the right order.

Whoever calls owns the signals; the connections are drained before the server ends.
"""

import asyncio
from collections.abc import Callable

from pondsocket import Options, PondSocket
from pondsocket.web import (
    PageAnswers,
    Pages,
    close_sockets,
    open_sockets,
    size_limit_for,
)
from pondsocket_asgi.app import PondASGIApp
from pondsocket_asgi.draining import serve_and_drain
from pondsocket_asgi.ws_bridge.config import ServerConfig
from pondsocket_asgi.ws_bridge.opening import AnswerHTTP
from pondsocket_asgi.ws_bridge.request import RequestReceived
from pondsocket_asgi.ws_bridge.response import render_head, render_response
from pondsocket_asgi.ws_bridge.server import serve as serve_app

__all__ = ["serve"]

_FOREVER = 86_400.0 * 365  # where 0 would be no deadline


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
    for all addresses; the options of ``pond`` set the limits of the bridge too. It
    speaks WebSocket only: a request for an event stream gets a 426.

    Raises:
        OSError: If the address cannot be listened on; names the address.
    """
    sockets = await open_sockets(host, port, pond.options)
    ending = asyncio.Event()
    serving = serve_app(
        PondASGIApp(pond),
        config=_configure(pond.options),
        sockets=sockets,
        stop=ending,
        on_ready=on_ready,
        answer_http=_show(PageAnswers(pages)),
    )
    try:
        await serve_and_drain(pond, serving, grace=grace, stop=stop, end=ending.set)
    finally:
        close_sockets(sockets)


def _configure(options: Options) -> ServerConfig:
    return ServerConfig(
        max_message_size=size_limit_for(options) or 0,
        handshake_timeout=options.handshake_timeout or _FOREVER,
        close_timeout=options.send_timeout,
        ping_interval=options.ping_interval,
        ping_timeout=options.pong_wait,
        compression=options.compression,
        shutdown_timeout=options.send_timeout,
        lifespan="off",  # `serve` closes the pond itself
    )


def _show(pages: PageAnswers) -> AnswerHTTP:
    def show(request: RequestReceived) -> bytes | None:
        method = request.method.decode("ascii")
        path = request.target.partition(b"?")[0].decode("latin-1")
        page = pages.find(method, path)
        if page is None:
            return None
        headers = [(n.encode(), v.encode()) for n, v in page.headers]
        if method == "HEAD":
            length = str(len(page.body)).encode()
            return render_head(page.status, [*headers, (b"content-length", length)])
        return render_response(page.status, headers, page.body)

    return show
