"""The table of docs/ws-bridge.md: how ws_bridge does in Autobahn's suite.

A run of the tests holds its own table against that of the document. With
POND_WRITE_DOCS=1 in the environment it is written instead. A table is the same in each
run: what may end either way is listed as such.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from tests.autobahn.wstest import Verdict
from tests.markdown_table import render_table

__all__ = ["DOCUMENT", "PASSED", "keep", "render"]

DOCUMENT = Path(__file__).parents[2] / "docs" / "ws-bridge.md"
BEGIN = "<!-- conformance table, written by the tests: make no changes by hand -->"
END = "<!-- end of the conformance table -->"

GROUPS = {  # the first part of a case's number -> what it is about
    "1": "messages of 0 to 65,536 bytes, whole and cut anywhere",
    "2": "pings and pongs",
    "3": "reserved bits",
    "4": "reserved opcodes",
    "5": "fragments, with control frames between them",
    "6": "UTF-8, valid and not, cut anywhere",
    "7": "closing: codes, reasons, what comes afterwards",
    "10": "fragments that the suite makes by itself",
    "12": "compressed messages, five kinds of content",
    "13": "compressed messages, seven kinds of offer",
}
PASSED = {"OK", "NON-STRICT", "INFORMATIONAL"}
HEADINGS = ("cases", "about", "played", "failed", "may end NON-STRICT")


def render(verdicts: Mapping[str, Verdict], non_strict: set[str]) -> str:
    """Return the table in Markdown, a line for each group of cases.

    Args:
        verdicts: By the number of the case.
        non_strict: The cases that may end so.
    """
    rows = [list(HEADINGS)]
    for group, about in GROUPS.items():
        played = sorted(c for c in verdicts if c.split(".")[0] == group)
        failed = sum(verdicts[case].behaviour not in PASSED for case in played)
        listed = ", ".join(case for case in played if case in non_strict)
        rows.append([f"{group}.*", about, str(len(played)), str(failed), listed or "-"])
    return render_table(rows)


def keep(table: str) -> str:
    """Return the table of the document; write this one there first if it is wanted.

    Raises:
        ValueError: If the document has no place for it.
    """
    text = DOCUMENT.read_text()
    before, begin, rest = text.partition(f"{BEGIN}\n")
    written, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected {BEGIN!r} and {END!r} in {DOCUMENT.name}")
    if os.environ.get("POND_WRITE_DOCS"):
        DOCUMENT.write_text(f"{before}{begin}{table}{end}{after}")
        return table
    return written
