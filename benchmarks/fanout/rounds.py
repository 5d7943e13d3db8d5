"""Rounds: contenders meet a load by turns, so that a disturbance meets them all."""

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.fanout.contenders import Contender
from benchmarks.fanout.environments import UnavailableError
from benchmarks.fanout.figures import Run
from benchmarks.fanout.runs import FailedError, run
from benchmarks.fanout.scenarios import Scenario
from benchmarks.fanout.tables import Failures, Results, median_of

__all__ = ["measure", "tell_disturbance"]

DISTURBING = 0.25  # of a core, taken by other programs


def measure(
    scenario: Scenario, folder: Path, patience: int
) -> tuple[Results, Failures]:
    """Let contenders meet a load by turns; return their runs, and what failed.

    A run that fails costs nobody else anything. Blocks until all have run.

    Args:
        scenario: Who meets what, and how often.
        folder: Where environments and programs are kept.
        patience: How often a run is repeated that other programs disturbed.
    """
    results: Results = {each.name: [] for each in scenario.contenders}
    failures: Failures = {}
    for number in range(scenario.rounds):
        for contender in _turned(scenario.contenders, number):
            found: Run | None = None
            try:
                found = _run_undisturbed(contender, scenario, folder, patience)
            except (FailedError, UnavailableError, OSError) as error:
                failures.setdefault(contender.name, []).append(str(error))
                print(f"{scenario.key}: {contender.name}: {error}", file=sys.stderr)
            results[contender.name].append(found)
            if found is not None:
                _show(scenario, contender, found)
    return results, failures


def tell_disturbance(measured: Sequence[tuple[Scenario, Results]]) -> str:
    """Return a sentence about what else the machine did."""
    shares = [
        answers[0]["others"]
        for _, results in measured
        for runs in results.values()
        for answers in runs
        if answers
    ]
    if not shares:
        return "All runs failed."
    disturbed = sum(share > DISTURBING for share in shares)
    return (
        f"Other programs took {statistics.median(shares):.0%} of a core in the median "
        f"run, {max(shares):.0%} in the worst; {disturbed} of {len(shares)} runs met "
        f"more than {DISTURBING:.0%}."
    )


def _run_undisturbed(
    contender: Contender, scenario: Scenario, folder: Path, patience: int
) -> Run:
    """Run again if other programs took too much; return the least disturbed run."""
    found: list[Run] = []
    while not found or (found[-1][0]["others"] > DISTURBING and len(found) <= patience):
        found.append(run(contender, scenario, folder))
    return min(found, key=lambda answers: float(answers[0]["others"]))


def _turned(contenders: tuple[Contender, ...], number: int) -> list[Contender]:
    """Return them in another order for each round."""
    first = number * 5 % len(contenders)
    order = [*contenders[first:], *contenders[:first]]
    return order if number % 2 == 0 else order[::-1]


def _show(scenario: Scenario, contender: Contender, found: Run) -> None:
    figures = (
        f"{median_of([found], table.main):,.{table.main.digits}f}"
        for table in scenario.tables
    )
    print(f"{scenario.key}: {contender.name}: {', '.join(figures)}", file=sys.stderr)
