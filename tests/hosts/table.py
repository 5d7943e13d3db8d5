"""The table of docs/hosts.md: what each host did, as the tests saw it.

Tests call :func:`note`. When a run ends, what it noted is held against the table of the
document: a cell that says something else fails the run. With POND_WRITE_DOCS=1 in the
environment the cells are written instead. Cells that a run did not note stay as they
are, so a part of the tests may run alone; but where all of them ran, a cell that none
noted is one that nobody observes any more, and fails the run.

An answer must be the same in each run: codes and who noticed, no times.
"""

from pathlib import Path

import pytest

from tests.hosts.commands import HOSTS
from tests.markdown_table import render_table

__all__ = ["DOCUMENT", "MODULES", "QUESTIONS", "Table", "is_whole", "note"]

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "hosts.md"
MODULES = frozenset(  # whose tests may note something
    [
        *Path(__file__).parent.glob("test_*.py"),
        ROOT / "tests" / "adapters" / "test_protocol.py",
    ]
)
BEGIN = "<!-- hosts table, written by the tests: make no changes by hand -->"
END = "<!-- end of the hosts table -->"
UNKNOWN = "?"

QUESTIONS = (
    "protocol rules kept",
    "refused handshake",
    "close at SIGTERM",
    "exit code",
    "leave handlers at SIGTERM",
    "slow reader",
    "vanished client",
    "message above the limit",
    "event streams",
    "compression",
)


class Table:
    """Answers by host and question; what nobody knows yet is a question mark."""

    def __init__(self) -> None:
        self._cells: dict[tuple[str, str], str] = {}

    def note(self, host: str, question: str, answer: str) -> None:
        """Keep an answer.

        Raises:
            ValueError: If the host or the question is not in the table, or another
                answer was noted before.
        """
        if host not in HOSTS or question not in QUESTIONS:
            raise ValueError(f"the table has no cell for {host!r}, {question!r}")
        known = self._cells.setdefault((host, question), answer)
        if known != answer:
            raise ValueError(
                f"{host}, {question}: noted {answer!r}, but {known!r} before"
            )

    def compare(self, text: str) -> list[str]:
        """Return one line for each cell in which a document says something else."""
        written = read(text)
        return [
            f"{host}, {question}: observed {answer!r}, documented {was!r}"
            for (host, question), answer in self._cells.items()
            if (was := written.get((host, question), UNKNOWN)) != answer
        ]

    def missing(self) -> list[str]:
        """Return one line for each cell for which there is no answer."""
        return [
            f"{host}, {question}: not observed"
            for host in HOSTS
            for question in QUESTIONS
            if (host, question) not in self._cells
        ]

    def write_into(self, text: str) -> str:
        """Return a document with these answers in it, and its own where there is none.

        Raises:
            ValueError: If the document has no place for the table.
        """
        before, begin, rest = text.partition(BEGIN)
        _, end, after = rest.partition(END)
        if not begin or not end:
            raise ValueError(f"expected {BEGIN!r} and {END!r} in the document")
        return f"{before}{BEGIN}\n{render(read(text) | self._cells)}{END}{after}"

    def __bool__(self) -> bool:
        return bool(self._cells)


def read(text: str) -> dict[tuple[str, str], str]:
    """Return the answers that a document gives."""
    _, _, rest = text.partition(BEGIN)
    table, _, _ = rest.partition(END)
    lines = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("|")
    ]
    if not lines:
        return {}
    (_, *questions), _, *rows = lines
    return {
        (host, question): answer
        for host, *answers in rows
        for question, answer in zip(questions, answers, strict=True)
    }


def render(cells: dict[tuple[str, str], str]) -> str:
    """Return a Markdown table, a line for each host, with columns of equal width."""
    rows = [
        ["host", *QUESTIONS],
        *(
            [host, *(cells.get((host, each), UNKNOWN) for each in QUESTIONS)]
            for host in HOSTS
        ),
    ]
    return render_table(rows)


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


def note(host: str, question: str, answer: str) -> None:
    """Note what a host did, for the table of the documentation.

    Args:
        host: Name of one of the hosts.
        question: One of :data:`QUESTIONS`.
        answer: A few words, the same in each run.
    """
    TABLE.note(host, question, answer)
