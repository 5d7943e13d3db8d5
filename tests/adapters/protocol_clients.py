"""Clients that show what is on the wire: a WebSocket, an event stream, a request.

They read only when asked to, so a client that is not asked is one that does not read.
"""

import asyncio
import json
import re
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response as HandshakeResponse
from websockets.uri import parse_uri

CHUNK = 65_536
# What a path may hold as it is; the rest is percent-encoded (RFC 3986).
PATH_CHARACTERS = "/?&=%:+,*.~"

Fields = Mapping[str, str | list[str] | None]


@dataclass
class Response:
    """The head of a response, and its body if it has an end."""

    status: int
    headers: dict[str, str]
    body: str = ""


@dataclass
class Message:
    """One message of the server.

    Attributes:
        text: As it came.
        name: The event's name in the stream; None for a WebSocket or without a line.
    """

    text: str
    name: str | None = None

    @property
    def content(self) -> Any:
        return json.loads(self.text)


@dataclass
class End:
    """The end of a connection; an event stream has no code."""

    code: int | None = None
    reason: str = ""


def build_fields(headers: Fields, port: int) -> list[tuple[str, str]]:
    """Return header lines: a list is several lines, None is a header to leave out."""
    merged: dict[str, str | list[str] | None] = {"Host": f"127.0.0.1:{port}", **headers}
    return [
        (name, value)
        for name, given in merged.items()
        if given is not None
        for value in ([given] if isinstance(given, str) else given)
    ]


class WebSocketClient:
    """A WebSocket without extensions."""

    transport = "websocket"

    def __init__(
        self,
        protocol: ClientProtocol,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        splits_lines: bool,
    ) -> None:
        self._protocol = protocol
        self._reader = reader
        self._writer = writer
        self._splits_lines = splits_lines
        self._messages: deque[Message] = deque()
        self._fragments: list[bytes] = []
        self._is_over = False
        self._first_bytes = b""
        self.was_reset = False  # by TCP: what was unread is lost, a close frame too
        self.response = Response(0, {})

    @classmethod
    async def open(cls, port: int, path: str, headers: Fields) -> "WebSocketClient":
        """Shake hands; a refusal is found in `response`."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        path = quote(path, safe=PATH_CHARACTERS)
        protocol = ClientProtocol(
            parse_uri(f"ws://127.0.0.1:{port}{path}"), max_size=None
        )
        request = protocol.connect()
        fields = build_fields(headers, port)
        for name in {"host", *(name.lower() for name, _ in fields)}:
            request.headers.pop(name, None)
        for name, value in fields:
            request.headers[name] = value
        protocol.send_request(request)
        client = cls(protocol, reader, writer, splits_lines="pond.frames=batch" in path)
        try:
            await client._shake_hands()
        except BaseException:  # a timeout of the caller's, mostly
            writer.transport.abort()
            raise
        return client

    async def _shake_hands(self) -> None:
        self._flush()
        while not self.response.status and not self._is_over:
            await self._pump()
        if self._is_over and not self.response.status:
            # websockets takes no HTTP/1.0, in which aiohttp refuses what it cannot read
            version, status, _ = self._first_bytes.split(b" ", 2)
            assert version == b"HTTP/1.0", self._first_bytes
            self.response = Response(int(status), {})
            await self._hang_up()
        elif self._protocol.handshake_exc is not None:
            assert isinstance(self._protocol.handshake_exc, InvalidStatus)
            await self._hang_up()

    @property
    def is_open(self) -> bool:
        return self.response.status == 101

    async def send(self, data: bytes, *, binary: bool = False) -> None:
        if binary:
            self._protocol.send_binary(data)
        else:
            self._protocol.send_text(data)
        self._flush()
        with suppress(ConnectionError):  # the server ended it, as next() will tell
            await self._writer.drain()

    async def next(self) -> Message | End:
        """Return the next message, or the end of the connection."""
        while not self._messages:
            if self._is_over:
                await self._hang_up()
                return self._end()
            await self._pump()
        return self._messages.popleft()

    async def close(self) -> list[Message]:
        """Close properly and return what nobody has asked for."""
        if not self._is_over and self._protocol.close_rcvd is None:
            self._protocol.send_close(1000)
            self._flush()
        return await self._read_rest()

    async def drop(self) -> None:
        """Cut the TCP connection."""
        self._writer.transport.abort()
        self._is_over = True
        await self._hang_up()

    async def _read_rest(self) -> list[Message]:
        rest = []
        while isinstance(each := await self.next(), Message):
            rest.append(each)
        return rest

    async def _pump(self) -> None:
        try:
            data = await self._reader.read(CHUNK)
        except ConnectionError:
            data = b""
            self.was_reset = True
        self._first_bytes = self._first_bytes or data
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
            self._is_over = True
        for event in self._protocol.events_received():
            self._take(event)
        self._flush()

    def _take(self, event: Any) -> None:
        if isinstance(event, HandshakeResponse):
            body = event.body or b""
            headers = {k.lower(): v for k, v in event.headers.raw_items()}
            self.response = Response(event.status_code, headers, body.decode())
        elif isinstance(event, Frame) and event.opcode in {Opcode.TEXT, Opcode.CONT}:
            self._fragments.append(bytes(event.data))
            if event.fin:
                text = b"".join(self._fragments).decode()
                self._fragments.clear()
                lines = text.split("\n") if self._splits_lines else [text]
                self._messages.extend(map(Message, lines))
        elif isinstance(event, Frame) and event.opcode is Opcode.BINARY:
            raise AssertionError(f"a binary frame: {event}")

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._writer.write(data)
            elif not self._writer.is_closing():
                with suppress(OSError):  # the server was quicker
                    self._writer.write_eof()

    async def _hang_up(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    def _end(self) -> End:
        close = self._protocol.close_rcvd
        return End(1006) if close is None else End(close.code, close.reason)


class SSEClient:
    """An event stream, and the requests that feed and end it."""

    transport = "sse"

    def __init__(self, port: int, path: str, stream: "_Exchange") -> None:
        self._port = port
        self._path = path
        self._stream = stream
        self._lines = _Lines()
        self._messages: deque[Message] = deque()
        self._fields: dict[str, list[str]] = {}
        self.comments: list[str] = []
        self.response = Response(0, {})

    @classmethod
    async def open(cls, port: int, path: str, headers: Fields) -> "SSEClient":
        """Ask for a stream; a refusal is found in `response`."""
        fields = {"Accept": "text/event-stream", **headers}
        stream = await _Exchange.start(port, "GET", path, fields)
        client = cls(port, path.partition("?")[0], stream)
        client.response = await stream.read_head()
        if not client.is_open:
            client.response.body = await stream.read_rest()
        return client

    @property
    def is_open(self) -> bool:
        return self.response.status == 200

    @property
    def connection_id(self) -> str:
        return self.response.headers["x-connection-id"]

    async def send(self, data: bytes, *, binary: bool = False) -> None:
        """Post one message and see it accepted."""
        response = await self.post(data)
        assert (response.status, response.body) == (204, "")

    async def post(self, data: bytes) -> Response:
        return await self._request("POST", data)

    async def delete(self) -> Response:
        return await self._request("DELETE", b"")

    async def _request(self, method: str, body: bytes) -> Response:
        headers = {"X-Connection-ID": self.connection_id}
        return await request(self._port, method, self._path, headers, body)

    async def next(self) -> Message | End:
        """Return the next event, or the end of the stream."""
        while not self._messages:
            data = await self._stream.read_some()
            if data is None:
                assert not self._fields, "the stream ends amid an event"
                return End()
            for line in self._lines.feed(data):
                self._take(line)
        return self._messages.popleft()

    async def next_comment(self) -> str:
        """Return the next comment; messages before it are kept."""
        while not self.comments:
            data = await self._stream.read_some()
            assert data is not None, "the stream has ended"
            for line in self._lines.feed(data):
                self._take(line)
        return self.comments.pop(0)

    def _take(self, line: str) -> None:
        """Follow the event stream interpretation of WHATWG HTML, 9.2.6."""
        if line.startswith(":"):
            self.comments.append(line[1:].strip())
        elif line:
            name, _, value = line.partition(":")
            self._fields.setdefault(name, []).append(value.removeprefix(" "))
        elif self._fields:
            fields, self._fields = self._fields, {}
            assert fields.keys() <= {"event", "data"}, fields
            assert all(len(values) == 1 for values in fields.values()), fields
            name = fields["event"][0] if "event" in fields else None
            self._messages.append(Message(fields["data"][0], name))

    async def close(self) -> list[Message]:
        """Delete the connection and return what nobody has asked for."""
        if not self._stream.is_over:
            await self.delete()  # 404 if the server ended it meanwhile
        rest = []
        while isinstance(each := await self.next(), Message):
            rest.append(each)
        return rest

    async def drop(self) -> None:
        """Cut the TCP connection."""
        await self._stream.abort()


Client = WebSocketClient | SSEClient


async def request(
    port: int,
    method: str,
    path: str,
    headers: Fields,
    body: bytes = b"",
    *,
    chunked: bool = False,
) -> Response:
    """Make one request with a connection of its own."""
    exchange = await _Exchange.start(port, method, path, headers, body, chunked)
    response = await exchange.read_head()
    response.body = await exchange.read_rest()
    return response


class _Exchange:
    """One HTTP/1.1 request and its response."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._is_chunked = False
        self._left: int | None = None
        self.is_over = False

    @classmethod
    async def start(
        cls,
        port: int,
        method: str,
        path: str,
        headers: Fields,
        body: bytes = b"",
        chunked: bool = False,
    ) -> "_Exchange":
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        fields = build_fields(headers, port)
        if chunked:
            fields.append(("Transfer-Encoding", "chunked"))
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        elif body:
            fields.append(("Content-Length", str(len(body))))
        target = quote(path, safe=PATH_CHARACTERS)
        head = [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in fields)]
        writer.write("\r\n".join([*head, "", ""]).encode("latin-1") + body)
        return cls(reader, writer)

    async def read_head(self) -> Response:
        try:
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except BaseException:  # a timeout of the caller's, mostly
            await self.abort()
            raise
        first, *lines = head.rstrip("\r\n").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        self._is_chunked = headers.get("transfer-encoding", "") == "chunked"
        status = int(first.split(" ")[1])
        if "content-length" in headers or status == 204:
            self._left = int(headers.get("content-length", 0))
        return Response(status, headers)

    async def read_rest(self) -> str:
        """Return what is left of the body."""
        body = bytearray()
        while (data := await self.read_some()) is not None:
            body += data
        return body.decode()

    async def read_some(self) -> bytes | None:
        """Return more of the body, None at its end."""
        data = None if self.is_over else await self._read()
        if data is None:
            self.is_over = True
            self._writer.close()
        return data

    async def _read(self) -> bytes | None:
        if self._is_chunked:
            size = int((await self._reader.readuntil(b"\r\n")).strip(), 16)
            chunk = (await self._reader.readexactly(size + 2))[:-2]
            return chunk if size else None
        if self._left is not None:
            chunk = await self._reader.read(self._left)
            self._left -= len(chunk)
            return chunk or None
        return await self._reader.read(CHUNK) or None

    async def abort(self) -> None:
        self.is_over = True
        self._writer.transport.abort()


class _Lines:
    """Splits a stream as WHATWG HTML, 9.2.5 wants it: at CR LF, LF and CR."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that are complete with `data`."""
        complete, newline, self._rest = (self._rest + data).rpartition(b"\n")
        return re.split(r"\r\n|\n|\r", (complete + newline).decode())[:-1]
