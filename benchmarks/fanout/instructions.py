"""Instructions per delivery: a figure that a busy machine does not change.

``python -m benchmarks.fanout.instructions [--record]``, from the repository's root,
runs ``driven_room.py`` under valgrind, without the act and with many of it, and divides
the difference. What is counted are the instructions of the process, none of the kernel;
so they tell what our own code costs, and a change of one percent is a change of the
code, of Python or of a library. Processors that count for themselves (``perf stat``)
are rare in virtual machines, hence valgrind; of its tools cachegrind without caches
counts the same as callgrind in two thirds of the time.
"""

import argparse
import contextlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.fanout.driven_room import BUSY, MEMBERS
from benchmarks.fanout.results import RESULTS, write_part
from benchmarks.fanout.tables import row

__all__ = ["CASES", "Case", "CountingError", "compare", "count_all", "read_recorded"]

ROOT = Path(__file__).parents[2]
ROOM = (sys.executable, "-m", "benchmarks.fanout.driven_room")
DEADLINE = 300.0  # seconds for one run
COUNTED = re.compile(r"I\s+refs:\s+([\d,]+)")
ROW = re.compile(r"^\| ([^|]+) \| ([\d,]+) \|", re.MULTILINE)
PART = "instructions"


class CountingError(Exception):
    """Instructions cannot be counted here."""


@dataclass(frozen=True)
class Case:
    """What is counted.

    Attributes:
        name: As the table has it.
        host: See ``driven_room.py``.
        act: See there.
        count: How often it is done.
        deliveries: Of one act.
    """

    name: str
    host: str
    act: str
    count: int
    deliveries: int


CLASS, AS_IT_IS = "uvicorn, our class", "uvicorn as it is"
CASES = (
    Case(f"{CLASS}: quiet room", "asgi", "quiet", 40, MEMBERS),
    Case(f"{CLASS}: busy room", "asgi", "busy", 40, BUSY * MEMBERS),
    Case(f"{CLASS}: answer", "asgi", "reply", 512, 1),
    Case(f"{AS_IT_IS}: quiet room", "uvicorn", "quiet", 5, MEMBERS),
    Case(f"{AS_IT_IS}: answer", "uvicorn", "reply", 512, 1),
    Case("try_send(): quiet room", "frames", "quiet", 40, MEMBERS),
    Case("try_send(): busy room", "frames", "busy", 40, BUSY * MEMBERS),
    Case("send_event(): quiet room", "events", "quiet", 5, MEMBERS),
)


def count_all(cases: Sequence[Case]) -> dict[str, float]:
    """Return for each case the instructions of one act.

    Blocks for a minute or two: as many runs at a time as there are cores.

    Raises:
        CountingError: Says what is missing, or what a run said.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise CountingError("there is no valgrind (Debian: apt-get install valgrind)")
    without = {each.host: (each.host, each.act, 0) for each in cases}
    wanted = [*without.values(), *((c.host, c.act, c.count) for c in cases)]
    wanted.sort()  # what is subtracted runs beside what it is subtracted from
    _compile_modules()
    counts: dict[tuple[str, str, int], int] = {}
    at_once = len(os.sched_getaffinity(0))
    for first in range(0, len(wanted), at_once):
        some = wanted[first : first + at_once]
        counts |= zip(some, _count(valgrind, some), strict=True)
    return {
        case.name: (
            counts[case.host, case.act, case.count] - counts[without[case.host]]
        )
        / case.count
        for case in cases
    }


def _compile_modules() -> None:
    """Run once, so that no run which is counted compiles what was changed."""
    subprocess.run(  # noqa: S603 - our own program
        [*ROOM, "frames", "quiet", "0"],
        cwd=ROOT,
        check=False,  # what is wrong with it, the first run under valgrind tells
        capture_output=True,
        timeout=DEADLINE,
    )


def _count(valgrind: str, some: Sequence[tuple[str, str, int]]) -> list[int]:
    """Run some at the same time, which changes nothing; return their instructions."""
    tool = ["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    # dictionaries of strings are to be the same in each run
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    with contextlib.ExitStack() as ending:
        processes = []
        for host, act, count in some:
            process = subprocess.Popen(  # noqa: S603 - our own program
                [valgrind, *tool, *ROOM, host, act, str(count)],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            processes.append(ending.enter_context(process))
            ending.callback(process.wait, DEADLINE)
            ending.callback(process.kill)
        return [_read_count(each) for each in processes]


def _read_count(process: subprocess.Popen[str]) -> int:
    try:
        said, _ = process.communicate(timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        raise CountingError(f"no end after {DEADLINE:g} seconds") from None
    found = COUNTED.search(said)
    if process.returncode or found is None:
        raise CountingError(f"valgrind ended with {process.returncode}: {said[-1000:]}")
    return int(found[1].replace(",", ""))


def read_recorded(text: str) -> dict[str, float]:
    """Return what a file of results says of each case."""
    found = {name.strip(): figure for name, figure in ROW.findall(text)}
    names = {each.name for each in CASES}
    return {
        name: float(figure.replace(",", ""))
        for name, figure in found.items()
        if name in names
    }


def compare(counts: dict[str, float], recorded: dict[str, float]) -> list[str]:
    """Return a line for each case that is not what it was."""
    return [
        f"{name}: {count:,.0f} instead of {recorded[name]:,.0f} "
        f"({count / recorded[name] - 1:+.1%})"
        for name, count in counts.items()
        if name in recorded
    ]


def render(counts: dict[str, float]) -> list[str]:
    """Return the lines of the section."""
    deliveries = {each.name: each.deliveries for each in CASES}
    return [
        "# Instructions: what was counted",
        "",
        (
            f"pondsocket {version('pondsocket')} on uvicorn {version('uvicorn')}, "
            f"Python {platform.python_version()}, {platform.machine()}, "
            f"{_valgrind_version()}, {time.strftime('%Y-%m-%d')}; "
            "`python -m benchmarks.fanout.instructions`."
        ),
        "",
        (
            f"A room of {MEMBERS:,} members without sockets; quiet: one broadcast of "
            f"64 bytes in a turn of the event loop, busy: {BUSY}. An answer is one "
            "message in and one out."
        ),
        "",
        row(["", "instructions per broadcast, or answer", "per delivery"]),
        "|---|---|---|",
        *(
            row([name, f"{count:,.0f}", f"{count / deliveries[name]:,.0f}"])
            for name, count in counts.items()
        ),
    ]


def _valgrind_version() -> str:
    return subprocess.run(
        ["valgrind", "--version"],  # noqa: S607 - what was found on the PATH before
        check=True,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    ).stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=[""], help="parts of cases' names")
    parser.add_argument(
        "--record", action="store_true", help=f"write all into {RESULTS.name}"
    )
    arguments = parser.parse_args()
    cases = [c for c in CASES if any(part in c.name for part in arguments.only)]
    if not cases:
        parser.error("nothing to count: no case has such a name")
    try:
        counts = count_all(cases)
    except CountingError as error:
        parser.error(str(error))
    lines = render(counts)
    print("\n".join(lines))
    changes = compare(counts, read_recorded(RESULTS.read_text(encoding="utf-8")))
    print("\n".join(["", "Against what was recorded:", *changes]) if changes else "")
    if arguments.record and len(cases) == len(CASES):
        write_part(RESULTS, PART, "make bench-instructions", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
