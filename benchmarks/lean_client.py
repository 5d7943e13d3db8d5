"""A WebSocket client that costs little enough to run thousands of in one process.

It speaks just what a benchmark needs of RFC 6455 and of the client protocol: whole
unfragmented text frames from a trusted server on loopback.
"""

import asyncio
import base64
import os
import socket
from collections.abc import Callable

import msgspec

__all__ = ["LeanClient", "connect"]

MASK = b"\0\0\0\0"  # a mask of zeros is a mask: nothing has to be computed
TEXT = 0x1
CLOSE = 0x8
PING = 0x9
MEDIUM, LONG = 126, 127

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode


class LeanClient(asyncio.Protocol):
    """One connection; every message goes to ``on_message(client, message)``."""

    def __init__(self, on_message: Callable[["LeanClient", dict], None]) -> None:
        loop = asyncio.get_running_loop()
        self.on_message = on_message
        self.opened: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[int] = loop.create_future()
        self.close_code = 1006
        self.received_bytes = 0
        self.transport: asyncio.Transport
        self._data = b""
        self._is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def start(self, path: str) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        self.transport.write(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def send(
        self,
        action: str,
        channel: str,
        event: str,
        request_id: str = "r",
        **payload: object,
    ) -> None:
        body = encode(
            {
                "action": action,
                "event": event,
                "channelName": channel,
                "requestId": request_id,
                "payload": payload,
            }
        )
        size = len(body)
        if size < MEDIUM:
            head = bytes((0x80 | TEXT, 0x80 | size))
        elif size < 1 << 16:
            head = bytes((0x80 | TEXT, 0x80 | MEDIUM)) + size.to_bytes(2, "big")
        else:
            head = bytes((0x80 | TEXT, 0x80 | LONG)) + size.to_bytes(8, "big")
        self.transport.write(head + MASK + body)

    def data_received(self, data: bytes) -> None:
        self.received_bytes += len(data)
        data = self._data + data if self._data else data
        if not self._is_open:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._data = data
                return
            status = data.split(b" ", 2)[1]
            if status != b"101":
                self.opened.set_exception(ConnectionError(f"refused with {status!r}"))
                self.transport.abort()
                return
            self._is_open = True
            self.opened.set_result(None)
            data = data[end + 4 :]
        self._data = self._parse(data)

    def _parse(self, data: bytes) -> bytes:
        at = 0
        while (bounds := _frame_bounds(data, at)) is not None:
            start, end = bounds
            self._handle(data[at] & 0xF, data[start:end])
            at = end
        return data[at:]

    def _handle(self, opcode: int, body: bytes) -> None:
        if opcode == TEXT:
            self.on_message(self, decode(body))
        elif opcode == CLOSE:
            self.close_code = int.from_bytes(body[:2], "big") if body else 1005
            self.transport.close()
        elif opcode == PING:
            self.transport.write(bytes((0x8A, 0x80 | len(body))) + MASK + body)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(error or ConnectionError("closed too early"))
            self.opened.exception()
        if not self.closed.done():
            self.closed.set_result(self.close_code)


def _frame_bounds(data: bytes, at: int) -> tuple[int, int] | None:
    """Return where the payload of a frame starts and ends, None if it is not whole."""
    if len(data) - at < 2:
        return None
    size, start = data[at + 1], at + 2
    if size >= MEDIUM:
        width = 2 if size == MEDIUM else 8
        if len(data) - start < width:
            return None
        size, start = int.from_bytes(data[start : start + width], "big"), start + width
    end = start + size
    return (start, end) if end <= len(data) else None


async def connect(
    port: int,
    on_message: Callable[[LeanClient, dict], None],
    path: str = "/load",
    receive_buffer: int = 0,
) -> LeanClient:
    """Open one connection on loopback.

    Args:
        port: The server's.
        on_message: Called with the client and each message.
        path: The endpoint's.
        receive_buffer: Bytes that the kernel may keep for a client that does not read;
            0 lets it grow.
    """
    loop = asyncio.get_running_loop()
    dialled = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if receive_buffer:
        dialled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    dialled.setblocking(False)
    await loop.sock_connect(dialled, ("127.0.0.1", port))
    _, client = await loop.create_connection(
        lambda: LeanClient(on_message), sock=dialled
    )
    client.start(path)
    await client.opened
    return client
