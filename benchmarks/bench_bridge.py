"""Echo through ws_bridge beside uvicorn with its wsproto implementation.

``python benchmarks/bench_bridge.py [--quick] [--out FILE]`` starts both servers with
the same ASGI application, each in a process of its own, on asyncio's event loop and on
uvloop's. They are measured by turns; with two cores the servers get one, the load the
other. Figures are messages per second and the server's CPU time per message, ratios are
taken within a round and their median is what counts: short rounds, and many, so that
whatever else the machine does meets both alike.
"""

import argparse
import contextlib
import itertools
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import uvicorn
from echo_load import load

import pondsocket

HERE = Path(__file__).parent
ROOT = HERE.parent
PATHS = os.pathsep.join(str(ROOT / part) for part in ("", "adapters"))
CORES = sorted(os.sched_getaffinity(0))
DEADLINE = 15.0  # seconds for a server to end
OURS, THEIRS = "ours", "uvicorn"
LOOPS = ("asyncio", "uvloop")


@dataclass(frozen=True)
class Scenario:
    """What the clients do."""

    connections: int
    size: int
    at_once: int


@dataclass(frozen=True)
class Figures:
    """What one server did in one round."""

    rate: float  # messages per second
    cost: float  # microseconds of the server's CPU time per message


SCENARIOS = [
    Scenario(*each) for each in itertools.product((1, 64), (64, 2000), (1, 10))
]


@contextlib.contextmanager
def running(name: str, loop: str) -> Iterator[tuple[psutil.Process, int]]:
    """Run a server; yields its process and its port."""
    more = ["--uvloop"] if loop == "uvloop" else []
    with subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, HERE / "bridge_server.py", name, *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": PATHS},
    ) as process:
        try:
            if len(CORES) > 1:
                os.sched_setaffinity(process.pid, {CORES[0]})
            yield psutil.Process(process.pid), int(process.stdout.readline())
            process.stdin.close()
            process.wait(DEADLINE)
        finally:
            process.kill()


def measure(
    process: psutil.Process, port: int, scenario: Scenario, seconds: float
) -> Figures:
    """Put one load on one server."""
    before = sum(process.cpu_times()[:2])
    count, taken = load(
        port,
        connections=scenario.connections,
        size=scenario.size,
        at_once=scenario.at_once,
        seconds=seconds,
    )
    spent = sum(process.cpu_times()[:2]) - before
    return Figures(count / taken, spent / count * 1e6)


def race(
    servers: dict[str, tuple[psutil.Process, int]],
    scenario: Scenario,
    rounds: int,
    seconds: float,
) -> list[tuple[Figures, Figures]]:
    """Measure both by turns; return pairs, ours first."""
    pairs = []
    for number in range(rounds):
        order = (OURS, THEIRS) if number % 2 == 0 else (THEIRS, OURS)
        found = {name: measure(*servers[name], scenario, seconds) for name in order}
        pairs.append((found[OURS], found[THEIRS]))
    return pairs


def row(loop: str, scenario: Scenario, pairs: list[tuple[Figures, Figures]]) -> str:
    """Return a line of the table: medians, and the ratios' median and spread."""
    speeds = [ours.rate / theirs.rate for ours, theirs in pairs]
    costs = [ours.cost / theirs.cost for ours, theirs in pairs]
    ours, theirs = zip(*pairs, strict=True)
    cells = [
        loop,
        str(scenario.connections),
        f"{scenario.size:,}",
        str(scenario.at_once),
        *(f"{statistics.median(x.rate for x in who):,.0f}" for who in (ours, theirs)),
        spread(speeds),
        *(f"{statistics.median(x.cost for x in who):.1f}" for who in (ours, theirs)),
        spread(costs),
    ]
    return f"| {' | '.join(cells)} |"


def spread(ratios: list[float]) -> str:
    """Return the median and, in brackets, between what half of all are."""
    low, median, high = statistics.quantiles(ratios, n=4)
    return f"{median:.2f} ({low:.2f}-{high:.2f})"


def report(rounds: int, seconds: float, loops: tuple[str, ...]) -> list[str]:
    """Run everything; return the lines of a section in Markdown."""
    lines = [
        "# Echo through ws_bridge: what was measured",
        "",
        (
            f"pondsocket {pondsocket.__version__} beside uvicorn {uvicorn.__version__} "
            f"(`--ws wsproto --http h11`), Python {platform.python_version()}, "
            f"{platform.machine()}, {os.cpu_count()} cores, "
            f"{time.strftime('%Y-%m-%d')}; `python benchmarks/bench_bridge.py`; "
            f"{rounds} rounds of {seconds:g} s by turns, medians."
        ),
        "",
        (
            "Ratios are ours / theirs within a round (in brackets where the middle "
            "half of the rounds is): of messages per second more is better, of the "
            "server's CPU time per message less."
        ),
        "",
        (
            "| loop | connections | bytes | at once | messages/s, ours | uvicorn "
            "| ratio | CPU us per message, ours | uvicorn | ratio |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for loop in loops:
        with running(OURS, loop) as ours, running(THEIRS, loop) as theirs:
            servers = {OURS: ours, THEIRS: theirs}
            for scenario in SCENARIOS:
                line = row(loop, scenario, race(servers, scenario, rounds, seconds))
                lines.append(line)
                print(line, flush=True)
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few rounds, short ones")
    parser.add_argument("--out", type=Path, help="write the figures there as Markdown")
    arguments = parser.parse_args()
    if len(CORES) > 1:
        os.sched_setaffinity(0, {CORES[1]})
    rounds, seconds = (3, 0.3) if arguments.quick else (25, 0.3)
    lines = report(rounds, seconds, LOOPS)
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
