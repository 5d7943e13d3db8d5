"""A chat and a WebSocket of one's own in the routers of Django Channels.

    uvicorn channels_app:application

Connect to ws://127.0.0.1:8000/ws/socket and join /chat/anything, or send words to
ws://127.0.0.1:8000/shout and hear them louder; Django has the pages. A route of
Channels takes any ASGI application, so neither of the two is a consumer. In a project
of your own this is `asgi.py`, and the settings are where they always were. `daphne
channels_app:application` serves it too; docs/hosts.md tells what differs.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path, re_path

from pondsocket import ConnectionContext, EventContext, JoinContext, PondSocket
from pondsocket_asgi import PondASGIApp
from pondsocket_asgi.websocket import ConnectionClosed, WebSocketASGI

settings.configure(
    ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="for this example only"
)

pond = PondSocket()


async def connect(ctx: ConnectionContext) -> None:
    """Let everybody in."""
    ctx.accept()


async def join(ctx: JoinContext) -> None:
    """Let everybody into every room."""
    await ctx.accept()


async def message(ctx: EventContext) -> None:
    """Tell the whole room."""
    await ctx.broadcast(ctx.event_name, ctx.get_payload())


# a URLRouter leaves the path whole
endpoint = pond.create_endpoint("/ws/socket", connect)
lobby = endpoint.create_channel("/chat/:room", join)
lobby.on_message("message", message)


async def shout(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """Answer each text louder; `scope` holds what the routers found in the path."""
    ws = await WebSocketASGI.accept(scope, receive, send, subprotocols=["loud"])
    try:
        while True:
            words = await ws.receive()
            if isinstance(words, str):
                await ws.send(words.upper())
            else:
                await ws.close(4000, "text only")
    except ConnectionClosed:
        pass  # the client left, or we closed


async def status(request: HttpRequest) -> HttpResponse:
    """Answer a plain request beside the sockets."""
    return HttpResponse(f"{pond.stats().connections} connected")


urlpatterns = [path("status", status)]

django_site = get_asgi_application()
pond_app = PondASGIApp(pond)

application = ProtocolTypeRouter(
    {
        # re_path: in a path(), a route that is no router matches to its very end only
        "http": URLRouter([re_path("^ws/", pond_app), re_path("", django_site)]),
        # the pond refuses what nobody serves; a router without a match raises
        "websocket": URLRouter([path("shout", shout), re_path("", pond_app)]),
        "lifespan": pond_app,
    }
)
