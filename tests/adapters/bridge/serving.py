"""A bridge on the loopback in the test's own loop, and clients that speak bytes."""

import asyncio
import base64
import contextlib
import socket
import struct

from websockets.asyncio.client import connect

from pondsocket_asgi.ws_bridge import ServerConfig, serve
from tests.adapters.running import ServingTask

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

_MEDIUM, _LONG = 126, 127  # RFC 6455 5.2: how long the length is
_COMPRESSED = 0x40
_LAST = 0x80


def handshake(path="/", *headers, without=(), line="GET {} HTTP/1.1", **changes):
    """Return a good handshake, some headers less, changed or more."""
    fields = {
        "host": "x",
        "upgrade": "websocket",
        "connection": "upgrade",
        "sec-websocket-version": "13",
        "sec-websocket-key": base64.b64encode(bytes(16)).decode(),
    }
    fields |= {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{name}: {fields[name]}" for name in fields if name not in without]
    return "\r\n".join([line.format(path), *lines, *headers, "", ""]).encode("utf-8")


def frame(opcode, payload=b"", *, is_last=True, is_compressed=False):
    """Return a client's frame; its mask is zero."""
    first = opcode | _LAST * is_last | _COMPRESSED * is_compressed
    size = len(payload)
    if size < _MEDIUM:
        head = bytes([first, 0x80 | size])
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, 0x80 | _MEDIUM, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | _LONG, size)
    return head + bytes(4) + payload


def close_frame(code, reason=""):
    return frame(CLOSE, code.to_bytes(2, "big") + reason.encode())


def close_bytes(code):
    """Return the server's close frame without a reason."""
    return b"\x88\x02" + code.to_bytes(2, "big")


def disconnect(code, reason=""):
    """Return the last event of an application."""
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


class Client:
    """A TCP connection that speaks for a WebSocket client, well or badly."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    def say(self, data):
        self.writer.write(data)

    async def read_head(self):
        """Return the head of the response as text."""
        return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def read_rest(self):
        """Return all that comes until the server hangs up."""
        async with asyncio.timeout(10):
            return await self.reader.read()

    async def read_frame(self):
        """Return opcode and payload of the next frame."""
        first, second = await self.reader.readexactly(2)
        size = second
        if size == _MEDIUM:
            size = int.from_bytes(await self.reader.readexactly(2), "big")
        elif size == _LONG:
            size = int.from_bytes(await self.reader.readexactly(8), "big")
        return first & 0x0F, await self.reader.readexactly(size)

    async def read_close(self):
        """Return code and reason of the close frame, whatever comes before it."""
        opcode, payload = await self.read_frame()
        while opcode != CLOSE:
            opcode, payload = await self.read_frame()
        return int.from_bytes(payload[:2], "big"), payload[2:].decode()

    async def say_until_it_blocks(self, data):
        """Repeat ``data`` until it is no longer taken; return how many bytes were."""
        self.writer.transport.set_write_buffer_limits(high=1)
        said = 0
        while True:
            self.say(data)
            try:
                await asyncio.wait_for(self.writer.drain(), 0.3)
            except TimeoutError:
                return said
            said += len(data)

    def stop_reading(self):
        """Take nothing more from the kernel, which soon takes nothing more either."""
        self.writer.transport.pause_reading()

    def hang_up(self):
        self.writer.close()

    def reset(self):
        """End the connection as a crashed machine's kernel does, with a RST."""
        wire = self.writer.get_extra_info("socket")
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Server(ServingTask):
    """``serve`` with one application."""

    def __init__(self, app, *, lifespan="off", **settings):
        super().__init__()
        self._app = app
        self._config = ServerConfig(lifespan=lifespan, **settings)
        self._clients = []

    async def start(self, *, send_buffer=None, **keywords):
        """Serve until the server is ready or has failed.

        Args:
            send_buffer: Bytes that the kernel keeps for a client that does not read.
            **keywords: Of ``serve``.
        """
        listener = None
        if not keywords.keys() & {"host", "port", "sockets"}:
            listener = socket.socket()
            if send_buffer is not None:  # connections inherit both
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, send_buffer)
            listener.bind(("127.0.0.1", 0))
            keywords["sockets"] = [listener]
        keywords = {"stop": self.stop, "on_ready": self.note, **keywords}
        await self.run(serve(self._app, config=self._config, **keywords))
        if listener is not None:
            self.task.add_done_callback(lambda _: listener.close())
        return self

    def connect(self, path="/", *, scheme="ws", **settings):
        """Connect the library ``websockets``."""
        return connect(f"{scheme}://127.0.0.1:{self.port}{path}", **settings)

    async def dial(self, first=b"", *, receive_buffer=None, **settings):
        """Connect a client that has said ``first``.

        Args:
            first: Any bytes.
            receive_buffer: Bytes that the kernel takes while the client does not read.
            **settings: Of ``asyncio.open_connection``.
        """
        wire = socket.socket()
        if receive_buffer is not None:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, receive_buffer)
        wire.setblocking(False)
        address = ("127.0.0.1", self.port)
        await asyncio.get_running_loop().sock_connect(wire, address)
        client = Client(*await asyncio.open_connection(sock=wire, **settings))
        self._clients.append(client)
        client.say(first)
        return client

    async def open(self, path="/", *headers, **settings):
        """Connect a client whose handshake was accepted."""
        client = await self.dial(handshake(path, *headers), **settings)
        assert (await client.read_head()).startswith("HTTP/1.1 101 ")
        return client

    async def open_with(self, puppet, *headers, **settings):
        """Connect a client that the puppet has accepted; see ``puppet.last``."""
        client = await self.dial(handshake("/", *headers), **settings)
        await puppet.accept()
        await client.read_head()
        return client

    async def ask(self, data):
        """Say something as a new client; return all that comes until the end."""
        client = await self.dial(data)
        answer = await client.read_rest()
        client.hang_up()
        return answer.decode()

    def cut_off(self):
        """End the clients of :meth:`dial` at once."""
        for client in self._clients:
            client.writer.transport.abort()


def left_over():
    """Return the names of the tasks that some bridge has still running."""
    names = [each.get_name() for each in asyncio.all_tasks()]
    return sorted(name for name in names if name.startswith("pond-"))


async def until(condition):
    """Wait for a condition that no event tells of."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


class Session:
    """One call of a :class:`Puppet`: a test receives and sends in its place."""

    def __init__(self, scope, receive, send):
        self.scope = scope
        self.receive = receive
        self.send = send
        self.was_cancelled = False
        self._ended = asyncio.get_running_loop().create_future()

    async def accept(self, **more):
        assert await self.receive() == {"type": "websocket.connect"}
        await self.send({"type": "websocket.accept", **more})

    async def say(self, text):
        await self.send({"type": "websocket.send", "text": text})

    async def close(self, code=1000, reason=""):
        await self.send({"type": "websocket.close", "code": code, "reason": reason})

    def leave(self, error=None):
        """Let the application return or raise."""
        if not self._ended.done():
            if error is None:
                self._ended.set_result(None)
            else:
                self._ended.set_exception(error)

    async def wait(self):
        try:
            await self._ended
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise


class Puppet:
    """An ASGI application without a will of its own; the tests move it.

    Attributes:
        sessions: Its calls that no test has taken yet.
        last: The one that a test took last.
    """

    def __init__(self):
        self.sessions = asyncio.Queue()
        self.last = None
        self._all = []

    async def __call__(self, scope, receive, send):
        session = Session(scope, receive, send)
        self._all.append(session)
        self.sessions.put_nowait(session)
        await session.wait()

    async def accept(self, **more):
        """Accept the next client."""
        session = await self.next()
        await session.accept(**more)
        return session

    async def next(self):
        self.last = await self.sessions.get()
        return self.last

    def release(self):
        """Let all return that a test has left standing."""
        for session in self._all:
            session.leave()


async def echo(scope, receive, send):
    """Accept everybody and send back what comes."""
    assert scope["type"] == "websocket"
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        with contextlib.suppress(OSError):  # the client may be gone already
            await send({**event, "type": "websocket.send"})
