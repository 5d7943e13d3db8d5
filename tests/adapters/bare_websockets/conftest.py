"""A chat on the library's server over loopback, and clients that do as they please."""

import asyncio
import base64
import contextlib
import json
import socket

import pytest
from websockets.asyncio.client import connect

from pondsocket import Options, PondSocket, uuid
from pondsocket_websockets import serve

HANDSHAKE = (
    b"GET /socket HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\n"
    b"connection: upgrade\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: " + base64.b64encode(bytes(16)) + b"\r\n\r\n"
)


class Chat:
    """A PondSocket with one endpoint, ``/socket``, and rooms below ``/chat/``.

    A client is declined by the query ``?decline=CODE``, and left waiting by ``?wait``.
    """

    def __init__(self, options):
        self.pond = PondSocket(options=options)
        self.contexts = []
        self.left = []
        self.asked = asyncio.Event()
        self.endpoint = self.pond.create_endpoint("/socket", self.connect)
        self.lobby = self.endpoint.create_channel("/chat/:room", self.join)
        self.lobby.on_message("echo", self.echo)
        self.lobby.on_leave(self.leave)

    async def connect(self, ctx):
        self.contexts.append(ctx)
        self.asked.set()
        if "wait" in ctx.query:
            await asyncio.Event().wait()
        elif "decline" in ctx.query:
            ctx.decline(int(ctx.query["decline"]), "not today")
        else:
            ctx.accept()

    async def join(self, ctx):
        await ctx.accept()

    async def echo(self, ctx):
        await ctx.reply("echo", ctx.get_payload())

    async def leave(self, ctx):
        self.left.append((ctx.user.id, ctx.reason))

    @property
    def connected(self):
        return self.pond.stats().connections


@pytest.fixture
async def make_chat():
    async with contextlib.AsyncExitStack() as stack:

        def make(**options):
            chat = Chat(Options(**options))
            stack.push_async_callback(chat.pond.close)
            return chat

        yield make


class Server:
    """A chat that is served.

    Attributes:
        entered: The context that serves it; closed by :meth:`close`.
    """

    def __init__(self, chat):
        self.chat = chat
        self.port = 0
        self.entered = contextlib.AsyncExitStack()

    async def open(self, serving):
        server = await self.entered.enter_async_context(serving)
        self.port = server.sockets[0].getsockname()[1]
        return self

    def connect(self, path="/socket", **settings):
        return connect(f"ws://127.0.0.1:{self.port}{path}", **settings)

    async def say(self, data):
        """Send raw bytes on a new connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        return reader, writer

    async def ask(self, data):
        """Send raw bytes and return all that comes until the server hangs up."""
        reader, writer = await self.say(data)
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()
        return answer.decode()

    async def until(self, condition):
        """Wait for a condition that no event tells of: it is the library's."""
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.01)

    async def close(self):
        async with asyncio.timeout(10):
            await self.entered.aclose()


@pytest.fixture
async def start(make_chat):
    """Serve a chat with some options of its own and keywords of ``serve``."""
    servers = []

    async def start_one(options=None, *, send_buffer=None, **settings):
        listener = socket.socket()
        if send_buffer is not None:  # connections inherit it
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        listener.bind(("127.0.0.1", 0))
        chat = make_chat(**options or {})
        servers.append(Server(chat))
        return await servers[-1].open(serve(chat.pond, sock=listener, **settings))

    yield start_one
    for each in servers:
        await each.close()


@pytest.fixture
def handshake():
    """Return what a client says first."""
    return HANDSHAKE


@pytest.fixture
def message():
    """Make a client message as JSON text."""

    def make(action="BROADCAST", *, event="echo", payload=None):
        return json.dumps(
            {
                "action": action,
                "event": event,
                "channelName": "/chat/1",
                "requestId": uuid(),
                "payload": payload or {},
            }
        )

    return make


@pytest.fixture
def deaf(handshake):
    """Shake hands with a server as a client that never reads what comes after."""
    clients = []

    async def open_deaf(server):
        client = socket.socket()
        clients.append(client)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", server.port))
        await loop.sock_sendall(client, handshake)
        head = b""
        while b"\r\n\r\n" not in head:
            head += await loop.sock_recv(client, 1)
        return client

    yield open_deaf
    for client in clients:
        client.close()
