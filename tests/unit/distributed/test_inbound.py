"""Inbound: what one channel makes of what other nodes say."""

from math import inf

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pondsocket.distributed.inbound import MAX_PARTS, Inbound
from pondsocket.distributed.messages import (
    StateResponse,
    StateUser,
    UserJoined,
)
from pondsocket.metrics import Telemetry
from tests.unit.distributed.rooms import Home, Room, envelope

NOBODY = ({}, {})
LATER = 2000  # than the life of a Home begins


class Ear:
    """An Inbound, its room, and whom it asked for a state."""

    def __init__(self, since=inf):
        self.room = Room()
        self.telemetry = Telemetry(None)
        self.asked = []
        self.inbound = Inbound(self.room, self.telemetry, self.asked.append)
        self.inbound.since = since

    def hear(self, *messages):
        for message in messages:
            if isinstance(message, StateResponse):
                self.inbound.settle(message)
            else:
                self.inbound.take(message)

    def count(self, name):
        return self.telemetry.counts()[name]

    def shows(self):
        return self.room.shows()


@pytest.fixture
def ear():
    return Ear(since=0)


@pytest.fixture
def home():
    return Home()


def joined(user_id, node="old"):
    """Return what a published node says, which numbers nothing."""
    return UserJoined(
        **envelope(node), user_id=user_id, presence={"a": 1}, assigns={"b": 2}
    )


# Facts and broadcasts.


def test_what_a_node_says_of_its_users_is_shown(ear, home):
    ear.hear(*home.join("ann"), *home.track("ann"), *home.assign("ann"))

    assert ear.shows() == home.shows()
    assert ear.asked == []


def test_a_broadcast_that_comes_twice_is_heard_once(ear, home):
    ear.hear(*home.broadcast("hello") * 2)

    assert ear.room.heard == ["hello"]
    assert ear.count("duplicate") == 1


def test_a_late_broadcast_is_heard_and_no_longer_lost(ear, home):
    first, second = home.broadcast("1") + home.broadcast("2")

    ear.hear(second)
    lost = ear.count("lost")
    ear.hear(first)

    assert ear.room.heard == ["2", "1"]
    assert (lost, ear.count("lost")) == (1, 0)


def test_it_tells_when_one_should_yield(ear, home):
    ear.room.is_much = True

    assert ear.inbound.take(*home.broadcast())


def test_a_hole_has_the_state_asked_for(ear, home):
    home.join("ann")
    ear.hear(*home.track("ann"))

    assert ear.asked == ["there"]
    assert ear.inbound.is_behind("there")


def test_what_was_sent_before_it_listened_is_not_lost(home):
    ear = Ear(since=inf)
    home.join("ann")

    ear.hear(*home.track("ann"))

    assert ear.count("lost") == 0
    assert ear.asked == ["there"]


def test_a_digest_shows_what_is_missing(ear, home):
    home.join("ann")

    ear.inbound.expect("there", home.epoch, home.sent)

    assert ear.count("lost") == 1
    assert ear.asked == ["there"]


def test_what_was_sent_after_a_digest_but_before_it_listened_is_not_lost(home):
    ear = Ear(since=inf)
    ear.inbound.expect("there", home.epoch, home.sent)
    home.join("ann")

    ear.hear(*home.state())

    assert ear.count("lost") == 0
    assert ear.shows() == home.shows()


def test_a_digest_of_what_is_known_asks_for_nothing(ear, home):
    ear.hear(*home.join("ann"))

    ear.inbound.expect("there", home.epoch, home.sent)

    assert ear.asked == []


def test_a_published_node_is_believed_as_it_comes(ear):
    ear.hear(joined("ann"))

    assert ear.shows() == ({"ann": {"b": 2}}, {"ann": {"a": 1}})


# Lives.


def test_a_new_life_begins_without_users(ear, home):
    ear.hear(*home.join("ann"))

    ear.hear(*Home("2000-a").join("bob"))

    assert set(ear.shows()[0]) == {"bob"}


def test_an_earlier_life_has_nothing_to_say(ear, home):
    ear.hear(*Home("2000-a").join("bob"))

    ear.hear(*home.join("ann"), *home.state())
    ear.inbound.expect("there", home.epoch, 9)

    assert set(ear.shows()[0]) == {"bob"}
    assert ear.count("stale") == 3


def test_an_earlier_life_is_believed_after_two_digests(ear, home):
    ear.hear(*Home("2000-a").join("bob"))
    home.join("ann")

    ear.inbound.expect("there", home.epoch, home.sent, 7)
    ear.inbound.expect("there", home.epoch, home.sent, 8)
    ear.hear(*home.state())

    assert set(ear.shows()[0]) == {"ann"}


@pytest.mark.parametrize("between", ["a word", "a repeated digest", "its own digest"])
def test_an_earlier_life_is_not_believed_for_less(ear, home, between):
    later = Home("2000-a")
    ear.hear(*later.join("bob"))
    ear.inbound.expect("there", home.epoch, 1, 7)

    match between:
        case "a word":
            ear.hear(*later.track("bob"))
        case "its own digest":
            ear.inbound.expect("there", later.epoch, later.sent, 6)
    ear.inbound.expect(
        "there", home.epoch, 1, 7 if between == "a repeated digest" else 8
    )

    assert set(ear.shows()[0]) | set(ear.shows()[1]) == {"bob"}


def test_of_two_lives_of_one_millisecond_the_later_name_wins(ear):
    ear.hear(*Home("1000-00000002").join("bob"), *Home("1000-00000001").join("ann"))

    assert set(ear.shows()[0]) == {"bob"}


# States.


def test_a_state_makes_up_for_what_was_missed(ear, home):
    home.join("ann")
    home.track("ann")

    ear.hear(*home.state())

    assert ear.shows() == home.shows()
    assert not ear.inbound.is_behind("there")


def test_a_state_takes_away_who_is_gone(ear, home):
    ear.hear(*home.join("ann"))
    home.leave("ann")

    ear.hear(*home.state())

    assert ear.shows() == NOBODY


def test_a_state_in_parts_counts_when_all_are_there(ear, home):
    home.join("ann")
    home.join("bob")
    first, second = home.state(parts=2)

    ear.hear(second)
    before = ear.shows()
    ear.hear(first)

    assert before == NOBODY
    assert ear.shows() == home.shows()


def test_parts_of_two_states_make_no_state(ear, home):
    home.join("ann")
    old, _ = home.state(parts=2)
    home.join("bob")
    _, new = home.state(parts=2)

    ear.hear(old, new)

    assert ear.shows() == NOBODY


def test_a_late_part_of_an_older_state_does_not_undo_a_newer_one(ear, home):
    home.join("ann")
    old, _ = home.state(parts=2)
    home.join("bob")
    first, second = home.state(parts=2)

    ear.hear(first, old, second)

    assert ear.shows() == home.shows()


def test_a_late_part_of_an_earlier_life_does_not_undo_a_later_one(ear, home):
    later = Home("2000-a")
    later.join("bob")
    first, second = later.state(parts=2)

    ear.hear(first, home.state(parts=2)[0], second)

    assert ear.shows() == later.shows()


def test_a_part_of_a_later_life_does_away_with_parts_of_an_earlier_one(ear, home):
    home.join("ann")
    later = Home("2000-a")
    later.join("bob")

    ear.hear(home.state(parts=2)[0], *later.state(parts=2))

    assert ear.shows() == later.shows()


def test_a_state_older_than_a_fact_leaves_that_user_alone(ear, home):
    home.join("bob")
    state = home.state()
    fact = home.join("ann")

    ear.hear(*fact, *state)

    assert set(ear.shows()[0]) == {"ann", "bob"}


def test_a_fact_that_overtakes_a_state_does_not_hide_what_the_state_said(ear, home):
    home.join("ann")
    home.assign("ann", "lost")
    state = home.state()
    fact = home.assign("ann", "new")

    ear.hear(*fact, *state)
    was_behind = ear.inbound.is_behind("there")
    ear.hear(*home.state())

    assert was_behind
    assert ear.shows() == home.shows()


def test_a_state_of_what_is_known_changes_nothing(ear, home):
    ear.hear(*home.join("ann"))
    home.users.clear()

    ear.hear(*home.state())

    assert set(ear.shows()[0]) == {"ann"}


def test_a_state_of_more_parts_than_can_be_is_refused(ear, home):
    part = msgspec.structs.replace(*home.state(), parts=MAX_PARTS + 1)

    ear.hear(part)

    assert ear.count("bus_malformed") == 1
    assert ear.inbound._states == {}


def test_a_published_nodes_state_replaces_its_users(ear):
    ear.hear(joined("ann"))

    ear.hear(StateResponse(**envelope("old"), users=[StateUser("bob", {"x": 1})]))

    assert ear.shows() == ({"bob": {"x": 1}}, {})


# Users who are gone.


def test_the_users_of_a_dead_node_leave(ear, home):
    ear.hear(*home.join("ann"), *home.track("ann"))

    ear.inbound.drop("there")

    assert ear.shows() == NOBODY


def test_late_facts_bring_no_user_of_a_dead_node_back(ear, home):
    late = home.join("ann")
    ear.hear(*home.join("bob"))

    ear.inbound.drop("there")
    ear.hear(*late)

    assert ear.shows() == NOBODY


def test_a_node_that_was_only_silent_returns_with_its_state(ear, home):
    ear.hear(*home.join("ann"))
    ear.inbound.drop("there")

    ear.inbound.expect("there", home.epoch, home.sent)
    ear.hear(*home.state())

    assert ear.asked == ["there"]
    assert ear.shows() == home.shows()


def test_a_silent_published_node_with_users_has_to_tell_them_again(ear):
    ear.hear(joined("ann"))

    ear.inbound.drop("old")
    was_behind = ear.inbound.is_behind("old")
    ear.hear(StateResponse(**envelope("old"), users=[]))

    assert was_behind
    assert not ear.inbound.is_behind("old")


def test_of_a_node_that_nobody_knows_nothing_is_missing(ear):
    ear.inbound.drop("stranger")

    assert not ear.inbound.is_behind("stranger")


def test_nothing_is_kept_of_a_forgotten_node(ear, home):
    home.join("ann")
    ear.hear(joined("ann"), *home.track("ann"), home.state(parts=2)[0])
    ear.inbound.drop("old")

    for node in ("there", "old"):
        ear.inbound.forget(node)

    assert ear.shows() == NOBODY
    inbound = ear.inbound
    assert (inbound._replicas, inbound._states, inbound._dropped) == ({}, {}, set())


def test_users_leave_a_channel_that_their_node_no_longer_names(ear, home):
    ear.hear(*home.join("ann"))

    ear.inbound.drop_absent("there", 1001)

    assert ear.shows() == NOBODY


def test_a_node_is_not_asked_about_a_channel_that_it_no_longer_names(ear, home):
    ear.hear(*home.join("ann"), *home.leave("ann"))

    ear.inbound.drop_absent("there", 1001)

    assert not ear.inbound.is_behind("there")


def test_a_late_state_brings_nobody_back_to_a_channel_that_is_not_named(ear, home):
    home.join("ann")
    ear.hear(*home.broadcast())
    late = home.state()

    ear.inbound.drop_absent("there", 1001)
    ear.hear(*late)

    assert ear.shows() == NOBODY


def test_a_digest_from_before_a_links_life_says_nothing_of_it(ear, home):
    ear.hear(*home.join("ann"))

    ear.inbound.drop_absent("there", 1000)

    assert set(ear.shows()[0]) == {"ann"}


def test_a_digest_says_nothing_of_nodes_that_number_nothing(ear):
    ear.hear(joined("ann"))

    ear.inbound.drop_absent("old", 1001)

    assert set(ear.shows()[0]) == {"ann"}


# Whatever the bus does.


def play(home, acts):
    """Let a node act; return everything that it said, in order."""
    said = []
    for act, user_id in acts:
        is_member = user_id in home.users
        if act == "state":
            said += home.state(parts=len(user_id))
        elif act == "broadcast":
            said += home.broadcast()
        elif act == "join" and not is_member:
            said += home.join(user_id)
        elif act != "join" and is_member:
            said += getattr(home, act)(user_id)
    return said


ACTS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "join",
                "join",
                "leave",
                "track",
                "untrack",
                "assign",
                "broadcast",
                "state",
            ]
        ),
        st.sampled_from(["a", "bb", "ccc"]),
    ),
    max_size=25,
)


@st.composite
def deliveries(draw, said):
    """Lose, repeat and reorder: each message arrives at none, one or two places."""
    places = st.lists(st.floats(0, 1), max_size=2)
    one_place = st.just(None)
    arrivals = []
    for number, message in enumerate(said):
        chosen = draw(one_place | places)
        at = [number / len(said)] if chosen is None else chosen
        arrivals += [(place, message) for place in at]
    return [message for _, message in sorted(arrivals, key=lambda each: each[0])]


def exchange(ear, home, parts):
    """Deliver a digest, and a state if one is asked for, unharmed."""
    ear.asked.clear()
    ear.inbound.expect(home.node, home.epoch, home.sent)
    if ear.asked:
        ear.hear(*home.state(parts))


@settings(max_examples=300)
@given(st.data(), st.sampled_from([0, LATER]), ACTS, st.integers(1, 3))
def test_whatever_was_lost_or_reordered_one_exchange_shows_the_truth(
    data, since, acts, parts
):
    home, ear = Home(), Ear(since)
    said = play(home, acts)
    ear.hear(*data.draw(deliveries(said)))

    exchange(ear, home, parts)

    assert ear.shows() == home.shows()
    assert not ear.inbound.is_behind(home.node)


@settings(max_examples=300)
@given(st.data(), ACTS, ACTS, ACTS, st.integers(1, 3))
def test_nothing_that_is_settled_comes_back(data, first, second, third, parts):
    before, home, ear = Home("1000-a"), Home("1000-b"), Ear(since=0)
    said = play(before, first) + play(home, second)
    ear.hear(*data.draw(deliveries(said)))
    exchange(ear, home, parts)

    ear.hear(*data.draw(deliveries(said)))
    ear.hear(*play(home, third))
    exchange(ear, home, parts)

    assert ear.shows() == home.shows()


@settings(max_examples=200)
@given(st.data(), ACTS, ACTS)
def test_a_node_that_dies_and_returns_at_any_time_is_shown_as_it_is(data, acts, more):
    home, ear = Home(), Ear(since=0)
    said = play(home, acts)
    before = data.draw(deliveries(said))
    ear.hear(*before)
    ear.inbound.drop(home.node)
    ear.hear(*data.draw(deliveries(said)))
    ear.hear(*data.draw(deliveries(play(home, more))))

    exchange(ear, home, 1)

    assert ear.shows() == home.shows()


@settings(max_examples=200)
@given(st.data(), ACTS)
def test_the_lost_are_exactly_those_that_did_not_come(data, acts):
    home, ear = Home(), Ear(since=0)
    said = [m for m in play(home, acts) if not isinstance(m, StateResponse)]
    came = data.draw(deliveries(said))

    for message in came:
        ear.hear(message)
        assert ear.count("lost") >= 0
    ear.inbound.expect(home.node, home.epoch, home.sent)

    numbers = [message.source_seq for message in came]
    assert ear.count("lost") == home.sent - len(set(numbers))
    assert ear.count("duplicate") == len(numbers) - len(set(numbers))
