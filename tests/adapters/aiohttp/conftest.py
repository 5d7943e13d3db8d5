"""A chat to connect to, served by a real aiohttp on the loopback."""

import asyncio
import base64
import contextlib
import json
import socket

import psutil
import pytest
from aiohttp import web

from pondsocket import Event, Frame, Hooks, Options, PondSocket, uuid
from pondsocket_aiohttp import setup
from tests.adapters.aiohttp.serving import serving_app

HANDSHAKE = (
    b"GET /socket HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\n"
    b"connection: upgrade\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: " + base64.b64encode(bytes(16)) + b"\r\n\r\n"
)
STREAM = b"GET /socket HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n"


class Chat:
    """A PondSocket with one endpoint, ``/socket``, and rooms below ``/chat/``.

    A client is declined by the query ``?decline=CODE``, and waits with ``?hold`` until
    ``gate`` is set. The hook for a new connection waits while ``greets`` is not.
    """

    def __init__(self, options):
        options.hooks = Hooks(on_connect=self.greet, on_disconnect=self.disconnect)
        self.pond = PondSocket(options=options)
        self.begun = 0
        self.ended = 0
        self.greets = asyncio.Event()
        self.greets.set()
        self.contexts = []
        self.left = []
        self.requests = []  # aiohttp's
        self.gate = asyncio.Event()
        self.endpoint = self.pond.create_endpoint("/socket", self.connect)
        self.lobby = self.endpoint.create_channel("/chat/:room", self.join)
        self.lobby.on_message("echo", self.echo)
        self.lobby.on_leave(self.leave)

    async def connect(self, ctx):
        self.contexts.append(ctx)
        if "hold" in ctx.query:
            await self.gate.wait()
        if "decline" in ctx.query:
            ctx.decline(int(ctx.query["decline"]), "not today")
        else:
            ctx.accept()

    async def greet(self, transport):
        self.begun += 1
        await self.greets.wait()

    async def disconnect(self, transport):
        self.ended += 1

    async def join(self, ctx):
        await ctx.accept()

    async def echo(self, ctx):
        await ctx.reply("echo", ctx.get_payload())

    async def leave(self, ctx):
        self.left.append(ctx.user.id)

    @property
    def counts(self):
        return self.pond.stats().counts

    @property
    def connected(self):
        return self.pond.stats().connections

    @property
    def session(self):
        (session,) = self.endpoint.connections.sessions()
        return session


@pytest.fixture
async def make_chat():
    async with contextlib.AsyncExitStack() as stack:

        async def make(**options):
            chat = Chat(Options(**options))
            await stack.enter_async_context(chat.pond)
            return chat

        yield make


@pytest.fixture
async def chat(make_chat):
    return await make_chat()


@pytest.fixture
async def serve_app():
    """Serve an application; returns its port."""
    async with contextlib.AsyncExitStack() as stack:

        async def serve(app, **settings):
            return await stack.enter_async_context(serving_app(app, **settings))

        yield serve


@pytest.fixture
async def serve(serve_app):
    """Serve a chat in an application of its own; returns the port."""

    async def serve_chat(chat, **settings):
        @web.middleware
        async def note(request, handler):
            chat.requests.append(request)
            return await handler(request)

        app = web.Application(middlewares=[note])
        setup(app, chat.pond)
        return await serve_app(app, **settings)

    return serve_chat


@pytest.fixture
def until():
    """Wait for a condition that no event tells of: it is aiohttp's."""

    async def wait(condition):
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.01)

    return wait


@pytest.fixture
def count_sockets():
    """Count the connections that a server still holds, as the system sees it."""

    def count(port):
        return sum(
            each.laddr.port == port and each.status != psutil.CONN_LISTEN
            for each in psutil.Process().net_connections("tcp4")
        )

    return count


@pytest.fixture
def message():
    """Make a client message as JSON text."""

    def make(action="BROADCAST", event="echo", payload=None):
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
def big_frame():
    return Frame(Event("BROADCAST", "/c", "1", "news", {"text": "x" * 8_000_000}))


@pytest.fixture
def deaf():
    """Send a request as a client that never reads what comes after the head."""
    clients = []

    async def connect(port, request):
        client = socket.socket()
        clients.append(client)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", port))
        await loop.sock_sendall(client, request)
        head = b""
        async with asyncio.timeout(5):
            while b"\r\n\r\n" not in head:
                head += await loop.sock_recv(client, 1)
        return client

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
async def dial():
    """Open a TCP connection and say something; returns reader and writer."""
    writers = []

    async def connect(port, first=b""):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        writer.write(first)
        return reader, writer

    yield connect
    for writer in writers:
        writer.transport.abort()


@pytest.fixture
def handshake():
    return HANDSHAKE


@pytest.fixture
def stream_request():
    return STREAM


@pytest.fixture
def read_all():
    async def read(reader):
        async with asyncio.timeout(10):
            return await reader.read()

    return read
