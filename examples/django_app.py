"""A chat beside a Django site, in one process.

    uvicorn django_app:application

Connect to ws://127.0.0.1:8000/ws/socket and join /chat/anything; everything outside /ws
is Django's. In a project of your own this is `asgi.py`, and the settings are where they
always were.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

from pondsocket import ConnectionContext, EventContext, JoinContext, PondSocket
from pondsocket_asgi import PondASGIApp

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


endpoint = pond.create_endpoint("/ws/socket", connect)
lobby = endpoint.create_channel("/chat/:room", join)
lobby.on_message("message", message)


async def status(request: HttpRequest) -> HttpResponse:
    """Answer a plain request beside the sockets."""
    return HttpResponse(f"{pond.stats().connections} connected")


urlpatterns = [path("status", status)]

django_site = get_asgi_application()
pond_app = PondASGIApp(pond)


async def application(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """Hand each request to the one that it is for."""
    # Django knows neither WebSockets nor a lifespan; the pond is closed by the latter
    is_django = scope["type"] == "http" and not scope["path"].startswith("/ws/")
    await (django_site if is_django else pond_app)(scope, receive, send)
