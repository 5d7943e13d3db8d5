"""Runner: the library's server for ``pondsocket serve``, with an end in order."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from pondsocket import PondSocket
from pondsocket.web import HTTPAnswer, close_sockets, open_sockets
from pondsocket_websockets.exchange import make_response, read_request
from pondsocket_websockets.server import serve as serve_one

__all__ = ["serve"]

Pages = Mapping[str, tuple[str, bytes]]

_BACKLOG = 2048  # clients that come back at once after a restart


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
        pond: What to serve; its options set the limits of the library too.
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
    answer_page = _answer_with(pages or {})
    async with AsyncExitStack() as servers:
        servers.callback(close_sockets, sockets)
        listening = [
            await servers.enter_async_context(
                serve_one(
                    pond, sock=each, backlog=_BACKLOG, process_request=answer_page
                )
            )
            for each in sockets
        ]
        on_ready(listening[0].sockets[0].getsockname()[1])
        await stop.wait()
        await pond.drain(grace)


def _answer_with(
    pages: Pages,
) -> Callable[[ServerConnection, Request], Response | None]:
    def answer_page(connection: ServerConnection, request: Request) -> Response | None:
        asked = read_request(connection, request)
        page = pages.get(asked.path)
        if page is None or asked.method not in {"GET", "HEAD"}:
            return None
        content_type, body = page
        answer = HTTPAnswer(200, [("content-type", content_type)], body)
        return make_response(answer, with_body=asked.method == "GET")

    return answer_page
