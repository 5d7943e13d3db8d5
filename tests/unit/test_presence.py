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
    shown = [tracker.put("ann", HERE), tracker.put("ann", AWAY)]

    assert shown == [("JOIN", HERE), ("UPDATE", AWAY)]
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


def test_a_removed_presence_leaves_once(tracker):
    tracker.put("ann", HERE)

    assert [tracker.pop("ann"), tracker.pop("ann")] == [("LEAVE", HERE), None]
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


# Several nodes. This one is called node-2.


@pytest.fixture
def shared():
    return PresenceTracker("/room", "node-2")


def test_a_presence_of_another_node_is_shown_and_is_not_our_own(shared):
    assert shared.put("ann", HERE, "node-3") == ("JOIN", HERE)

    assert shared.find("ann") == HERE
    assert shared.own("ann") is None
    assert shared.of("node-3") == ("ann",)
    assert shared.of("node-1") == ()


def test_our_own_presence_is_told_from_what_is_shown(shared):
    shared.put("ann", HERE)
    shared.put("ann", AWAY, "node-1")

    assert shared.own("ann") == HERE
    assert shared.find("ann") == AWAY


def test_of_a_user_on_several_nodes_the_first_nodes_presence_is_shown(shared):
    assert shared.put("ann", {"at": 3}, "node-3") == ("JOIN", {"at": 3})
    assert shared.put("ann", {"at": 2}) == ("UPDATE", {"at": 2})
    assert shared.put("ann", {"at": 1}, "node-1") == ("UPDATE", {"at": 1})

    assert shared.all() == {"ann": {"at": 1}}
    assert len(shared) == 1


@pytest.mark.parametrize("node", ["", "node-3"])
def test_a_presence_behind_the_one_that_is_shown_changes_unseen(shared, node):
    shared.put("ann", {"at": 1}, "node-1")

    assert shared.put("ann", HERE, node) is None
    assert shared.pop("ann", node) is None

    assert shared.find("ann") == {"at": 1}


def test_when_the_presence_that_is_shown_goes_the_next_one_is_shown(shared):
    shared.put("ann", {"at": 1}, "node-1")
    shared.put("ann", {"at": 2})

    assert shared.pop("ann", "node-1") == ("UPDATE", {"at": 2})
    assert shared.pop("ann") == ("LEAVE", {"at": 2})


def test_what_a_node_never_said_cannot_leave(shared):
    shared.put("ann", HERE, "node-3")

    assert shared.pop("ann", "node-1") is None
    assert shared.pop("bob", "node-3") is None
    assert shared.pop("ann") is None


def test_what_another_node_said_is_known(shared):
    shared.put("ann", HERE, "node-3")

    assert shared.is_known("ann", {"status": "here"}, "node-3")
    assert not shared.is_known("ann", AWAY, "node-3")
    assert not shared.is_known("ann", None, "node-3")
    assert not shared.is_known("ann", HERE, "node-1")
    assert shared.is_known("bob", None, "node-3")


def test_who_is_shown_by_another_node_may_be_tracked_here_and_not_hidden(shared):
    shared.check_hidden("ann")
    shared.put("ann", HERE, "node-3")
    shared.check_untracked("ann")

    with pytest.raises(Conflict, match=r"/room.*'ann' is tracked"):
        shared.check_hidden("ann")


def test_who_is_shown_by_another_node_is_shown_and_not_tracked_here(shared):
    shared.put("ann", HERE, "node-3")
    shared.check_shown("ann")

    with pytest.raises(NotFound, match=r"/room.*no presence of 'ann' is tracked"):
        shared.check_tracked("ann")


def test_who_is_nowhere_is_not_shown(shared):
    with pytest.raises(NotFound, match=r"/room.*no presence of 'ann' is tracked"):
        shared.check_shown("ann")


NODES = ("node-1", "node-2", "node-3")
facts = st.lists(
    st.tuples(
        st.sampled_from(NODES),
        st.sampled_from("ab"),
        st.none() | st.integers(0, 3).map(lambda n: {"n": n}),
    ),
    max_size=30,
)


def tell(tracker, here, fact):
    """Let a node's tracker hear a fact: presence None is its removal."""
    node, user, presence = fact
    source = "" if node == here else node
    if presence is None:
        return tracker.pop(user, source)
    return tracker.put(user, presence, source)


def shown_by(facts):
    """What is to be shown: of each user the last word of the first node that has it."""
    entries = {(user, node): presence for node, user, presence in facts}
    firsts = {}
    for (user, _), presence in sorted(entries.items(), key=lambda each: each[0]):
        if presence is not None:
            firsts.setdefault(user, presence)
    return firsts


@given(facts=facts, here=st.sampled_from(NODES))
def test_what_is_shown_is_what_members_were_told(facts, here):
    tracker, told = PresenceTracker("/room", here), {}
    for number, fact in enumerate(facts, 1):
        change = tell(tracker, here, fact)
        if change is not None:
            kind, presence = change
            user = fact[1]
            assert (kind == "JOIN") is (user not in told)
            if kind == "LEAVE":
                assert told.pop(user) == presence
            else:
                told[user] = presence
        assert tracker.all() == told == shown_by(facts[:number])


@given(facts=facts, data=st.data())
def test_in_whatever_order_nodes_are_heard_all_show_the_same(facts, data):
    views = []
    for here in NODES:
        queues = [[fact for fact in facts if fact[0] == node] for node in NODES]
        tracker = PresenceTracker("/room", here)
        while any(queues):
            waiting = [queue for queue in queues if queue]
            queue = waiting[data.draw(st.integers(0, len(waiting) - 1))]
            tell(tracker, here, queue.pop(0))
        views.append(tracker.all())

    assert views == [shown_by(facts)] * len(NODES)


@given(facts)
def test_a_node_whose_users_all_left_leaves_nothing_behind(facts):
    tracker = PresenceTracker("/room", "node-2")
    for fact in facts:
        tell(tracker, "node-2", fact)

    for node in NODES:
        for user in "ab":
            tell(tracker, "node-2", (node, user, None))

    assert tracker.all() == {}
    assert not any(tracker.of(node) for node in NODES)


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
