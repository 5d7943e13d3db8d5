"""The users of a channel, wherever they live: who is changed here, who is asked for."""

import asyncio

import pytest

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
from pondsocket.channel_users import ChannelUsers
from pondsocket.errors import BadRequest, Conflict, NotFound
from pondsocket.local_channel import LocalChannel
from pondsocket.metrics import Telemetry
from pondsocket.options import Options
from pondsocket.ports import LinkedChannel, Peers
from pondsocket.session import Session
from pondsocket.types import AllUsers, LeaveReason, User
from tests.unit.doubles import NotingPeers, SinkTransport, frame, settle

HERE, AWAY = {"status": "here"}, {"status": "away"}
THERE = "node-2"

_peers: Peers = NotingPeers()


class Room:
    """The users of a channel of node-1, with all that they touch."""

    def __init__(self, **options):
        telemetry = Telemetry()
        self.local = LocalChannel(
            "/room", Options(node_id="node-1", **options), telemetry, lambda _: None
        )
        self.peers = NotingPeers()
        self.dismissed = []
        self.finished = []
        self.users = ChannelUsers(
            self.local, Options(**options), self._link, self._dismiss
        )
        self._telemetry = telemetry

    def _link(self, channel: LinkedChannel):
        self.linked = channel
        return self.peers

    def _dismiss(self, user_id, reason, why=None):
        self.dismissed.append((user_id, reason, why))
        if self.local.dismiss(user_id, reason) is None:
            return None
        self._leaving = user_id
        return self

    async def finish(self):
        """End the leaving of who was dismissed last."""
        self.finished.append(self._leaving)

    def admit(self, user_id, **assigns):
        """Let a user of this node in."""
        session = Session(SinkTransport(user_id), Options(), self._telemetry)
        self.local.admit(session, assigns, None)

    def hear(self, *changes):
        """Hear of users of another node."""
        for change in changes:
            self.users.apply_remote(change)


@pytest.fixture
async def room():
    """Ann lives here, Zoe on another node, and neither is tracked."""
    room = Room()
    room.admit("ann", seat=1)
    room.hear(Joined(User("zoe", {"seat": 2}), THERE))
    yield room
    room.local.close()
    await settle()


def test_its_link_knows_it_as_the_channel(room):
    assert room.linked is room.users
    assert room.users.peers is room.peers


# Who there is


async def test_a_user_is_found_wherever_it_lives(room):
    room.hear(PresenceSet("zoe", HERE, THERE))

    assert await room.users.get("ann") == User("ann", {"seat": 1})
    assert await room.users.get("zoe") == User("zoe", {"seat": 2}, HERE)


async def test_a_user_that_was_not_heard_of_is_asked_for(room):
    room.peers.users["eve"] = User("eve", {"seat": 3})

    assert await room.users.get("eve") == User("eve", {"seat": 3})


async def test_a_user_of_this_node_is_preferred_to_one_of_another(room):
    room.hear(Joined(User("ann", {"seat": 9}), THERE))

    assert await room.users.get("ann") == User("ann", {"seat": 1})
    assert room.users.assigns()["ann"] == {"seat": 1}


async def test_who_is_nowhere_is_not_found(room):
    with pytest.raises(NotFound, match=r"/room.*'eve' is not a member"):
        await room.users.get("eve")


async def test_everyones_assigns_and_presences_are_copies(room):
    room.hear(PresenceSet("zoe", {"at": [1]}, THERE))

    room.users.assigns()["zoe"].clear()
    room.users.presences()["zoe"]["at"].clear()

    assert room.users.assigns() == {"ann": {"seat": 1}, "zoe": {"seat": 2}}
    assert room.users.presences() == {"zoe": {"at": [1]}}


def test_the_link_sees_the_users_of_this_node_alone(room):
    assert room.users.local_users() == [User("ann", {"seat": 1})]
    assert room.users.local_user("ann") == User("ann", {"seat": 1})
    assert room.users.local_user("zoe") is None


async def test_a_nodes_users_are_those_of_whom_anything_is_known(room):
    room.hear(PresenceSet("tracked", HERE, THERE))

    assert room.users.users_of(THERE) == {"zoe", "tracked"}
    assert room.users.users_of("node-3") == frozenset()


def test_who_left_another_node_is_known_no_longer(room):
    room.hear(Left(User("zoe"), LeaveReason.CONNECTION_CLOSED, THERE))

    assert room.users.users_of(THERE) == frozenset()


# Changes to users of this node


async def test_a_change_to_a_user_of_this_node_is_made_and_announced(room):
    await room.users.set_assign("ann", "seat", 4)
    await room.users.track("ann", HERE)
    await room.users.update("ann", AWAY)
    await room.users.untrack("ann")

    assert await room.users.get("ann") == User("ann", {"seat": 4})
    assert room.peers.asked == []
    assert room.peers.announced == [
        AssignsSet("ann", "seat", 4),
        PresenceSet("ann", HERE),
        PresenceSet("ann", AWAY),
        PresenceGone("ann"),
    ]


async def test_a_change_is_made_before_it_is_announced(room):
    seen = []

    async def announce(change):
        seen.append(room.users.assigns()["ann"])

    room.peers.announce = announce

    await room.users.set_assign("ann", "seat", 4)

    assert seen == [{"seat": 4}]


async def test_a_user_of_this_node_is_tracked_once(room):
    await room.users.track("ann", HERE)

    with pytest.raises(Conflict):
        await room.users.track("ann", AWAY)


async def test_a_user_is_tracked_here_although_another_node_shows_it(room):
    room.hear(PresenceSet("ann", AWAY, THERE))

    await room.users.track("ann", HERE)

    assert room.peers.announced == [PresenceSet("ann", HERE)]


async def test_who_is_not_tracked_here_is_not_found_whatever_another_node_shows(room):
    room.hear(PresenceSet("ann", AWAY, THERE))

    with pytest.raises(NotFound):
        await room.users.update("ann", HERE)
    with pytest.raises(NotFound):
        await room.users.untrack("ann")


async def test_much_at_once_lets_others_run(room):
    turns = []
    asyncio.get_running_loop().call_soon(turns.append, "somebody else's turn")

    for number in range(64):
        assert not turns
        await room.users.apply(Sent(frame(number), AllUsers()))

    assert turns


# Changes to users of other nodes


async def test_a_change_to_a_user_of_another_node_is_asked_of_that_node(room):
    await room.users.set_assign("zoe", "seat", 4)
    await room.users.track("zoe", HERE)

    assert room.peers.asked == [
        (THERE, AssignsSet("zoe", "seat", 4)),
        (THERE, PresenceSet("zoe", HERE)),
    ]
    assert room.peers.announced == []
    assert room.users.assigns()["zoe"] == {"seat": 2}


async def test_the_presence_of_a_user_of_another_node_is_changed_there(room):
    room.hear(PresenceSet("zoe", HERE, THERE))

    await room.users.update("zoe", AWAY)
    await room.users.untrack("zoe")

    assert room.peers.asked == [
        (THERE, PresenceSet("zoe", AWAY)),
        (THERE, PresenceGone("zoe")),
    ]
    assert room.users.presences() == {"zoe": HERE}


async def test_who_is_shown_by_another_node_cannot_be_tracked_again(room):
    room.hear(PresenceSet("zoe", HERE, THERE))

    with pytest.raises(Conflict):
        await room.users.track("zoe", AWAY)

    assert room.peers.asked == []


async def test_who_is_not_shown_by_another_node_is_not_found(room):
    with pytest.raises(NotFound):
        await room.users.update("zoe", AWAY)
    with pytest.raises(NotFound):
        await room.users.untrack("zoe")

    assert room.peers.asked == []


async def test_a_user_that_nobody_knows_cannot_be_changed(room):
    for changing in (
        room.users.set_assign("eve", "seat", 4),
        room.users.track("eve", HERE),
        room.users.update("eve", HERE),
        room.users.untrack("eve"),
    ):
        with pytest.raises(NotFound):
            await changing

    assert room.peers.asked == room.peers.announced == []


@pytest.mark.parametrize("user", ["ann", "zoe"])
async def test_a_presence_that_cannot_travel_is_refused_on_the_node_that_sets_it(user):
    room = Room(max_presence_bytes=10)
    room.admit("ann")
    room.hear(Joined(User("zoe"), THERE))

    with pytest.raises(BadRequest):
        await room.users.track(user, {"x": "x" * 10})

    assert room.peers.asked == room.peers.announced == []


# Users who have to go


async def test_a_user_of_this_node_is_evicted_here(room):
    await room.users.evict("ann", "spam")

    assert room.dismissed == [("ann", LeaveReason.EVICTED, "spam")]
    assert room.finished == ["ann"]
    assert room.peers.asked == []


async def test_a_user_of_this_node_is_removed_here_without_a_word(room):
    assert await room.users.remove("ann", LeaveReason.EVICTED) is True

    assert room.dismissed == [("ann", LeaveReason.EVICTED, None)]
    assert room.finished == ["ann"]
    assert room.peers.asked == []


async def test_a_user_of_another_node_is_evicted_and_removed_there(room):
    await room.users.evict("zoe", "spam")
    assert await room.users.remove("zoe", LeaveReason.EXPLICIT_LEAVE) is True

    assert room.peers.asked == [
        (THERE, Evicted("zoe", "spam")),
        (THERE, Removed("zoe")),
    ]


async def test_a_user_that_was_found_by_asking_is_asked_of_whichever_node_has_it(room):
    room.peers.users["eve"] = User("eve")

    await room.users.evict("eve", "spam")
    assert await room.users.remove("eve", LeaveReason.EXPLICIT_LEAVE) is True

    assert room.peers.asked == [("", Evicted("eve", "spam")), ("", Removed("eve"))]


async def test_who_is_nowhere_can_be_neither_evicted_nor_removed(room):
    with pytest.raises(NotFound):
        await room.users.evict("eve", "spam")
    assert await room.users.remove("eve", LeaveReason.EXPLICIT_LEAVE) is False

    assert room.peers.asked == []


# What other nodes ask for


async def test_what_another_node_asks_for_is_done_and_announced(room):
    for command in (
        AssignsSet("ann", "seat", 4),
        PresenceSet("ann", HERE),
        PresenceSet("ann", AWAY),
        PresenceGone("ann"),
    ):
        await room.users.obey(command)
        assert room.peers.announced[-1] == command

    assert await room.users.get("ann") == User("ann", {"seat": 4})


async def test_another_node_can_have_a_user_of_this_one_evicted(room):
    await room.users.obey(Evicted("ann", "spam"))

    assert room.dismissed == [("ann", LeaveReason.EVICTED, "spam")]
    assert room.finished == ["ann"]


async def test_another_node_can_have_a_user_of_this_one_removed(room):
    await room.users.obey(Removed("ann"))

    assert room.dismissed == [("ann", LeaveReason.EXPLICIT_LEAVE, None)]
    assert room.finished == ["ann"]


@pytest.mark.parametrize("command", [Evicted("zoe", "spam"), Removed("zoe")])
async def test_who_is_gone_already_needs_no_more_to_go(room, command):
    await room.users.obey(command)

    assert room.finished == []


@pytest.mark.parametrize(
    "command",
    [AssignsSet("zoe", "a", 1), PresenceSet("zoe", HERE), PresenceGone("zoe")],
)
async def test_what_is_asked_of_a_user_who_lives_elsewhere_is_not_done(room, command):
    with pytest.raises(NotFound):
        await room.users.obey(command)

    assert room.peers.announced == []


async def test_a_presence_that_another_node_asks_for_is_held_against_the_limit():
    room = Room(max_presence_bytes=10)
    room.admit("ann")

    with pytest.raises(BadRequest):
        await room.users.obey(PresenceSet("ann", {"x": "x" * 10}))

    assert room.peers.announced == []


async def test_what_another_node_tells_is_never_announced(room):
    room.hear(
        Joined(User("yan", {}, HERE), THERE),
        AssignsSet("yan", "seat", 1, THERE),
        AssignsReplaced("zoe", {}, THERE),
        PresenceGone("yan", THERE),
        Left(User("yan"), LeaveReason.CONNECTION_CLOSED, THERE),
    )

    assert room.peers.announced == room.peers.asked == []
    assert room.users.assigns() == {"ann": {"seat": 1}, "zoe": {}}
