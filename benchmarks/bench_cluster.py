"""From one node to another: messages per second, and what many channels cost.

``python benchmarks/bench_cluster.py [--quick] [--out FILE]`` runs real servers and, by
turns, two processes of each contender: ours, the bare client library (redis-py sends
pipelines of 100, nats-py flushes after 100) and, over Redis, the published pondsocket
0.0.7. A member is in memory and counts; ours builds its WebSocket frames. Then a node
has few channels and many, and one of them is busy at a steady rate.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

import pondsocket  # noqa: E402 - from the repository, like what follows
from tests.backends.servers import Server, nats_server, valkey_server  # noqa: E402
from tests.cluster.published.environment import (  # noqa: E402
    UnavailableError,
    prepare_published,
)

DEADLINE = 90.0  # seconds, for one run
OURS = Path(sys.executable)
PATHS = os.pathsep.join(str(ROOT / part) for part in ("", "adapters", "backends"))
UNLIMITED = ("--client-output-buffer-limit", "pubsub", "0", "0", "0")
NODE, BARE = HERE / "cluster_node.py", HERE / "cluster_bare.py"

Answer = dict[str, Any]


@dataclass(frozen=True)
class Contender:
    """Who carries messages, and how many of them are enough to tell."""

    name: str
    scheme: str
    python: Path
    program: Path
    share: float = 1.0


@contextlib.asynccontextmanager
async def worker(
    contender: Contender, *arguments: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run one node; yields it once it is ready."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    if contender.python == OURS:
        environment["PYTHONPATH"] = PATHS
    process = await asyncio.create_subprocess_exec(
        contender.python,
        contender.program,
        *arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        limit=1 << 24,
    )
    try:
        line = await process.stdout.readline()
        if line != b"ready\n":
            raise RuntimeError(f"{contender.name} said {line!r}")
        yield process
        process.stdin.write(b"end\n")
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def run(
    contender: Contender, server: Server, count: int, *more: str
) -> dict[str, Answer]:
    """Let one node send ``count`` messages to another; return what both say."""
    arguments = ("--url", server.url, "--count", str(count), *more)
    program = psutil.Process(server.pid)
    async with (
        asyncio.timeout(DEADLINE),
        worker(contender, "receive", *arguments) as receiver,
        worker(contender, "send", *arguments) as sender,
    ):
        before = sum(program.cpu_times()[:2])
        receiver.stdin.write(b"go\n")
        sender.stdin.write(b"go\n")
        received = json.loads(await receiver.stdout.readline())
        sender.stdin.write(b"tell\n")
        sent = json.loads(await sender.stdout.readline())
        spent = sum(program.cpu_times()[:2]) - before
    if received["said"] != count:
        raise RuntimeError(f"{contender.name}: {received['said']} of {count} came")
    return {"send": sent, "receive": received, "server": {"cpu": spent}}


async def race(
    contenders: list[Contender], servers: dict[str, Server], count: int, rounds: int
) -> dict[str, dict[str, float]]:
    """Let all run by turns; return medians: messages/s, microseconds, ratios."""
    figures: dict[str, list[tuple[float, ...]]] = {each.name: [] for each in contenders}
    for _ in range(rounds):
        for contender in contenders:
            number = int(count * contender.share)
            answers = await run(contender, servers[contender.scheme], number)
            seconds = answers["receive"]["last"] - answers["send"]["began"]
            costs = (answers[end]["cpu"] / number * 1e6 for end in answers)
            figures[contender.name].append((number / seconds, *costs))
            print(contender.name, f"{number / seconds:,.0f}/s", flush=True)
    for contender in contenders:  # by round: the machine is not equally fast in all
        ours = figures[f"ours, {contender.scheme}"]
        figures[contender.name] = [
            (*run, own[0] / run[0])
            for own, run in zip(ours, figures[contender.name], strict=True)
        ]
    names = ("rate", "send", "receive", "server", "ratio")
    return {
        name: dict(zip(names, map(statistics.median, zip(*runs)), strict=True))  # noqa: B905 - equally long
        for name, runs in figures.items()
    }


def speed_table(
    contenders: list[Contender], medians: dict[str, dict[str, float]]
) -> list[str]:
    lines = [
        "| contender | messages/s | ours is | CPU us: sender | receiver | server |",
        "|---|---|---|---|---|---|",
    ]
    for each in contenders:
        median = medians[each.name]
        lines.append(
            f"| {each.name} | {median['rate']:,.0f} | {median['ratio']:.2f} x "
            f"| {median['send']:.1f} | {median['receive']:.1f} "
            f"| {median['server']:.1f} |"
        )
    return lines


async def many_channels(
    contender: Contender,
    server: Server,
    counts: tuple[int, int],
    rounds: int,
    seconds: float,
) -> list[str]:
    """Return rows: what one broadcast costs with few channels and with many."""
    rate = 500.0
    number = int(rate * seconds)
    figures: dict[int, list[tuple[float, ...]]] = {count: [] for count in counts}
    for _ in range(rounds):
        for count in counts:
            more = ("--channels", str(count), "--rate", str(rate))
            answers = await run(contender, server, number, *more)
            costs = [answers[end]["cpu"] / number * 1e6 for end in answers]
            delay = statistics.median(answers["receive"]["delays"]) * 1e6
            figures[count].append((delay, *costs))
            print(contender.name, count, [round(each) for each in figures[count][-1]])
    few, many = (
        [statistics.median(each) for each in zip(*figures[count], strict=True)]
        for count in counts
    )
    labels = ("delay, p50", "CPU, sender", "CPU, receiver", "CPU, server")
    return [
        f"| {contender.scheme} | {label}, us | {a:.0f} | {b:.0f} | {b / a:.2f} |"
        for label, a, b in zip(labels, few, many, strict=True)
    ]


async def measure(quick: bool) -> list[str]:
    """Run everything; return the lines of a section in Markdown."""
    bare = ("bare redis-py, pipelines of 100", "bare nats-py, flush per 100")
    contenders = [
        Contender("ours, redis", "redis", OURS, NODE),
        Contender(bare[0], "redis", OURS, BARE),
        Contender("ours, nats", "nats", OURS, NODE),
        Contender(bare[1], "nats", OURS, BARE),
    ]
    try:
        published = prepare_published()
    except UnavailableError as error:
        print(f"without 0.0.7: {error}", file=sys.stderr)
    else:
        contenders.append(Contender("pondsocket 0.0.7", "redis", published, NODE, 0.05))
    count, rounds, seconds = (10_000, 1, 1.0) if quick else (100_000, 3, 5.0)
    few_and_many = (10, 1000) if quick else (10, 10_000)
    async with valkey_server(*UNLIMITED) as valkey, nats_server() as nats:
        servers = {"redis": valkey, "nats": nats}
        medians = await race(contenders, servers, count, rounds)
        rows: list[str] = []
        for contender in (contenders[0], contenders[2]):
            server = servers[contender.scheme]
            rows += await many_channels(contender, server, few_and_many, 1, seconds)
    few, many = few_and_many
    return [
        "# From node to node: what was measured",
        "",
        (
            f"pondsocket {pondsocket.__version__}, Python {platform.python_version()},"
            f" {platform.machine()}, {os.cpu_count()} cores, "
            f"{time.strftime('%Y-%m-%d')}; `python benchmarks/bench_cluster.py`; "
            f"medians, {rounds} rounds by turns."
        ),
        "",
        f"## {count:,} broadcasts from one node to a member on another",
        "",
        "`ours is` is the median of the ratios within a round.",
        "",
        *speed_table(contenders, medians),
        "",
        f"## One busy channel among {few} and among {many:,}",
        "",
        "500 broadcasts a second to one of the channels that both nodes have open.",
        "",
        f"| backend | per broadcast | {few} channels | {many:,} channels | ratio |",
        "|---|---|---|---|---|",
        *rows,
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth, once")
    parser.add_argument("--out", type=Path, help="write the figures there as Markdown")
    arguments = parser.parse_args()
    lines = asyncio.run(measure(arguments.quick))
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
