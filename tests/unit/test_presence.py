"""What users publish of themselves, and how often a full list of it goes out."""

import math
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pondsocket.errors import BadRequest, Conflict, NotFound
from pondsocket.presence import PresenceBudget, PresenceTracker, to_presence

AWAY, HERE = {"status": "away"}, {"status": "here"}


@pytest.fixture
def tracker():
    return PresenceTracker("/room")


# Tracking.


def test_a_presence_appears_and_is_then_updated(tracker):
    kinds = [tracker.put("ann", HERE), tracker.put("ann", AWAY)]

    assert kinds == ["JOIN", "UPDATE"]
    assert tracker.find("ann") == AWAY


def test_presences_are_listed_in_the_order_in_which_they_appeared(tracker):
    tracker.put("bob", HERE)
    tracker.put("ann", HERE)
    tracker.put("bob", AWAY)

    assert list(tracker.all().items()) == [("bob", AWAY), ("ann", HERE)]
    assert len(tracker) == 2


def test_the_list_is_a_new_one_each_time(tracker):
    tracker.put("ann", HERE)
    tracker.all().clear()

    assert "ann" in tracker


def test_a_removed_presence_is_handed_back_once(tracker):
    tracker.put("ann", HERE)

    assert [tracker.pop("ann"), tracker.pop("ann")] == [HERE, None]
    assert "ann" not in tracker
    assert tracker.find("ann") is None


def test_who_is_tracked_cannot_be_tracked_again(tracker):
    tracker.check_untracked("ann")
    tracker.put("ann", HERE)

    with pytest.raises(Conflict, match=r"/room.*'ann' is tracked"):
        tracker.check_untracked("ann")


def test_who_is_not_tracked_is_not_found(tracker):
    with pytest.raises(NotFound, match=r"/room.*no presence of 'ann' is tracked"):
        tracker.check_tracked("ann")

    tracker.put("ann", HERE)
    tracker.check_tracked("ann")


# The budget.


def test_lists_within_the_budget_go_out_at_once():
    budget = PresenceBudget(100)

    for _ in range(2):
        assert budget.delay(10.0) == 0
        budget.spend(50)


def test_above_the_budget_the_next_list_waits_for_the_end_of_the_window():
    budget = PresenceBudget(100)
    assert budget.delay(10.0) == 0
    budget.spend(60)

    assert budget.delay(10.25) == 0.75


def test_when_the_window_ends_a_list_may_go_out():
    budget = PresenceBudget(100)
    budget.delay(10.0)
    budget.spend(60)

    assert budget.delay(11.0) == 0
    budget.spend(60)
    assert budget.delay(11.5) == 0.5


def test_a_list_larger_than_the_whole_budget_goes_out_once_in_a_window():
    budget = PresenceBudget(100)

    assert budget.delay(10.0) == 0
    budget.spend(1000)

    assert budget.delay(10.5) == 0.5
    assert budget.delay(11.0) == 0


def test_without_a_limit_everything_goes_out():
    budget = PresenceBudget(0)

    for _ in range(1000):
        assert budget.delay(10.0) == 0
        budget.spend(1_000_000)


@given(
    limit=st.integers(1, 1000),
    lists=st.lists(
        st.tuples(st.floats(0, 1.5, allow_nan=False), st.integers(1, 1500)),
        max_size=50,
    ),
)
def test_no_window_lets_more_through_than_the_budget_and_one_list(limit, lists):
    budget, now = PresenceBudget(limit), 100.0
    opened, let_through = -math.inf, 0
    for pause, size in lists:
        now += pause
        if now >= opened + PresenceBudget.WINDOW:
            opened, let_through = now, 0
        delay = budget.delay(now)
        assert 0 <= delay <= PresenceBudget.WINDOW
        if not delay:
            budget.spend(size)
            let_through += size
            assert let_through - size <= limit
        else:
            assert let_through, "the first list of a window never waits"
            assert delay == opened + PresenceBudget.WINDOW - now


# What can be published.


def test_a_presence_is_a_copy_as_json_has_it():
    data = {"since": date(2026, 1, 2), "tags": ("a", "b")}

    presence = to_presence(data, "/room", 0)
    data["tags"] = ()

    assert presence == {"since": "2026-01-02", "tags": ["a", "b"]}


def looped():
    presence = {}
    presence["self"] = presence
    return presence


@pytest.mark.parametrize(
    "data",
    [{"a": object()}, {"a": "\ud800"}, looped(), [1], "away", None],
    ids=["object", "surrogate", "looped", "list", "text", "none"],
)
def test_what_is_no_json_object_is_refused(data):
    with pytest.raises(BadRequest, match=r"/room: presence: expected a JSON object"):
        to_presence(data, "/room", 0)


def test_a_presence_may_be_as_large_as_the_limit_and_no_larger():
    presence = {"x": "é"}  # 10 bytes: {"x":"é"}

    assert to_presence(presence, "/room", 10) == presence
    with pytest.raises(BadRequest, match=r"10 bytes, max_presence_bytes is 9"):
        to_presence(presence, "/room", 9)


def test_without_a_limit_a_presence_may_have_any_size():
    presence = {"x": "x" * 100_000}

    assert to_presence(presence, "/room", 0) == presence
