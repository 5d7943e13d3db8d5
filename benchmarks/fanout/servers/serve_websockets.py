"""A room on websockets: ``broadcast()``, or an echo for who connects to /echo."""

import asyncio
import socket

import serving
from websockets.asyncio.server import ServerConnection, broadcast, serve

members: set[ServerConnection] = set()


async def handle(connection: ServerConnection) -> None:
    if connection.request.path == "/echo":
        await connection.send(serving.HELLO)
        async for message in connection:
            await connection.send(message)
        return
    members.add(connection)
    try:
        await connection.send(serving.HELLO)
        async for message in connection:
            broadcast(members, message)
    finally:
        members.discard(connection)


async def main(listener: socket.socket) -> None:
    async with serve(handle, sock=listener, compression=None):
        await asyncio.Event().wait()


if __name__ == "__main__":
    serving.run(main)
