"""Translation: changes as messages, and messages as changes and commands."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pondsocket.changes import (
    AssignsReplaced,
    AssignsSet,
    Evicted,
    Joined,
    Left,
    PresenceGone,
    PresenceSet,
    Removed,
    Sent,
)
from pondsocket.distributed.messages import (
    MAX_DEPTH,
    AssignsUpdate,
    EvictUser,
    PresenceRemoved,
    PresenceUpdate,
    StateUser,
    UserJoined,
    UserLeft,
    UserRemove,
    decode,
    encode,
)
from pondsocket.distributed.translation import (
    divide_state,
    shareable,
    to_change,
    to_commands,
    to_joined,
    to_messages,
    to_order,
    to_state_user,
)
from pondsocket.types import AllExceptSender, AllUsers, LeaveReason, ToUsers, User
from tests.unit.distributed.rooms import envelope, sent

NODE = "there"


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


def told(change):
    """Return what another node hears of a change."""
    messages = to_messages(change, envelope(NODE))
    return [to_change(decode(encode(message))) for message in messages]


# Changes.


@pytest.mark.parametrize(
    ("change", "heard"),
    [
        (PresenceSet("ann", {"a": 1}), PresenceSet("ann", {"a": 1}, NODE)),
        (PresenceGone("ann"), PresenceGone("ann", NODE)),
        (AssignsSet("ann", "k", 1), AssignsSet("ann", "k", 1, NODE)),
        (AssignsSet("ann", "k", None), AssignsSet("ann", "k", None, NODE)),
        (Joined(User("ann", {"k": 1})), Joined(User("ann", {"k": 1}), NODE)),
    ],
)
def test_another_node_hears_of_a_change(change, heard):
    assert told(change) == [heard]


@pytest.mark.parametrize(
    "recipients", [AllUsers(), AllExceptSender("ann"), ToUsers(("ann", "bob"))]
)
def test_a_broadcast_is_relayed_to_the_same_recipients(recipients):
    (heard,) = told(sent("hello", recipients))

    assert isinstance(heard, Sent)
    assert heard.recipients == recipients
    assert msgspec.json.decode(heard.frame.payload) == {"text": "hello"}


def test_a_broadcast_without_a_request_id_gets_one():
    (message,) = to_messages(sent(), envelope(NODE))

    heard = to_change(msgspec.structs.replace(message, request_id=""))

    assert heard.frame.request_id


def test_leaving_is_told_after_the_presence_is_gone():
    left = Left(User("ann", presence={"a": 1}), LeaveReason.EXPLICIT_LEAVE)

    assert told(left) == [
        PresenceGone("ann", NODE),
        Left(User("ann"), LeaveReason.CONNECTION_CLOSED, NODE),
    ]


def test_leaving_without_a_presence_is_one_message():
    left = Left(User("ann"), LeaveReason.EXPLICIT_LEAVE)

    assert told(left) == [Left(User("ann"), LeaveReason.CONNECTION_CLOSED, NODE)]


def test_a_whole_snapshot_replaces_the_assigns():
    message = AssignsUpdate(**envelope(NODE), user_id="ann", assigns={"k": 1})

    assert to_change(message) == AssignsReplaced("ann", {"k": 1}, NODE)


def test_a_presence_that_is_null_is_an_empty_one():
    message = PresenceUpdate(**envelope(NODE), user_id="ann")

    assert to_change(message) == PresenceSet("ann", {}, NODE)


def test_a_user_without_assigns_or_presence_has_none():
    message = UserJoined(**envelope(NODE), user_id="ann")

    assert to_change(message) == Joined(User("ann"), NODE)


# What has no JSON form.


@pytest.mark.parametrize(
    "value",
    [object(), 10**5000, "\ud800", {1, object()}, nested(MAX_DEPTH)],
    ids=["object", "long number", "surrogate", "set", "deep"],
)
def test_a_value_that_no_message_can_carry_stays_on_its_node(value):
    assert told(AssignsSet("ann", "k", value)) == []
    assert shareable({"k": value, "other": 1}) == {"other": 1}


def test_a_key_that_no_message_can_carry_stays_on_its_node():
    assert shareable({"\ud800": 1}) == {}


@pytest.mark.parametrize("depth", [1, MAX_DEPTH - 9, MAX_DEPTH - 8, MAX_DEPTH])
def test_what_is_shareable_is_not_too_deep_for_any_message(depth):
    user = to_state_user(User("ann", {"k": nested(depth)}))
    joined = UserJoined(**envelope(NODE), user_id="ann", assigns=user.assigns)

    assert decode(encode(joined)).assigns == user.assigns


def test_a_command_with_such_a_value_is_none():
    assert to_order(AssignsSet("ann", "k", object()), envelope()) is None


# Commands.


@pytest.mark.parametrize(
    "command",
    [
        Evicted("ann", "spam"),
        Removed("ann"),
        PresenceSet("ann", {"a": 1}),
        PresenceGone("ann"),
        AssignsSet("ann", "k", 1),
    ],
)
def test_the_node_of_a_user_is_asked_for_the_same_command(command):
    order = decode(encode(to_order(command, envelope())))

    assert to_commands(order) == [command]


@pytest.mark.parametrize(
    ("message", "commands"),
    [
        (PresenceUpdate(**envelope(), user_id="ann"), [PresenceSet("ann", {})]),
        (
            AssignsUpdate(**envelope(), user_id="ann", assigns={"a": 1, "b": 2}),
            [AssignsSet("ann", "a", 1), AssignsSet("ann", "b", 2)],
        ),
        (EvictUser(**envelope(), user_id="ann"), [Evicted("ann", "")]),
        (UserRemove(**envelope(), user_id="ann"), [Removed("ann")]),
        (PresenceRemoved(**envelope(), user_id="ann"), [PresenceGone("ann")]),
        (UserLeft(**envelope(), user_id="ann"), []),
    ],
)
def test_a_message_asks_for_commands(message, commands):
    assert to_commands(message) == commands


# States.


def test_a_user_of_a_state_is_a_member():
    user = User("ann", {"k": 1}, {"a": 1})

    assert to_joined(to_state_user(user), NODE) == Joined(user, NODE)


def test_an_empty_presence_in_a_state_is_none():
    assert to_joined(to_state_user(User("ann")), NODE) == Joined(User("ann"), NODE)


def test_the_state_of_nobody_is_one_empty_part():
    assert divide_state([]) == [[]]


def test_a_user_too_long_for_any_part_has_one_to_itself():
    long, short = StateUser("ann", {"k": "x" * 500_000}), StateUser("bob")

    assert divide_state([long, short]) == [[long], [short]]


@given(st.lists(st.integers(0, 200_000), max_size=12))
def test_the_parts_of_a_state_hold_everybody_and_are_small_enough(sizes):
    users = [StateUser(f"u{n}", {"k": "x" * size}) for n, size in enumerate(sizes)]

    parts = divide_state(users)

    assert [user for part in parts for user in part] == users
    assert max(len(msgspec.json.encode(part)) for part in parts) <= 400_002
