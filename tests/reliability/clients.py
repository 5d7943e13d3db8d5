"""Clients made of bare sockets, so that they can misbehave.

They stop reading, vanish without a word, and never finish what they began. What they
receive is kept as it came, in order, for the tests to look at.
"""

import asyncio
import base64
import itertools
import os
import socket
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

import msgspec

HOST = "127.0.0.1"
PATIENCE = 10.0  # seconds for anything that a test waits for
PATH = "/live"

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
NO_STATUS, ABNORMAL = 1005, 1006
MASK = b"\x1f\x2e\x3d\x4c"
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: send RST instead of FIN

_numbers = itertools.count(1)
_dialled: "set[Wire]" = set()


async def hang_up_all() -> None:
    """Close what a test left open."""
    wires = [wire for wire in _dialled if not wire.is_lost]
    _dialled.clear()
    for wire in wires:
        wire.hang_up()
    for wire in wires:
        await wire.wait_until_lost()


def tcp_socket() -> socket.socket:
    """Return a socket for which asyncio sets TCP_NODELAY, as it does for its own."""
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)


async def eventually(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait for a state that nobody announces; a TimeoutError says it never came."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


class Wire(asyncio.Protocol):
    """One TCP connection; what comes in is in ``data`` until it is parsed."""

    transport: asyncio.Transport

    def __init__(self, port: int) -> None:
        self.port = port
        self.data = bytearray()
        self.is_lost = False
        self.was_reset = False  # by TCP: what was unread is lost, a close frame too
        self._news = asyncio.Event()

    @classmethod
    async def dial(cls, port: int, *, receive_buffer: int | None = None) -> Self:
        """Connect and say nothing.

        Args:
            port: On loopback.
            receive_buffer: Bytes that the kernel may keep for a client that does not
                read (it doubles them); None lets it grow.
        """
        dialled = tcp_socket()
        if receive_buffer is not None:
            dialled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        dialled.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(dialled, (HOST, port))
        _, wire = await loop.create_connection(lambda: cls(port), sock=dialled)
        _dialled.add(wire)
        return wire

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.parse()
        self._news.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True
        self.was_reset = isinstance(error, ConnectionError)
        self._news.set()

    def parse(self) -> None:
        """Take what is whole out of ``data``."""

    # What a test does with it.

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    async def until(
        self, condition: Callable[[], bool], seconds: float = PATIENCE
    ) -> None:
        """Wait until what came makes a condition true."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def wait_until_lost(self, seconds: float = PATIENCE) -> None:
        await self.until(lambda: self.is_lost, seconds)

    def stop_reading(self) -> None:
        self.transport.pause_reading()

    def read_on(self) -> None:
        if not self.is_lost:
            self.transport.resume_reading()

    def hang_up(self) -> None:
        """Close the socket, with a FIN and without a word of the protocol."""
        self.transport.abort()

    def reset(self) -> None:
        """Close the socket with an RST, as a crashed machine that came back does."""
        plain = self.transport.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()


def make_message(
    action: str, channel: str, event: str, payload: dict[str, Any]
) -> dict[str, Any]:
    """Return a message with a request id of its own."""
    return {
        "action": action,
        "event": event,
        "channelName": channel,
        "requestId": f"r{next(_numbers)}",
        "payload": payload,
    }


class Member(Wire):
    """What both kinds of clients can do.

    Attributes:
        status: Of the answer to the handshake, 0 until it is here.
        received: The messages, decoded, in order.
        answers: What came, by request id; the first of each.
    """

    kind: str

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.status = 0
        self.headers: dict[str, str] = {}
        self.received: list[dict[str, Any]] = []
        self.answers: dict[str, dict[str, Any]] = {}

    @classmethod
    async def open(
        cls,
        port: int,
        path: str = PATH,
        *,
        headers: Mapping[str, str] | None = None,
        receive_buffer: int | None = None,
    ) -> Self:
        """Connect, shake hands and wait for the greeting, or for the refusal."""
        client = await cls.dial(port, receive_buffer=receive_buffer)
        client.shake_hands(path, headers)
        await client.until(lambda: bool(client.received) or client.is_over)
        return client

    @property
    def is_over(self) -> bool:
        return self.is_lost or self.status not in {0, 101, 200}

    @property
    def user_id(self) -> str:
        return self.received[0]["payload"]["id"]

    def shake_hands(
        self, path: str = PATH, headers: Mapping[str, str] | None = None
    ) -> None:
        raise NotImplementedError

    async def send(self, message: dict[str, Any] | bytes) -> None:
        raise NotImplementedError

    def take(self, text: bytes | bytearray) -> None:
        message = msgspec.json.decode(text)
        self.received.append(message)
        self.answers.setdefault(message["requestId"], message)

    def take_head(self) -> bool:
        """Parse the head of the answer, once it is whole."""
        head, found, rest = bytes(self.data).partition(b"\r\n\r\n")
        if found:
            first, *lines = head.decode().split("\r\n")
            self.headers = {
                name.lower(): value
                for name, value in (line.split(": ", 1) for line in lines)
            }
            self.status = int(first.split()[1])
            self.data = bytearray(rest)
        return bool(found)

    def named(self, event: str) -> list[dict[str, Any]]:
        """Return the payloads of all messages with that event name."""
        return [each["payload"] for each in self.received if each["event"] == event]

    async def ask(
        self, action: str, channel: str, event: str = "e", /, **payload: Any
    ) -> dict[str, Any]:
        """Send a request and return its answer."""
        request_id = await self.tell(action, channel, event, **payload)
        await self.until(lambda: request_id in self.answers or self.is_over)
        return self.answers[request_id]

    async def tell(
        self, action: str, channel: str, event: str = "e", /, **payload: Any
    ) -> str:
        """Send a request and return its id."""
        message = make_message(action, channel, event, payload)
        await self.send(message)
        return message["requestId"]

    async def join(self, channel: str, /, **params: Any) -> dict[str, Any]:
        return await self.ask("JOIN_CHANNEL", channel, **params)

    async def leave(self, channel: str) -> dict[str, Any]:
        return await self.ask("LEAVE_CHANNEL", channel)


class WebSocketClient(Member):
    """A WebSocket (RFC 6455); whole, unfragmented frames."""

    kind = "websocket"

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.close_code: int | None = None
        self.answers_pings = True

    def shake_hands(
        self, path: str = PATH, headers: Mapping[str, str] | None = None
    ) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        fields = {
            "Host": f"{HOST}:{self.port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": key,
            "Sec-WebSocket-Version": "13",
            **(headers or {}),
        }
        lines = [f"GET {path} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items())]
        self.write("\r\n".join([*lines, "", ""]).encode())

    async def send(self, message: dict[str, Any] | bytes) -> None:
        self.send_at_once([message])

    def send_at_once(self, messages: Iterable[dict[str, Any] | bytes]) -> None:
        """Send messages in one write."""
        self.write(b"".join(frame(TEXT, encode(each)) for each in messages))

    def close(self, code: int = 1000) -> None:
        """Send a close frame; the server closes the socket."""
        self.write(frame(CLOSE, code.to_bytes(2, "big")))

    def parse(self) -> None:
        if not self.status and not self.take_head():
            return
        while self.status == 101 and (bounds := _bounds(self.data)) is not None:
            start, end = bounds
            opcode, body = self.data[0] & 0xF, self.data[start:end]
            del self.data[:end]
            self._handle(opcode, body)

    def _handle(self, opcode: int, body: bytearray) -> None:
        if opcode == TEXT:
            self.take(body)
        elif opcode == PING and self.answers_pings:
            self.write(frame(PONG, bytes(body)))
        elif opcode == CLOSE:
            self.close_code = int.from_bytes(body[:2], "big") if body else NO_STATUS
            self.write(frame(CLOSE, bytes(body)))

    async def wait_for_close(self, seconds: float = PATIENCE) -> int:
        """Return the close code, ABNORMAL if the socket ended without any."""
        await self.wait_until_lost(seconds)
        return ABNORMAL if self.close_code is None else self.close_code


class EventStreamClient(Member):
    """Server-Sent Events; what it says goes out by POST, each on its own socket."""

    kind = "sse"

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.is_complete = False
        self._stream = bytearray()

    def shake_hands(
        self, path: str = PATH, headers: Mapping[str, str] | None = None
    ) -> None:
        self.write(
            head(
                "GET",
                path,
                self.port,
                {"Accept": "text/event-stream", **(headers or {})},
            )
        )

    @property
    def is_over(self) -> bool:
        return super().is_over or self.is_complete

    @property
    def secret(self) -> str:
        """The id of the connection, which only its own client knows."""
        return self.headers["x-connection-id"]

    async def send(self, message: dict[str, Any] | bytes) -> None:
        answer = await request(
            self.port, "POST", PATH, {"X-Connection-ID": self.secret}, encode(message)
        )
        assert answer.status == 204, answer

    async def delete(self) -> int:
        answer = await request(
            self.port, "DELETE", PATH, {"X-Connection-ID": self.secret}
        )
        return answer.status

    def parse(self) -> None:
        if not self.status and not self.take_head():
            return
        while (size_end := self.data.find(b"\r\n")) >= 0:  # RFC 9112, 7.1
            size = int(self.data[:size_end], 16)
            start, end = size_end + 2, size_end + 2 + size
            if len(self.data) < end + 2:
                break
            self._stream += self.data[start:end]
            del self.data[: end + 2]
            self.is_complete = self.is_complete or not size
        while (event_end := self._stream.find(b"\n\n")) >= 0:
            for line in bytes(self._stream[:event_end]).split(b"\n"):
                if line.startswith(b"data: "):
                    self.take(line.removeprefix(b"data: "))
            del self._stream[: event_end + 2]


class Answer(Member):
    """The answer to one plain request."""

    @property
    def body(self) -> bytes:
        return bytes(self.data)

    def parse(self) -> None:
        if not self.status:
            self.take_head()


async def request(
    port: int,
    method: str,
    path: str = PATH,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> Answer:
    """Send one request and return its answer, with whatever body it has."""
    fields = {
        "Content-Length": str(len(body)),
        "Connection": "close",
        **(headers or {}),
    }
    answer = await Answer.dial(port)
    answer.write(head(method, path, port, fields) + body)
    await answer.wait_until_lost()
    return answer


def encode(message: dict[str, Any] | bytes) -> bytes:
    return message if isinstance(message, bytes) else msgspec.json.encode(message)


def head(method: str, path: str, port: int, fields: Mapping[str, str]) -> bytes:
    """Return the head of an HTTP request."""
    every = {"Host": f"{HOST}:{port}", **fields}
    lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in every.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def frame(opcode: int, body: bytes) -> bytes:
    """Return a masked frame, as clients must send them (RFC 6455, 5.1)."""
    if len(body) < 126:
        start = bytes((0x80 | opcode, 0x80 | len(body)))
    elif len(body) < 1 << 16:
        start = bytes((0x80 | opcode, 0x80 | 126)) + len(body).to_bytes(2, "big")
    else:
        start = bytes((0x80 | opcode, 0x80 | 127)) + len(body).to_bytes(8, "big")
    mask = int.from_bytes((MASK * (len(body) // 4 + 1))[: len(body)], "big")
    return (
        start + MASK + (int.from_bytes(body, "big") ^ mask).to_bytes(len(body), "big")
    )


def _bounds(data: bytearray) -> tuple[int, int] | None:
    """Return where the first frame's body starts and ends, None if it is not whole."""
    if len(data) < 2:
        return None
    size, start = data[1], 2
    if size >= 126:
        start = 4 if size == 126 else 10
        if len(data) < start:
            return None
        size = int.from_bytes(data[2:start], "big")
    return (start, start + size) if len(data) >= start + size else None
