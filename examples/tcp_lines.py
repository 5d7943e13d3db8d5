"""A chat over plain TCP: one JSON message a line, no HTTP and no WebSocket.

    python tcp_lines.py

Then talk to it, one line at a time; who opens a second terminal hears the first:

    nc localhost 9000
    {"action":"JOIN_CHANNEL","channelName":"/a","event":"e","requestId":"1","payload":{}}
    {"action":"BROADCAST","channelName":"/a","event":"e","requestId":"2","payload":{}}
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from pondsocket import (
    BaseTransport,
    Endpoint,
    Event,
    Frame,
    IncomingConnection,
    PondError,
    PondSocket,
    close_code_for,
    event_to_json,
    uuid,
)

FAREWELL = 1.0  # seconds in which a client may still read what was sent to it


class LineConnection(asyncio.Protocol, BaseTransport):
    """One TCP connection: what asyncio calls on one side, what pond calls on the other.

    Lines that the client does not read wait in the socket's buffer up to asyncio's
    mark (64 KiB), and from there on in the session's outbox, which has its own limits.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(uuid())
        self._endpoint = endpoint
        self._rest = bytearray()  # the beginning of a line
        self._is_full = False
        self._writable: Callable[[], None] = lambda: None
        self._lost = asyncio.Event()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the client wait with its first line until it is admitted."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for type checkers
        self._socket = transport
        self._socket.pause_reading()
        notice_vanished_clients(transport.get_extra_info("socket"), self._endpoint)
        self._life = asyncio.get_running_loop().create_task(self._live())

    def data_received(self, data: bytes) -> None:
        """Hand in whole lines; a line without end is too long before it is whole."""
        if not self.is_active():
            return  # read on, else the kernel would take back what was sent last
        self._rest += data
        if b"\n" in data:
            *lines, self._rest = self._rest.split(b"\n")
            for line in filter(bytes.strip, map(bytes, lines)):
                self.receive(line)
        if 0 < self._endpoint.options.max_message_size < len(self._rest):
            self.receive(bytes(self._rest))  # which answers with 1009

    def pause_writing(self) -> None:
        """Take no more frames."""
        self._is_full = True

    def resume_writing(self) -> None:
        """Take frames again, and say so."""
        self._is_full = False
        self._writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the socket is closed, by whomever."""
        self._lost.set()

    # What pond calls.

    def try_send(self, frames: Sequence[Frame]) -> bool:
        """Write all frames, or none while the socket's buffer is above its mark."""
        if self._is_full or not self.is_active():
            return False
        self._socket.write(b"".join(frame.data + b"\n" for frame in frames))
        return True

    def on_writable(self, callback: Callable[[], None]) -> None:
        """Set what to call once frames are taken again."""
        self._writable = callback

    async def handle_messages(self) -> None:
        """Start to read: the client was greeted."""
        self._socket.resume_reading()

    async def _close_wire(self, code: int, reason: str) -> None:
        """Say why in a last line, and give the client a moment to read it."""
        payload = {"code": code, "reason": reason}
        event = Event("SYSTEM", "GATEWAY", uuid(), "CLOSED", payload)
        try:
            self._socket.resume_reading()
            self._socket.write(event_to_json(event).encode() + b"\n")
            self._socket.write_eof()
            async with asyncio.timeout(FAREWELL):
                await self._lost.wait()
        except (OSError, TimeoutError):  # it is gone, or it does not hang up
            self._socket.abort()

    # A connection's life, from the handshake to the end.

    async def _live(self) -> None:
        address = str(self._socket.get_extra_info("peername"))
        incoming = IncomingConnection(id=self.get_id(), address=address)
        context = await self._endpoint.request_connection(incoming)
        if context.decline_info is not None:
            code, message = context.decline_info
            await self.close_with(close_code_for(code), message)
            return
        try:
            await self._endpoint.register_transport(self, context)
        except PondError as error:  # the endpoint is full, or shuts down
            await self.close_with(close_code_for(error.code), error.message)
            return
        del context  # and so the request, for as long as the connection lasts
        await self._lost.wait()
        await self.peer_gone()


def notice_vanished_clients(plain: socket.socket, endpoint: Endpoint) -> None:
    """Let the kernel ask silent clients whether they live; Linux lets us say when."""
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        options = endpoint.options
        pause, wait = max(1, int(options.ping_interval)), int(options.pong_wait * 1000)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, pause)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, pause)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, wait)


@asynccontextmanager
async def serve_lines(
    endpoint: Endpoint, host: str = "127.0.0.1", port: int = 9000
) -> AsyncIterator[int]:
    """Serve an endpoint and yield the port; at the end every client is told."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: LineConnection(endpoint), host, port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await endpoint.close()


# The application; nothing in it knows what it is served by.

pond = PondSocket()
endpoint = pond.create_endpoint("/lines", lambda ctx: ctx.accept())
rooms = endpoint.create_channel("/:room", lambda ctx: ctx.accept())
rooms.on_message("*", lambda ctx: ctx.broadcast(ctx.event_name, ctx.get_payload()))


async def main() -> None:
    """Serve until the process is interrupted or terminated."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    asked = int(os.environ.get("PORT", "9000"))
    async with pond, serve_lines(endpoint, port=asked) as port:
        print(f"serving lines on 127.0.0.1:{port}", flush=True)  # noqa: T201
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(main())
