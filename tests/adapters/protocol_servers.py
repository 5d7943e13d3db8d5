"""The adapters that run tests/vectors/client.json, and the servers behind them.

A further adapter is one more entry of :data:`ADAPTERS`: a name and a coroutine function
that serves a PondSocket on a free port of the loopback. All servers live on one event
loop in a thread of its own, so that a client that does not read blocks no server.
"""

import asyncio
import logging
import socket
import threading
import warnings
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import uvicorn

from pondsocket import Options, PondSocket
from pondsocket_asgi import PondASGIApp
from pondsocket_asgi.runner import serve
from tests.adapters.protocol_app import ProtocolApp

T = TypeVar("T")

CALL_SECONDS = 6  # whatever the servers are asked to do, stopping included
SETTLE_SECONDS = 3
UVICORN = "uvicorn.error"
LOGGERS = (UVICORN, "pondsocket")
EXPECTED_LOG = (
    # uvicorn's websockets-sansio, after each handshake that got a denial response
    "ASGI callable returned without completing handshake.",
    # the same, before it closes with 1007
    "Invalid UTF-8 sequence received from client.",
)


class Host(Protocol):
    """A server that runs."""

    port: int

    def take_refusals(self) -> list[tuple[int, str]]:
        """Return codes and reasons of refused handshakes, where no client sees them."""

    async def stop(self) -> None:
        """End as after a signal; connections may be open."""


@dataclass(frozen=True)
class Adapter:
    """One way to serve the protocol.

    Attributes:
        name: In the ids of the tests.
        start: Serves a PondSocket.
        transports: What it can serve.
        settings: The keywords of the adapter that `start` can pass on.
        answers_handshakes: Whether a refused handshake gets a real HTTP response;
            otherwise the close codes are those of `Host.take_refusals`.
        exempt: Transport and id of what the host itself makes impossible.
    """

    name: str
    start: Callable[..., Awaitable[Host]]
    transports: frozenset[str] = frozenset({"websocket", "sse"})
    settings: frozenset[str] = frozenset({"sse_event_names"})
    answers_handshakes: bool = True
    exempt: frozenset[tuple[str, str]] = frozenset()

    def applies_to(self, vector: dict[str, Any], transport: str) -> bool:
        return (
            transport in self.transports
            and transport in vector["transports"]
            and (transport, vector["id"]) not in self.exempt
            and self.settings >= vector.get("adapter", {}).keys()
        )


# uvicorn, with each of its WebSocket implementations.


class _Uvicorn(uvicorn.Server):
    """A uvicorn that says when it listens."""

    def __init__(self, config: uvicorn.Config, refusals: list[tuple[int, str]]) -> None:
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

    def take_refusals(self) -> list[tuple[int, str]]:
        taken = self._refusals.copy()
        self._refusals.clear()
        return taken

    async def stop(self) -> None:
        self.should_exit = True
        await self._serving


def uvicorn_with(
    ws: str, http: str, middleware: Callable[..., Any] | None = None
) -> Callable[..., Awaitable[Host]]:
    async def start(pond: PondSocket, **settings: Any) -> Host:
        refusals: list[tuple[int, str]] = []
        app: Any = PondASGIApp(pond, **settings)
        config = uvicorn.Config(
            middleware(app, refusals) if middleware else app,
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


def without_denial_response(app: Any, refusals: list[tuple[int, str]]) -> Any:
    """Be a host that lacks ``websocket.http.response``, and note what it is told."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        accepted = False

        async def note(message: Any) -> None:
            nonlocal accepted
            accepted = accepted or message["type"] == "websocket.accept"
            if message["type"] == "websocket.close" and not accepted:
                refusals.append((message["code"], message["reason"]))
            await send(message)

        is_websocket = scope["type"] == "websocket"
        if is_websocket:
            scope = {**scope, "extensions": {}}
        await app(scope, receive, note if is_websocket else send)

    return wrapped


# `pondsocket serve`


@dataclass
class _Served:
    port: int
    stopping: asyncio.Event
    serving: asyncio.Task[None]

    def take_refusals(self) -> list[tuple[int, str]]:
        return []

    async def stop(self) -> None:
        self.stopping.set()
        await self.serving


async def pondsocket_serve(pond: PondSocket) -> Host:
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    serving = asyncio.create_task(
        serve(
            pond,
            host="127.0.0.1",
            port=0,
            pages=None,
            grace=0.0,
            stop=stop,
            on_ready=ready.set_result,
        ),
        name="serve",
    )
    return _Served(await ready, stop, serving)


ADAPTERS = [
    Adapter(
        "asgi-uvicorn-websockets-sansio",
        uvicorn_with(ws="websockets-sansio", http="httptools"),
    ),
    Adapter("asgi-uvicorn-wsproto", uvicorn_with(ws="wsproto", http="h11")),
    Adapter(
        "asgi-uvicorn-websockets",
        uvicorn_with(ws="websockets", http="h11"),
        # it cuts the line, and so the close frame, of a client that goes on sending
        exempt=frozenset({("websocket", "flood-closed")}),
    ),
    Adapter(
        "asgi-uvicorn-without-denial-response",
        uvicorn_with("websockets-sansio", "httptools", without_denial_response),
        answers_handshakes=False,
    ),
    Adapter("asgi-serve", pondsocket_serve, settings=frozenset()),
]


@dataclass
class Server:
    """An application on an adapter, as the runner sees it."""

    adapter: Adapter
    app: ProtocolApp
    host: Host
    has_event_names: bool
    _log: "_Log"
    _call: Callable[[Coroutine[Any, Any, Any]], Awaitable[Any]]
    is_stopped: bool = False

    async def settle(self) -> list[str]:
        return await self._call(self.app.settle(SETTLE_SECONDS))

    async def drain(self) -> None:
        await self._call(self.app.pond.drain(0.0))

    async def stop(self) -> None:
        if not self.is_stopped:
            self.is_stopped = True
            await self._call(self.host.stop())

    def counts(self) -> dict[str, int]:
        return self.app.pond.stats().counts

    def count_log_lines(self) -> int:
        return len(self._log.lines)

    def log_lines_after(self, count: int) -> list[str]:
        return self._log.lines[count:]


class Servers:
    """One server for each adapter and set of options, started when first needed."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._note)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._servers: dict[str, Server] = {}
        self._log = _Log()

    def _note(self, loop: object, context: dict[str, Any]) -> None:
        """Keep what an event loop would only log: nobody awaited a failure."""
        problem = f"{context['message']}: {context.get('exception')!r}"
        self._log.problems.append(problem)

    def take_problems(self) -> list[str]:
        """Return what went wrong behind the scenes since the last call."""
        problems, self._log.problems = self._log.problems, []
        return problems

    async def find(self, adapter: Adapter, vector: dict[str, Any]) -> Server:
        options, settings = vector.get("options", {}), vector.get("adapter", {})
        owner = vector["id"] if vector.get("own_server") else ""
        key = f"{adapter.name} {options} {settings} {owner}"
        server = self._servers.get(key)
        if server is None:
            starting = self._start(adapter, Options(**options), settings)
            server = self._servers[key] = await self._call(starting)
        return server

    async def _start(
        self, adapter: Adapter, options: Options, settings: dict[str, Any]
    ) -> Server:
        app = ProtocolApp(options)
        host = await adapter.start(app.pond, **settings)
        has_event_names = settings.get("sse_event_names", True)
        return Server(adapter, app, host, has_event_names, self._log, self._call)

    async def discard(self, server: Server) -> None:
        """Stop a server that was meant for one test."""
        await server.stop()
        self._servers = {k: v for k, v in self._servers.items() if v is not server}

    async def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(self._submit(work))

    def _submit(self, work: Coroutine[Any, Any, T]) -> Any:
        async def bounded() -> T:
            async with asyncio.timeout(CALL_SECONDS):
                return await work

        return asyncio.run_coroutine_threadsafe(bounded(), self._loop)

    def close(self) -> None:
        self._submit(self._stop_all()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_SECONDS)
        self._loop.close()
        self._log.close()

    async def _stop_all(self) -> None:
        await asyncio.gather(*(each.host.stop() for each in self._servers.values()))


class _Log(logging.Handler):
    """Keeps what uvicorn logs as an error, and what PondSocket logs as a warning.

    Attributes:
        problems: Of uvicorn: an application callable that raised, mostly.
        lines: Of PondSocket, which is expected where a vector asks for it.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.problems: list[str] = []
        self.lines: list[str] = []
        for name in LOGGERS:
            logging.getLogger(name).addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if record.name != UVICORN:
            self.lines.append(line)
        elif record.levelno >= logging.ERROR and not line.startswith(EXPECTED_LOG):
            self.problems.append(self.format(record))

    def close(self) -> None:
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(self)
        super().close()
