"""A network as some companies have it: WebSockets do not get through."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["without_websockets"]


@asynccontextmanager
async def without_websockets(port: int) -> AsyncIterator[int]:
    """Run a proxy before a server that refuses each upgrade; yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"upgrade: websocket" in head.lower():
                writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                return
            inner_reader, inner_writer = await asyncio.open_connection(
                "127.0.0.1", port
            )
            # one request per connection, so that every upgrade is seen
            inner_writer.write(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # a browser opens connections that it never uses
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass  # either side may go first
    finally:
        writer.close()
