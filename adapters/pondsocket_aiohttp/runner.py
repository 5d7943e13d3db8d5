"""Runner: aiohttp for ``pondsocket serve``, with an end in the right order.

Whoever calls owns the signals; the connections are drained before aiohttp closes.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import hdrs, web
from aiohttp.http import HttpProcessingError

from pondsocket import Options, PondSocket
from pondsocket.web import close_sockets, open_sockets
from pondsocket_aiohttp.app import routes

__all__ = ["serve"]

Pages = Mapping[str, tuple[str, bytes]]
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_FOREVER = 86_400.0 * 365  # where 0 would mean: at once
_ENDING_SHARE = 0.1  # of send_timeout, for requests without a connection by then

logger: logging.Logger = logging.getLogger(__name__)


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
        pond: What to serve; its options set the limits of aiohttp too.
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
    runner = _make_runner(_make_app(pond, pages or {}), pond.options)
    try:
        await runner.setup()
        for each in sockets:
            await web.SockSite(runner, each).start()
        on_ready(sockets[0].getsockname()[1])
        await stop.wait()
        await pond.drain(grace)
    finally:
        await pond.close()
        await runner.cleanup()
        close_sockets(sockets)


def _make_app(pond: PondSocket, pages: Pages) -> web.Application:
    middlewares = [_trust_proxy] if pond.options.trust_forwarded else []
    app = web.Application(middlewares=middlewares)
    for path, (content_type, body) in pages.items():
        app.router.add_get(path, _make_page(content_type, body))
    app.add_routes(routes(pond))
    app.on_response_prepare.append(_hide_server)
    return app


def _make_page(content_type: str, body: bytes) -> _Handler:
    async def show(_: web.Request) -> web.Response:
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})

    return show


@web.middleware
async def _trust_proxy(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Take the address that the nearest proxy saw for the client's."""
    forwarded = request.headers.getall(hdrs.X_FORWARDED_FOR, [])
    if forwarded:
        address = forwarded[-1].rpartition(",")[2].strip()
        request = request.clone(remote=address)
    return await handler(request)


async def _hide_server(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.pop(hdrs.SERVER, None)


def _make_runner(app: web.Application, options: Options) -> web.AppRunner:
    return web.AppRunner(
        app,
        handle_signals=False,
        access_log=None,  # it would have a line for each message over SSE
        logger=_make_logger(),
        keepalive_timeout=options.handshake_timeout or _FOREVER,  # for the first too
        lingering_time=options.send_timeout,
        shutdown_timeout=options.send_timeout * _ENDING_SHARE,
    )


def _make_logger() -> logging.Logger:
    """Return a logger for aiohttp that keeps quiet about requests that are none."""
    server = logger.getChild("server")
    server.addFilter(_is_not_the_clients_fault)
    return server


def _is_not_the_clients_fault(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)
