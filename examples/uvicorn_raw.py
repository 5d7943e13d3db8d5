"""A chat on a bare ASGI server, no framework.

    uvicorn uvicorn_raw:app

Connect to ws://127.0.0.1:8000/socket and join /chat/anything; the same endpoint serves
Server-Sent Events. uvicorn's shutdown closes the pond, since it talks to `app` itself.
"""

from pondsocket import ConnectionContext, EventContext, JoinContext, PondSocket
from pondsocket_asgi import PondASGIApp

pond = PondSocket()


async def connect(ctx: ConnectionContext) -> None:
    """Let everybody in; `ctx.decline(401, "...")` would not."""
    ctx.accept(name=ctx.query.get("name", "somebody"))


async def join(ctx: JoinContext) -> None:
    """Let everybody into every room, and show them to each other."""
    await ctx.accept()
    await ctx.track({"name": ctx.user.assigns["name"]})


async def message(ctx: EventContext) -> None:
    """Tell the whole room, its sender included."""
    await ctx.broadcast(ctx.event_name, ctx.get_payload())


endpoint = pond.create_endpoint("/socket", connect)
lobby = endpoint.create_channel("/chat/:room", join)
lobby.on_message("message", message)

app = PondASGIApp(pond)
