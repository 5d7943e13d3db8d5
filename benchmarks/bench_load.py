"""Cases 2 to 5 of what must be survived, over real sockets, with their figures.

``python benchmarks/bench_load.py [--quick]`` starts a server process for each case and
drives it from this one; with two cores each gets its own. Every case checks its own
result and the run fails if one is wrong; the times are for people to read.
"""

import argparse
import asyncio
import contextlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from lean_client import LeanClient, connect

import pondsocket

HERE = Path(__file__).parent
ROOM = "/room/one"
CORES = sorted(os.sched_getaffinity(0))
DEADLINE = 60.0  # seconds, for any one wait


class WrongResultError(Exception):
    """A case did not show what it must."""


def expect(name: str, value: object, wanted: object) -> None:
    if value != wanted:
        raise WrongResultError(f"{name}: expected {wanted!r}, got {value!r}")


@contextlib.asynccontextmanager
async def server() -> AsyncIterator[int]:
    """Run the load server on its own core; yields its port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / "load_server.py"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        if len(CORES) > 1:
            os.sched_setaffinity(process.pid, {CORES[0]})
            os.sched_setaffinity(0, {CORES[1]})
        yield int(await process.stdout.readline())
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(DEADLINE):
                await process.wait()
        except TimeoutError:
            process.kill()
            raise


class Crowd:
    """Many clients; counts what they get by event name."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.clients: list[LeanClient] = []
        self.waiting: dict[tuple[LeanClient, str], asyncio.Future[dict]] = {}

    def on_message(self, client: LeanClient, message: dict) -> None:
        waiter = self.waiting.pop((client, message["event"]), None)
        if waiter is not None:
            waiter.set_result(message)

    def next(self, client: LeanClient, event: str) -> asyncio.Future[dict]:
        future = asyncio.get_running_loop().create_future()
        self.waiting[client, event] = future
        return future

    async def connect(self, count: int, at_once: int = 100) -> list[LeanClient]:
        clients: list[LeanClient] = []
        for start in range(0, count, at_once):
            group = range(start, min(start + at_once, count))
            clients += await asyncio.gather(
                *(connect(self.port, self.on_message) for _ in group)
            )
        self.clients += clients
        return clients

    async def join(
        self, clients: list[LeanClient], channel: str, **params: object
    ) -> None:
        acks = [self.next(client, "ACKNOWLEDGE") for client in clients]
        for client in clients:
            client.send("JOIN_CHANNEL", channel, "join", **params)
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*acks)

    async def stats(self, client: LeanClient, channel: str = ROOM) -> dict:
        reply = self.next(client, "stats")
        client.send("BROADCAST", channel, "stats")
        async with asyncio.timeout(DEADLINE):
            return (await reply)["payload"]

    async def close(self) -> None:
        for client in self.clients:
            client.transport.abort()
        await asyncio.gather(*(client.closed for client in self.clients))


async def until(condition: Callable[[], bool], seconds: float = DEADLINE) -> None:
    """Wait for a condition that messages make true."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - messages come by callback
            await asyncio.sleep(0.01)


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


class Listening(Crowd):
    """Checks that broadcasts come complete and in order, and how late they are."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.expected: dict[LeanClient, int] = {}
        self.disordered = 0
        self.received = 0
        self.delays: list[float] = []

    def on_message(self, client: LeanClient, message: dict) -> None:
        if message["event"] == "said":
            number = message["payload"]["n"]
            self.disordered += number != self.expected.get(client, 0)
            self.expected[client] = number + 1
            self.received += 1
            if not self.received % 10:
                self.delays.append(time.monotonic() - message["payload"]["at"])
        else:
            super().on_message(client, message)


async def members_and_messages(members: int, rate: int, seconds: int) -> dict:
    """Case 2: a busy room loses nothing, keeps order, encodes once."""
    async with server() as port:
        crowd = Listening(port)
        clients = await crowd.connect(members)
        await crowd.join(clients, ROOM)
        before = await crowd.stats(clients[0])
        loop = asyncio.get_running_loop()
        started, total = loop.time(), rate * seconds
        for number in range(total):
            await asyncio.sleep(max(started + number / rate - loop.time(), 0))
            clients[0].send(
                "BROADCAST", ROOM, "say", n=number, at=time.monotonic(), text="x" * 64
            )
        await until(lambda: crowd.received >= total * members)
        after = await crowd.stats(clients[0])
        expect("deliveries", crowd.received, total * members)
        expect("out of order", crowd.disordered, 0)
        # the reply to the first question counts itself and the second does not
        expect("JSON encodes", after["encoded"] - before["encoded"] - 1, total)
        cpu = (after["cpu"] - before["cpu"]) / crowd.received * 1e6
        await crowd.close()
        return {
            "deliveries": f"{crowd.received:,}",
            "lost": 0,
            "out of order": 0,
            "encodes per broadcast": 1,
            "p50": f"{percentile(crowd.delays, 0.5) * 1e3:.1f} ms",
            "p99": f"{percentile(crowd.delays, 0.99) * 1e3:.1f} ms",
            "server CPU per delivery": f"{cpu:.1f} us",
        }


async def channel_churn(channels: int, connections: int, rounds: int) -> dict:
    """Case 3: many channels come and go; tables and memory come back."""
    async with server() as port:
        crowd = Crowd(port)
        clients = await crowd.connect(connections)
        await crowd.join(clients[:1], ROOM)
        memory, taken = [], []
        each = channels // connections
        for _ in range(rounds):
            started = time.perf_counter()
            for number in range(each):
                acks = [crowd.next(client, "ACKNOWLEDGE") for client in clients]
                for at, client in enumerate(clients):
                    client.send("JOIN_CHANNEL", f"/room/{at}-{number}", "join")
                await asyncio.gather(*acks)
            full = await crowd.stats(clients[0])
            expect("channels", full["channels"], each * connections + 1)
            for number in range(each):
                acks = [crowd.next(client, "EXIT_ACKNOWLEDGE") for client in clients]
                for at, client in enumerate(clients):
                    client.send("LEAVE_CHANNEL", f"/room/{at}-{number}", "leave")
                await asyncio.gather(*acks)
            taken.append(time.perf_counter() - started)
            empty = await crowd.stats(clients[0])
            expect("channels", empty["channels"], 1)
            memory.append(empty["rss"])
        await crowd.close()
        per_second = 2 * each * connections / min(taken)
        return {
            "channels alive": f"{each * connections:,}",
            "rounds": rounds,
            "joins and leaves per second": f"{per_second:,.0f}",
            "memory with all": f"{full['rss'] / 1024:.1f} MiB",
            "memory after each round": ", ".join(f"{kib / 1024:.1f}" for kib in memory)
            + " MiB",
        }


async def reconnect_storm(count: int, within: float) -> dict:
    """Case 4: everybody comes back at once, and is let in."""
    async with server() as port:
        crowd = Crowd(port)
        await crowd.join(await crowd.connect(count), ROOM)
        await crowd.close()
        returned = Crowd(port)
        loop = asyncio.get_running_loop()
        started = loop.time()

        async def come_back(number: int) -> float:
            await asyncio.sleep(number / count * within)
            (client,) = await returned.connect(1)
            await returned.join([client], ROOM)
            return loop.time() - started

        done = await asyncio.gather(*(come_back(number) for number in range(count)))
        stats = await returned.stats(returned.clients[0])
        expect("connections", stats["connections"], count)
        await returned.close()
        return {
            "clients": f"{count:,}",
            "joined again": f"{len(done):,}",
            "last one joined after": f"{max(done):.2f} s (sent over {within:.0f} s)",
        }


class Watching(Crowd):
    """Keeps the last presence list of every client."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.seen: dict[LeanClient, list] = {}
        self.lists = 0

    def on_message(self, client: LeanClient, message: dict) -> None:
        if message["action"] == "PRESENCE":
            self.seen[client] = message["payload"]["presence"]
            self.lists += 1
        else:
            super().on_message(client, message)


async def presence_storm(members: int) -> dict:
    """Case 5: a room fills within a second; in the end all see the same."""
    async with server() as port:
        crowd = Watching(port)
        clients = await crowd.connect(members)
        loop = asyncio.get_running_loop()
        started = loop.time()
        for number, client in enumerate(clients):
            await asyncio.sleep(max(started + number / members - loop.time(), 0))
            client.send("JOIN_CHANNEL", ROOM, "join", track=number)
        sent = loop.time() - started
        await until(
            lambda: sum(len(seen) == members for seen in crowd.seen.values()) == members
        )
        settled = loop.time() - started
        views = {tuple(sorted(p["n"] for p in seen)) for seen in crowd.seen.values()}
        expect("different views", len(views), 1)
        stats = await crowd.stats(clients[0])
        total = sum(client.received_bytes for client in clients)
        await crowd.close()
        return {
            "joins": f"{members:,} in {sent:.2f} s",
            "all views equal after": f"{settled:.2f} s",
            "presence messages": f"{crowd.lists:,}",
            "coalesced changes": stats["counts"].get("presence_coalesced", 0),
            "bytes received by all": f"{total / 1e6:.1f} MB",
            "server CPU": f"{stats['cpu']:.1f} s",
        }


CASES = {
    "2: members x messages/s": (
        lambda: members_and_messages(1000, 50, 10),
        lambda: members_and_messages(200, 50, 2),
    ),
    "3: channels with churn": (
        lambda: channel_churn(10_000, 100, 5),
        lambda: channel_churn(1000, 20, 3),
    ),
    "4: reconnect storm": (
        lambda: reconnect_storm(2000, 2.0),
        lambda: reconnect_storm(300, 0.5),
    ),
    "5: presence storm": (lambda: presence_storm(1000), lambda: presence_storm(200)),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--out", type=Path, help="write the figures there as Markdown")
    args = parser.parse_args()
    lines = [
        "# Load: what was measured",
        "",
        (
            f"pondsocket {pondsocket.__version__} on uvicorn, Python "
            f"{platform.python_version()}, {platform.machine()}, {os.cpu_count()} "
            f"cores, {time.strftime('%Y-%m-%d')}; `python benchmarks/bench_load.py`."
        ),
    ]
    for name, (whole, quick) in CASES.items():
        figures = asyncio.run(quick() if args.quick else whole())
        lines += ["", f"## Case {name}", "", "| figure | value |", "|---|---|"]
        lines += [f"| {key} | {value} |" for key, value in figures.items()]
        print("\n".join(lines[-len(figures) - 5 :]), flush=True)
    if args.out:
        args.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
