"""Figures: the columns of a table, and what each says of one run."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "BARE_HOST",
    "CPU",
    "Figure",
    "Run",
    "Table",
    "at_once",
    "bytes_of",
    "cost",
    "growth",
    "load_busy",
    "pairs",
    "percentile",
    "rate",
    "server_busy",
    "total",
]

CPU = "CPU us per"  # how titles of costs begin
BARE_HOST = "its host"  # as a reference: the contender that is the same host alone
KB = 1000
MB = 1_000_000

Run = list[dict[str, Any]]
"""What was measured in each phase of a load, see ``runs.py``."""


@dataclass(frozen=True)
class Figure:
    """A column.

    Attributes:
        title: Its heading.
        of: What it says of a run.
        digits: Behind the point.
    """

    title: str
    of: Callable[[Run], float]
    digits: int = 0


@dataclass(frozen=True)
class Table:
    """A table: a row for each contender.

    Attributes:
        key: Names it, within its scenario.
        title: Its heading.
        main: The figure that is shown with its spread, and that ratios are of.
        more: Others.
        references: Names of contenders that ratios are to, or BARE_HOST.
    """

    key: str
    title: str
    main: Figure
    more: tuple[Figure, ...] = ()
    references: tuple[str, ...] = ()


def rate(title: str, at: int) -> Figure:
    """Return how many per second there were in a phase."""
    return Figure(title, lambda run: float(run[at]["per_second"]))


def cost(what: str, at: int) -> Figure:
    """Return the server's CPU microseconds for each of what is counted."""
    return Figure(
        f"{CPU} {what}",
        lambda run: run[at]["server_cpu"] / max(1, run[at]["deliveries"]) * 1e6,
        digits=1,
    )


def server_busy(at: int) -> Figure:
    """Return which share of the time the server computed: near 100 it is the limit."""
    return Figure("server busy, %", lambda run: _share(run[at], "server_cpu"))


def load_busy(at: int) -> Figure:
    """Return the same of the load."""
    return Figure("load busy, %", lambda run: _share(run[at], "cpu"))


def at_once(at: int) -> Figure:
    """Return how many deliveries a client found in one read: about how many joined."""
    return Figure(
        "at once",
        lambda run: run[at]["deliveries"] / max(1, run[at]["reads"]),
        digits=1,
    )


def bytes_of(what: str, at: int) -> Figure:
    """Return how many bytes came for each of what is counted, heads of frames too."""
    return Figure(
        f"bytes per {what}",
        lambda run: run[at]["bytes"] / max(1, run[at]["deliveries"]),
    )


def percentile(name: str, *phases: int, title: str = "") -> Figure:
    """Return ``p50`` or ``p99`` in microseconds; of several phases the median."""
    return Figure(
        title or f"{name}, us",
        lambda run: float(statistics.median(run[at][name] for at in phases)),
    )


def pairs(title: str, name: str, some: Sequence[int], others: Sequence[int]) -> Figure:
    """Return the median ratio of microseconds in ``some`` phases to ``others``."""
    return Figure(
        title,
        lambda run: statistics.median(
            run[first][name] / max(1.0, run[second][name])
            for first, second in zip(some, others, strict=True)
        ),
        digits=2,
    )


def growth(
    title: str, before: int, after: int, *, divisor: float = MB, digits: int = 1
) -> Figure:
    """Return how many bytes of memory the server took from one phase to another."""
    return Figure(
        title,
        lambda run: (run[after]["memory"] - run[before]["memory"]) / divisor,
        digits,
    )


def total(
    title: str, name: str, phases: int, *, divisor: float = 1, digits: int = 0
) -> Figure:
    """Return a sum over the first phases."""
    return Figure(
        title,
        lambda run: sum(answer[name] for answer in run[:phases]) / divisor,
        digits,
    )


def _share(answer: dict[str, Any], name: str) -> float:
    return float(answer[name] / answer["seconds"] * 100)
