from dataclasses import FrozenInstanceError, fields

import pytest

from pondsocket.changes import (
    AssignsSet,
    Change,
    Evicted,
    Joined,
    Left,
    PresenceGone,
    PresenceSet,
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
    Evicted("ann", "spam"),
]


def test_these_are_all_the_changes_there_are():
    assert set(Change.__args__) == {type(change) for change in CHANGES}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: type(change).__name__)
def test_nobody_can_alter_what_happened(change):
    name = fields(change)[0].name

    with pytest.raises(FrozenInstanceError):
        setattr(change, name, None)


def test_changes_are_equal_if_the_same_happened():
    assert PresenceGone("ann") == PresenceGone("ann")
    assert PresenceGone("ann") != PresenceGone("bob")
