"""How users get into a channel and out of it, and when the channel ends."""

import asyncio

import pytest

from pondsocket.changes import Joined, Left
from pondsocket.errors import Conflict, Unavailable
from pondsocket.local_channel import LocalChannel
from pondsocket.membership import Membership
from pondsocket.metrics import Telemetry
from pondsocket.options import Options
from pondsocket.session import Session
from pondsocket.types import Event, LeaveReason, User
from tests.unit.doubles import (
    PlainTransport,
    SinkTransport,
    event,
    other_tasks,
    settle,
    started,
)

pytestmark = pytest.mark.usefixtures("no_task_is_left")

LEFT = LeaveReason.EXPLICIT_LEAVE
CLOSED = LeaveReason.CONNECTION_CLOSED


class Door:
    """A channel's membership with everything around it, and a log of what happened.

    `opening`, `leaving` and `ending` hold up the subscription, the leave handler and
    the end.
    """

    name = "/room"

    def __init__(self):
        self.log = []
        self.registered = {}
        self.opening, self.leaving, self.ending = (asyncio.Event() for _ in range(3))
        for each in (self.opening, self.leaving, self.ending):
            each.set()
        self.telemetry = Telemetry()
        self.local = LocalChannel(
            self.name, Options(), self.telemetry, lambda name: None
        )
        self.membership = Membership(
            self.local,
            self,
            new_session=self.new_session,
            find_session=self.registered.get,
            on_left=self.on_left,
            on_end=self.on_end,
        )

    # The other nodes.

    async def open(self):
        await self.opening.wait()

    async def announce(self, change):
        self.log.append(change)

    async def find_user(self, user_id):
        return None

    async def close(self):
        self.log.append("peers closed")

    # The channel, as a session sees it, and what it hands to its membership.

    def flush(self):
        self.local.flush()

    def remove(self, user_id, reason):
        return self.membership.dismiss(user_id, reason)

    def new_session(self, transport):
        return Session(transport, Options(), self.telemetry)

    async def on_left(self, left):
        await self.leaving.wait()
        self.log.append(("left", left.user.id))

    async def on_end(self):
        await self.ending.wait()
        self.log.append("ended")

    async def admit(self, transport, assigns=None, ack=None):
        await self.membership.admit(self, transport, assigns or {}, ack)

    async def leave(self, user_id):
        await self.membership.dismiss(user_id, LEFT).finish()


@pytest.fixture
def door():
    return Door()


@pytest.fixture
def ann():
    return SinkTransport("ann")


@pytest.fixture
def bob():
    return SinkTransport("bob")


def acknowledge():
    return Event("SYSTEM", "/room", "join-1", "ACKNOWLEDGE", {})


# In.


async def test_who_is_let_in_is_a_member_here_before_other_nodes_hear_of_it(door, ann):
    async def announce(change):
        door.log.append((change, "ann" in door.local.roster))

    door.announce = announce

    await door.admit(ann, {"role": "admin"}, acknowledge())

    assert door.log == [(Joined(User("ann", {"role": "admin"})), True)]
    await settle()
    assert [each.event for each in ann.sent] == ["ACKNOWLEDGE"]


async def test_a_session_knows_the_channels_that_it_is_in(door, ann):
    await door.admit(ann)

    session = door.membership.session_of(ann)
    assert session.channels == {"/room": door}


async def test_nobody_gets_in_before_other_nodes_can_be_heard(door, ann):
    door.opening.clear()
    joining = await started(door.admit(ann))

    assert "ann" not in door.local.roster
    door.opening.set()
    await joining
    assert "ann" in door.local.roster


async def test_who_is_in_cannot_come_in_again(door, ann):
    await door.admit(ann)

    with pytest.raises(Conflict):
        await door.admit(ann)

    assert len(door.log) == 1
    assert door.membership.is_active


async def test_of_two_joins_at_the_same_time_one_succeeds(door, ann):
    door.opening.clear()
    joins = [await started(door.admit(ann)) for _ in range(2)]
    door.opening.set()

    results = await asyncio.gather(*joins, return_exceptions=True)

    assert [type(result) for result in results] == [type(None), Conflict]


@pytest.mark.parametrize("is_registered", [True, False])
async def test_who_left_while_it_joined_is_not_let_in(door, ann, is_registered):
    if is_registered:
        door.registered[ann] = door.new_session(ann)
    door.opening.clear()
    joining = await started(door.admit(ann))
    await ann.close()
    door.opening.set()

    with pytest.raises(Unavailable, match="the connection has ended"):
        await joining

    assert not door.local.roster
    assert door.log == ["ended", "peers closed"]


async def test_a_connection_that_ended_is_not_let_in_though_its_transport_lives(
    door, ann
):
    session = door.registered[ann] = door.new_session(ann)
    await session.end()

    with pytest.raises(Unavailable, match="the connection has ended"):
        await door.admit(ann)


async def test_a_channel_that_ended_lets_nobody_in(door, ann):
    await door.membership.close()

    with pytest.raises(Unavailable, match="the channel has ended"):
        await door.admit(ann)


async def test_a_channel_that_ended_during_a_join_does_not_come_back(door, ann):
    door.opening.clear()
    joining = await started(door.admit(ann))
    await door.membership.close()
    door.opening.set()

    with pytest.raises(Unavailable, match="the channel has ended"):
        await joining


# Sessions.


async def test_a_registered_transport_keeps_its_session(door, ann):
    session = door.registered[ann] = door.new_session(ann)

    assert door.membership.session_of(ann) is session


async def test_a_transport_of_no_endpoint_gets_a_session_of_its_own_once(door, ann):
    session = door.membership.session_of(ann)

    assert session.transport is ann
    assert door.membership.session_of(ann) is session


async def test_another_transport_of_the_same_user_gets_another_session(door, ann):
    first = door.membership.session_of(ann)

    second = door.membership.session_of(SinkTransport("ann"))

    assert second is not first


async def test_an_answer_that_comes_too_late_is_dropped_and_leaves_nothing_behind(
    door, ann
):
    await ann.close()

    session = door.membership.session_of(ann)
    session.send(event())

    assert not ann.sent
    assert not other_tasks()
    assert not door.membership._private_sessions
    assert door.telemetry.counts()["outbound_dropped"] == 1


async def test_a_private_session_is_forgotten_when_its_user_leaves(door, ann, bob):
    await door.admit(ann)
    await door.admit(bob)

    await door.leave("ann")

    assert set(door.membership._private_sessions) == {"bob"}


async def test_a_private_connection_that_closes_leaves(door, ann, bob):
    await door.admit(ann)
    await door.admit(bob)

    await ann.close()

    assert "ann" not in door.local.roster
    assert door.log[-1] == ("left", "ann")
    assert set(door.membership._private_sessions) == {"bob"}


async def test_a_private_connection_that_closes_after_it_left_changes_nothing(
    door, ann, bob
):
    await door.admit(ann)
    await door.admit(bob)
    await door.leave("ann")
    log = list(door.log)

    await ann.close()

    assert door.log == log


async def test_a_private_session_with_something_to_send_is_kept(door, bob):
    plain = PlainTransport("ann")
    await door.admit(bob)
    await door.admit(plain)
    session = door.membership.session_of(plain)
    plain.gate.clear()
    door.local.send(event(0), (session,))
    door.local.send(event(1), (session,))
    door.local.flush()
    await door.leave("ann")

    assert door.membership.session_of(plain) is session
    plain.gate.set()
    await settle()
    assert plain.numbers == [0, 1]


# Out.


async def test_who_leaves_is_gone_before_other_nodes_and_leave_handlers_hear_of_it(
    door, ann, bob
):
    await door.admit(ann)
    await door.admit(bob)
    session = door.membership.session_of(ann)
    door.log.clear()

    leaving = door.membership.dismiss("ann", LEFT)

    assert "ann" not in door.local.roster
    assert not session.channels
    assert not door.log
    await leaving.finish()
    assert door.log == [Left(User("ann"), LEFT), ("left", "ann")]


async def test_a_farewell_is_the_last_that_a_member_gets(door, ann, bob):
    await door.admit(ann, ack=acknowledge())
    await door.admit(bob)

    leaving = door.membership.dismiss("ann", LEFT, event(7))

    assert [each.event for each in ann.sent] == ["ACKNOWLEDGE", "news"]
    await leaving.finish()


async def test_who_is_no_member_has_nothing_to_leave(door):
    assert door.membership.dismiss("ann", LEFT) is None


async def test_who_left_twice_left_once(door, ann):
    await door.admit(ann)
    leaving = door.membership.dismiss("ann", LEFT)

    assert door.membership.dismiss("ann", LEFT) is None

    await leaving.finish()
    assert door.log.count(("left", "ann")) == 1


# The end.


async def test_a_channel_ends_after_the_leave_handler_of_its_last_member(door, ann):
    await door.admit(ann)
    door.leaving.clear()
    leaving = await started(door.leave("ann"))

    assert door.membership.is_active
    door.leaving.set()
    await leaving

    assert not door.membership.is_active
    assert door.log[-3:] == [("left", "ann"), "ended", "peers closed"]


async def test_a_channel_lives_as_long_as_it_has_a_member(door, ann, bob):
    await door.admit(ann)
    await door.admit(bob)

    await door.leave("ann")

    assert door.membership.is_active


async def test_a_channel_lives_while_somebody_joins(door, ann, bob):
    await door.admit(ann)
    door.opening.clear()
    joining = await started(door.admit(bob))

    await door.leave("ann")

    assert door.membership.is_active
    door.opening.set()
    await joining
    assert "bob" in door.local.roster


async def test_who_joins_while_the_last_member_leaves_keeps_the_channel(door, ann, bob):
    await door.admit(ann)
    door.leaving.clear()
    leaving = await started(door.leave("ann"))
    await door.admit(bob)
    door.leaving.set()

    await leaving

    assert door.membership.is_active


async def test_a_held_channel_lives_without_members(door, ann):
    await door.admit(ann)

    async with door.membership.held():
        await door.leave("ann")
        assert door.membership.is_active

    assert not door.membership.is_active


async def test_of_several_holds_the_last_lets_go(door):
    async with door.membership.held():
        async with door.membership.held():
            pass
        assert door.membership.is_active

    assert not door.membership.is_active


async def test_a_hold_that_ends_with_an_error_lets_go(door):
    with pytest.raises(OSError, match="broken"):
        async with door.membership.held():
            raise OSError("broken")

    assert not door.membership.is_active


async def test_a_leave_handler_runs_to_its_end_when_whoever_waits_is_cancelled(
    door, ann
):
    await door.admit(ann)
    door.leaving.clear()
    waiting = await started(door.leave("ann"))

    waiting.cancel()
    await settle()

    assert door.membership.is_active
    door.leaving.set()
    await settle()
    assert door.log[-3:] == [("left", "ann"), "ended", "peers closed"]


async def test_closing_takes_everybody_out_at_once(door, ann, bob):
    await door.admit(ann)
    await door.admit(bob)
    door.leaving.clear()
    closing = await started(door.membership.close())

    assert not door.local.roster
    door.leaving.set()
    await closing

    assert door.log[2:] == [
        Left(User("ann"), CLOSED),
        Left(User("bob"), CLOSED),
        ("left", "ann"),
        ("left", "bob"),
        "ended",
        "peers closed",
    ]


async def test_closing_writes_what_is_pending(door, ann):
    await door.admit(ann)
    door.local.send(event(7), door.local.roster.handles())

    await door.membership.close()

    assert ann.numbers == [7]


async def test_a_channel_ends_once(door, ann):
    await door.admit(ann)

    await door.membership.close()
    await door.membership.close()

    assert door.log.count("ended") == 1
    assert door.log.count("peers closed") == 1


async def test_an_empty_channel_can_be_closed(door):
    await door.membership.close()

    assert door.log == ["ended", "peers closed"]


async def test_who_joins_while_the_channel_closes_is_taken_out_as_well(door, ann, bob):
    await door.admit(ann)
    door.leaving.clear()
    closing = await started(door.membership.close())
    await door.admit(bob)
    door.leaving.set()

    await closing

    assert ("left", "bob") in door.log
    assert not door.local.roster
    assert door.log.count("ended") == 1


async def test_nobody_gets_in_while_the_end_is_being_told(door, ann):
    door.ending.clear()
    closing = await started(door.membership.close())

    with pytest.raises(Unavailable):
        await door.admit(ann)

    door.ending.set()
    await closing
