"""Fan-out, echo, joining, memory and latency: ours beside its peers.

``python -m benchmarks.fanout [--quick] [--only fan echo] [--record]``, from the
repository's root, runs each server by itself, a fresh process for each run, pinned to
one core, and a load in C on the other one. Contenders take turns, round by round;
figures are medians, with the lowest and the highest beside them, and ratios are taken
within a round.

Peers get environments of their own, made the first time; the programs in C are compiled
then, too. A contender that fails is named in the tables, and the others go on. Ctrl+C
ends everything that was started, and nothing is recorded then.
"""

import argparse
import os
import platform
import signal
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from benchmarks.fanout.environments import (
    KEPT,
    PEERS,
    UnavailableError,
    find_python,
    pinned,
    version_of,
)
from benchmarks.fanout.programs import compiled
from benchmarks.fanout.results import RESULTS, write_part
from benchmarks.fanout.rounds import measure, tell_disturbance
from benchmarks.fanout.runs import CORES
from benchmarks.fanout.scenarios import (
    Scenario,
    echo_on,
    full_scenarios,
    quick_scenarios,
)
from benchmarks.fanout.tables import Results, render
from benchmarks.fanout.targets import NEWER, render_targets

OURS_RUNS_ON = ("uvicorn", "websockets", "aiohttp", "msgspec")
INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def head(arguments: argparse.Namespace) -> list[str]:
    """Return the first lines of the section: machine, versions, date."""
    ours = ", ".join(f"{name} {version(name)}" for name in OURS_RUNS_ON)
    peers = sorted({line for name in PEERS for line in pinned(name)})
    python = version_of(arguments.python or Path(sys.executable))
    command = "python -m benchmarks.fanout" + " --quick" * arguments.quick
    return [
        "# Fan-out: what was measured",
        "",
        (
            f"pondsocket {version('pondsocket')} on {ours}; Python {python}, asyncio's "
            f"event loop, {platform.system()} {platform.release()}, "
            f"{platform.machine()}, {os.cpu_count()} cores, "
            f"{time.strftime('%Y-%m-%d')}; `{command}`."
        ),
        "",
        f"Peers: {', '.join(peers)}.",
        "",
        (
            "Server on one core, load on the other; medians of the rounds, from the "
            "lowest to the highest; `x` is the median of the ratios within a round. "
            "`at once` is how many deliveries a client found in one read. A load that "
            "is busy and a server that is not would be a limit of the load. Bytes are "
            "the body's: what goes to clients of a pondsocket has its envelope around "
            "it, in the bare rooms the body is all; where latencies are measured the "
            "bare rooms get the envelope, too. `ours, asgi` is what `pondsocket serve` "
            "runs, uvicorn with `--ws pondsocket_asgi.uvicorn:WebSocketProtocol`; "
            "`as it is` is uvicorn with what it chooses by itself."
        ),
        "",
    ]


def chosen(arguments: argparse.Namespace) -> list[Scenario]:
    """Return the scenarios that are asked for, with the contenders asked for."""
    everything = quick_scenarios() if arguments.quick else full_scenarios()
    everything = [replace(each, python=arguments.python) for each in everything]
    newer = find_python(NEWER)
    if arguments.quick and not arguments.only:
        print(f"The echo on Python {NEWER} is left out.", file=sys.stderr)
    elif newer:
        everything.append(echo_on(newer, NEWER, is_quick=arguments.quick))
    else:
        print(f"There is no Python {NEWER} to measure the echo on.", file=sys.stderr)
    some = []
    for scenario in everything:
        names = tuple(
            each
            for each in scenario.contenders
            if any(part in each.name for part in arguments.contenders or [""])
        )
        is_wanted = any(
            scenario.key.startswith(part) for part in arguments.only or [""]
        )
        if is_wanted and names:
            rounds = arguments.rounds or scenario.rounds
            some.append(replace(scenario, contenders=names, rounds=rounds))
    return some


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="under two minutes")
    parser.add_argument("--only", nargs="+", help="beginnings of scenarios' names")
    parser.add_argument("--contenders", nargs="+", help="parts of their names")
    parser.add_argument("--rounds", type=int, help="of each scenario")
    parser.add_argument(
        "--patience", type=int, default=2, help="repeats of a run that was disturbed"
    )
    parser.add_argument("--python", type=Path, help="what the servers run on")
    parser.add_argument("--kept", type=Path, default=KEPT, help="for environments")
    parser.add_argument("--out", type=Path, help="write the figures there as Markdown")
    parser.add_argument(
        "--record",
        action="store_true",
        help=f"write those of a whole run into {RESULTS.name}",
    )
    return parser


def measure_all(arguments: argparse.Namespace, wanted: list[Scenario]) -> list[str]:
    """Print tables as they are found; return the lines of the whole section."""
    first, tables = head(arguments), []
    print("\n".join(first), flush=True)
    measured: list[tuple[Scenario, Results]] = []
    for scenario in wanted:
        patience = 0 if arguments.quick else arguments.patience
        results, failures = measure(scenario, arguments.kept, patience)
        section = render(scenario, results, failures)
        print("\n".join(section), flush=True)
        tables += section
        measured.append((scenario, results))
    targets = [*render_targets(measured), tell_disturbance(measured)]
    print("\n".join(targets), flush=True)
    return [*first, *targets, "", *tables[:-1]]


def main() -> int:
    parser = make_parser()
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        wanted = chosen(arguments)
        if not wanted:
            parser.error("nothing to measure: no scenario has such a name")
        compiled("load.c", arguments.kept)
        if len(CORES) > 1:
            os.sched_setaffinity(0, {CORES[-1]})
        lines = measure_all(arguments, wanted)
    except UnavailableError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("interrupted; nothing was recorded", file=sys.stderr)
        return INTERRUPTED
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if arguments.record:
        record(arguments, lines)
    return 0


def record(arguments: argparse.Namespace, lines: list[str]) -> None:
    """Put the figures among those that are kept, unless some are missing."""
    if arguments.quick or arguments.only or arguments.contenders or arguments.rounds:
        print("not recorded: it was no whole run", file=sys.stderr)
    else:
        write_part(RESULTS, "fan-out", "make bench", lines)


if __name__ == "__main__":
    sys.exit(main())
