"""The echoes of bare libraries and of ws_bridge, each in a process of its own.

``python -m tests.autobahn.server aiohttp`` (or ``websockets``, ``bridge``) prints its
port and serves until its standard input ends. The libraries' settings are those that
our adapters take from the default Options; the bridge compresses too.
"""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator

import websockets
from aiohttp import WSMsgType, web

from pondsocket import Options
from pondsocket_asgi.scope import Message, Receive, Scope, Send
from pondsocket_asgi.ws_bridge import ServerConfig, serve

options = Options()


@contextlib.asynccontextmanager
async def serve_aiohttp(listener: socket.socket) -> AsyncIterator[None]:
    async def echo(request: web.Request) -> web.WebSocketResponse:
        connection = web.WebSocketResponse(
            max_msg_size=options.max_message_size,
            compress=options.compression,
            heartbeat=options.ping_interval,
        )
        await connection.prepare(request)
        async for message in connection:
            if message.type is WSMsgType.TEXT:
                await connection.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await connection.send_bytes(message.data)
        return connection

    app = web.Application()
    app.router.add_get("/echo", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    yield
    await runner.cleanup()


@contextlib.asynccontextmanager
async def serve_websockets(listener: socket.socket) -> AsyncIterator[None]:
    async def echo(connection: websockets.ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with websockets.serve(
        echo,
        sock=listener,
        max_size=options.max_message_size,
        compression=None,
        ping_interval=options.ping_interval,
        ping_timeout=options.pong_wait,
    ):
        yield


@contextlib.asynccontextmanager
async def serve_bridge(listener: socket.socket) -> AsyncIterator[None]:
    async def echo(_: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        message: Message = await receive()
        while message["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})
            message = await receive()

    stop = asyncio.Event()
    config = ServerConfig(compression=True, lifespan="off")
    async with asyncio.TaskGroup() as group:
        group.create_task(serve(echo, config=config, sockets=[listener], stop=stop))
        yield
        stop.set()


SERVERS = {
    "aiohttp": serve_aiohttp,
    "bridge": serve_bridge,
    "websockets": serve_websockets,
}


async def main(name: str) -> None:
    """Serve until standard input ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        loop.remove_reader(sys.stdin)  # its end would be told again and again
        ended.set()

    loop.add_reader(sys.stdin, end)
    async with SERVERS[name](listener):
        print(listener.getsockname()[1], flush=True)
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
