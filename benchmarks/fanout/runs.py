"""One run: a server of its own, pinned to one core, and the load on the other one.

A contender gets a fresh process for each run, so that nothing of one is left in the
next. Whatever becomes of a run, both processes have ended when it returns.
"""

import contextlib
import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from benchmarks.fanout.contenders import Contender, command_of
from benchmarks.fanout.programs import compiled
from benchmarks.fanout.scenarios import Scenario

__all__ = ["CORES", "Answer", "FailedError", "run"]

CORES = sorted(os.sched_getaffinity(0))
DEADLINE = 180.0  # seconds for a whole run

Answer = dict[str, Any]


class FailedError(Exception):
    """A server did not start, or did not do what its clients expect."""


def run(contender: Contender, scenario: Scenario, folder: Path) -> list[Answer]:
    """Start a server, put a scenario's load on it; return what each phase measured.

    Blocks for at most three minutes.

    Args:
        contender: Whom to measure.
        scenario: Its phases and how clients talk are used.
        folder: Where environments and programs are kept.

    Returns:
        For each phase what ``load.c`` prints, ``memory``: the bytes that the server's
        process holds then, without those of files, and ``others``: what share of a core
        everything else on the machine took during the whole run.

    Raises:
        FailedError: Says what the server or the load said.
        UnavailableError: If something it needs cannot be made.
    """
    server = command_of(contender, folder, scenario.python)
    load = [str(compiled("load.c", folder))]
    load += contender.protocol.to_options(is_echo=scenario.is_echo)
    load += scenario.options
    watch = _Others()
    with tempfile.TemporaryFile("w+") as log:
        try:
            answers = _measure(server, load, scenario.phases, log)
        except FailedError as error:
            log.seek(0)
            said = log.read().strip()
            raise FailedError(said[-400:] or str(error)) from None
    others = watch.share()
    return [answer | {"others": others} for answer in answers]


def _measure(
    server_command: list[str],
    load_command: list[str],
    phases: tuple[str, ...],
    log: IO[str],
) -> list[Answer]:
    with _started(server_command, CORES[0], log) as (server, server_says, _):
        line = server_says.readline()
        if not line.strip().isdecimal():
            raise FailedError(f"expected a port of the server, got {line!r}")
        command = [*load_command, "--server", str(server.pid), line.strip(), *phases]
        with _started(command, CORES[-1], log) as (load, load_says, load_hears):
            answers = []
            for told in load_says:
                answer = json.loads(told)
                answer["memory"] = _memory_of(server.pid)
                answers.append(answer)
                if answer["phase"] == "idle":
                    load_hears.write("go on\n")
                    load_hears.flush()
            code = load.wait(DEADLINE)
    if code or len(answers) != len(phases):
        raise FailedError(f"the load ended with {code}, in phase {len(answers)}")
    return answers


@contextlib.contextmanager
def _started(
    command: list[str], core: int, log: IO[str]
) -> Iterator[tuple[subprocess.Popen[str], IO[str], IO[str]]]:
    """Run a program; yields it, what it says, and what it hears."""
    # what is meant for this Python is not meant for those of the peers
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    with subprocess.Popen(  # noqa: S603 - our own programs
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env=inherited,
        text=True,
    ) as process:
        watchdog = threading.Timer(DEADLINE, process.kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            if process.stdin is None or process.stdout is None:
                raise FailedError("its pipes are missing")
            if len(CORES) > 1:
                os.sched_setaffinity(process.pid, {core})
            yield process, process.stdout, process.stdin
        finally:
            watchdog.cancel()
            process.kill()
            process.wait(DEADLINE)  # Popen itself hardly waits when it is interrupted


class _Others:
    """Tells what everything else computes: its share of a core since this was made.

    What a hypervisor gives to other machines counts as well.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._spent = self._spend()

    def share(self) -> float:
        seconds = time.monotonic() - self._began
        return max(0.0, self._spend() - self._spent) / seconds

    def _spend(self) -> float:
        """Return the machine's CPU seconds without ours and our children's."""
        first = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0]
        user, nice, system, _, _, irq, softirq, stolen = map(int, first.split()[1:9])
        ticks = user + nice + system + irq + softirq + stolen
        return ticks / os.sysconf("SC_CLK_TCK") - sum(os.times()[:4])


def _memory_of(process_id: int) -> int:
    status = Path(f"/proc/{process_id}/status").read_text(encoding="ascii")
    sizes = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    if "RssAnon" not in sizes:
        raise FailedError("the server ended")
    return int(sizes["RssAnon"].split()[0]) * 1024
