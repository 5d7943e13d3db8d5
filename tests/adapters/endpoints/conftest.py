"""An ASGI host in memory, and real ones on loopback with a real client."""

import asyncio
import contextlib
import json

import pytest
from websockets.asyncio.client import connect

from pondsocket_asgi.endpoints import WebSocketEventMessage
from tests.adapters.hosts_here import HOSTS

SCOPE = {
    "type": "websocket",
    "path": "/ws",
    "root_path": "",
    "query_string": b"",
    "headers": [],
    "subprotocols": [],
    "extensions": {"websocket.http.response": {}},
}


class Host:
    """The callables of an ASGI host, and what its client says and hears."""

    def __init__(self):
        self.sent = []
        self.inbox = asyncio.Queue()
        self.inbox.put_nowait({"type": "websocket.connect"})
        self.fault = None

    async def receive(self):
        return await self.inbox.get()

    async def send(self, message):
        if self.fault is not None:
            raise self.fault
        self.sent.append(message)

    def say(self, message, *, binary=False):
        text = message if isinstance(message, str) else json.dumps(message)
        frame = {"bytes": text.encode()} if binary else {"text": text}
        self.inbox.put_nowait({"type": "websocket.receive", **frame})

    def leave(self, code=1001):
        self.inbox.put_nowait({"type": "websocket.disconnect", "code": code})

    @property
    def answers(self):
        return [json.loads(x["text"]) for x in self.sent if "text" in x]

    @property
    def kinds(self):
        return [each["type"] for each in self.sent]

    async def run(self, endpoint, *messages):
        """Let a client say something and leave; return the answers that it got."""
        for message in messages:
            self.say(message)
        self.leave()
        await self.serve(endpoint)
        return self.answers

    async def serve(self, endpoint):
        """Serve the client until it leaves."""
        async with asyncio.timeout(10):
            await endpoint(dict(SCOPE), self.receive, self.send)


@pytest.fixture
def host():
    return Host()


@pytest.fixture
def scope():
    return dict(SCOPE)


@pytest.fixture
def message():
    """Make a message as an endpoint reads it."""

    def make(kind="greet", /, **fields):
        return WebSocketEventMessage.model_validate({**fields, "type": kind})

    return make


@pytest.fixture
async def serve(request):
    """Serve an application; returns the URL of its WebSockets.

    By uvicorn, unless a test says otherwise: see ``each_host`` of the tests.
    """
    host = HOSTS[getattr(request, "param", "uvicorn")]
    async with contextlib.AsyncExitStack() as stack:

        async def start(app):
            return f"ws://127.0.0.1:{await stack.enter_async_context(host(app))}"

        yield start


class Client:
    """The published client, speaking JSON; every wait of it ends."""

    def __init__(self, connection):
        self.connection = connection

    async def send(self, message):
        text = message if isinstance(message, str | bytes) else json.dumps(message)
        await self.connection.send(text)

    async def receive(self):
        async with asyncio.timeout(5):
            return json.loads(await self.connection.recv())

    async def ask(self, message):
        """Send one message and return the answer."""
        await self.send(message)
        return await self.receive()

    async def code_of_close(self):
        async with asyncio.timeout(5):
            await self.connection.wait_closed()
        return self.connection.close_code


@pytest.fixture
async def open_client():
    """Connect to a URL."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(url):
            opened = connect(url, open_timeout=5, close_timeout=2)
            return Client(await stack.enter_async_context(opened))

        yield start
