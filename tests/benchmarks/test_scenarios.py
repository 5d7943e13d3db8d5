import sys
from pathlib import Path

import pytest

from benchmarks.fanout.contenders import BY_NAME, CONTENDERS, SERVERS
from benchmarks.fanout.figures import BARE_HOST
from benchmarks.fanout.programs import SOURCES
from benchmarks.fanout.scenarios import echo_on, full_scenarios, quick_scenarios
from benchmarks.fanout.targets import NEWER, TARGETS
from tests.benchmarks.measured import answer

ALL = [
    *full_scenarios(),
    *quick_scenarios(),
    echo_on(Path(sys.executable), NEWER),
]


@pytest.mark.parametrize("scenario", ALL, ids=lambda each: each.key)
def test_every_figure_can_be_had_of_the_phases(scenario):
    run = [answer() for _ in scenario.phases]

    for table in scenario.tables:
        assert all(each.of(run) >= 0 for each in (table.main, *table.more))


@pytest.mark.parametrize("scenario", ALL, ids=lambda each: each.key)
def test_every_reference_is_somebody_that_is_measured(scenario):
    names = {each.name for each in scenario.contenders}
    references = {each for table in scenario.tables for each in table.references}

    assert references - {BARE_HOST} <= names


@pytest.mark.parametrize("scenarios", [full_scenarios, quick_scenarios])
def test_no_two_scenarios_have_the_same_key(scenarios):
    keys = [each.key for each in scenarios()]

    assert len(keys) == len(set(keys))


def test_every_target_is_measured_by_a_whole_run():
    found = {
        (scenario.key, table.key, contender.name)
        for scenario in (*full_scenarios(), echo_on(Path(sys.executable), NEWER))
        for table in scenario.tables
        for contender in scenario.contenders
    }
    wanted = {(*target.where, who) for target in TARGETS for who in target.who}

    assert wanted <= found


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda each: each.name)
def test_every_contender_has_a_program(contender):
    folder = SERVERS if contender.environment else SOURCES

    assert (folder / contender.program[0]).exists()


def test_every_bare_host_is_a_contender():
    assert {each.bare for each in CONTENDERS} - {""} <= BY_NAME.keys()


def test_who_is_told_changes_asks_for_them():
    changes = BY_NAME["ours, asgi"].tracking(is_told_changes=True)

    assert changes.protocol.path == "/live?pond.presence=diff"
