import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.fanout import instructions as module
from benchmarks.fanout.instructions import (
    CASES,
    CountingError,
    compare,
    count_all,
    read_recorded,
)

ROOT = Path(module.__file__).parents[2]
SOME = CASES[:3]  # of one host


@pytest.mark.parametrize(
    ("host", "act", "writes"),
    [
        ("asgi", "quiet", 20),
        ("asgi", "reply", 2),
        ("uvicorn", "busy", 160),
        ("frames", "busy", 20),
        ("events", "quiet", 20),
    ],
)
def test_a_driven_room_writes_what_was_acted_and_nothing_else(host, act, writes):
    process = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.fanout.driven_room",
            host,
            act,
            "2",
            "--members",
            "10",
        ],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=15,
    )

    assert (process.stdout, process.stderr) == (f"{writes}\n", "")


def test_what_runs_have_in_common_is_not_counted(monkeypatch):
    monkeypatch.setattr(
        module,
        "_count",
        lambda _, some: [1_000_000 + 700 * count for _, _, count in some],
    )
    monkeypatch.setattr(module.shutil, "which", lambda name: name)

    assert count_all(SOME) == {each.name: 700 for each in SOME}


def test_a_machine_without_valgrind_is_told_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(CountingError, match="valgrind"):
        count_all(SOME)


def test_a_run_that_fails_is_named_with_what_it_said(monkeypatch, tmp_path):
    valgrind = tmp_path / "valgrind"
    valgrind.write_text("#!/bin/sh\necho cannot count here; exit 3\n")
    valgrind.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")

    with pytest.raises(CountingError, match="cannot count here"):
        count_all(SOME)


def test_recorded_counts_are_read_from_their_table():
    recorded = f"| {CASES[0].name} | 6,600,000 | 6,600 |\n| another | 1 | 1 |\n"

    assert read_recorded(recorded) == {CASES[0].name: 6_600_000}


def test_a_count_is_shown_beside_the_recorded_one():
    (line,) = compare({"quiet": 110.0, "new": 1.0}, {"quiet": 100.0})

    assert line == "quiet: 110 instead of 100 (+10.0%)"
