"""How many frames a client may send that bring no message nearer."""

import pytest

from pondsocket.web import FrameBudget

BURST = 2000


@pytest.fixture
def budget():
    return FrameBudget()


def spend(budget, frames, now=0.0, **settings):
    """Ask for a number of frames at one moment; return whether the last may go on."""
    return [budget.admits(now, **settings) for _ in range(frames)][-1]


def test_a_burst_may_go_on_and_one_more_may_not(budget):
    assert spend(budget, BURST)
    assert not budget.admits(0.0)


def test_a_thousand_frames_per_second_may_go_on_for_ever(budget):
    assert all(budget.admits(number / 1000) for number in range(20_000))


def test_somewhat_more_than_a_thousand_per_second_may_not(budget):
    admitted = [budget.admits(number / 1250) for number in range(20_000)]

    assert not admitted[-1]
    assert admitted.index(False) == pytest.approx(BURST * 5, abs=10)


def test_time_pays_off_what_was_spent(budget):
    spend(budget, BURST, now=10.0)

    assert spend(budget, 500, now=10.5)
    assert not budget.admits(10.5)


def test_who_saved_for_long_has_one_burst_all_the_same(budget):
    assert spend(budget, BURST, now=86_400.0)
    assert not budget.admits(86_400.0)


def test_time_pays_nothing_off_while_a_client_does_not_read(budget):
    spend(budget, BURST, now=10.0)

    assert not budget.admits(1000.0, unsent=1)


def test_once_overdrawn_it_stays_so(budget):
    spend(budget, BURST + 1)

    assert not budget.admits(1000.0)
    assert not budget.admits_part(1000, 1000.0)


def test_parts_with_something_in_them_are_not_counted(budget):
    assert all(budget.admits_part(64, 0.0) for _ in range(10 * BURST))


@pytest.mark.parametrize("size", [0, 63])
def test_parts_with_next_to_nothing_in_them_are(budget, size):
    assert all(budget.admits_part(size, 0.0) for _ in range(BURST))
    assert not budget.admits_part(size, 0.0)


def test_parts_and_pings_share_one_budget(budget):
    spend(budget, BURST)

    assert not budget.admits_part(0, 0.0)
