"""A chat inside an aiohttp application: a sub-application, and pages beside it.

    python aiohttp_app.py

Connect to ws://127.0.0.1:8000/ws/socket and join /chat/anything.
"""

import os

from aiohttp import web

from pondsocket import ConnectionContext, EventContext, JoinContext, PondSocket
from pondsocket_aiohttp import setup

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


# paths below the sub-application
endpoint = pond.create_endpoint("/socket", connect)
lobby = endpoint.create_channel("/chat/:room", join)
lobby.on_message("message", message)


async def status(request: web.Request) -> web.Response:
    """Answer a plain request beside the sockets."""
    return web.Response(text=f"{pond.stats().connections} connected")


sockets = web.Application()
setup(sockets, pond)  # the application's shutdown closes the pond

app = web.Application()
app.router.add_get("/status", status)
app.add_subapp("/ws", sockets)

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
