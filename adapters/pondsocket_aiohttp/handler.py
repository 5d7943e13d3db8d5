"""PondHandler: what aiohttp calls with each request below the prefix."""

from aiohttp import hdrs, web

from pondsocket import PondSocket
from pondsocket.web import SSEService, keep_read_buffers
from pondsocket_aiohttp.handshake import open_websocket
from pondsocket_aiohttp.sse import serve_http

__all__ = ["PondHandler"]


class PondHandler:
    """Serves the endpoints of a PondSocket over WebSocket and Server-Sent Events.

    Args:
        pond: What to serve.
        sse_event_names: Whether each event of a stream begins with an ``event:`` line.
    """

    def __init__(self, pond: PondSocket, *, sse_event_names: bool = True) -> None:
        keep_read_buffers()
        self._pond = pond
        self._sse = SSEService(pond, with_event_names=sse_event_names)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one request; of a WebSocket or a stream, until it has ended."""
        upgrade = request.headers.get(hdrs.UPGRADE, "")
        if upgrade.strip().lower() != "websocket":
            return await serve_http(self._sse, request)
        opened = await open_websocket(self._pond, request)
        if isinstance(opened, web.Response):
            return opened
        await opened.run()
        return opened.websocket
