"""The switch --direct-writes: it reaches this process and the programs of the tests."""

import os
import subprocess
import sys

import pytest

from pondsocket import Options
from tests import direct_writes
from tests.hosts.process import ROOT

ASK = "from tests.hosts.room import pond; print(pond.options.direct_writes)"


@pytest.fixture(autouse=True)
def choice_of_the_run(pytestconfig):
    yield
    direct_writes.choose(pytestconfig.getoption("--direct-writes"))


def test_without_a_test_that_says_otherwise_the_run_decides(pytestconfig):
    is_on = pytestconfig.getoption("--direct-writes") == "on"

    assert Options().direct_writes is is_on


@pytest.mark.parametrize("choice", direct_writes.CHOICES)
def test_a_choice_is_the_default_and_no_more(choice):
    direct_writes.choose(choice)

    assert Options().direct_writes is (choice == "on")
    assert Options(direct_writes=True).direct_writes
    assert not Options(direct_writes=False).direct_writes


@pytest.mark.parametrize("choice", direct_writes.CHOICES)
def test_the_choice_reaches_what_the_hosts_serve(choice):
    direct_writes.choose(choice)

    answer = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
        text=True,
        timeout=15,
    )

    assert answer.stdout.strip() == str(choice == "on")


def test_who_started_no_test_run_writes_directly(monkeypatch):
    monkeypatch.delenv(direct_writes.VARIABLE)

    direct_writes.adopt()

    assert Options().direct_writes
