"""PondASGIApp: a PondSocket as an ASGI application."""

from collections.abc import Awaitable

from pondsocket import PondSocket
from pondsocket.web import SSEService, keep_read_buffers
from pondsocket_asgi import granian, hypercorn
from pondsocket_asgi.daphne import Daphne
from pondsocket_asgi.handshake import serve_websocket
from pondsocket_asgi.lifespan import serve_lifespan
from pondsocket_asgi.scope import Receive, Scope, Send
from pondsocket_asgi.shutdown import ShutdownWatch
from pondsocket_asgi.sse import serve_http

__all__ = ["PondASGIApp"]


class PondASGIApp:
    """Serves the endpoints of a PondSocket over WebSocket and Server-Sent Events.

    By itself it is what ``uvicorn module:app`` wants, and closes ``pond`` at shutdown.
    Mounted in a framework it answers below the mount, and ``lifespan(pond)`` is for the
    outer application.

    Args:
        pond: What to serve; endpoints may be created later, too.
        sse_event_names: Whether each event of a stream begins with an ``event:`` line.
            False for clients that listen to unnamed events only, such as ``SSEClient``
            of the JavaScript package.
        close_before_host: Whether ``pond`` is closed as soon as hypercorn, granian or
            daphne are told to stop. Otherwise they cut their clients off first, who
            never hear of the restart (docs/hosts.md).
    """

    def __init__(
        self,
        pond: PondSocket,
        *,
        sse_event_names: bool = True,
        close_before_host: bool = True,
    ) -> None:
        keep_read_buffers()
        self._pond = pond
        self._daphne = Daphne(pond.options.max_message_size)
        self._shutdown = ShutdownWatch(pond, is_wanted=close_before_host)
        self._sse = SSEService(pond, with_event_names=sse_event_names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, request or lifespan of the host.

        Raises:
            ValueError: If the scope is of another type, as ASGI demands.
        """
        match scope["type"]:
            case "lifespan":
                await serve_lifespan(self._pond, receive, send)
            case "websocket" | "http":
                self._shutdown.begin()
                if self._daphne.is_running():
                    await self._daphne.serve(self._serve, scope, receive, send)
                elif granian.is_running():
                    await granian.serve(self._serve, scope, receive, send)
                elif hypercorn.is_running():
                    await hypercorn.serve(self._serve, scope, receive, send)
                else:
                    await self._serve(scope, receive, send)
            case unknown:
                raise ValueError(f"scope type {unknown!r} is not supported")

    def _serve(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # not a coroutine: its frame would last as long as the connection
        if scope["type"] == "websocket":
            return serve_websocket(self._pond, scope, receive, send)
        return serve_http(self._sse, scope, receive, send)
