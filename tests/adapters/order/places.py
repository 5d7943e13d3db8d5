"""Places: what carries a PondSocket to its clients, and the kinds of clients it takes.

A further host is one more entry of :data:`PLACES`: ``serve`` is an asynchronous context
manager that serves a PondSocket in the running loop, and gives a port of the loopback.
"""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from pondsocket import Options, PondSocket
from pondsocket_asgi import PondASGIApp
from pondsocket_asgi.uvicorn import DeflatingWebSocketProtocol, WebSocketProtocol
from pondsocket_websockets import serve as serve_websockets
from tests.adapters.aiohttp import serving as aiohttp_serving
from tests.adapters.bridge.serving import Server
from tests.adapters.order.clients import (
    KIND_OF_STREAM,
    KINDS_HERE,
    KINDS_OF_WEBSOCKET,
    LibraryClient,
)
from tests.adapters.order.play import Player
from tests.reliability.hosts import listen
from tests.reliability.hosts import serving as uvicorn_serving

__all__ = ["PLACES", "Place"]

SEND_BUFFER = 16_384  # bytes that the kernel keeps of what is not read, and doubles
RECEIVE_BUFFER = 16_384

Connect: TypeAlias = Callable[[int], Awaitable[Player]]


@dataclass(frozen=True)
class Place:
    """One way to reach a PondSocket.

    Attributes:
        name: In the ids of the tests.
        serve: Serves one, and gives a function that connects a client of the so
            manieth kind.
        has_wire: Whether there are sockets, to write to in several ways.
    """

    name: str
    serve: Callable[[PondSocket], AbstractAsyncContextManager[Connect]]
    has_wire: bool = True


@asynccontextmanager
async def here(pond: PondSocket) -> AsyncIterator[Connect]:
    """Serve nobody but transports without a socket."""
    numbers = itertools.count(1)

    async def connect(kind: int) -> Player:
        chosen = KINDS_HERE[kind % len(KINDS_HERE)]
        return await chosen.open(pond.endpoints[0], f"user-{next(numbers)}")

    async with pond:
        yield connect


@asynccontextmanager
async def wired(
    serve: Callable[[PondSocket], AbstractAsyncContextManager[int]],
    pond: PondSocket,
    *,
    has_streams: bool,
) -> AsyncIterator[Connect]:
    """Serve on the loopback."""
    kinds = (*KINDS_OF_WEBSOCKET, *[KIND_OF_STREAM] * has_streams)

    async with serve(pond) as port:

        async def connect(kind: int) -> Player:
            chosen = kinds[kind % len(kinds)]
            client = await chosen.open(port, receive_buffer=RECEIVE_BUFFER)
            if isinstance(client, LibraryClient):  # else it would test something else
                is_agreed = pond.options.compression and bool(client.extensions)
                assert client.is_compressed == is_agreed
            return client

        yield connect


def own_protocol(options: Options) -> Any:
    """Return what ``pondsocket serve`` runs uvicorn with."""
    return DeflatingWebSocketProtocol if options.compression else WebSocketProtocol


def uvicorns_protocol(options: Options) -> Any:
    return "websockets-sansio"


@asynccontextmanager
async def on_uvicorn(
    choose: Callable[[Options], Any], pond: PondSocket
) -> AsyncIterator[int]:
    serving = uvicorn_serving(
        pond,
        choose(pond.options),
        send_buffer=SEND_BUFFER,
        ws_per_message_deflate=pond.options.compression,
        ws_ping_interval=None,
    )
    async with serving as port:
        yield port


@asynccontextmanager
async def on_aiohttp(pond: PondSocket) -> AsyncIterator[int]:
    async with aiohttp_serving.serving(pond, send_buffer=SEND_BUFFER) as port:
        yield port


@asynccontextmanager
async def on_websockets(pond: PondSocket) -> AsyncIterator[int]:
    listener = listen(SEND_BUFFER)
    async with serve_websockets(pond, sock=listener):
        yield listener.getsockname()[1]


@asynccontextmanager
async def on_the_bridge(pond: PondSocket) -> AsyncIterator[int]:
    compression = pond.options.compression
    server = Server(PondASGIApp(pond), shutdown_timeout=1.0, compression=compression)
    await server.start(send_buffer=SEND_BUFFER)
    try:
        yield server.port
    finally:
        await pond.close()
        await server.end()


PLACES = [
    Place("here", here, has_wire=False),
    Place("aiohttp", partial(wired, on_aiohttp, has_streams=True)),
    Place("websockets", partial(wired, on_websockets, has_streams=False)),
    Place(
        "uvicorn-own-protocol",
        partial(wired, partial(on_uvicorn, own_protocol), has_streams=True),
    ),
    Place(
        "uvicorn-sansio",
        partial(wired, partial(on_uvicorn, uvicorns_protocol), has_streams=True),
    ),
    Place("bridge", partial(wired, on_the_bridge, has_streams=False)),
]
