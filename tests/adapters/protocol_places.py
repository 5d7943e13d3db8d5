"""Where the PondSockets of the vectors are served: in this process, or in a host's.

A Place serves any number of them, each with options of its own, as a Site. Everything
here runs on the event loop of protocol_servers.py.
"""

import asyncio
import json
import logging
import re
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

from aiohttp.http import HttpProcessingError

from pondsocket import Options
from tests.adapters.protocol_app import ProtocolApp
from tests.adapters.protocol_clients import request
from tests.adapters.protocol_refusals import Refusal
from tests.hosts.process import HostProcess, run_host

SETTLE_SECONDS = 3
SERVED = "tests.adapters.protocol_served"
UVICORN = "uvicorn.error"
SERVERS = (UVICORN, "aiohttp.server")  # whose errors are problems
LOGGERS = (*SERVERS, "pondsocket", "pondsocket_aiohttp", "pondsocket_websockets")
EXPECTED_LOG = (
    # uvicorn's websockets-sansio, after each handshake that got a denial response
    "ASGI callable returned without completing handshake.",
    # the same, before it closes with 1007
    "Invalid UTF-8 sequence received from client.",
)
# The same in what a process writes, with the traceback below it.
EXPECTED_ENTRY = re.compile(
    rf"^.*(?:{'|'.join(map(re.escape, EXPECTED_LOG))}).*\n"
    r"(?:Traceback.*\n(?:[ ].*\n)*.*\n)?",
    re.MULTILINE,
)
ALARMING = re.compile("Traceback|ERROR|CRITICAL|panicked")


class Host(Protocol):
    """A server that runs on this event loop."""

    port: int

    def take_refusals(self) -> list[Refusal]:
        """Return codes and reasons of refused handshakes, where no client sees them."""

    async def stop(self) -> None:
        """End as after a signal; connections may be open. Again does no harm."""


class Site(Protocol):
    """One PondSocket that is served, and what a test may ask of it.

    Attributes:
        port: Of the loopback.
        prefix: What it is mounted under, as the beginning of a path.
    """

    port: int
    prefix: str

    async def settle(self) -> list[str]:
        """Wait until every connection has ended; say what is left after that."""

    async def drain(self) -> None:
        """Close every connection."""

    async def stop(self) -> None:
        """End its host as a signal does; connections may be open."""

    async def counts(self) -> dict[str, int]:
        """Return its counters."""

    async def take_log_lines(self) -> list[str]:
        """Return what PondSocket logged as a warning since the last call."""

    async def take_refusals(self) -> list[Refusal]:
        """As for a host."""


class Place(Protocol):
    """What serves PondSockets."""

    async def open(self, options: dict[str, Any], settings: dict[str, Any]) -> Site:
        """Serve one more, with these options and these keywords of the adapter."""

    def take_problems(self) -> list[str]:
        """Return what went wrong behind the scenes since the last call."""

    async def close(self) -> None:
        """Stop everything; again does no harm."""


# In this process.


class Log(logging.Handler):
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
        if record.name not in SERVERS:
            self.lines.append(line)
        elif record.levelno >= logging.ERROR and not _is_expected(record):
            self.problems.append(self.format(record))

    def take_lines(self) -> list[str]:
        lines, self.lines = self.lines, []
        return lines

    def close(self) -> None:
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(self)
        super().close()


def _is_expected(record: logging.LogRecord) -> bool:
    # aiohttp logs what it refuses by itself: a request without Host
    error = record.exc_info[1] if record.exc_info else None
    return isinstance(error, HttpProcessingError) or record.getMessage().startswith(
        EXPECTED_LOG
    )


class Here:
    """This process: a server of its own for each PondSocket."""

    def __init__(self, start: Callable[..., Awaitable[Host]], log: Log) -> None:
        self._start = start
        self._log = log
        self._hosts: list[Host] = []

    async def open(self, options: dict[str, Any], settings: dict[str, Any]) -> Site:
        app = ProtocolApp(Options(**options))
        host = await self._start(app.pond, **settings)
        self._hosts.append(host)
        return _SiteHere(app, host, self._log)

    def take_problems(self) -> list[str]:
        return []  # the log is that of the whole process; its owner asks it

    async def close(self) -> None:
        await asyncio.gather(*(host.stop() for host in self._hosts))


class _SiteHere:
    prefix = ""

    def __init__(self, app: ProtocolApp, host: Host, log: Log) -> None:
        self._app = app
        self._host = host
        self._log = log
        self.port = host.port

    async def settle(self) -> list[str]:
        return await self._app.settle(SETTLE_SECONDS)

    async def drain(self) -> None:
        await self._app.pond.drain(0.0)

    async def stop(self) -> None:
        await self._host.stop()

    async def counts(self) -> dict[str, int]:
        return self._app.pond.stats().counts

    async def take_log_lines(self) -> list[str]:
        return self._log.take_lines()

    async def take_refusals(self) -> list[Refusal]:
        return self._host.take_refusals()


def here(start: Callable[..., Awaitable[Host]]) -> Callable[[Log], Place]:
    """Serve in this process.

    Args:
        start: Called with a PondSocket, and with the keywords of the adapter that a
            vector wants.
    """
    return lambda log: Here(start, log)


# In a process of a host's own.


class HostPlace:
    """One process of a host, where protocol_served.py is what it serves."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._resources = AsyncExitStack()
        self._host: HostProcess | None = None
        self._read = 0  # characters of its log
        self._problems: list[str] = []
        self._is_closed = False

    async def open(self, options: dict[str, Any], settings: dict[str, Any]) -> Site:
        host = self._host = self._host or await self._start()
        if not options and not settings:
            return _SiteOfHost(self, host.port)
        created = {"options": options, "settings": settings}
        number: int = await ask(host.port, "open", created)
        return _SiteOfHost(self, host.port, number)

    async def _start(self) -> HostProcess:
        enter = self._resources.enter_context
        log = Path(enter(tempfile.TemporaryDirectory())) / "log"
        running = run_host(self._name, SERVED, log)
        return await self._resources.enter_async_context(running)

    @property
    def is_over(self) -> bool:
        return self._host is None or self._host.process.returncode is not None

    async def terminate(self) -> None:
        if self._host is not None and not self.is_over:
            await self._host.terminate()

    def take_problems(self) -> list[str]:
        self._read_log()
        problems, self._problems = self._problems, []
        return problems

    def _read_log(self) -> None:
        if self._host is None or self._is_closed:
            return
        log = self._host.log
        new, self._read = log[self._read :], len(log)
        if alarm := find_alarm(new):
            self._problems.append(f"{self._name} wrote: {alarm}")

    async def close(self) -> None:
        try:
            await self.terminate()
        finally:
            self._read_log()
            self._is_closed = True
            await self._resources.aclose()


class _SiteOfHost:
    def __init__(self, place: HostPlace, port: int, number: int = 0) -> None:
        self._place = place
        self._number = number
        self.port = port
        self.prefix = f"/{number}" if number else ""

    async def settle(self) -> list[str]:
        return [] if self._place.is_over else await self._ask("settle")

    async def drain(self) -> None:
        await self._ask("drain")

    async def stop(self) -> None:
        await self._place.terminate()

    async def counts(self) -> dict[str, int]:
        return await self._ask("counts")

    async def take_log_lines(self) -> list[str]:
        return await self._ask("take_log_lines")

    async def take_refusals(self) -> list[Refusal]:
        return [(code, reason) for code, reason in await self._ask("take_refusals")]

    async def _ask(self, question: str) -> Any:
        return await ask(self.port, question, {"site": self._number})


def find_alarm(written: str) -> str:
    """Return what a process wrote from its first failure on, "" if there is none."""
    unexpected = EXPECTED_ENTRY.sub("", written)
    first = ALARMING.search(unexpected)
    return unexpected[first.start() :][:3000] if first else ""


async def ask(port: int, question: str, body: dict[str, Any]) -> Any:
    """Ask protocol_served.py, over the host that serves it."""
    data = json.dumps(body).encode()
    response = await request(port, "POST", f"/control/{question}", {}, data)
    assert response.status == 200, (question, response)
    return json.loads(response.body)


def at_host(name: str) -> Callable[[Log], Place]:
    """Serve in a process of one of the hosts of tests/hosts/commands.py."""
    return lambda _: HostPlace(name)
