"""Clients of every kind: each keeps what it got, and stops reading when it is told to.

Those with a socket speak the protocol of the wire. Those without are a transport of the
server, and a task that reads from it.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, ClassVar

from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from pondsocket import (
    Endpoint,
    Event,
    IncomingConnection,
    InMemoryTransport,
    Transport,
)
from tests.reliability.clients import HOST, PATH, EventStreamClient, Member, encode
from tests.unit.doubles import PlainTransport

__all__ = [
    "KINDS_HERE",
    "KINDS_OF_WEBSOCKET",
    "KIND_OF_STREAM",
    "HereClient",
    "LibraryClient",
    "Member",
    "is_follower",
]


class LibraryClient(Member):
    """A WebSocket that takes no frame which the protocol forbids."""

    extensions: ClassVar[list[ClientPerMessageDeflateFactory] | None] = None
    query: ClassVar[str] = ""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        uri = parse_uri(f"ws://{HOST}:{port}{PATH}{self.query}")
        self.protocol = ClientProtocol(uri, extensions=self.extensions, max_size=None)
        self._parts: list[bytes] = []

    @property
    def is_compressed(self) -> bool:
        """Whether compression was agreed on."""
        return bool(self.protocol.extensions)

    def shake_hands(
        self, path: str = PATH, headers: Mapping[str, str] | None = None
    ) -> None:
        self.protocol.send_request(self.protocol.connect())
        self._write()

    async def send(self, message: dict[str, Any] | bytes) -> None:
        self.protocol.send_text(encode(message))
        self._write()

    def parse(self) -> None:
        self.protocol.receive_data(bytes(self.data))
        self.data.clear()
        for event in self.protocol.events_received():
            if isinstance(event, Response):
                self.status = event.status_code
            elif isinstance(event, Frame):
                self._take_frame(event)
        self._write()
        if self.protocol.parser_exc is not None:
            raise self.protocol.parser_exc

    def _take_frame(self, frame: Frame) -> None:
        if frame.opcode not in {Opcode.TEXT, Opcode.CONT}:
            assert frame.opcode is not Opcode.BINARY
            return
        self._parts.append(bytes(frame.data))
        if frame.fin:
            text = b"".join(self._parts)
            self._parts.clear()
            self.take_text(text)

    def take_text(self, text: bytes) -> None:
        self.take(text)

    def _write(self) -> None:
        for data in self.protocol.data_to_send():
            if data:
                self.write(data)
            elif self.transport.can_write_eof():
                self.transport.write_eof()


class BatchClient(LibraryClient):
    """A WebSocket that asked for several messages in one frame."""

    query = "?pond.frames=batch"

    def take_text(self, text: bytes) -> None:
        for line in text.split(b"\n"):
            self.take(line)


class FollowerClient(LibraryClient):
    """A WebSocket that asked for presences by changes."""

    query = "?pond.presence=diff"


class DeflateClient(LibraryClient):
    """A WebSocket that offers compression with a context."""

    extensions: ClassVar = [ClientPerMessageDeflateFactory()]


class FreshDeflateClient(LibraryClient):
    """A WebSocket that offers compression of each message by itself."""

    extensions: ClassVar = [
        ClientPerMessageDeflateFactory(
            server_no_context_takeover=True, client_no_context_takeover=True
        )
    ]


class FreshDeflateBatchClient(FreshDeflateClient, BatchClient):
    """A WebSocket that offers and asks for everything."""


KINDS_OF_WEBSOCKET = (
    LibraryClient,
    BatchClient,
    FreshDeflateClient,
    DeflateClient,
    FreshDeflateBatchClient,
    FollowerClient,
)
KIND_OF_STREAM = EventStreamClient


class HereClient:
    """What all clients without a socket can do: the same as a ``Member``.

    Attributes:
        received: The messages, in order.
    """

    query: ClassVar[Mapping[str, str]] = {}

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.user_id = transport.get_id()
        self.received: list[dict[str, Any]] = []
        self._is_closed = False
        self._may_read = asyncio.Event()
        self._may_read.set()
        transport.on_close(self._note_end)

    @classmethod
    async def open(cls, endpoint: Endpoint, user_id: str) -> "HereClient":
        """Connect, as an adapter would do it."""
        client = cls.make(user_id)
        incoming = IncomingConnection(id=user_id, address="", query=dict(cls.query))
        context = await endpoint.request_connection(incoming)
        await endpoint.register_transport(client.transport, context)
        return client

    @classmethod
    def make(cls, user_id: str) -> "HereClient":
        raise NotImplementedError

    def _note_end(self, _: Transport) -> None:
        self._is_closed = True

    @property
    def is_over(self) -> bool:
        """Whether the connection ended, and nothing comes any more."""
        return self._is_closed

    async def send(self, message: dict[str, Any]) -> None:
        await self.say(
            Event(
                message["action"],
                message["channelName"],
                message["requestId"],
                message["event"],
                message["payload"],
            )
        )

    async def say(self, event: Event) -> None:
        raise NotImplementedError

    def take_event(self, event: Event) -> None:
        self.received.append(
            {
                "action": event.action,
                "event": event.event,
                "channelName": event.channel_name,
                "requestId": event.request_id,
                "payload": event.payload,
            }
        )

    def stop_reading(self) -> None:
        self._may_read.clear()

    def read_on(self) -> None:
        self._may_read.set()

    def hang_up(self) -> None:
        """Vanish; ``is_over`` tells when that is over."""
        self._ending = asyncio.create_task(self.transport.close(), name="hang up")


class MemoryClient(HereClient):
    """The test itself, at an ``InMemoryTransport`` that soon has enough."""

    transport: InMemoryTransport

    def __init__(self, transport: InMemoryTransport) -> None:
        super().__init__(transport)
        self._reading = asyncio.create_task(self._read(), name="reader")

    @classmethod
    def make(cls, user_id: str) -> HereClient:
        return cls(InMemoryTransport(user_id, capacity=3))

    async def say(self, event: Event) -> None:
        await self.transport.push_inbound(event)

    @property
    def is_over(self) -> bool:
        return super().is_over and self._reading.done()

    def hang_up(self) -> None:
        self._reading.cancel()
        super().hang_up()

    async def _read(self) -> None:
        with contextlib.suppress(TimeoutError):  # it is closed, and nothing is left
            while True:
                event = await self.transport.receive_sent(wait=None)
                await self._may_read.wait()
                self.take_event(event)


class MemoryFollowerClient(MemoryClient):
    """One that asked for presences by changes."""

    query: ClassVar = {"pond.presence": "diff"}


class HandingTransport(PlainTransport):
    """A transport that hands each event to its client, and waits for it."""

    client: "PlainClient"

    async def send_event(self, event: Event) -> None:
        await self.client.hear(event)


class PlainClient(HereClient):
    """The far end of a transport that sends one event at a time."""

    transport: HandingTransport

    @classmethod
    def make(cls, user_id: str) -> HereClient:
        transport = HandingTransport(user_id)
        transport.client = cls(transport)
        return transport.client

    async def say(self, event: Event) -> None:
        await self.transport.handler(event, self.transport)

    async def hear(self, event: Event) -> None:
        await self._may_read.wait()
        self.take_event(event)


KINDS_HERE = (MemoryClient, PlainClient, MemoryFollowerClient)


def is_follower(client: Member | HereClient) -> bool:
    """Tell whether a client asked to be told of presences by changes."""
    return isinstance(client, FollowerClient | MemoryFollowerClient)
