from pathlib import Path

import pytest

from benchmarks.fanout import rounds as module
from benchmarks.fanout.contenders import AIOHTTP, BY_NAME, OUR_AIOHTTP, PUBLISHED
from benchmarks.fanout.figures import Table, rate
from benchmarks.fanout.rounds import measure, tell_disturbance
from benchmarks.fanout.runs import FailedError
from benchmarks.fanout.scenarios import Scenario
from tests.benchmarks.measured import answer

NAMES = (AIOHTTP, PUBLISHED, OUR_AIOHTTP)
SCENARIO = Scenario(
    "tiny",
    ("fan",),
    tuple(BY_NAME[name] for name in NAMES),
    (Table("busy", "Busy", rate("deliveries/s", 0)),),
    3,
)
NOWHERE = Path("nowhere")


@pytest.fixture
def met(monkeypatch):
    """Nothing is run; the list of who would have been, and what others took."""
    names, others = [], []

    def run(contender, scenario, folder):
        names.append(contender.name)
        if contender.name == PUBLISHED:
            raise FailedError("it did not start")
        return [answer(others=others.pop(0) if others else 0.0)]

    monkeypatch.setattr(module, "run", run)
    return names, others


def test_everybody_has_as_many_turns_as_there_are_rounds(met):
    measure(SCENARIO, NOWHERE, 0)

    assert sorted(met[0]) == sorted(NAMES * 3)


def test_who_fails_costs_nobody_else_a_run(met):
    results, failures = measure(SCENARIO, NOWHERE, 0)

    assert results[PUBLISHED] == [None] * 3
    assert results[AIOHTTP] == results[OUR_AIOHTTP] == [[answer()]] * 3
    assert failures == {PUBLISHED: ["it did not start"] * 3}


def test_a_disturbed_run_is_repeated_and_the_calmest_is_taken(met):
    met[1].extend([0.9, 0.5, 0.7])
    ours = Scenario("tiny", ("fan",), (BY_NAME[AIOHTTP],), SCENARIO.tables, 1)

    results, _ = measure(ours, NOWHERE, 2)

    assert met[0] == [AIOHTTP] * 3
    assert results[AIOHTTP][0][0]["others"] == 0.5


def test_an_undisturbed_run_is_not_repeated(met):
    ours = Scenario("tiny", ("fan",), (BY_NAME[AIOHTTP],), SCENARIO.tables, 1)

    measure(ours, NOWHERE, 2)

    assert met[0] == [AIOHTTP]


def test_what_else_the_machine_did_is_told():
    results = {AIOHTTP: [[answer(others=0.1)], [answer(others=0.5)], None]}

    said = tell_disturbance([(SCENARIO, results)])

    assert "30% of a core in the median run, 50% in the worst; 1 of 2" in said


def test_a_run_in_which_all_failed_says_so():
    assert tell_disturbance([(SCENARIO, {AIOHTTP: [None]})]) == "All runs failed."
