"""A chat inside a Starlette application that has a lifespan of its own.

    uvicorn starlette_app:app

Connect to ws://127.0.0.1:8000/ws/socket and join /chat/anything.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

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


@asynccontextmanager
async def database(app: Starlette) -> AsyncIterator[dict[str, str]]:
    """Stand for what the application opens; it outlives the pond's leave handlers."""
    yield {"database": "open"}


async def status(request: Request) -> PlainTextResponse:
    """Answer a plain request beside the sockets."""
    connected = pond.stats().connections
    return PlainTextResponse(f"{request.state.database}, {connected} connected")


app = Starlette(
    routes=[Route("/status", status), Mount("/ws", PondASGIApp(pond))],
    lifespan=lifespan(pond, database),
)
