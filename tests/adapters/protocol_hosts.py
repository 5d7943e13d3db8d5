"""The adapters that play tests/vectors/client.json, and the hosts that they run on.

A further adapter is one more entry of :data:`ADAPTERS`: a name, and ``here`` around a
coroutine function that serves a PondSocket on a free port of the loopback.
"""

import asyncio
import socket
import warnings
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import uvicorn
from aiohttp import web

from pondsocket import PondSocket
from pondsocket.cli import Adapter as ServingAdapter
from pondsocket_aiohttp import runner as aiohttp_runner
from pondsocket_aiohttp import setup
from pondsocket_asgi import PondASGIApp
from pondsocket_asgi.runner import serve
from pondsocket_asgi.ws_bridge import runner as bridge_runner
from pondsocket_websockets import runner as websockets_runner
from pondsocket_websockets import serve as serve_websockets
from tests.adapters.protocol_places import Host, Log, Place, at_host, here
from tests.adapters.protocol_refusals import (
    Refusal,
    noting_refusals,
    without_denial_response,
)
from tests.adapters.running import served


@dataclass(frozen=True)
class Adapter:
    """One way to serve the protocol.

    Attributes:
        name: In the ids of the tests.
        place: Makes what serves PondSockets.
        transports: What it can serve.
        settings: The keywords of the adapter that `place` can pass on.
        answers_handshakes: Whether a refused handshake gets a real HTTP response;
            otherwise the close codes are those of `Site.take_refusals`.
        exempt: Why, by transport and id, for what the host itself makes impossible.
        host: Its name in docs/hosts.md; empty if it is none of those.
    """

    name: str
    place: Callable[[Log], Place]
    transports: frozenset[str] = frozenset({"websocket", "sse"})
    settings: frozenset[str] = frozenset({"sse_event_names"})
    answers_handshakes: bool = True
    exempt: Mapping[tuple[str, str], str] = field(default_factory=dict)
    host: str = ""

    def could_play(self, vector: dict[str, Any], transport: str) -> bool:
        """Whether the vector is about something that this adapter has."""
        return (
            transport in self.transports
            and transport in vector["transports"]
            and self.settings >= vector.get("adapter", {}).keys()
        )

    def plays(self, vector: dict[str, Any], transport: str) -> bool:
        is_exempt = (transport, vector["id"]) in self.exempt
        return self.could_play(vector, transport) and not is_exempt


# uvicorn, with each of its WebSocket implementations.


class _Uvicorn(uvicorn.Server):
    """A uvicorn that says when it listens."""

    def __init__(self, config: uvicorn.Config, refusals: list[Refusal]) -> None:
        super().__init__(config)
        self._refusals = refusals
        self._listening = asyncio.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._serving = asyncio.create_task(self.serve([self._socket]), name="uvicorn")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening.set()

    async def listen(self) -> None:
        await self._listening.wait()

    def take_refusals(self) -> list[Refusal]:
        taken = self._refusals.copy()
        self._refusals.clear()
        return taken

    async def stop(self) -> None:
        self.should_exit = True
        await self._serving


def uvicorn_with(
    ws: str, http: str, middleware: Callable[[Any], Any] | None = None
) -> Callable[..., Awaitable[Host]]:
    async def start(pond: PondSocket, **settings: Any) -> Host:
        refusals: list[Refusal] = []
        app = noting_refusals(PondASGIApp(pond, **settings), refusals)
        config = uvicorn.Config(
            middleware(app) if middleware else app,
            ws=ws,
            http=http,
            lifespan="on",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=3,
        )
        with warnings.catch_warnings():
            # uvicorn calls its oldest implementation deprecated, and still offers it
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.filterwarnings("ignore", message=".*websockets")
            config.load()
        server = _Uvicorn(config, refusals)
        await server.listen()
        return server

    return start


# `pondsocket serve`


@dataclass
class _Entered:
    port: int
    serving: AsyncExitStack

    def take_refusals(self) -> list[Refusal]:
        return []

    async def stop(self) -> None:
        await self.serving.aclose()


async def pondsocket_serve(pond: PondSocket, run: ServingAdapter = serve) -> Host:
    stack = AsyncExitStack()
    serving = served(run, pond, pages=None)
    return _Entered(await stack.enter_async_context(serving), stack)


# aiohttp


@dataclass
class _Aiohttp:
    port: int
    runner: web.AppRunner

    def take_refusals(self) -> list[Refusal]:
        return []

    async def stop(self) -> None:
        await self.runner.cleanup()


async def aiohttp_app(pond: PondSocket, **settings: Any) -> Host:
    app = web.Application()
    setup(app, pond, **settings)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=3)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return _Aiohttp(runner.addresses[0][1], runner)


# the library websockets


async def websockets_serve(pond: PondSocket) -> Host:
    stack = AsyncExitStack()
    serving = serve_websockets(pond, "127.0.0.1", 0)
    server = await stack.enter_async_context(serving)
    return _Entered(server.sockets[0].getsockname()[1], stack)


AUTOBAHN_ORIGIN = "autobahn refuses an Origin that is no URL by itself, with 400"


def _without_streams(status: int) -> dict[tuple[str, str], str]:
    reason = f"it answers whatever is no handshake alike, with {status}"
    return {
        ("websocket", vector_id): reason
        for vector_id in (
            "sse-post-by-user-id",
            "sse-delete-by-user-id",
            "websocket-id-is-no-secret",
        )
    }


ADAPTERS = [
    Adapter(
        "asgi-uvicorn-websockets-sansio",
        here(uvicorn_with(ws="websockets-sansio", http="httptools")),
        host="uvicorn-websockets-sansio",
    ),
    Adapter(
        "asgi-uvicorn-wsproto",
        here(uvicorn_with(ws="wsproto", http="h11")),
        host="uvicorn-wsproto",
    ),
    Adapter(
        "asgi-uvicorn-websockets",
        here(uvicorn_with(ws="websockets", http="h11")),
        exempt={
            ("websocket", "flood-closed"): (
                "uvicorn cuts the line, and with it the close frame, of a client that "
                "goes on sending"
            ),
        },
        host="uvicorn-websockets",
    ),
    Adapter(
        "asgi-uvicorn-without-denial-response",
        here(uvicorn_with("websockets-sansio", "httptools", without_denial_response)),
        answers_handshakes=False,
    ),
    Adapter(
        "asgi-serve", here(pondsocket_serve), settings=frozenset(), host="serve-asgi"
    ),
    Adapter("aiohttp", here(aiohttp_app)),
    Adapter(
        "aiohttp-serve",
        here(partial(pondsocket_serve, run=aiohttp_runner.serve)),
        settings=frozenset(),
        host="serve-aiohttp",
    ),
    Adapter(
        "websockets",
        here(websockets_serve),
        transports=frozenset({"websocket"}),
        settings=frozenset(),
        exempt=_without_streams(400),
    ),
    Adapter(
        "websockets-serve",
        here(partial(pondsocket_serve, run=websockets_runner.serve)),
        transports=frozenset({"websocket"}),
        settings=frozenset(),
        exempt=_without_streams(400),
        host="serve-websockets",
    ),
    Adapter(
        "bridge-serve",
        here(partial(pondsocket_serve, run=bridge_runner.serve)),
        transports=frozenset({"websocket"}),
        settings=frozenset(),
        exempt=_without_streams(426),
        host="serve-bridge",
    ),
    Adapter("asgi-uvicorn-uvloop", at_host("uvicorn-uvloop"), host="uvicorn-uvloop"),
    Adapter("asgi-hypercorn", at_host("hypercorn"), host="hypercorn"),
    Adapter("asgi-granian", at_host("granian"), host="granian"),
    Adapter(
        "asgi-daphne",
        at_host("daphne"),
        answers_handshakes=False,
        exempt={
            ("websocket", "endpoint-slashes"): (
                "autobahn takes what follows two slashes for a host name"
            ),
            ("websocket", "origin-foreign-no-scheme"): AUTOBAHN_ORIGIN,
            ("websocket", "origin-foreign-empty"): AUTOBAHN_ORIGIN,
        },
        host="daphne",
    ),
]
