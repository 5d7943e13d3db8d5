"""What an idle joined connection costs in memory, on every host.

``python benchmarks/bench_idle_memory.py [--connections 2000] [--hosts daphne ...]``
starts each host twice, with a bare echo and with our application, each in a process of
its own by its real command line. Clients connect, say one thing (to us: that they join
one of 100 rooms), get the answer and stay idle; what the process has grown by since the
first hundred is divided by their number. The difference is ours: at most 5 KB.

``--trace`` prints which lines of code hold the difference, in bytes per connection (it
falsifies the totals).
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import memory_probe
from lean_client import LeanClient, connect

import pondsocket

HERE = Path(__file__).parent
CHANNELS = 100
FIRST = 100  # connections that are there when counting begins
AT_ONCE = 25  # handshakes in progress: more would leave a mark of their own
DEADLINE = 60.0  # seconds, for any one wait
SETTLING = 1.0  # seconds; hosts drop what a handshake needed a little later
IDLING = 11.0  # until the timers of the last sends have run out, too
ALLOWED = 5.0  # KB of 1,000 bytes
KB = 1000


@dataclass(frozen=True, slots=True)
class Host:
    """A host, and the arguments to Python that serve the echo and the application.

    ``{target}`` is the application to import and ``{port}`` where to listen.
    """

    name: str
    bare: str
    ours: str

    def has_in_name(self, part: str) -> bool:
        """Tell whether this is a part of its name, here or in tests/hosts."""
        return part in self.name or part in re.sub(r" --\w+ ", "-", self.name)


def asgi(name: str, command: str) -> Host:
    return Host(
        name,
        command.replace("{target}", "idle_echo:app"),
        command.replace("{target}", "idle_pond:app"),
    )


def own(name: str, bare: str) -> Host:
    """Return a host that ``pondsocket serve`` runs."""
    command = Path(sys.executable).with_name("pondsocket")
    settings = f"--adapter {name} --port {{port}} --log-level warning"
    return Host(
        f"serve --adapter {name}", bare, f"{command} serve idle_pond:pond {settings}"
    )


UVICORN = "-m uvicorn {target} --port {port} --log-level error --loop asyncio --ws "
HOSTS = [
    *(
        asgi(f"uvicorn --ws {ws}", UVICORN + ws)
        for ws in ("websockets-sansio", "websockets", "wsproto")
    ),
    asgi("hypercorn", "-m hypercorn --bind 127.0.0.1:{port} {target}"),
    asgi(
        "granian",
        "-m granian --interface asgi --host 127.0.0.1 --port {port}"
        " --log-level warning {target}",
    ),
    asgi("daphne", "-m daphne -b 127.0.0.1 -p {port} -v 0 {target}"),
    own("asgi", UVICORN.replace("{target}", "idle_echo:app") + "websockets-sansio"),
    own("aiohttp", f"{HERE / 'idle_libraries.py'} aiohttp {{port}}"),
    own("websockets", f"{HERE / 'idle_libraries.py'} websockets {{port}}"),
]


class Server:
    """A host's process; what serves in it tells of its memory."""

    def __init__(self, port: int, probe: Path) -> None:
        self.port = port
        self._probe = probe

    async def measure(self, after: float) -> dict[str, Any]:
        await asyncio.sleep(after)
        async with asyncio.timeout(DEADLINE):
            reader, writer = await asyncio.open_unix_connection(self._probe)
            answer = json.loads(await reader.read())
            writer.close()
        return answer


@contextlib.asynccontextmanager
async def run(command: str, *, trace: bool) -> AsyncIterator[Server]:
    """Run a host until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        probe = Path(directory, "probe")
        environment = {
            **os.environ,
            "PYTHONPATH": str(HERE),
            memory_probe.VARIABLE: str(probe),
            memory_probe.TRACED: "1" if trace else "",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command.format(port=port).split(),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # so that its children end with it
        )
        try:
            await until_it_listens(process, port)
            yield Server(port, probe)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def until_it_listens(process: asyncio.subprocess.Process, port: int) -> None:
    async with asyncio.timeout(DEADLINE):
        while process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
    raise ChildProcessError(f"the host ended with {process.returncode}")


class Crowd:
    """Clients that connected, joined and say nothing more."""

    def __init__(self, port: int) -> None:
        self.clients: list[LeanClient] = []
        self._port = port
        self._answered: dict[LeanClient, asyncio.Future[None]] = {}

    async def grow(self, count: int) -> None:
        numbers = iter(range(len(self.clients), len(self.clients) + count))
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._enter_all(numbers))

    async def _enter_all(self, numbers: Any) -> None:  # noqa: ANN401 - a shared iterator
        for number in numbers:
            async with asyncio.timeout(DEADLINE):
                await self._enter(f"/room/{number % CHANNELS}")

    async def _enter(self, room: str) -> None:
        client = await connect(self._port, self._note, path="/live")
        self.clients.append(client)
        answered = asyncio.get_running_loop().create_future()
        self._answered[client] = answered
        client.send("JOIN_CHANNEL", room, "join")
        await answered

    def _note(self, client: LeanClient, message: dict[str, Any]) -> None:
        if message["event"] in {"ACKNOWLEDGE", "join"}:  # ours, or the echo
            self._answered.pop(client).set_result(None)

    def leave(self) -> None:
        for client in self.clients:
            client.transport.abort()


Growth = dict[str, float]  # bytes for each idle connection: of the process, of a line


async def measure(command: str, count: int, *, trace: bool) -> tuple[Growth, Growth]:
    """Return what the process grew by, and its lines of code if they are traced."""
    async with run(command, trace=trace) as server:
        crowd = Crowd(server.port)
        await crowd.grow(FIRST)
        before = await server.measure(SETTLING)
        await crowd.grow(count)
        after = await server.measure(IDLING)
        lost = sum(client.transport.is_closing() for client in crowd.clients)
        crowd.leave()
    if lost:
        raise ConnectionError(f"{lost} idle clients were closed meanwhile")
    names = ("resident", "anonymous")
    process = {name: (after[name] - before[name]) / count for name in names}
    lines = {place: size / count for place, size in after.get("lines", ())}
    return process, lines


def compare(host: Host, count: int, *, trace: bool) -> list[str]:
    """Return a line of the table."""
    bare, bare_lines = asyncio.run(measure(host.bare, count, trace=trace))
    ours, our_lines = asyncio.run(measure(host.ours, count, trace=trace))
    ours_alone = {
        place: size - bare_lines.get(place, 0) for place, size in our_lines.items()
    }
    for place, size in sorted(ours_alone.items(), key=lambda each: -each[1]):
        if size >= 1:
            print(f"{size:8.0f}  {place}")
    grown = {name: (ours[name] - bare[name]) / KB for name in bare}
    return [
        host.name,
        f"{bare['anonymous'] / KB:.1f}",
        f"{ours['anonymous'] / KB:.1f}",
        f"{grown['anonymous']:.1f}",
        f"{grown['resident']:.1f}",
        "yes" if grown["anonymous"] <= ALLOWED else "no",
    ]


def describe(table: list[list[str]], count: int) -> str:
    head = [
        "host", "bare echo", "ours, joined", "difference", "difference in RSS",
        f"at most {ALLOWED:.0f} KB",
    ]  # fmt: skip
    return "\n".join(
        [
            "# Idle memory: what was measured",
            "",
            (
                f"pondsocket {pondsocket.__version__}, Python "
                f"{platform.python_version()}, {platform.machine()}, "
                f"{time.strftime('%Y-%m-%d')}; KB per idle connection, {count:,} of "
                f"them in {CHANNELS} channels, resident and of no file; "
                "`python benchmarks/bench_idle_memory.py`"
            ),
            "",
            "| " + " | ".join(head) + " |",
            "|---" * len(head) + "|",
            *("| " + " | ".join(row) + " |" for row in table),
        ]
    )


def choose(parser: argparse.ArgumentParser, parts: list[str] | None) -> list[Host]:
    """Return the hosts that are asked for, all by default."""
    if parts is None:
        return HOSTS
    for part in parts:
        if not any(host.has_in_name(part) for host in HOSTS):
            names = ", ".join(host.name for host in HOSTS)
            parser.error(f"no host has {part!r} in its name: {names}")
    return [host for host in HOSTS if any(map(host.has_in_name, parts))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--hosts", nargs="+", help="parts of their names")
    parser.add_argument("--trace", action="store_true", help="print what holds it")
    parser.add_argument("--out", type=Path, help="write the table there as Markdown")
    args = parser.parse_args()
    hosts = choose(parser, args.hosts)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # children inherit it
    table = []
    for host in hosts:
        table.append(compare(host, args.connections, trace=args.trace))
        print(*table[-1], sep="\t", flush=True)
    text = describe(table, args.connections)
    print(text)
    if args.out:
        args.out.write_text(text + "\n", encoding="utf-8")
    return 0 if all(row[-1] == "yes" for row in table) else 1


if __name__ == "__main__":
    sys.exit(main())
