"""A server whose messages come in odd pieces, with others around them."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["serve_oddly"]

LARGE = 300_000  # bytes of a message that a load does not look at
MASK_BIT = 0x80
TEXT, PING, PONG = 0x81, 0x89, 0x8A


def build_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """Return a frame as servers send it (RFC 6455 5.2)."""
    size = len(payload)
    if size < 126:
        head = bytes((opcode, size))
    elif size < 65_536:
        head = bytes((opcode, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((opcode, 127)) + size.to_bytes(8, "big")
    return head + payload


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return opcode and payload of the next frame of a client."""
    opcode, size = await reader.readexactly(2)
    size &= ~MASK_BIT
    if size >= 126:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
    mask = await reader.readexactly(4)
    payload = await reader.readexactly(size)
    return opcode, bytes(each ^ mask[at % 4] for at, each in enumerate(payload))


class OddServer:
    """Hands what one client says to all, with noise around it."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + build_frame(b"hello")
        )
        self._writers.append(writer)
        try:
            while True:
                opcode, payload = await read_frame(reader)
                if opcode != PONG:
                    await self._say(payload)
        except (asyncio.IncompleteReadError, ConnectionError):
            self._writers.remove(writer)
        finally:
            writer.close()

    async def _say(self, payload: bytes) -> None:
        """Write to each in two pieces; only one client may say something."""
        data = build_frame(b"") + build_frame(b"\n".join(self._surround(payload)))
        if self._chance.random() < 0.2:
            data += build_frame(b"z" * LARGE)
        data += build_frame(b"are you there", PING)
        for writer in self._writers:
            cut = self._chance.randrange(1, len(data))
            writer.write(data[:cut])
            await asyncio.sleep(0)
            writer.write(data[cut:])

    def _surround(self, payload: bytes) -> list[bytes]:
        before, after = ([b"noise"] * self._chance.randrange(3) for _ in range(2))
        return [*before, payload, *after]


@asynccontextmanager
async def serve_oddly(chance: random.Random) -> AsyncIterator[int]:
    """Serve on a free port, which it yields."""
    server = await asyncio.start_server(OddServer(chance).serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
