"""A chat inside a Quart application.

    hypercorn quart_app:app

Connect to ws://127.0.0.1:8000/ws/socket and join /chat/anything; everything outside /ws
is Quart's.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from quart import Quart

from pondsocket import ConnectionContext, EventContext, JoinContext, PondSocket
from pondsocket_asgi import PondASGIApp

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

app = Quart(__name__)


@app.get("/status")
async def status() -> str:
    """Answer a plain request beside the sockets."""
    return f"{pond.stats().connections} connected"


@app.while_serving
async def keep_pond() -> AsyncIterator[None]:
    """Close the pond at shutdown.

    Quart ends the last of these first: what those above this one opened is still open
    while the pond's leave handlers run.
    """
    async with pond:
        yield


quart_site = app.asgi_app
pond_app = PondASGIApp(pond)


async def pond_or_quart(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """Hand each request to the one that it is for."""
    # Quart has no mounts; the lifespan stays Quart's, which closes the pond above
    is_pond = scope["type"] != "lifespan" and scope["path"].startswith("/ws/")
    await (pond_app if is_pond else quart_site)(scope, receive, send)


app.asgi_app = pond_or_quart
