"""A room on aiohttp: a loop over the members, or an echo on /echo."""

import asyncio
import socket

import serving
from aiohttp import web

members: set[web.WebSocketResponse] = set()


async def echo(request: web.Request) -> web.WebSocketResponse:
    connection = web.WebSocketResponse(compress=False)
    await connection.prepare(request)
    await connection.send_str(serving.HELLO)
    async for message in connection:
        await connection.send_str(message.data)
    return connection


async def room(request: web.Request) -> web.WebSocketResponse:
    connection = web.WebSocketResponse(compress=False)
    await connection.prepare(request)
    members.add(connection)
    try:
        await connection.send_str(serving.HELLO)
        async for message in connection:
            for member in list(members):
                await member.send_str(message.data)
    finally:
        members.discard(connection)
    return connection


async def main(listener: socket.socket) -> None:
    application = web.Application()
    application.router.add_get("/room", room)
    application.router.add_get("/echo", echo)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.SockSite(runner, listener, backlog=serving.BACKLOG).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    serving.run(main)
