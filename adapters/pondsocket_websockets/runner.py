"""Runner: the library's server for ``pondsocket serve``, with an end in order."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from pondsocket import PondSocket
from pondsocket.web import BACKLOG, PageAnswers, Pages, close_sockets, open_sockets
from pondsocket_websockets.exchange import make_response, read_request
from pondsocket_websockets.server import serve as serve_one

__all__ = ["serve"]


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
    for all addresses; the options of ``pond`` set the limits of the library too.

    Raises:
        OSError: If the address cannot be listened on; names the address.
    """
    sockets = await open_sockets(host, port, pond.options)
    answer_page = _answer_with(PageAnswers(pages))
    async with AsyncExitStack() as servers:
        servers.callback(close_sockets, sockets)
        listening = [
            await servers.enter_async_context(
                serve_one(pond, sock=each, backlog=BACKLOG, process_request=answer_page)
            )
            for each in sockets
        ]
        on_ready(listening[0].sockets[0].getsockname()[1])
        await stop.wait()
        await pond.drain(grace)


def _answer_with(
    pages: PageAnswers,
) -> Callable[[ServerConnection, Request], Response | None]:
    def answer_page(connection: ServerConnection, request: Request) -> Response | None:
        asked = read_request(connection, request)
        page = pages.find(asked.method, asked.path)
        if page is None:
            return None
        return make_response(page, with_body=asked.method != "HEAD")

    return answer_page
