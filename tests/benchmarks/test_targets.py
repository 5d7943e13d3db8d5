import pytest

from benchmarks.fanout.contenders import AIOHTTP, OUR_AIOHTTP, PUBLISHED
from benchmarks.fanout.figures import BARE_HOST, Figure, Table, cost, rate
from benchmarks.fanout.scenarios import Scenario
from benchmarks.fanout.targets import Target, render_targets
from tests.benchmarks.measured import answer

MEMORY = Figure("MB", lambda run: run[0]["memory"] / 1e6)
TABLE = Table("busy-64", "Busy", rate("deliveries/s", 0), (MEMORY, cost("delivery", 0)))
WHERE = ("fan-1000", "busy-64")
SCENARIO = Scenario("fan-1000", ("fan",), (), (TABLE,), 1)


def target(reference, bound, **more):
    return Target((OUR_AIOHTTP,), WHERE, reference, bound, **more)


def results(ours, theirs):
    return {
        OUR_AIOHTTP: [ours and [answer(per_second=ours)]],
        PUBLISHED: [[answer(per_second=theirs)]],
        AIOHTTP: [[answer(per_second=theirs)]],
    }


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (target(PUBLISHED, 20), 30),
        (target(BARE_HOST, 0.7), 30),
        (target(PUBLISHED, 2900, is_difference=True), 2900),
        (target("", 3, is_most=True, column="MB"), 1),
    ],
)
def test_a_target_is_held_against_what_it_names(wanted, found):
    assert wanted.find(OUR_AIOHTTP, TABLE, results(3000.0, 100.0)) == found


def test_a_ratio_of_speeds_has_one_of_cpu_times_beside_it():
    runs = results(3000.0, 100.0)
    runs[OUR_AIOHTTP][0][0]["server_cpu"] = 0.05

    assert target(PUBLISHED, 20).find_by_cpu(OUR_AIOHTTP, TABLE, runs) == 10


@pytest.mark.parametrize(
    ("bound", "is_most", "is_reached"),
    [(30, False, True), (31, False, False), (30, True, True), (29, True, False)],
)
def test_a_bound_may_be_met_exactly(bound, is_most, is_reached):
    assert target(PUBLISHED, bound, is_most=is_most).is_reached(30) is is_reached


def test_what_was_not_measured_was_not_reached():
    assert not target(PUBLISHED, 1).is_reached(None)


def test_the_table_says_yes_or_no():
    lines = render_targets([(SCENARIO, results(3000.0, 100.0))])

    (line,) = [each for each in lines if OUR_AIOHTTP in each and PUBLISHED in each]
    assert line.endswith("| >= x 20 | x 30.00 | x 1.00 | yes |")


def test_the_table_says_no_of_who_failed():
    lines = render_targets([(SCENARIO, results(None, 100.0))])

    (line,) = [each for each in lines if OUR_AIOHTTP in each and PUBLISHED in each]
    assert line.endswith("| not measured |  | **no** |")


def test_what_a_run_left_out_is_named():
    lines = render_targets([(SCENARIO, results(3000.0, 100.0))])

    (line,) = [each for each in lines if each.startswith("Not measured")]
    assert "echo-3.13 64" in line
    assert "fan-1000 busy-64" not in line
