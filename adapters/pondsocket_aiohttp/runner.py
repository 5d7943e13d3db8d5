"""Runner: aiohttp for ``pondsocket serve``, with an end in the right order.

Whoever calls owns the signals; the connections are drained before aiohttp closes.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web
from aiohttp.http import HttpProcessingError

from pondsocket import Options, PondSocket
from pondsocket.web import (
    BACKLOG,
    HTTPAnswer,
    PageAnswers,
    Pages,
    close_sockets,
    open_sockets,
)
from pondsocket_aiohttp.app import routes
from pondsocket_aiohttp.exchange import to_response

__all__ = ["serve"]

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

    What each argument means: see :class:`pondsocket.cli.Adapter`. ``host`` may be ""
    for all addresses; the options of ``pond`` set the limits of aiohttp too.

    Raises:
        OSError: If the address cannot be listened on; names the address.
    """
    sockets = await open_sockets(host, port, pond.options)
    runner = _make_runner(_make_app(pond, PageAnswers(pages)), pond.options)
    try:
        await runner.setup()
        for each in sockets:
            await web.SockSite(runner, each, backlog=BACKLOG).start()
        on_ready(sockets[0].getsockname()[1])
        await stop.wait()
        await pond.drain(grace)
    finally:
        await pond.close()
        await runner.cleanup()
        close_sockets(sockets)


def _make_app(pond: PondSocket, pages: PageAnswers) -> web.Application:
    app = web.Application()
    for path, answer in pages.by_path.items():
        app.router.add_get(path, _show(answer))  # and HEAD
    app.add_routes(routes(pond))
    app.on_response_prepare.append(_hide_server)
    return app


def _show(answer: HTTPAnswer) -> _Handler:
    async def show(_: web.Request) -> web.Response:
        return to_response(answer)

    return show


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
