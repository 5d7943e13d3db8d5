"""The client's end of each wire that runs the contract."""

import asyncio
import json
from contextlib import suppress

from pondsocket import InMemoryTransport, event_to_json
from pondsocket.testing import TransportPeer, WireClosed
from tests.adapters.protocol_clients import (
    End,
    Message,
    SSEClient,
    WebSocketClient,
)


class WebSocketPeer(TransportPeer):
    """A WebSocket that reads only when it is asked to."""

    def __init__(self, client: WebSocketClient) -> None:
        self._client = client
        self._is_over = False

    @classmethod
    async def open(cls, port: int, path: str) -> "WebSocketPeer":
        return cls(await WebSocketClient.open(port, path, {}))

    async def send(self, message: str) -> None:
        await self._client.send(message.encode())

    async def receive(self) -> str:
        received = await self._client.next()
        if isinstance(received, End):
            raise WireClosed(received.code, received.reason)
        return received.text

    async def close(self) -> None:
        if not self._is_over:
            self._is_over = True
            await self._client.close()

    async def vanish(self) -> None:
        self._is_over = True
        await self._client.drop()


class StreamPeer(TransportPeer):
    """An event stream, and requests that are answered by it."""

    def __init__(self, client: SSEClient) -> None:
        self._client = client
        self._is_over = False

    @classmethod
    async def open(cls, port: int, path: str) -> "StreamPeer":
        return cls(await SSEClient.open(port, path, {}))

    async def send(self, message: str) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._client.post(message.encode())

    async def receive(self) -> str:
        with suppress(ConnectionError, asyncio.IncompleteReadError):  # it was cut off
            if not self._is_over and isinstance(
                received := await self._client.next(), Message
            ):
                return received.text
        await self.vanish()
        raise WireClosed

    async def close(self) -> None:
        if not self._is_over:
            await asyncio.gather(self._client.delete(), self._read_to_the_end())

    async def vanish(self) -> None:
        self._is_over = True
        await self._client.drop()

    async def _read_to_the_end(self) -> None:
        with suppress(WireClosed):
            while True:
                await self.receive()


class LinePeer(TransportPeer):
    """A TCP connection with one message a line, the last of which tells the end."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._end: tuple[int | None, str] = (None, "")

    @classmethod
    async def open(cls, port: int) -> "LinePeer":
        limit = 1 << 20  # of one line, and half of what is read ahead
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=limit))

    async def send(self, message: str) -> None:
        with suppress(ConnectionError):
            self._writer.write(message.encode() + b"\n")
            await self._writer.drain()

    async def receive(self) -> str:
        line = b""
        with suppress(ConnectionError):
            line = await self._reader.readline()
        if not line.endswith(b"\n"):
            await self.close()  # as the server waits for
            raise WireClosed(*self._end)
        message = json.loads(line)
        if message["event"] == "CLOSED":
            self._end = message["payload"]["code"], message["payload"]["reason"]
            return await self.receive()
        return line.decode()

    async def close(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    async def vanish(self) -> None:
        self._writer.transport.abort()


class MemoryPeer(TransportPeer):
    """The test itself: it hands in what it says and takes what was sent."""

    def __init__(self, transport: InMemoryTransport) -> None:
        self._transport = transport

    async def send(self, message: str) -> None:
        self._transport.receive(message)
        await asyncio.sleep(0)  # what it starts gets a turn

    async def receive(self) -> str:
        try:
            event = await self._transport.receive_sent(wait=None)
        except TimeoutError:  # closed and empty
            raise WireClosed from None
        return event_to_json(event)

    async def close(self) -> None:
        await self._transport.peer_gone()
