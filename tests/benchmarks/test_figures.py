import pytest

from benchmarks.fanout.figures import (
    at_once,
    bytes_of,
    cost,
    growth,
    load_busy,
    pairs,
    percentile,
    rate,
    server_busy,
    total,
)
from tests.benchmarks.measured import answer


@pytest.mark.parametrize(
    ("figure", "value"),
    [
        (rate("deliveries/s", 0), 1000),
        (cost("delivery", 0), 500),
        (server_busy(0), 50),
        (load_busy(0), 25),
        (at_once(0), 2),
        (bytes_of("delivery", 0), 66),
        (percentile("p99", 0), 200),
    ],
    ids=lambda each: getattr(each, "title", ""),
)
def test_a_figure_says_of_a_phase_what_its_title_says(figure, value):
    assert figure.of([answer()]) == value


def test_a_percentile_of_several_phases_is_their_median():
    run = [answer(p99=each) for each in (1.0, 9.0, 2.0)]

    assert percentile("p99", 0, 1, 2).of(run) == 2


def test_phases_are_compared_pair_by_pair():
    run = [answer(p99=each) for each in (100.0, 110.0, 10.0, 30.0, 50.0, 60.0)]

    assert pairs("ratio", "p99", (1, 3, 5), (0, 2, 4)).of(run) == 1.2


def test_memory_is_told_as_what_was_added():
    run = [answer(memory=1_000_000), answer(memory=3_500_000)]

    assert growth("MB", 0, 1).of(run) == 2.5


def test_a_total_is_of_the_first_phases_only():
    run = [answer(), answer(), answer()]

    assert total("messages", "messages", 2).of(run) == 2000
