"""Case 21 with its figures: what one member that does not read costs the two others.

``python benchmarks/bench_slow_consumer.py [--quick]`` starts a server process for each
WebSocket implementation of uvicorn and each policy, and broadcasts 64 KiB at a steady
rate to a room of three; by turns all three read, and one of them does not. How late a
message is, is taken where it is received; the server's memory is asked of the kernel.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from lean_client import LeanClient, connect

import pondsocket
from pondsocket import JoinContext, Options, PondSocket, SlowConsumerPolicy
from pondsocket_asgi import PondASGIApp

WEBSOCKETS = ("websockets-sansio", "wsproto")
ROOM = "/room/one"
SIZE = 65_536
COUNT = 200  # broadcasts of one run
RATE = 200.0  # a second
OUTBOX = 1_048_576
SMALL_BUFFER = 4096
CORES = sorted(os.sched_getaffinity(0))
DEADLINE = 30.0  # seconds, for any one wait


# The server, in a process of its own.


def build(policy: str) -> PondSocket:
    """Return a room that everybody may join, and what tells of the server's state."""
    pond = PondSocket(
        options=Options(
            slow_consumer=SlowConsumerPolicy(policy),
            outbound_max_bytes=OUTBOX,
            send_timeout=60.0,
            max_messages_per_second=0,
        )
    )
    endpoint = pond.create_endpoint("/load", lambda context: context.accept())

    async def join(context: JoinContext) -> None:
        await context.accept()

    lobby = endpoint.create_channel("/room/:name", join)
    text = "x" * SIZE
    lobby.on_message(
        "say", lambda ctx: ctx.broadcast("said", {**ctx.get_payload(), "text": text})
    )
    lobby.on_message("stats", lambda ctx: ctx.reply("stats", pond.stats().counts))
    return pond


async def serve(ws: str, policy: str) -> None:
    """Serve on a free port until standard input ends."""
    # with its protocol named, asyncio sets TCP_NODELAY
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    app = PondASGIApp(build(policy))
    config = uvicorn.Config(
        app, ws=ws, ws_ping_interval=None, log_level="error", access_log=False
    )
    server = uvicorn.Server(config)

    def stop() -> None:
        server.should_exit = server.force_exit = True

    asyncio.get_running_loop().add_reader(sys.stdin, stop)
    listener.listen()
    print(listener.getsockname()[1], flush=True)
    await server.serve([listener])


# The clients, in this one.


class Room:
    """The members of a room, and how late each message was."""

    def __init__(self, port: int, process_id: int) -> None:
        self.port = port
        self.process_id = process_id
        self.delays: list[float] = []
        self.received: dict[LeanClient, int] = {}
        self.answer: asyncio.Future[dict[str, int]] | None = None
        self.changed = asyncio.Event()

    def on_message(self, client: LeanClient, message: dict) -> None:
        self.changed.set()
        if message["event"] == "said":
            self.delays.append(time.monotonic() - message["payload"]["at"])
            self.received[client] += 1
        elif message["event"] == "ACKNOWLEDGE":
            self.received[client] = 0
        elif message["event"] == "stats" and self.answer is not None:
            self.answer.set_result(message["payload"])

    async def enter(self, receive_buffer: int = 0) -> LeanClient:
        client = await connect(
            self.port, self.on_message, receive_buffer=receive_buffer
        )
        client.send("JOIN_CHANNEL", ROOM, "join")
        await self.until(lambda: client in self.received)
        return client

    async def until(self, condition) -> None:  # noqa: ANN001 - a lambda
        async with asyncio.timeout(DEADLINE):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def run(self, readers: list[LeanClient], count: int) -> list[float]:
        """Broadcast at a steady rate; return how late each message was."""
        self.delays = []
        wanted = {client: self.received[client] + count for client in readers}
        loop = asyncio.get_running_loop()
        started = loop.time()
        for number in range(count):
            await asyncio.sleep(started + number / RATE - loop.time())
            readers[0].send("BROADCAST", ROOM, "say", at=time.monotonic())
        await self.until(lambda: all(self.received[c] >= n for c, n in wanted.items()))
        return self.delays

    async def counts(self, client: LeanClient) -> dict[str, int]:
        self.answer = asyncio.get_running_loop().create_future()
        client.send("BROADCAST", ROOM, "stats")
        async with asyncio.timeout(DEADLINE):
            return await self.answer

    def resident(self) -> int:
        """Return the server's resident memory in bytes."""
        status = Path(f"/proc/{self.process_id}/statm").read_text(encoding="ascii")
        return int(status.split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextlib.asynccontextmanager
async def open_room(ws: str, policy: str) -> AsyncIterator[Room]:
    """Run a server on its own core."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        "--serve",
        json.dumps([ws, policy]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        if len(CORES) > 1:
            os.sched_setaffinity(process.pid, {CORES[0]})
            os.sched_setaffinity(0, {CORES[1]})
        yield Room(int(await process.stdout.readline()), process.pid)
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(DEADLINE):
                await process.wait()
        except TimeoutError:
            process.kill()
            raise


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def typical(runs: list[list[float]], share: float) -> float:
    """Return the median of the runs' percentiles: one disturbed run spoils nothing."""
    return statistics.median(percentile(run, share) for run in runs)


async def measure(ws: str, policy: str, rounds: int) -> list[str]:
    """Return a line of the table."""
    everybody, but_one = [], []
    dropped = closed = 0
    async with open_room(ws, policy) as room:
        readers = [await room.enter(), await room.enter()]
        third = await room.enter()
        await room.run([*readers, third], COUNT)  # warms up
        third.transport.abort()
        grown = 0
        for _ in range(rounds):
            third = await room.enter()
            everybody.append(await room.run([*readers, third], COUNT))
            third.transport.abort()
            before = room.resident()
            slow = await room.enter(SMALL_BUFFER)
            slow.transport.pause_reading()
            but_one.append(await room.run(readers, COUNT))
            grown = max(grown, room.resident() - before)
            slow.transport.abort()
        counts = await room.counts(readers[0])
        dropped, closed = counts["outbound_dropped"], counts["slow_consumer_closed"]
    p99, p99_slow = typical(everybody, 0.99), typical(but_one, 0.99)
    return [
        ws,
        policy,
        f"{typical(everybody, 0.5) * 1e3:.2f} / {p99 * 1e3:.2f}",
        f"{typical(but_one, 0.5) * 1e3:.2f} / {p99_slow * 1e3:.2f}",
        f"{p99_slow / p99:.2f}",
        f"{grown / 2**20:.1f}",
        f"{dropped / rounds:.0f}",
        f"{closed / rounds:.0f}",
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of each")
    parser.add_argument("--out", type=Path, help="write the table there as Markdown")
    parser.add_argument("--serve", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        asyncio.run(serve(*args.serve))
        return 0
    rounds = 1 if args.quick else 5
    table = [
        (
            "uvicorn --ws", "policy", "ms, all read (p50 / p99)",
            "ms, one does not (p50 / p99)", "p99 ratio", "memory, MiB",
            "dropped a run", "closed a run",
        )
    ]  # fmt: skip
    table += [
        asyncio.run(measure(ws, policy.value, rounds))
        for ws in WEBSOCKETS
        for policy in SlowConsumerPolicy
    ]
    lines = [
        "# Slow consumer: what was measured",
        "",
        (
            f"pondsocket {pondsocket.__version__}, Python {platform.python_version()}, "
            f"{platform.machine()}, {os.cpu_count()} cores, "
            f"{time.strftime('%Y-%m-%d')}; {rounds} runs of {COUNT} broadcasts of "
            f"{SIZE // 1024} KiB, {RATE:.0f} a second, outbox {OUTBOX // 1024} KiB; "
            "`python benchmarks/bench_slow_consumer.py`."
        ),
        "",
        *("| " + " | ".join(row) + " |" for row in table),
    ]
    lines.insert(5, "|---" * len(table[0]) + "|")
    print("\n".join(lines))
    if args.out:
        args.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
