"""A room whose members get ready frames, and a client that sees each byte of them."""

import asyncio
import contextlib
import json
import socket
import struct
import zlib

from pondsocket import Options, PondSocket
from pondsocket.frame_writer import NO_WRITER
from pondsocket.web import FrameWriter
from tests.adapters.bridge.serving import CLOSE, TEXT, close_frame, frame, handshake

__all__ = ["Client", "Notes", "Room"]

MARKED_AS_COMPRESSED = 0x40
SMALL_BUFFER = 4096  # bytes that are kept for a client that does not read
PATIENCE = 10.0  # seconds

_LENGTH_IN_TWO_BYTES, _LENGTH_IN_EIGHT_BYTES = 126, 127


class Room:
    """A PondSocket with one endpoint, ``/socket``, and rooms that anybody may join.

    Attributes:
        pond: To be served.
        left: The ids of those who were members.
    """

    def __init__(self, **options):
        self.pond = PondSocket(options=Options(**{"direct_writes": True, **options}))
        self.left = []
        self._endpoint = self.pond.create_endpoint("/socket", lambda ctx: ctx.accept())
        self._lobby = self._endpoint.create_channel("/room/:name", self._join)
        self._lobby.on_leave(lambda ctx: self.left.append(ctx.user.id))

    async def _join(self, ctx):
        await ctx.accept()

    async def broadcast(self, *payloads):
        """Send to all members, in one turn of the loop if there are few."""
        channel = await self._lobby.get_channel("/room/1")
        for payload in payloads:
            await channel.broadcast("news", payload)

    @property
    def transports(self):
        return [each.transport for each in self._endpoint.connections.sessions()]

    @property
    def transport(self):
        [only] = self.transports
        return only


class _Watched(FrameWriter):
    """The way past a host, with notes of what went by it."""

    def __init__(self, writer, notes):
        super().__init__(is_deflating=writer.is_deflating)
        self.is_held = writer.is_held
        self._form = writer._form
        self._writer = writer
        self._notes = notes

    def write(self, frames):
        taken = self._writer.write(frames)
        if taken:
            self._notes.written.append(frames)
        else:
            self._notes.refused += 1
        return taken


class Notes:
    """What one connection is given from now on, by which way.

    Attributes:
        written: What was written past the host, a write each.
        refused: How many writes past the host were not taken.
        sent: The messages that went by the host's own send.
    """

    def __init__(self, transport):
        self.written = []
        self.refused = 0
        self.sent = []
        self._send = transport._send_message
        transport._send_message = self._note_send
        if transport.frame_writer is not NO_WRITER:
            session = transport._flush.__self__
            watched = _Watched(transport.frame_writer, self)
            transport.frame_writer = session.direct = session._direct = watched

    def _note_send(self, message):
        self.sent.append(message)
        return self._send(message)


class Client:
    """A WebSocket client as far as these tests need one; it checks what it reads.

    Attributes:
        extensions: The parameters of what was agreed on, None if nothing was.
        writer: To the server.
    """

    def __init__(self, reader, writer):
        self.writer = writer
        self.extensions = None
        self._reader = reader
        self._inflater = None

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, port, *offers, query="", tls=None):
        """Connect, and join a room.

        Args:
            port: Of the loopback.
            *offers: A header Sec-WebSocket-Extensions each.
            query: With its question mark.
            tls: A client's context.
        """
        wire = socket.socket()
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        wire.setblocking(False)
        await asyncio.get_running_loop().sock_connect(wire, ("127.0.0.1", port))
        name = None if tls is None else "127.0.0.1"
        client = cls(
            *await asyncio.open_connection(
                sock=wire, limit=SMALL_BUFFER, ssl=tls, server_hostname=name
            )
        )
        try:
            await client._shake_hands("/socket" + query, offers)
            await client._join()
            yield client
        finally:
            client.writer.transport.abort()

    async def _shake_hands(self, path, offers):
        headers = [f"sec-websocket-extensions: {each}" for each in offers]
        self.writer.write(handshake(path, *headers))
        async with asyncio.timeout(PATIENCE):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        status, *lines = head.split("\r\n")
        assert " 101 " in status
        fields = dict(line.lower().split(": ", 1) for line in lines if line)
        if "sec-websocket-extensions" in fields:
            name, *agreed = fields["sec-websocket-extensions"].split(";")
            assert name.strip() == "permessage-deflate"
            self.extensions = dict(
                (part.strip() + "=").split("=")[:2] for part in agreed
            )

    async def _join(self):
        self.say(
            {
                "action": "JOIN_CHANNEL",
                "event": "join",
                "channelName": "/room/1",
                "requestId": "j",
                "payload": {},
            }
        )
        events = [await self.read(), await self.read()]
        assert [each["event"] for each in events] == ["CONNECTION", "ACKNOWLEDGE"]

    def say(self, event):
        self.writer.write(frame(TEXT, json.dumps(event).encode()))

    def say_close(self, code=1000):
        self.writer.write(close_frame(code))

    def reset(self):
        """End the connection as a crashed machine's kernel does, with a RST."""
        wire = self.writer.get_extra_info("socket")
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def read_frame(self):
        """Return the first byte of the next frame, and what it carries, as it is."""
        async with asyncio.timeout(PATIENCE):
            first, size = await self._reader.readexactly(2)
            if size == _LENGTH_IN_TWO_BYTES:
                size = int.from_bytes(await self._reader.readexactly(2), "big")
            elif size == _LENGTH_IN_EIGHT_BYTES:
                size = int.from_bytes(await self._reader.readexactly(8), "big")
            return first, await self._reader.readexactly(size)

    async def read_text(self):
        """Return the next message; its frame is as it was agreed on."""
        first, payload = await self.read_frame()
        if first & MARKED_AS_COMPRESSED:
            payload = self._inflate(payload)
        assert first & ~MARKED_AS_COMPRESSED == 0x80 | TEXT
        return payload.decode()

    async def read(self):
        """Return the next event."""
        return json.loads(await self.read_text())

    async def read_payloads(self, count):
        return [(await self.read())["payload"] for _ in range(count)]

    def _inflate(self, payload):
        assert self.extensions is not None
        if self._inflater is None or "server_no_context_takeover" in self.extensions:
            bits = int(self.extensions.get("server_max_window_bits") or 15)
            self._inflater = zlib.decompressobj(wbits=-bits)
        return self._inflater.decompress(payload + b"\x00\x00\xff\xff")

    async def read_to_the_close(self):
        """Read up to a close frame, return its code."""
        first, payload = await self.read_frame()
        while first != 0x80 | CLOSE:
            first, payload = await self.read_frame()
        return int.from_bytes(payload[:2], "big")

    async def read_rest(self):
        """Return all that comes until the server hangs up."""
        rest = b""
        async with asyncio.timeout(PATIENCE):
            # a host that hangs up at once is told of our close frame by a reset
            with contextlib.suppress(ConnectionResetError):
                while data := await self._reader.read(SMALL_BUFFER):
                    rest += data
        return rest
