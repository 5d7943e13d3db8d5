"""Proxy: the TCP link between one node and its backend, which can be cut and mended."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

__all__ = ["Proxy", "proxy_to"]


class Proxy:
    """Carries bytes both ways between ``port`` and a server.

    Attributes:
        port: Where it listens.
        answers_cut: How many answers to PUBLISH were kept from the node.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.answers_cut = 0
        self.target = target
        self.is_cut = False
        self.answers_to_cut = 0
        self.ends: set[_End] = set()

    def cut(self) -> None:
        """Carry nothing any more; sockets stay open, and new ones are accepted."""
        self.is_cut = True
        for end in self.ends:
            end.transport.pause_reading()

    def mend(self) -> None:
        """Carry again, also what was sent meanwhile."""
        self.is_cut = False
        for end in tuple(self.ends):
            end.go_on()

    def cut_answers(self, count: int) -> None:
        """Reset the connection at each of the next answers to PUBLISH, unread."""
        self.answers_to_cut += count


class _End(asyncio.Protocol):
    """One end of a connection: what comes in here goes out at the other."""

    transport: asyncio.Transport
    other: "_End | None" = None

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.has_published = False
        self.is_lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.proxy.ends.add(self)
        if self.proxy.is_cut:
            transport.pause_reading()

    def go_on(self) -> None:
        self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        assert self.other is not None
        self.has_published |= b"PUBLISH" in data
        if self.proxy.answers_to_cut and self.other.has_published:
            self.proxy.answers_to_cut -= 1
            self.proxy.answers_cut += 1
            self.transport.abort()
            self.other.transport.abort()
        elif not self.other.transport.is_closing():
            self.other.transport.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.proxy.ends.discard(self)
        self.is_lost.set()
        if self.other is not None:
            self.other.transport.close()


class _NearEnd(_End):
    """The node's: it is connected on, then it is read from."""

    _connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.pause_reading()
        if not self.proxy.is_cut:
            self.go_on()

    def go_on(self) -> None:
        if self.other is not None:
            self.transport.resume_reading()
        elif self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        far = _End(self.proxy)
        far.other = self
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: far, "127.0.0.1", self.proxy.target)
        except OSError:  # the server is away: so is what this end is connected to
            self.transport.abort()
            return
        self.other = far
        if not self.proxy.is_cut:
            self.transport.resume_reading()


@contextlib.asynccontextmanager
async def proxy_to(port: int) -> AsyncIterator[Proxy]:
    """Put a proxy before a port of loopback."""
    proxy = Proxy(port)
    server = await asyncio.get_running_loop().create_server(
        lambda: _NearEnd(proxy), "127.0.0.1", 0
    )
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        ends = tuple(proxy.ends)
        for end in ends:
            end.transport.abort()
        for end in ends:
            await end.is_lost.wait()
