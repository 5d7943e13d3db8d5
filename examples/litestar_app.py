"""A chat inside a Litestar application.

    uvicorn litestar_app:app

Connect to ws://127.0.0.1:8000/ws/socket and join /chat/anything.
"""

from litestar import Litestar, asgi, get
from litestar.types import Receive, Scope, Send

from pondsocket import ConnectionContext, EventContext, JoinContext, PondSocket
from pondsocket_asgi import PondASGIApp, lifespan

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


# paths below the mount
endpoint = pond.create_endpoint("/socket", connect)
lobby = endpoint.create_channel("/chat/:room", join)
lobby.on_message("message", message)

pond_app = PondASGIApp(pond)


@asgi("/ws", is_mount=True, copy_scope=False)
async def sockets(scope: Scope, receive: Receive, send: Send) -> None:
    """Hand everything below /ws to the pond."""
    await pond_app(scope, receive, send)


@get("/status")
async def status() -> str:
    """Answer a plain request beside the sockets."""
    return f"{pond.stats().connections} connected"


# a mounted application hears of no shutdown, so the outer one closes the pond
app = Litestar([sockets, status], lifespan=[lifespan(pond)])
