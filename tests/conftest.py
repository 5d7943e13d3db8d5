"""What every test may use, when a test may be skipped, and what a run must agree with.

A machine without Chromium or npm skips the tests that need them and says so. In
continuous integration (POND_CI set) nothing may be skipped: a skip is a failure. The
one exception is Python 2.7, which few systems still have: where there is pyenv, which
installs it, that is no excuse either.
"""

import os
import shutil
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest

from tests import direct_writes
from tests.autobahn.python2 import MISSING as NO_PYTHON2
from tests.autobahn.python2 import pyenv_root
from tests.cluster import table as cluster_table
from tests.hosts import table as hosts_table

SLOW_MARKERS = {"browser": 60, "npm": 60}  # seconds instead of pyproject's timeout

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")

# A fresh clone first makes hypothesis's table of characters, which takes seconds; and
# how long one example takes says more about the machine than about the code.
hypothesis.settings.register_profile(
    "pondsocket",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("pondsocket")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--direct-writes",
        choices=direct_writes.CHOICES,
        default="on",
        help="default of Options.direct_writes, also in programs that tests start",
    )


def pytest_configure(config: pytest.Config) -> None:
    direct_writes.choose(config.getoption("--direct-writes"))


def find_program(*names: str) -> Path | None:
    found = next(filter(None, map(shutil.which, names)), None)
    return Path(found) if found else None


def find_obstacle(item: pytest.Item) -> str | None:
    """Say what a test needs that this machine lacks."""
    if item.get_closest_marker("browser") and not find_program(*CHROMIUM_NAMES):
        return "Chromium is not installed (Debian: apt-get install chromium)"
    if item.get_closest_marker("npm") and not (
        find_program("node") and find_program("npm")
    ):
        return "node and npm are not installed (Debian: apt-get install nodejs npm)"
    return None


@pytest.fixture(scope="session")
def chromium() -> Path:
    """Path of the system's Chromium; a test that asks for it is marked `browser`."""
    found = find_program(*CHROMIUM_NAMES)
    assert found, "mark the test with `browser`: it is skipped where there is none"
    return found


@pytest.fixture(scope="session")
def npm() -> Path:
    """Path of npm; a test that asks for it is marked `npm`."""
    found = find_program("npm")
    assert found, "mark the test with `npm`: it is skipped where there is none"
    return found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for marker, seconds in SLOW_MARKERS.items():
            if item.get_closest_marker(marker) and not item.get_closest_marker(
                "timeout"
            ):
                item.add_marker(pytest.mark.timeout(seconds))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if obstacle := find_obstacle(item):
        pytest.skip(obstacle)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[
    None, pytest.TestReport, pytest.TestReport
]:
    report = yield
    fail_if_skipped_in_ci(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[
    None, pytest.CollectReport, pytest.CollectReport
]:
    report = yield
    fail_if_skipped_in_ci(report)
    return report


def fail_if_skipped_in_ci(report: pytest.TestReport | pytest.CollectReport) -> None:
    is_expected_failure = hasattr(report, "wasxfail")  # reported as a skip too
    if not os.environ.get("POND_CI") or not report.skipped or is_expected_failure:
        return
    _, _, text = report.longrepr
    reason = text.removeprefix("Skipped: ")
    if reason != NO_PYTHON2 or pyenv_root().exists():
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped in CI: {reason}"


# At the end of a run, what it noted is held against the tables of docs/.

TABLES = (hosts_table, cluster_table)
DIFFERENCES = pytest.StashKey[list[str]]()
DESELECTED = pytest.StashKey[bool]()


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items[:1]:
        item.config.stash[DESELECTED] = True


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the tables, or fail the run if one says something else or too little."""
    has_deselected = session.config.stash.get(DESELECTED, False)
    whole = [t for t in TABLES if t.is_whole(session, has_deselected=has_deselected)]
    differences = [line for table in whole for line in table.TABLE.missing()]
    for table in TABLES:
        if not table.TABLE:
            continue
        text = table.DOCUMENT.read_text()
        if os.environ.get("POND_WRITE_DOCS"):
            table.DOCUMENT.write_text(table.TABLE.write_into(text))
        else:
            differences += table.TABLE.compare(text)
    if differences:
        session.config.stash[DIFFERENCES] = differences
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Name the cells that differ."""
    if differences := config.stash.get(DIFFERENCES, []):
        names = " or ".join(f"docs/{table.DOCUMENT.name}" for table in TABLES)
        terminalreporter.section(f"{names} differs (POND_WRITE_DOCS=1 writes it)")
        for line in differences:
            terminalreporter.line(line)
