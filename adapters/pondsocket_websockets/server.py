"""Server: a PondSocket on a server of its own."""

from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import Any, TypeAlias

import websockets.asyncio.server as library
from websockets.asyncio.server import Server, ServerConnection
from websockets.http11 import Request, Response

from pondsocket import PondSocket
from pondsocket_websockets.handler import PondHandler

__all__ = ["PondServer", "serve"]

_ProcessRequest: TypeAlias = Callable[
    [ServerConnection, Request], Awaitable[Response | None] | Response | None
]


def serve(
    pond: PondSocket,
    host: str | None = None,
    port: int | None = None,
    *,
    process_request: _ProcessRequest | None = None,
    **settings: Any,  # noqa: ANN401 - the library's
) -> "PondServer":
    """Serve ``pond`` as long as the context lasts.

    ::

        async with serve(pond, "127.0.0.1", 8000):
            await stop.wait()

    Leaving the context listens no more, closes ``pond`` (clients are told 1012, leave
    handlers run), then the server. ``await serve(...)`` does as well, for those who
    call ``pond.close()`` and the server's ``close()`` themselves.

    Args:
        pond: What to serve; its options set limits, deadlines and keep-alive pings.
        host: As ``websockets.serve`` has it.
        port: As ``websockets.serve`` has it, 0 for any free one.
        process_request: Decides about a request before ``pond``, if it returns a
            response.
        **settings: All else that ``websockets.serve`` takes: ``ssl``, ``sock``,
            ``subprotocols``; they replace what follows from the options.

    Returns:
        A context manager, which gives the library's ``Server``.
    """
    handler = PondHandler(pond)
    merged = handler.settings | settings
    if process_request is not None:
        merged["process_request"] = _in_front(process_request, handler)
    return PondServer(handler, library.serve(handler, host, port, **merged))


class PondServer:
    """What :func:`serve` returns; to be entered or awaited, once."""

    def __init__(self, handler: PondHandler, serving: Awaitable[Server]) -> None:
        self._handler = handler
        self._serving = serving
        self._server: Server

    def __await__(self) -> Generator[Any, None, Server]:
        return self._serving.__await__()

    async def __aenter__(self) -> Server:
        """Start listening."""
        self._server = await self._serving  # itself, from the library's release 17 on
        return self._server

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Listen no more, close the PondSocket, then the server."""
        # its own closing would say 1001
        self._server.close(close_connections=False)
        await self._handler.close()
        await self._server.wait_closed()


def _in_front(own: _ProcessRequest, handler: PondHandler) -> _ProcessRequest:
    async def process_request(
        connection: ServerConnection, request: Request
    ) -> Response | None:
        response = own(connection, request)
        if isinstance(response, Awaitable):
            response = await response
        if response is None:
            response = await handler.process_request(connection, request)
        return response

    return process_request
