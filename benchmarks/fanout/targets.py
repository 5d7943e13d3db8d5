"""What is to be reached: ratios in one run on one machine, and whether they were."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.fanout.contenders import (
    AS_IT_IS,
    BY_NAME,
    C_SEND,
    OUR_ADAPTERS,
    OUR_AIOHTTP,
    OUR_ASGI,
    OUR_WEBSOCKETS,
    PUBLISHED,
    STARLETTE,
    WEBSOCKETS,
)
from benchmarks.fanout.figures import BARE_HOST, CPU, Figure, Table
from benchmarks.fanout.scenarios import HANDLERS, Scenario
from benchmarks.fanout.tables import Results, median_of, median_ratio, row

__all__ = ["NEWER", "TARGETS", "Target", "render_targets"]

NEWER = "3.13"  # a Python that has echo targets of its own
HEADINGS = ("", "", "to", "wanted", "found", "by CPU time", "")
BY_CPU = (
    "By CPU time: how much less of it the server spent on each of what is counted, "
    "which other programs disturb less than a speed."
)
BARE = (OUR_AIOHTTP, OUR_WEBSOCKETS)
HOSTED = (*BARE, OUR_ASGI)


@dataclass(frozen=True)
class Target:
    """A bound on a figure.

    Attributes:
        who: To whom it applies.
        where: Keys of the scenario and of its table.
        reference: Whose figure it is held against: a name, BARE_HOST, or "" for a bound
            on the figure itself.
        bound: What to reach.
        is_most: Whether the bound is an upper one.
        is_difference: Whether it is on the difference, not on the ratio.
        column: Title of the figure, "" for the table's main one.
    """

    who: tuple[str, ...]
    where: tuple[str, str]
    reference: str
    bound: float
    is_most: bool = False
    is_difference: bool = False
    column: str = ""

    def find(self, who: str, table: Table, results: Results) -> float | None:
        """Return what was reached, None if it was not measured."""
        figure = self.figure(table)
        ours = median_of(results.get(who, ()), figure)
        reference = self.reference_of(who)
        if not reference or ours is None:
            return ours
        if not self.is_difference:
            return median_ratio(results, who, reference, figure)
        theirs = median_of(results.get(reference, ()), figure)
        return None if theirs is None else ours - theirs

    def find_by_cpu(self, who: str, table: Table, results: Results) -> float | None:
        """Return the ratio of CPU times, where the bound is on a ratio of speeds."""
        costs = [each for each in table.more if each.title.startswith(CPU)]
        if self.is_most or not self.reference or not costs:
            return None
        return median_ratio(results, self.reference_of(who), who, costs[0])

    def figure(self, table: Table) -> Figure:
        """Return the figure that the bound is on."""
        some = (table.main, *table.more)
        return next((each for each in some if each.title == self.column), table.main)

    def reference_of(self, who: str) -> str:
        """Return the name of whom it is held against, "" if nobody."""
        return BY_NAME[who].bare if self.reference == BARE_HOST else self.reference

    def is_reached(self, found: float | None) -> bool:
        """Tell whether a figure is within the bound; one that is missing is not."""
        if found is None:
            return False
        return found <= self.bound if self.is_most else found >= self.bound

    def show(self, value: float, digits: str = ".2f") -> str:
        """Return a figure as the table has it."""
        if not self.reference:
            return f"{value:{digits}}"
        return f"{value:+{digits}}" if self.is_difference else f"x {value:{digits}}"


QUIET, BUSY = ("fan-1000", "quiet-64"), ("fan-1000", "busy-64")
LARGE = ("fan-5000", "busy-64")
ECHO, NEWER_ECHO = ("echo", "64"), (f"echo-{NEWER}", "64")
JOIN, MEMORY = ("join", "rate"), ("join", "memory")
SLOW = ("slow", "p99")

TARGETS = [
    Target(HOSTED, QUIET, PUBLISHED, 6),
    Target(BARE, QUIET, WEBSOCKETS, 1.4),
    Target(BARE, QUIET, C_SEND, 0.7),
    Target((AS_IT_IS,), QUIET, PUBLISHED, 3),
    Target((AS_IT_IS,), QUIET, STARLETTE, 1),
    Target(HOSTED, BUSY, PUBLISHED, 20),
    Target(BARE, BUSY, WEBSOCKETS, 5),
    Target(BARE, BUSY, C_SEND, 3),
    Target((AS_IT_IS,), BUSY, PUBLISHED, 3.3),
    Target((AS_IT_IS,), BUSY, STARLETTE, 1.15),
    Target(HOSTED, LARGE, PUBLISHED, 20),
    Target((AS_IT_IS,), LARGE, PUBLISHED, 3),
    Target(OUR_ADAPTERS, ECHO, PUBLISHED, 2),
    Target(BARE, ECHO, BARE_HOST, 0.7),
    Target(OUR_ADAPTERS, NEWER_ECHO, PUBLISHED, 2.5),
    Target(BARE, NEWER_ECHO, BARE_HOST, 0.85),
    Target(OUR_ADAPTERS, JOIN, PUBLISHED, 1.5),
    Target(OUR_ADAPTERS, MEMORY, BARE_HOST, 3, is_most=True, is_difference=True),
    Target(OUR_ADAPTERS, ("rate", "p99"), BARE_HOST, 1.3, is_most=True),
    # "only the events that it matches": a tenth is what two runs of the same differ by
    *(
        Target(
            (f"{name}: {HANDLERS['unhandled']}",),
            ("outgoing", "busy"),
            f"{name}: {HANDLERS['room']}",
            0.9,
        )
        for name in (OUR_AIOHTTP, OUR_ASGI)
    ),
    Target(OUR_ADAPTERS, SLOW, "", 1.1, is_most=True),
    # "flat": its outbox is full from the first cycle on
    Target(OUR_ADAPTERS, SLOW, "", 1, is_most=True, column="MB more at the end"),
]


def render_targets(measured: Sequence[tuple[Scenario, Results]]) -> list[str]:
    """Return a table of all targets whose scenario was measured.

    Who was to be measured there and was not, or failed, has not reached it.
    """
    found = {
        (scenario.key, table.key): (table, results)
        for scenario, results in measured
        for table in scenario.tables
    }
    rows = [
        _row(target, who, *found[target.where])
        for target in TARGETS
        if target.where in found
        for who in target.who
        if who in found[target.where][1]
    ]
    missing = sorted({" ".join(each.where) for each in TARGETS} - _names(found))
    lines = ["## What is to be reached", ""]
    if rows:
        lines += [row(HEADINGS), "|---" * len(HEADINGS) + "|", *rows, "", BY_CPU, ""]
    if missing:
        lines += [f"Not measured in this run: {', '.join(missing)}.", ""]
    return lines


def _names(found: dict[tuple[str, str], tuple[Table, Results]]) -> set[str]:
    return {" ".join(where) for where in found}


def _row(target: Target, who: str, table: Table, results: Results) -> str:
    found = target.find(who, table, results)
    by_cpu = target.find_by_cpu(who, table, results)
    sign = "<=" if target.is_most else ">="
    return row(
        [
            who,
            f"{' '.join(target.where)}, {target.figure(table).title}",
            target.reference_of(who),
            f"{sign} {target.show(target.bound, 'g')}",
            "not measured" if found is None else target.show(found),
            "" if by_cpu is None else target.show(by_cpu),
            "yes" if target.is_reached(found) else "**no**",
        ]
    )
