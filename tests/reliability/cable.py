"""A TCP proxy that can be cut: what goes in arrives nowhere, and nobody is told.

That is what a phone in a tunnel, a pulled plug and a crashed machine look like from the
other end.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

__all__ = ["Cable", "cable_to"]


class Cable:
    """Carries bytes both ways between ``port`` and a server, until it is cut."""

    def __init__(self) -> None:
        self.port = 0
        self.is_cut = False
        self.ends: set[_End] = set()

    def cut(self) -> None:
        """Carry nothing any more; the sockets on both sides stay open."""
        self.is_cut = True
        for end in self.ends:
            end.transport.pause_reading()


class _End(asyncio.Protocol):
    """One end of a cable: what comes in here goes out at the other."""

    transport: asyncio.Transport
    other: "_End"

    def __init__(self, cable: Cable) -> None:
        self._cable = cable
        self.is_lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._cable.ends.add(self)

    def data_received(self, data: bytes) -> None:
        self.other.transport.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._cable.ends.discard(self)
        self.is_lost.set()
        if not self._cable.is_cut:
            self.other.transport.close()


class _NearEnd(_End):
    """The client's: it is connected on, then it is read from."""

    def __init__(self, cable: Cable, port: int) -> None:
        super().__init__(cable)
        self._port = port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.pause_reading()
        self._connecting = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        self.other = _End(self._cable)
        self.other.other = self
        await loop.create_connection(lambda: self.other, "127.0.0.1", self._port)
        self.transport.resume_reading()


@contextlib.asynccontextmanager
async def cable_to(port: int) -> AsyncIterator[Cable]:
    """Lay a cable to a port of loopback."""
    cable = Cable()
    server = await asyncio.get_running_loop().create_server(
        lambda: _NearEnd(cable, port), "127.0.0.1", 0
    )
    cable.port = server.sockets[0].getsockname()[1]
    try:
        yield cable
    finally:
        server.close()
        ends = tuple(cable.ends)
        for end in ends:
            end.transport.abort()
        for end in ends:
            await end.is_lost.wait()
