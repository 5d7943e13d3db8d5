"""The table of docs/cluster-cases.md: what several nodes did when something broke.

Tests call :func:`note`. When a run ends, what it noted is held against the table of the
document. A cell is what was measured and, in brackets, what it must keep to: figures
differ from run to run, so only the brackets are compared; the figures themselves were
compared with them by the test. With POND_WRITE_DOCS=1 in the environment the rows are
written instead. Rows that a run did not note stay as they are; but where all of these
tests ran, a row that none noted fails the run.
"""

import re
from pathlib import Path

import pytest

from tests.markdown_table import render_table

__all__ = ["CASES", "DOCUMENT", "FIGURES", "MODULES", "Table", "is_whole", "note"]

DOCUMENT = Path(__file__).parents[2] / "docs" / "cluster-cases.md"
MODULES = frozenset(Path(__file__).parent.glob("test_*.py"))
BEGIN = "<!-- cluster table, written by the tests: make no changes by hand -->"
END = "<!-- end of the cluster table -->"
NOTHING = "-"
PROMISE = re.compile(r"\(.*?\)")

BACKENDS = ("redis", "nats")
CASES = {  # what happens -> on which backends
    "1,000 messages/s between three nodes": BACKENDS,
    "the backend is killed for 10 s": BACKENDS,
    "the backend is stopped for a while": BACKENDS,
    "the link of one node is a black hole": BACKENDS,
    "the server kills all subscribers": ("redis",),
    "the server drops a subscriber that lags": ("redis",),
    "answers to PUBLISH are cut off": ("redis",),
    "three nodes lose sight of each other": BACKENDS,
    "two nodes with 500 presences each meet": BACKENDS,
    "one of three nodes is killed with 500 members": BACKENDS,
    "the backend is down at the start": BACKENDS,
    "somebody poisons the bus": BACKENDS,
    "three applications share a server": BACKENDS,
}
FIGURES = (
    "lost",
    "counted as lost",
    "duplicates",
    "noticed after",
    "recovered after",
    "besides",
)

Row = tuple[str, str]


class Table:
    """Cells by case and backend."""

    def __init__(self) -> None:
        self._rows: dict[Row, dict[str, str]] = {}

    def note(self, case: str, backend: str, **cells: str) -> None:
        """Keep a row; the names of figures have ``_`` for spaces.

        Raises:
            ValueError: If the table has no such row or cell, or has noted the row.
        """
        row = case, backend
        figures = {name.replace("_", " "): cell for name, cell in cells.items()}
        if backend not in CASES.get(case, ()) or not figures.keys() <= set(FIGURES):
            raise ValueError(f"the table has no cells for {row}: {sorted(figures)}")
        if row in self._rows:
            raise ValueError(f"{row} was noted before")
        self._rows[row] = figures

    def compare(self, text: str) -> list[str]:
        """Return one line for each cell in which a document promises something else."""
        written = read(text)
        return [
            f"{case}, {backend}, {figure}: observed {cell!r}, documented {was!r}"
            for (case, backend), cells in self._rows.items()
            for figure in FIGURES
            if PROMISE.findall(cell := cells.get(figure, NOTHING))
            != PROMISE.findall(was := written.get((case, backend), {}).get(figure, ""))
        ]

    def missing(self) -> list[str]:
        """Return one line for each row that was not noted."""
        return [
            f"{case}, {backend}: not observed"
            for case, backends in CASES.items()
            for backend in backends
            if (case, backend) not in self._rows
        ]

    def write_into(self, text: str) -> str:
        """Return a document with these rows in it, and its own where there is none.

        Raises:
            ValueError: If the document has no place for the table.
        """
        before, begin, rest = text.partition(BEGIN)
        _, end, after = rest.partition(END)
        if not begin or not end:
            raise ValueError(f"expected {BEGIN!r} and {END!r} in the document")
        return f"{before}{BEGIN}\n{render(read(text) | self._rows)}{END}{after}"

    def __bool__(self) -> bool:
        return bool(self._rows)


def read(text: str) -> dict[Row, dict[str, str]]:
    """Return the rows of a document."""
    _, _, rest = text.partition(BEGIN)
    table, _, _ = rest.partition(END)
    lines = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("|")
    ]
    return {
        (case, backend): dict(zip(FIGURES, cells, strict=True))
        for case, backend, *cells in lines[2:]
    }


def render(rows: dict[Row, dict[str, str]]) -> str:
    """Return a Markdown table with columns of equal width."""
    lines = [
        ["what happens", "backend", *FIGURES],
        *(
            [case, backend, *(cells.get(figure, NOTHING) for figure in FIGURES)]
            for case, backends in CASES.items()
            for backend in backends
            if (cells := rows.get((case, backend))) is not None
        ),
    ]
    return render_table(lines)


def is_whole(session: pytest.Session, *, has_deselected: bool) -> bool:
    """Tell whether a run that ends had all tests that note something, and none failed.

    Args:
        session: The run.
        has_deselected: Whether it left out tests that it had collected.
    """
    config = session.config
    names_tests = any("::" in each for each in config.args)
    return (
        session.exitstatus == pytest.ExitCode.OK
        and not (has_deselected or names_tests or config.option.collectonly)
        and {item.path for item in session.items} >= MODULES
    )


TABLE = Table()


def note(case: str, backend: str, **cells: str) -> None:
    """Note what happened in a case, for the table of the documentation.

    Args:
        case: One of :data:`CASES`.
        backend: One of its backends.
        **cells: By figure, ``_`` for spaces: ``"0.4 s (at most 2 s)"``.
    """
    TABLE.note(case, backend, **cells)
