"""A chat on the websockets library, with neither a framework nor HTTP pages.

    python websockets_raw.py

Connect to ws://127.0.0.1:8000/socket and join /chat/anything. The library serves
WebSockets only: whoever asks for Server-Sent Events is refused.
"""

import asyncio
import os
import signal

from pondsocket import ConnectionContext, EventContext, JoinContext, PondSocket
from pondsocket_websockets import serve

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


async def main() -> None:
    """Serve until Ctrl+C or SIGTERM; leaving the block closes the pond."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with serve(pond, "127.0.0.1", int(os.environ.get("PORT", "8000"))):
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
