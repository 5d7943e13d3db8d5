"""Replica: which facts of one life of another node's link are news."""

import pytest

from pondsocket.distributed.arrivals import Arrival
from pondsocket.distributed.replica import Replica, epoch_start


def take(replica, number, user_id="ann"):
    """Tell whether a fact is news."""
    return replica.is_news(replica.note(number), number, user_id)


@pytest.mark.parametrize(
    ("epoch", "start"),
    [("1767225000000-k3", 1_767_225_000_000), ("12", 12), ("-k", 0), ("²-k", 0)],
)
def test_an_epoch_tells_when_it_began(epoch, start):
    assert epoch_start(epoch) == start


def test_facts_in_order_are_news():
    replica = Replica("1-a")

    assert [take(replica, number) for number in (1, 2, 3)] == [True] * 3
    assert not replica.is_behind


def test_a_fact_that_comes_again_is_no_news():
    replica = Replica("1-a")
    take(replica, 1)

    assert not take(replica, 1)


def test_a_hole_puts_it_behind():
    replica = Replica("1-a")

    take(replica, 3)

    assert replica.is_behind
    assert replica.lost == 2


def test_who_comes_late_is_behind_but_lost_nothing():
    replica = Replica("1-a", baseline=5)

    assert replica.is_behind
    assert replica.lost == 0


def test_a_late_fact_is_news_of_a_user_of_whom_nothing_newer_is_known():
    replica = Replica("1-a")
    take(replica, 3, "ann")

    assert take(replica, 1, "bob")
    assert not take(replica, 2, "ann")


def test_a_state_makes_up_for_what_is_missing():
    replica = Replica("1-a")
    take(replica, 3)

    assert replica.settle(3)
    assert not replica.is_behind


def test_a_late_fact_that_a_state_has_settled_is_no_news():
    replica = Replica("1-a")
    take(replica, 3)
    replica.settle(3)

    assert not take(replica, 2, "bob")


def test_a_state_of_what_is_known_says_nothing():
    replica = Replica("1-a")
    take(replica, 1)

    assert not replica.settle(1)


def test_a_state_older_than_the_last_one_says_nothing():
    replica = Replica("1-a")
    replica.settle(5)
    replica.expect(9)

    assert not replica.settle(4)
    assert replica.is_behind


def test_a_state_too_old_for_what_is_missing_leaves_it_behind():
    replica = Replica("1-a")
    replica.expect(9)

    assert replica.settle(4)
    assert replica.is_behind


def test_a_state_leaves_alone_of_whom_something_newer_is_known():
    replica = Replica("1-a")
    take(replica, 2, "ann")
    take(replica, 4, "bob")

    replica.settle(3)

    assert replica.newer_users() == {"bob"}


def test_of_whom_something_newer_is_known_not_all_may_be_known():
    replica = Replica("1-a")
    take(replica, 1)
    take(replica, 3)
    take(replica, 4)

    replica.settle(3)

    assert replica.is_behind


def test_users_that_were_dropped_come_back_with_a_state_only():
    replica = Replica("1-a")
    take(replica, 1)
    take(replica, 3)

    replica.lapse()

    assert not take(replica, 2)
    assert replica.is_behind
    assert replica.settle(3)
    assert not replica.is_behind


def test_of_a_life_that_is_over_nothing_is_needed():
    replica = Replica("1-a")
    take(replica, 1)
    take(replica, 3)

    replica.end()

    assert not take(replica, 2)
    assert not replica.settle(3)
    assert not replica.is_behind


def test_a_forged_number_leaves_true_facts_and_states_news():
    replica = Replica("1-a")
    take(replica, 1)
    replica.note(2**53 - 1)

    assert take(replica, 2)
    assert replica.settle(2)
    assert take(replica, 3)


def test_a_duplicate_is_no_news_of_anyone():
    assert not Replica("1-a").is_news(Arrival.DUPLICATE, 1, "ann")
