"""The bare libraries' echoes, with which idle memory is compared.

``python benchmarks/idle_libraries.py aiohttp 8000`` (or ``websockets``) serves.
"""

import asyncio
import sys

import memory_probe
import websockets
from aiohttp import WSMsgType, web

PING_INTERVAL = 20.0  # of our Options


async def serve_aiohttp(port: int) -> None:
    async def echo(request: web.Request) -> web.WebSocketResponse:
        connection = web.WebSocketResponse(compress=False, heartbeat=PING_INTERVAL)
        await connection.prepare(request)
        async for message in connection:
            if message.type is WSMsgType.TEXT:
                await connection.send_str(message.data)
        return connection

    application = web.Application()
    application.router.add_get("/live", echo)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


async def serve_websockets(port: int) -> None:
    async def echo(connection: websockets.ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with websockets.serve(
        echo, "127.0.0.1", port, compression=None, ping_interval=PING_INTERVAL
    ):
        await asyncio.Event().wait()


SERVERS = {"aiohttp": serve_aiohttp, "websockets": serve_websockets}

if __name__ == "__main__":
    memory_probe.start()
    asyncio.run(SERVERS[sys.argv[1]](int(sys.argv[2])))
