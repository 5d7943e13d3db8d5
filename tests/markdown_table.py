"""Tables in documents that the tests write."""

from collections.abc import Sequence

__all__ = ["render_table"]


def render_table(rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown with columns of equal width, headings first."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    headings, *others = rows
    return "".join(
        f"| {' | '.join(c.ljust(w) for c, w in zip(row, widths, strict=True))} |\n"
        for row in [headings, ["-" * width for width in widths], *others]
    )
