from dataclasses import FrozenInstanceError, fields

import pytest

from pondsocket.changes import (
    AssignsReplaced,
    AssignsSet,
    Change,
    Command,
    Evicted,
    Joined,
    Left,
    PresenceGone,
    PresenceSet,
    RemoteChange,
    Removed,
    Sent,
)
from pondsocket.frame import Frame
from pondsocket.types import AllUsers, Event, LeaveReason, User

FRAME = Frame(Event("BROADCAST", "/room", "1", "news", {}))
CHANGES = [
    Joined(User("ann")),
    Left(User("ann"), LeaveReason.EVICTED),
    Sent(FRAME, AllUsers()),
    PresenceSet("ann", {"status": "away"}),
    PresenceGone("ann"),
    AssignsSet("ann", "role", "admin"),
]
REPLACED = AssignsReplaced("ann", {"role": "admin"}, "node-2")
ORDERS = [Evicted("ann", "spam"), Removed("ann")]


def test_these_are_all_the_changes_that_a_node_announces():
    assert set(Change.__args__) == {type(change) for change in CHANGES}


def test_of_another_node_all_assigns_may_come_at_once():
    assert set(RemoteChange.__args__) == {*Change.__args__, AssignsReplaced}


def test_a_node_may_be_asked_for_every_change_to_its_user_but_a_join():
    asked = {PresenceSet, PresenceGone, AssignsSet}

    assert set(Command.__args__) == {*asked, *(type(order) for order in ORDERS)}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: type(change).__name__)
def test_what_names_no_node_is_about_this_one(change):
    assert getattr(change, "node", "") == ""


@pytest.mark.parametrize(
    "change",
    [*CHANGES, REPLACED, *ORDERS],
    ids=lambda change: type(change).__name__,
)
def test_nobody_can_alter_what_happened(change):
    name = fields(change)[0].name

    with pytest.raises(FrozenInstanceError):
        setattr(change, name, None)


def test_changes_are_equal_if_the_same_happened():
    assert PresenceGone("ann") == PresenceGone("ann")
    assert PresenceGone("ann") != PresenceGone("bob")
    assert PresenceGone("ann") != PresenceGone("ann", "node-2")
