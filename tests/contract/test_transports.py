"""Every transport of this project keeps the contract.

One more is one more class: how it is served, how a client connects, what it can do.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

import pondsocket_aiohttp
import pondsocket_websockets
from pondsocket import PondSocket
from pondsocket.testing import (
    CloseCodeContract,
    Connect,
    ConnectionIdContract,
    FrameSinkContract,
    PushContract,
)
from tests.contract.memory import InMemory
from tests.contract.peers import StreamPeer, WebSocketPeer
from tests.reliability.hosts import listen, serving

PATH = "/contract"
SMALL_BUFFER = 4096  # bytes of the kernel's, so that who does not read is felt


@asynccontextmanager
async def serving_aiohttp(pond: PondSocket) -> AsyncIterator[int]:
    app = web.Application()
    pondsocket_aiohttp.setup(app, pond)
    runner = web.AppRunner(app)
    await runner.setup()
    listener = listen(SMALL_BUFFER)
    await web.SockSite(runner, listener).start()
    try:
        yield listener.getsockname()[1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def serving_websockets(pond: PondSocket) -> AsyncIterator[int]:
    listener = listen(SMALL_BUFFER)
    async with pondsocket_websockets.serve(pond, sock=listener):
        yield listener.getsockname()[1]


class TestInMemory(InMemory, FrameSinkContract):
    pass


class TestASGIWebSocket(FrameSinkContract, CloseCodeContract):
    @asynccontextmanager
    async def serve(self, pond: PondSocket) -> AsyncIterator[Connect]:
        async with serving(pond, send_buffer=SMALL_BUFFER) as port:
            yield lambda: WebSocketPeer.open(port, PATH)


class TestASGIEventStream(FrameSinkContract, PushContract, ConnectionIdContract):
    @asynccontextmanager
    async def serve(self, pond: PondSocket) -> AsyncIterator[Connect]:
        async with serving(pond, send_buffer=SMALL_BUFFER) as port:
            yield lambda: StreamPeer.open(port, PATH)


class TestAiohttpWebSocket(FrameSinkContract, CloseCodeContract):
    @asynccontextmanager
    async def serve(self, pond: PondSocket) -> AsyncIterator[Connect]:
        async with serving_aiohttp(pond) as port:
            yield lambda: WebSocketPeer.open(port, PATH)


class TestAiohttpEventStream(FrameSinkContract, PushContract, ConnectionIdContract):
    @asynccontextmanager
    async def serve(self, pond: PondSocket) -> AsyncIterator[Connect]:
        async with serving_aiohttp(pond) as port:
            yield lambda: StreamPeer.open(port, PATH)


class TestWebsockets(FrameSinkContract, CloseCodeContract):
    @asynccontextmanager
    async def serve(self, pond: PondSocket) -> AsyncIterator[Connect]:
        async with serving_websockets(pond) as port:
            yield lambda: WebSocketPeer.open(port, PATH)
