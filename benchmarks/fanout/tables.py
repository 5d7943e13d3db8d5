"""The results as Markdown: medians, spread, and ratios within a round."""

import statistics
from collections.abc import Sequence

from benchmarks.fanout.contenders import Contender
from benchmarks.fanout.figures import BARE_HOST, Figure, Run, Table
from benchmarks.fanout.scenarios import Scenario

__all__ = ["Failures", "Results", "median_of", "median_ratio", "render", "row"]

Results = dict[str, list[Run | None]]
"""Contender to its runs, round by round; None for one that failed."""

Failures = dict[str, list[str]]
"""Contender to what was said, by those of its runs that failed."""

SAID = 120  # characters that are shown of it


def median_of(runs: Sequence[Run | None], figure: Figure) -> float | None:
    """Return the median of the runs that did not fail, None if all did."""
    values = [figure.of(run) for run in runs if run]
    return statistics.median(values) if values else None


def median_ratio(
    results: Results, name: str, reference: str, figure: Figure
) -> float | None:
    """Return the median of the ratios within a round, None if there are none."""
    if name == reference:
        return None
    ratios = [
        figure.of(ours) / theirs
        for ours, other in zip(
            results.get(name, ()), results.get(reference, ()), strict=False
        )
        if ours and other and (theirs := figure.of(other))
    ]
    return statistics.median(ratios) if ratios else None


def render(scenario: Scenario, results: Results, failures: Failures) -> list[str]:
    """Return the lines of all tables of a scenario, and what failed."""
    lines = []
    for table in scenario.tables:
        lines += [f"## {table.title}", ""]
        titles = [
            "",
            table.main.title,
            "spread",
            *(each.title for each in table.more),
            *(f"x {name}" for name in table.references),
        ]
        lines += [row(titles), "|---" * len(titles) + "|"]
        lines += [row(_cells(table, each, results)) for each in scenario.contenders]
        lines.append("")
    for name, said in failures.items():
        last = " ".join(said[-1].split())[-SAID:].replace("`", "'")
        lines += [
            f"{len(said)} of {len(results[name])} runs of {name} failed: `{last}`."
        ]
    return [*lines, ""] if failures else lines


def row(cells: Sequence[str]) -> str:
    """Return one line of a table."""
    return f"| {' | '.join(cells)} |"


def _cells(table: Table, contender: Contender, results: Results) -> list[str]:
    runs = results.get(contender.name, [])
    middle = median_of(runs, table.main)
    if middle is None:
        rest = 1 + len(table.more) + len(table.references)
        return [contender.name, "failed", *[""] * rest]
    cells = [contender.name, _number(middle, table.main.digits), _spread(runs, table)]
    cells += [_number(median_of(runs, each), each.digits) for each in table.more]
    for reference in table.references:
        other = contender.bare if reference == BARE_HOST else reference
        ratio = median_ratio(results, contender.name, other, table.main)
        cells.append(_number(ratio, 2))
    return cells


def _spread(runs: Sequence[Run | None], table: Table) -> str:
    values = [table.main.of(run) for run in runs if run]
    if len(values) == 1:
        return ""
    digits = table.main.digits
    return f"{_number(min(values), digits)} to {_number(max(values), digits)}"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
