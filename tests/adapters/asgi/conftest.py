"""A chat to connect to, an ASGI host in memory, and real uvicorn on loopback."""

import asyncio
import contextlib
import json
import socket

import pytest
import uvicorn

from pondsocket import Event, Frame, Options, PondSocket, uuid
from pondsocket_asgi import PondASGIApp
from pondsocket_asgi.testing import ASGITestDriver
from tests.adapters.hosts_here import Uvicorn


class Host:
    """The callables of an ASGI host; its client reads while ``reads`` is set."""

    def __init__(self, *messages):
        self.sent = []
        self.inbox = asyncio.Queue()
        self.reads = asyncio.Event()
        self.reads.set()
        self.fault = None
        self.sending = asyncio.Event()
        for message in messages:
            self.inbox.put_nowait(message)

    async def receive(self):
        message = await self.inbox.get()
        if isinstance(message, Exception):
            raise message
        return message

    async def send(self, message):
        self.sending.set()
        await self.reads.wait()
        if self.fault is not None:
            raise self.fault
        self.sent.append(message)

    def tell(self, kind, **members):
        self.inbox.put_nowait({"type": kind, **members})

    @property
    def texts(self):
        return [message["text"] for message in self.sent if "text" in message]


@pytest.fixture
def host():
    return Host()


@pytest.fixture
def make_host():
    return Host


@pytest.fixture
def frame():
    """Make a frame whose payload is a number."""

    def make(number=1):
        return Frame(Event("BROADCAST", "/chat/1", uuid(), "news", {"n": number}))

    return make


class Chat:
    """A PondSocket with one endpoint, ``/socket``, and rooms below ``/chat/``.

    A client is declined by the query ``?decline=CODE``. Of the messages ``message`` is
    broadcast and ``echo`` replied to.
    """

    def __init__(self, options):
        self.pond = PondSocket(options=options)
        self.contexts = []
        self.left = []
        self.endpoint = self.pond.create_endpoint("/socket", self.connect)
        self.lobby = self.endpoint.create_channel("/chat/:room", self.join)
        self.lobby.on_message("message", self.broadcast)
        self.lobby.on_message("echo", self.echo)
        self.lobby.on_leave(self.leave)
        self.app = PondASGIApp(self.pond)
        self.driver = ASGITestDriver(self.app)

    async def connect(self, ctx):
        self.contexts.append(ctx)
        if "decline" in ctx.query:
            ctx.decline(int(ctx.query["decline"]), "not today")
        else:
            ctx.accept()

    async def join(self, ctx):
        await ctx.accept()

    async def broadcast(self, ctx):
        await ctx.broadcast(ctx.event_name, ctx.get_payload())

    async def echo(self, ctx):
        await ctx.reply("echo", ctx.get_payload())

    async def leave(self, ctx):
        self.left.append((ctx.user.id, ctx.reason))

    @property
    def counts(self):
        return self.pond.stats().counts

    @property
    def connected(self):
        return self.pond.stats().connections


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
def message():
    """Make a client message as JSON text."""

    def make(action="BROADCAST", *, channel="/chat/1", event="echo", payload=None):
        return json.dumps(
            {
                "action": action,
                "event": event,
                "channelName": channel,
                "requestId": uuid(),
                "payload": payload or {},
            }
        )

    return make


class ImpatientUvicorn(Uvicorn):
    """uvicorn that waits for no deaf client."""

    async def shutdown(self, sockets=None):
        for connection in tuple(self.server_state.connections):
            if connection.transport.is_closing():
                connection.transport.abort()
        await super().shutdown(sockets)


@pytest.fixture
async def serve():
    """Serve an application with uvicorn; returns the server, with its ``port``."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(app, *, send_buffer=None, **config):
            listener = stack.enter_context(socket.socket())
            if send_buffer is not None:  # connections inherit it
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
            listener.bind(("127.0.0.1", 0))
            settings = {"timeout_graceful_shutdown": 5, "lifespan": "off", **config}
            server = ImpatientUvicorn(uvicorn.Config(app, log_config=None, **settings))
            server.port = listener.getsockname()[1]
            task = asyncio.create_task(server.serve([listener]))

            async def stop():
                server.should_exit = True
                await task

            stack.push_async_callback(stop)
            async with asyncio.timeout(5):
                await server.is_listening.wait()
            return server

        yield start


@pytest.fixture
def deaf():
    """Shake hands with a server as a client that never reads what comes after."""
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
        while b"\r\n\r\n" not in head:
            head += await loop.sock_recv(client, 1)
        return client

    yield connect
    for client in clients:
        client.close()
