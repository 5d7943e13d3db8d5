"""The file of results: parts that a program writes, among others that it leaves alone.

A part stands between two marks, which Markdown does not show::

    <!-- fan-out: written by make bench -->
    ...
    <!-- fan-out: end -->
"""

from collections.abc import Sequence
from pathlib import Path

__all__ = ["RESULTS", "replace_part", "write_part"]

RESULTS = Path(__file__).parents[1] / "RESULTS.md"


def write_part(file: Path, name: str, command: str, lines: Sequence[str]) -> None:
    """Put lines into a file's part of that name; the rest stays as it is.

    The file is replaced as a whole, so who is interrupted leaves the old one.

    Raises:
        ValueError: As :func:`replace_part`.
    """
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    after = replace_part(before, name, command, lines)
    new = file.with_suffix(".new")
    new.write_text(after, encoding="utf-8")
    new.replace(file)


def replace_part(text: str, name: str, command: str, lines: Sequence[str]) -> str:
    """Return a text with a part replaced, or added at its end if it has none.

    Args:
        text: Of the whole file.
        name: Of the part.
        command: What writes it, for who reads the source.
        lines: What it shall be.

    Raises:
        ValueError: If the part begins and does not end.
    """
    begin, end = f"<!-- {name}: ", f"<!-- {name}: end -->"
    part = "\n".join((f"{begin}written by {command} -->", "", *lines, "", end))
    head, found, rest = text.partition(begin)
    if not found:
        return f"{head.rstrip()}\n\n{part}\n" if head.strip() else f"{part}\n"
    _, found, tail = rest.partition(end)
    if not found:
        raise ValueError(f"expected {end!r} behind {begin!r}")
    return f"{head}{part}{tail}"
