"""wstest: the program of Autobahn's test suite, and what it found about servers."""

import asyncio
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["BASIC_CASES", "Verdict", "judge"]

# Not among them: limits and speed (9), compression (12, 13).
BASIC_CASES = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*")
PATIENCE = 150.0  # seconds; the basic cases take a server 11, the compressed ones 60

# The suite's words, the best first. A case that is only informational has no better.
BEHAVIOURS = {"OK": 0, "INFORMATIONAL": 0, "NON-STRICT": 1, "FAILED": 2}
CLOSINGS = {
    "OK": 0,
    "INFORMATIONAL": 0,
    "WRONG CODE": 1,
    "UNCLEAN": 2,
    "FAILED BY CLIENT": 2,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the suite says about one server in one case.

    Attributes:
        behaviour: About what it answered.
        closing: About how it closed.
    """

    behaviour: str
    closing: str

    def behaves_worse_than(self, other: "Verdict") -> bool:
        return BEHAVIOURS[self.behaviour] > BEHAVIOURS[other.behaviour]

    def closes_worse_than(self, other: "Verdict") -> bool:
        return CLOSINGS[self.closing] > CLOSINGS[other.closing]

    def is_worse_than(self, other: "Verdict") -> bool:
        return self.behaves_worse_than(other) or self.closes_worse_than(other)


async def judge(
    python: Path,
    ports: dict[str, int],
    directory: Path,
    cases: Sequence[str] = BASIC_CASES,
) -> dict[str, dict[str, Verdict]]:
    """Run cases against servers, one after the other.

    Args:
        python: The interpreter that has the suite.
        ports: Of the servers by name.
        directory: For the suite's reports, empty.
        cases: Numbers, or patterns of them.

    Returns:
        By name of the server and number of the case.
    """
    specification = {
        "outdir": str(directory / "reports"),
        "servers": [
            {"agent": name, "url": f"ws://127.0.0.1:{port}/echo"}
            for name, port in ports.items()
        ],
        "cases": list(cases),
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    written = directory / "specification.json"
    written.write_text(json.dumps(specification))
    await _run(python, written, directory / "log")
    index = json.loads((directory / "reports" / "index.json").read_text())
    return {
        name: {
            number: Verdict(case["behavior"], case["behaviorClose"])
            for number, case in played.items()
        }
        for name, played in index.items()
    }


async def _run(python: Path, specification: Path, log: Path) -> None:
    # its module is no program: the command calls the same function
    run = "from autobahntestsuite.wstest import run; run()"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(python, "-W", "ignore", "-c", run),
            *("--mode", "fuzzingclient", "--spec", str(specification)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        async with asyncio.timeout(PATIENCE):
            code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert code == 0, _read(log)


def _read(log: Path) -> str:
    return log.read_text(errors="replace")
