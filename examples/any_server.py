"""One chat on three servers: the PondSocket knows none of them.

    python any_server.py asgi
    python any_server.py aiohttp
    python any_server.py websockets

Connect to ws://127.0.0.1:8000/socket and join /chat/anything. What differs is the one
line that names `pond`, and around it how each server is run at all. Without a line of
it: `pondsocket serve any_server:pond --adapter aiohttp`.
"""

import asyncio
import os
import signal
import sys

import uvicorn
from aiohttp import web

from pondsocket import ConnectionContext, EventContext, JoinContext, PondSocket
from pondsocket_aiohttp import setup
from pondsocket_asgi import PondASGIApp
from pondsocket_websockets import serve

HOST = "127.0.0.1"
PORT = int(os.environ.get("PORT", "8000"))

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


endpoint = pond.create_endpoint("/socket", connect)
lobby = endpoint.create_channel("/chat/:room", join)
lobby.on_message("message", message)


def run_asgi() -> None:
    """Serve on uvicorn, or on any other ASGI host."""
    app = PondASGIApp(pond)
    uvicorn.run(app, host=HOST, port=PORT)


def run_aiohttp() -> None:
    """Serve on aiohttp."""
    app = web.Application()
    setup(app, pond)
    web.run_app(app, host=HOST, port=PORT)


def run_websockets() -> None:
    """Serve on websockets."""

    async def run_until_stopped() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with serve(pond, HOST, PORT):
            await stop.wait()

    asyncio.run(run_until_stopped())


SERVERS = {"asgi": run_asgi, "aiohttp": run_aiohttp, "websockets": run_websockets}

if __name__ == "__main__":
    SERVERS[sys.argv[1]]()
