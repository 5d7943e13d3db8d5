"""The documentation is true: its programs run, its tables and links are right."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pondsocket import Options
from pondsocket.metrics import COUNTERS

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
PROGRAM = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)[^)]*\)")
FIRST_CELL = re.compile(r"^\| `(\w+)` \|", re.MULTILINE)


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def programs(page: Path) -> list[str]:
    """Return a page's programs: later ones may build on the first in their section."""
    return PROGRAM.findall(page.read_text(encoding="utf-8"))


WITH_PROGRAMS = [page for page in PAGES if programs(page)]


@pytest.mark.parametrize("page", WITH_PROGRAMS, ids=page_id)
def test_the_programs_of_a_page_run_as_they_stand(page: Path, tmp_path: Path) -> None:
    script = tmp_path / "page.py"
    script.write_text("\n\n".join(programs(page)), encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))

    assert [t for t in targets if not (page.parent / t).exists()] == []


def test_the_table_of_options_names_every_option_in_order() -> None:
    text = (ROOT / "docs/options.md").read_text(encoding="utf-8")

    assert FIRST_CELL.findall(text) == [f.name for f in dataclasses.fields(Options)]


def test_the_table_of_counters_names_every_counter_in_order() -> None:
    text = (ROOT / "docs/observability.md").read_text(encoding="utf-8")

    table = text[text.index("<!-- counters") :]
    assert FIRST_CELL.findall(table) == list(COUNTERS)


def test_the_index_names_every_page() -> None:
    text = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    pages = {p.name for p in (ROOT / "docs").glob("*.md")} - {"README.md"}

    assert set(LINK.findall(text)) == pages
