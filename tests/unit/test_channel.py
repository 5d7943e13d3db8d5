"""The verbs of a channel, made by hand: members, presence, messages, the end."""

import asyncio
import logging

import pytest

from pondsocket.changes import (
    AssignsSet,
    Evicted,
    Joined,
    Left,
    PresenceGone,
    PresenceSet,
    Removed,
    Sent,
)
from pondsocket.channel import Channel
from pondsocket.channel_options import ChannelOptions
from pondsocket.errors import (
    BadRequest,
    Conflict,
    NotFound,
    TooManyRequests,
    Unavailable,
)
from pondsocket.frame import Frame
from pondsocket.hooks import Hooks
from pondsocket.local_pubsub import LocalPubSub
from pondsocket.options import Options
from pondsocket.transports.memory import InMemoryTransport
from pondsocket.types import (
    AllExceptSender,
    AllUsers,
    Event,
    LeaveReason,
    ToUsers,
    User,
)
from tests.unit.doubles import NotingPeers, PlainTransport, settle

NAME = "/chat/1"


class Network:
    def __init__(self, peers):
        self._peers = peers

    def check_channel_name(self, name):
        raise AssertionError("a name is checked before there is a channel")

    def peers(self, endpoint_path, channel_name, channel):
        self.asked_for = endpoint_path, channel_name
        self.channel = channel
        return self._peers


class Limiter:
    """Lets everything through, or nothing, and notes the keys."""

    def __init__(self, allows=True):
        self.allows = allows
        self.keys = []

    async def allow(self, key):
        self.keys.append(key)
        return self.allows

    async def reset(self, key):
        raise AssertionError("the framework never resets a key")


@pytest.fixture
def make(collector):
    """Make a channel by hand."""

    def make(*, options=None, hooks=None, **rest):
        hooks = hooks or Hooks()
        hooks.metrics = hooks.metrics or collector
        options = options or Options()
        options.hooks = hooks
        return Channel(ChannelOptions(name=NAME, options=options, **rest))

    return make


@pytest.fixture
def channel(make):
    return make()


@pytest.fixture
def peers():
    return NotingPeers()


@pytest.fixture
def add(client):
    """Make members of a channel, with nothing heard yet."""

    async def add(channel, *user_ids, **assigns):
        added = [client(user_id, **assigns) for user_id in user_ids]
        for each in added:
            await channel.add_user(each.transport)
        return added

    return add


# What it is


def test_a_new_channel_lives_and_is_empty(channel):
    assert channel.is_active
    assert channel.name == NAME
    assert repr(channel) == "<Channel '/chat/1' with 0 members>"


@pytest.mark.parametrize("node_id", ["", "node-1"])
def test_its_node_is_that_of_the_options(make, node_id):
    assert make(options=Options(node_id=node_id)).node_id == node_id


def test_it_asks_for_the_nodes_that_share_its_endpoint_and_name(make, peers):
    network = Network(peers)

    make(network=network, endpoint_path="/socket")

    assert network.asked_for == ("/socket", NAME)


async def test_starting_it_listens_to_the_other_nodes(make, peers):
    await make(network=Network(peers)).start()

    assert peers.log == ["open"]


async def test_a_channel_without_options_makes_do(add):
    channel = Channel(ChannelOptions(name=NAME))
    (ann,) = await add(channel, "ann")

    await channel.broadcast("news", {})

    assert await ann.heard() == [("BROADCAST", "news", {})]
    assert channel.telemetry.measuring is False


# Members


async def test_who_is_added_is_a_member(channel, add):
    await add(channel, "ann", "bob")

    assert await channel.user_count() == 2
    assert await channel.has_user("ann")
    assert not await channel.has_user("eve")


async def test_who_is_added_hears_nothing_of_it(channel, add):
    (ann,) = await add(channel, "ann")

    assert await ann.heard() == []


async def test_nobody_can_be_added_twice(channel, add):
    (ann,) = await add(channel, "ann")

    with pytest.raises(Conflict) as caught:
        await channel.add_user(ann.transport)

    assert caught.value.code == 409
    assert await channel.user_count() == 1


async def test_a_connection_that_ended_cannot_be_added(channel, client):
    ann = client("ann")
    await ann.transport.close()

    with pytest.raises(Unavailable, match="the connection has ended"):
        await channel.add_user(ann.transport)


async def test_a_channel_that_ended_takes_no_one(channel, client):
    await channel.close()

    with pytest.raises(Unavailable, match="the channel has ended"):
        await channel.add_user(client("ann").transport)


async def test_members_get_the_assigns_of_their_connection_as_a_copy(channel, add):
    (ann,) = await add(channel, "ann", role="admin")

    ann.transport.set_assign("role", "guest")

    assert await channel.get_user_assign("ann", "role") == "admin"


async def test_a_member_without_an_endpoint_hears_what_the_channel_sends(channel, add):
    (ann,) = await add(channel, "ann")

    await channel.broadcast("news", {"n": 1})

    assert await ann.heard() == [("BROADCAST", "news", {"n": 1})]


async def test_a_member_without_an_endpoint_gets_what_is_queued_after_it_left(channel):
    ann = PlainTransport("ann")
    await channel.add_user(ann)
    await channel.broadcast("news", {})

    await channel.remove_user("ann")
    await settle()

    assert [event.event for event in ann.sent] == ["news"]


async def test_another_connection_can_take_the_place_of_one_that_left(channel, add):
    await add(channel, "ann", "bob")
    await channel.remove_user("ann")

    (ann,) = await add(channel, "ann")
    await channel.broadcast("news", {})

    assert await ann.heard() == [("BROADCAST", "news", {})]


# Joining, with an acknowledgement


async def test_a_join_is_acknowledged_before_anything_else(channel, client, add):
    ann = client("ann")

    await channel.join(ann.transport, "j1", {})
    await channel.track_presence("ann", {})

    first, *_ = await ann.events()
    assert (first.action, first.event, first.channel_name, first.request_id) == (
        "SYSTEM", "ACKNOWLEDGE", NAME, "j1"
    )  # fmt: skip
    assert first.payload == {}


async def test_a_joins_assigns_are_added_to_the_connections_own(channel, client):
    ann = client("ann", role="admin", seat=1)

    await channel.join(ann.transport, "j1", {"seat": 2})

    assert (await channel.get_user("ann")).assigns == {"role": "admin", "seat": 2}
    assert ann.transport.clone_assigns() == {"role": "admin", "seat": 1}


async def test_a_second_join_is_a_conflict_and_is_not_acknowledged(channel, add):
    (ann,) = await add(channel, "ann")

    with pytest.raises(Conflict):
        await channel.join(ann.transport, "j1", {})

    assert await ann.heard() == []


# Leaving


async def test_removing_a_member_tells_whether_it_was_one(channel, add):
    await add(channel, "ann", "bob")

    assert await channel.remove_user("ann") is True
    assert await channel.remove_user("ann") is False
    assert not await channel.has_user("ann")


@pytest.mark.parametrize("reason", [*LeaveReason, "evicted"])
async def test_the_leave_handler_learns_the_reason_of_a_removal(make, add, log, reason):
    channel = make(leave_handler=log("left"))
    await add(channel, "ann")

    await channel.remove_user("ann", reason)

    ((_, context),) = log.entries
    assert context.reason is LeaveReason(reason)
    assert context.channel is channel


@pytest.mark.parametrize("reason", LeaveReason)
async def test_a_removed_member_hears_nothing_of_it(channel, add, reason):
    ann, _ = await add(channel, "ann", "bob")

    await channel.remove_user("ann", reason)

    assert await ann.heard() == []


async def test_a_removal_is_explicit_if_nobody_says_otherwise(make, add, log):
    channel = make(leave_handler=log("left"))
    await add(channel, "ann")

    await channel.remove_user("ann")

    ((_, context),) = log.entries
    assert context.reason is LeaveReason.EXPLICIT_LEAVE


async def test_a_reason_that_does_not_exist_removes_nobody(channel, add):
    await add(channel, "ann")

    with pytest.raises(ValueError, match="boredom"):
        await channel.remove_user("ann", "boredom")

    assert await channel.has_user("ann")


async def test_the_leave_handler_gets_the_members_last_state(make, add, log):
    channel = make(leave_handler=log("left"))
    await add(channel, "ann", role="admin")
    await channel.track_presence("ann", {"status": "online"})

    await channel.remove_user("ann")

    ((_, context),) = log.entries
    assert context.user == User("ann", {"role": "admin"}, {"status": "online"})


async def test_the_member_is_gone_when_its_leave_handler_runs(make, add):
    counts = []

    async def left(context):
        counts.append(await context.remaining_user_count())

    channel = make(leave_handler=left)
    await add(channel, "ann", "bob")

    await channel.remove_user("ann")

    assert counts == [1]


async def test_a_leave_is_acknowledged_and_then_nothing_more_comes(channel, add):
    ann, bob = await add(channel, "ann", "bob")

    await channel.leave("ann", "l1")
    await channel.broadcast("news", {})

    (answer,) = await ann.events()
    assert (answer.action, answer.event, answer.request_id) == (
        "SYSTEM", "EXIT_ACKNOWLEDGE", "l1"
    )  # fmt: skip
    assert answer.payload == {}
    assert await bob.heard() == [("BROADCAST", "news", {})]


async def test_the_leave_handler_has_run_when_a_leave_returns(make, add, log):
    channel = make(leave_handler=log("left"))
    await add(channel, "ann")

    await channel.leave("ann", "l1")

    ((_, context),) = log.entries
    assert context.reason is LeaveReason.EXPLICIT_LEAVE
    assert not channel.is_active


async def test_who_is_no_member_cannot_leave(make, log):
    channel = make(leave_handler=log("left"))

    await channel.leave("ann", "l1")

    assert log.entries == []
    assert channel.is_active


async def test_the_evicted_are_told_before_they_are_removed(make, add, log):
    channel = make(leave_handler=log("left"))
    ann, bob = await add(channel, "ann", "bob")

    await channel.evict_user("ann", "spam")
    await channel.broadcast("news", {})

    assert await ann.heard() == [("SYSTEM", "EVICTED", {"reason": "spam"})]
    assert await bob.heard() == [("BROADCAST", "news", {})]
    ((_, context),) = log.entries
    assert context.reason is LeaveReason.EVICTED


async def test_evicting_who_is_no_member_is_not_found(channel):
    with pytest.raises(NotFound):
        await channel.evict_user("eve", "spam")


async def test_only_the_first_of_two_evictions_runs_the_leave_handler(make, add, log):
    channel = make(leave_handler=log("left"))
    await add(channel, "ann", "bob")

    results = await asyncio.gather(
        channel.evict_user("ann", "spam"),
        channel.evict_user("ann", "spam"),
        return_exceptions=True,
    )

    assert [type(result) for result in results] == [type(None), NotFound]
    assert len(log.entries) == 1


async def test_a_removal_can_be_finished_later(make, add, log):
    channel = make(leave_handler=log("left"))
    await add(channel, "ann")

    leaving = channel.remove("ann", LeaveReason.CONNECTION_CLOSED)

    assert await channel.user_count() == 0
    assert log.entries == []
    await leaving.finish()
    assert len(log.entries) == 1


def test_removing_at_once_who_is_no_member_leaves_nothing_to_finish(channel):
    assert channel.remove("ann", LeaveReason.EVICTED) is None


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no database"),
        asyncio.CancelledError(),
        BaseExceptionGroup("many", [ValueError()]),
    ],
    ids=repr,
)
async def test_a_leave_handler_that_raises_is_logged_and_counted(
    make, add, log, error, caplog, collector
):
    channel = make(leave_handler=log("left", error))
    await add(channel, "ann")

    assert await channel.remove_user("ann")

    assert channel.telemetry.counts()["leave_failed"] == 1
    assert collector.of("error") == [["leave_handler", error]]
    assert "leave handler of '/chat/1' failed" in caplog.text
    assert not channel.is_active


async def test_a_leave_handler_may_still_broadcast_to_the_others(make, add):
    async def left(context):
        await context.broadcast("gone", {"who": context.user.id})

    channel = make(leave_handler=left)
    _, bob = await add(channel, "ann", "bob")

    await channel.remove_user("ann")

    assert await bob.heard() == [("BROADCAST", "gone", {"who": "ann"})]


# Looking up


async def test_a_user_is_a_snapshot(channel, add):
    await add(channel, "ann", role="admin")
    await channel.track_presence("ann", {"status": "online"})
    user = await channel.get_user("ann")

    user.assigns["role"] = "guest"
    user.presence["status"] = "away"

    assert await channel.get_user("ann") == User(
        "ann", {"role": "admin"}, {"status": "online"}
    )


async def test_an_untracked_user_has_no_presence(channel, add):
    await add(channel, "ann")

    assert (await channel.get_user("ann")).presence is None


async def test_a_user_of_another_node_is_found_there(make, peers):
    peers.users["zoe"] = User("zoe", {"role": "admin"})
    channel = make(network=Network(peers))

    assert await channel.get_user("zoe") == User("zoe", {"role": "admin"})
    assert await channel.get_user_assign("zoe", "role") == "admin"


@pytest.mark.parametrize("getter", ["get_user", "get_user_assign", "update_assign"])
async def test_a_user_that_is_nowhere_is_not_found(channel, getter):
    args = {"get_user": (), "get_user_assign": ("a",), "update_assign": ("a", 1)}

    with pytest.raises(NotFound) as caught:
        await getattr(channel, getter)("eve", *args[getter])

    assert caught.value.code == 404
    assert caught.value.channel_name == NAME


async def test_an_assign_can_be_set_and_read(channel, add):
    await add(channel, "ann")

    await channel.update_assign("ann", "seat", 4)

    assert await channel.get_user_assign("ann", "seat") == 4
    assert await channel.get_user_assign("ann", "nothing") is None


async def test_everyones_assigns_are_copies(channel, add):
    await add(channel, "ann", "bob", seat=1)

    assigns = await channel.get_assigns()
    assigns["ann"]["seat"] = 2
    del assigns["bob"]

    assert await channel.get_assigns() == {"ann": {"seat": 1}, "bob": {"seat": 1}}


# Presence


async def test_everybody_sees_a_presence_come_change_and_go(channel, add):
    ann, bob = await add(channel, "ann", "bob")

    await channel.track_presence("ann", {"n": 1})
    await channel.update_presence("ann", {"m": 2})
    await channel.untrack_presence("ann")

    expected = [
        ("PRESENCE", "JOIN", {"presence": [{"n": 1}], "changed": {"n": 1}}),
        ("PRESENCE", "UPDATE", {"presence": [{"m": 2}], "changed": {"m": 2}}),
        ("PRESENCE", "LEAVE", {"presence": [], "changed": {"m": 2}}),
    ]
    assert await ann.heard() == expected
    assert await bob.heard() == expected


async def test_each_presence_message_has_an_id_of_its_own(channel, add):
    (ann,) = await add(channel, "ann")

    await channel.track_presence("ann", {})
    await channel.untrack_presence("ann")

    first, second = await ann.events()
    assert first.request_id != second.request_id
    assert first.channel_name == NAME


async def test_the_others_see_the_last_presence_of_who_leaves(channel, add):
    ann, bob = await add(channel, "ann", "bob")
    await channel.track_presence("ann", {"n": 1})
    await channel.track_presence("bob", {"n": 2})
    await bob.heard()
    await ann.heard()

    await channel.remove_user("ann")

    left = {"presence": [{"n": 2}], "changed": {"n": 1}}
    assert await bob.heard() == [("PRESENCE", "LEAVE", left)]
    assert await ann.heard() == []


async def test_presences_are_copies_all_the_way_down(channel, add):
    await add(channel, "ann")
    data = {"at": [1, 2]}
    await channel.track_presence("ann", data)

    data["at"].append(3)
    (await channel.get_presence())["ann"]["at"].append(4)

    assert await channel.get_presence() == {"ann": {"at": [1, 2]}}


async def test_a_presence_is_tracked_once(channel, add):
    await add(channel, "ann")
    await channel.track_presence("ann", {"n": 1})

    with pytest.raises(Conflict):
        await channel.track_presence("ann", {"n": 2})

    assert await channel.get_presence() == {"ann": {"n": 1}}


async def test_who_is_no_member_has_no_presence(channel):
    with pytest.raises(NotFound):
        await channel.track_presence("eve", {})


@pytest.mark.parametrize("verb", ["update_presence", "untrack_presence"])
async def test_what_is_not_tracked_cannot_change_or_go(channel, add, verb):
    await add(channel, "ann")
    args = [{}] if verb == "update_presence" else []

    with pytest.raises(NotFound):
        await getattr(channel, verb)("ann", *args)


@pytest.mark.parametrize("data", [{"x": object()}, [1], "online", {"t": "é" * 20}])
async def test_a_presence_that_is_no_object_or_too_large_is_refused(make, add, data):
    channel = make(options=Options(max_presence_bytes=40))
    (ann,) = await add(channel, "ann")

    with pytest.raises(BadRequest):
        await channel.track_presence("ann", data)

    assert await channel.get_presence() == {}
    assert await ann.heard() == []


async def test_a_refused_update_keeps_the_presence(channel, add):
    await add(channel, "ann")
    await channel.track_presence("ann", {"n": 1})

    with pytest.raises(BadRequest):
        await channel.update_presence("ann", {"x": object()})

    assert await channel.get_presence() == {"ann": {"n": 1}}


async def test_above_its_budget_a_channel_sends_one_presence_list_a_window(
    make, add, flying_time
):
    channel = make(options=Options(presence_budget=1))
    (ann,) = await add(channel, "ann")
    await channel.track_presence("ann", {"n": 0})
    await ann.heard()

    for n in range(1, 10):
        await channel.update_presence("ann", {"n": n})

    assert await ann.heard() == []
    await asyncio.sleep(1.0)
    last = {"presence": [{"n": 9}], "changed": {"n": 9}}
    assert await ann.heard() == [("PRESENCE", "UPDATE", last)]
    assert channel.telemetry.counts()["presence_coalesced"] == 8


# Broadcasting


async def test_a_broadcast_reaches_every_member(channel, add):
    members = await add(channel, "ann", "bob")

    await channel.broadcast("news", {"n": 1})

    for member in members:
        (event,) = await member.events()
        assert (event.action, event.event, event.channel_name, event.payload) == (
            "BROADCAST", "news", NAME, {"n": 1}
        )  # fmt: skip


async def test_each_broadcast_has_an_id_of_its_own(channel, add):
    (ann,) = await add(channel, "ann")

    await channel.broadcast("news", {})
    await channel.broadcast("news", {})

    first, second = await ann.events()
    assert first.request_id != second.request_id


async def test_a_broadcast_can_name_its_receivers(channel, add):
    ann, bob, cid = await add(channel, "ann", "bob", "cid")

    await channel.broadcast_to("news", {}, "ann", "cid", "ann", "eve")

    assert len(await ann.heard()) == 1
    assert await bob.heard() == []
    assert len(await cid.heard()) == 1


async def test_a_broadcast_that_names_nobody_reaches_nobody(channel, add):
    (ann,) = await add(channel, "ann")

    await channel.broadcast_to("news", {})

    assert await ann.heard() == []


async def test_a_broadcast_can_leave_one_member_out(channel, add):
    ann, bob = await add(channel, "ann", "bob")

    await channel.broadcast_from("news", {}, "ann")

    assert await ann.heard() == []
    assert await bob.heard() == [("BROADCAST", "news", {})]


async def test_messages_arrive_in_the_order_in_which_they_were_sent(channel, add):
    ann, _ = await add(channel, "ann", "bob")

    await channel.broadcast("a", {})
    await channel.broadcast_to("b", {}, "ann")
    await channel.reply(ann.transport, "c", {}, "r1")
    await channel.track_presence("bob", {})
    await channel.broadcast_from("d", {}, "bob")

    assert [name for _, name, _ in await ann.heard()] == ["a", "b", "c", "JOIN", "d"]


async def test_who_comes_after_a_broadcast_does_not_get_it(channel, add):
    await add(channel, "ann")

    await channel.broadcast("news", {})
    (bob,) = await add(channel, "bob")

    assert await bob.heard() == []


async def test_who_leaves_after_a_broadcast_still_gets_it(channel, add):
    ann, _ = await add(channel, "ann", "bob")

    await channel.broadcast("news", {})
    await channel.remove_user("ann")

    assert await ann.heard() == [("BROADCAST", "news", {})]


@pytest.mark.parametrize("name", ["ACKNOWLEDGE", "UNAUTHORIZED", "CONNECTION", ""])
async def test_a_reserved_name_is_neither_broadcast_nor_replied(channel, add, name):
    (ann,) = await add(channel, "ann")

    with pytest.raises(BadRequest) as first:
        await channel.broadcast(name, {})
    with pytest.raises(BadRequest) as second:
        await channel.reply(ann.transport, name, {}, "r1")

    assert first.value.code == second.value.code == 400
    assert await ann.heard() == []


@pytest.mark.parametrize("payload", [{"x": object()}, [1], "text", {"\ud800": 1}])
async def test_a_payload_that_cannot_travel_is_refused(channel, add, payload):
    (ann,) = await add(channel, "ann")

    with pytest.raises(BadRequest):
        await channel.broadcast("news", payload)

    assert await ann.heard() == []


async def test_a_broadcast_on_a_closed_channel_does_nothing(make, add, collector):
    limiter = Limiter()
    channel = make(hooks=Hooks(channel_rate_limiter=limiter))
    (ann,) = await add(channel, "ann")
    await channel.close()

    await channel.broadcast("news", {})
    await channel.broadcast_to("news", {}, "ann")
    await channel.broadcast_from("ACKNOWLEDGE", {}, "bob")

    assert await ann.heard() == []
    assert collector.of("message_broadcast") == []
    assert limiter.keys == []


async def test_a_loop_of_broadcasts_lets_others_run(channel, add):
    await add(channel, "ann")
    turns = []
    asyncio.get_running_loop().call_soon(turns.append, "somebody else's turn")

    for n in range(64):
        await channel.broadcast("news", {"n": n})

    assert turns


async def test_one_broadcast_does_not_wait(channel, add):
    await add(channel, "ann")
    turns = []
    asyncio.get_running_loop().call_soon(turns.append, "somebody else's turn")

    await channel.broadcast("news", {})

    assert turns == []


# The channel's rate limiter


async def test_the_rate_limiter_is_asked_with_the_channels_name(make, add):
    limiter = Limiter()
    channel = make(hooks=Hooks(channel_rate_limiter=limiter))
    (ann,) = await add(channel, "ann")

    await channel.broadcast("a", {})
    await channel.broadcast_to("b", {}, "ann")
    await channel.broadcast_from("c", {}, "bob")

    assert limiter.keys == [NAME, NAME, NAME]
    assert len(await ann.heard()) == 3


async def test_a_broadcast_that_the_limiter_denies_raises(make, add):
    channel = make(hooks=Hooks(channel_rate_limiter=Limiter(allows=False)))
    (ann,) = await add(channel, "ann")

    with pytest.raises(TooManyRequests) as caught:
        await channel.broadcast("news", {})

    assert caught.value.code == 429
    assert await ann.heard() == []


async def test_presence_and_system_messages_are_not_limited(make, client):
    limiter = Limiter(allows=False)
    channel = make(hooks=Hooks(channel_rate_limiter=limiter))
    ann = client("ann")

    await channel.join(ann.transport, "j1", {})
    await channel.track_presence("ann", {})
    await channel.reply(ann.transport, "answer", {}, "r1")
    await channel.send_system("notice", {}, request_id="s1", user_ids=["ann"])
    await channel.evict_user("ann", "spam")

    assert limiter.keys == []
    assert len(await ann.heard()) == 5


async def test_nothing_is_sent_if_the_channel_ends_while_the_limiter_waits(
    make, add, collector
):
    class Closing(Limiter):
        async def allow(self, key):
            await channel.close()
            return True

    channel = make(hooks=Hooks(channel_rate_limiter=Closing()))
    (ann,) = await add(channel, "ann")

    await channel.broadcast("news", {})

    assert await ann.heard() == []
    assert collector.of("message_broadcast") == []


async def test_other_hooks_do_not_limit(make, add, log):
    channel = make(hooks=Hooks(on_connect=log("connected")))
    (ann,) = await add(channel, "ann")

    await channel.broadcast("news", {})

    assert await ann.heard() == [("BROADCAST", "news", {})]


# Direct messages


async def test_a_system_message_reaches_the_members_named(channel, add):
    ann, bob = await add(channel, "ann", "bob")

    await channel.send_system("notice", {"n": 1}, request_id="s1", user_ids=["ann"])

    (event,) = await ann.events()
    assert (event.action, event.event, event.request_id, event.payload) == (
        "SYSTEM", "notice", "s1", {"n": 1}
    )  # fmt: skip
    assert await bob.heard() == []


async def test_a_request_can_be_acknowledged_by_hand(channel, add):
    (ann,) = await add(channel, "ann")

    await channel.send_acknowledge("r7", "ann")

    (event,) = await ann.events()
    assert (event.action, event.event, event.request_id, event.payload) == (
        "SYSTEM", "ACKNOWLEDGE", "r7", {}
    )  # fmt: skip


async def test_a_reply_reaches_the_one_connection_only(channel, add):
    ann, bob = await add(channel, "ann", "bob")

    await channel.reply(ann.transport, "answer", {"n": 1}, "r1")

    (event,) = await ann.events()
    assert (event.action, event.event, event.channel_name, event.request_id) == (
        "SYSTEM", "answer", NAME, "r1"
    )  # fmt: skip
    assert await bob.heard() == []


async def test_a_declined_join_is_told_the_code_and_the_message(channel, client):
    ann = client("ann")

    await channel.decline(ann.transport, "j1", 403, "members only")

    (event,) = await ann.events()
    assert (event.action, event.event, event.request_id) == (
        "SYSTEM", "UNAUTHORIZED", "j1"
    )  # fmt: skip
    assert event.payload == {"code": 403, "message": "members only"}


async def test_a_connection_that_ended_gets_no_answer_and_costs_nothing(
    channel, client, flying_time
):
    ann = client("ann")
    await ann.transport.close()

    await channel.decline(ann.transport, "j1", 403, "members only")
    await settle()
    await asyncio.sleep(60)

    assert channel.telemetry.counts()["slow_consumer_closed"] == 0
    assert channel.telemetry.counts()["send_timeout"] == 0


async def test_a_ready_frame_goes_out_behind_what_was_sent_before(channel, add):
    (ann,) = await add(channel, "ann")
    session = channel._local.roster.get("ann").handle

    await channel.broadcast("first", {})
    channel.send_frame(session, Frame(Event("ERROR", NAME, "r1", "second", {})))

    assert [name for _, name, _ in await ann.heard()] == ["first", "second"]


async def test_a_flush_writes_at_once(channel, add):
    (ann,) = await add(channel, "ann")
    await channel.broadcast("news", {})

    channel.flush()

    assert ann.transport.outbox_size() == 1


# What other nodes are told


async def test_the_other_nodes_are_told_of_every_change(make, peers, client):
    channel = make(network=Network(peers))
    ann = client("ann", role="admin")

    await channel.join(ann.transport, "j1", {"seat": 1})
    await channel.update_assign("ann", "seat", 2)
    await channel.track_presence("ann", {"n": 1})
    await channel.update_presence("ann", {"n": 2})
    await channel.untrack_presence("ann")
    await channel.remove_user("ann")

    left = User("ann", {"role": "admin", "seat": 2}, None)
    assert peers.announced == [
        Joined(User("ann", {"role": "admin", "seat": 1})),
        AssignsSet("ann", "seat", 2),
        PresenceSet("ann", {"n": 1}),
        PresenceSet("ann", {"n": 2}),
        PresenceGone("ann"),
        Left(left, LeaveReason.EXPLICIT_LEAVE),
    ]


async def test_the_other_nodes_are_told_for_whom_a_broadcast_is(make, peers, add):
    channel = make(network=Network(peers))
    await add(channel, "ann")
    peers.announced.clear()

    await channel.broadcast("news", {"n": 1})
    await channel.broadcast_to("news", {}, "ann", "zoe")
    await channel.broadcast_from("news", {}, "ann")

    assert all(isinstance(change, Sent) for change in peers.announced)
    assert [change.recipients for change in peers.announced] == [
        AllUsers(), ToUsers(("ann", "zoe")), AllExceptSender("ann")
    ]  # fmt: skip
    events = [change.frame.event for change in peers.announced]
    assert [(e.recipient_descriptor, e.from_user_id) for e in events] == [
        ("ALL_USERS", "CHANNEL"),
        (["ann", "zoe"], "CHANNEL"),
        ("ALL_EXCEPT_SENDER", "ann"),
    ]
    assert events[0].payload == {"n": 1}


async def test_a_change_shows_here_before_the_other_nodes_are_told(make, client):
    class Looking(NotingPeers):
        async def announce(self, change):
            self.announced.append((type(change), await channel.has_user("ann")))

    peers = Looking()
    channel = make(network=Network(peers))

    await channel.join(client("ann").transport, "j1", {})
    await channel.remove_user("ann")

    assert peers.announced == [(Joined, True), (Left, False)]


async def test_direct_messages_stay_on_this_node(make, peers, add):
    channel = make(network=Network(peers))
    (ann,) = await add(channel, "ann")
    peers.announced.clear()

    await channel.reply(ann.transport, "answer", {}, "r1")
    await channel.send_system("notice", {}, request_id="s1", user_ids=["ann"])

    assert peers.announced == []


async def test_a_user_of_another_node_can_be_changed_there(make, peers):
    network = Network(peers)
    channel = make(network=network)
    network.channel.apply_remote(Joined(User("zoe"), "node-2"))

    await channel.update_assign("zoe", "seat", 1)
    await channel.track_presence("zoe", {"n": 1})
    await channel.remove_user("zoe")
    await channel.evict_user("zoe", "spam")

    assert peers.asked == [
        ("node-2", AssignsSet("zoe", "seat", 1)),
        ("node-2", PresenceSet("zoe", {"n": 1})),
        ("node-2", Removed("zoe")),
        ("node-2", Evicted("zoe", "spam")),
    ]
    assert peers.announced == []


async def test_an_eviction_for_another_node_is_told_to_the_user(make, peers, add, log):
    network = Network(peers)
    channel = make(network=network, leave_handler=log("left"))
    ann, _ = await add(channel, "ann", "bob")

    await network.channel.obey(Evicted("ann", "spam"))

    assert await ann.heard() == [("SYSTEM", "EVICTED", {"reason": "spam"})]
    ((_, context),) = log.entries
    assert context.reason is LeaveReason.EVICTED


async def test_a_removal_for_another_node_is_told_to_nobody(make, peers, add, log):
    network = Network(peers)
    channel = make(network=network, leave_handler=log("left"))
    ann, _ = await add(channel, "ann", "bob")

    await network.channel.obey(Removed("ann"))

    assert await ann.heard() == []
    ((_, context),) = log.entries
    assert context.reason is LeaveReason.EXPLICIT_LEAVE


async def test_each_joining_waits_until_the_other_nodes_are_heard(make, peers, add):
    channel = make(network=Network(peers))

    await add(channel, "ann", "bob")

    assert peers.log == ["open", "open"]


# Outgoing handlers


async def test_outgoing_handlers_are_looked_up_by_channel_and_event(make, add, log):
    channel = make(intercept=log("intercepts"))
    await add(channel, "ann")

    await channel.broadcast("news", {})
    await channel.track_presence("ann", {})
    await channel.send_system("notice", {}, request_id="s1", user_ids=["ann"])

    assert log.entries == [
        ("intercepts", channel, "news"),
        ("intercepts", channel, "JOIN"),
    ]


# The end


async def test_it_ends_when_its_last_member_leaves(make, add, log, peers):
    channel = make(network=Network(peers), on_destroy=log("destroyed"))
    await add(channel, "ann", "bob")

    await channel.remove_user("ann")
    assert channel.is_active
    await channel.remove_user("bob")

    assert not channel.is_active
    assert log.entries == [("destroyed",)]
    assert peers.log[-1] == "close"


async def test_it_lives_while_it_is_held_and_ends_after_that(channel):
    async with channel.held():
        assert channel.is_active
        async with channel.held():
            pass
        assert channel.is_active

    assert not channel.is_active


async def test_it_lives_on_if_somebody_came_while_it_was_held(channel, add):
    async with channel.held():
        await add(channel, "ann")

    assert channel.is_active


async def test_it_does_not_end_while_a_join_is_in_progress(make, add, client, peers):
    channel = make(network=Network(peers))
    await add(channel, "ann")
    bob = client("bob")
    opened = asyncio.Event()
    peers.open = opened.wait
    joining = asyncio.get_running_loop().create_task(
        channel.join(bob.transport, "j1", {})
    )
    await asyncio.sleep(0)

    await channel.remove_user("ann")
    opened.set()
    await joining

    assert channel.is_active
    assert await channel.has_user("bob")


async def test_closing_makes_everybody_leave_once(make, add, log):
    channel = make(leave_handler=log("left"), on_destroy=log("destroyed"))
    await add(channel, "ann", "bob")

    await channel.close()
    await channel.close()

    *left, last = log.entries
    assert [(context.user.id, context.reason) for _, context in left] == [
        ("ann", LeaveReason.CONNECTION_CLOSED),
        ("bob", LeaveReason.CONNECTION_CLOSED),
    ]
    assert last == ("destroyed",)
    assert await channel.user_count() == 0


async def test_who_comes_in_while_it_closes_has_to_leave_too(make, add, client):
    async def left(context):
        if context.user.id == "ann":
            await channel.add_user(client("cid").transport)

    channel = make(leave_handler=left)
    await add(channel, "ann", "bob")

    await channel.close()

    assert not channel.is_active
    assert await channel.user_count() == 0


async def test_closing_an_empty_channel_ends_it(make, log):
    channel = make(on_destroy=log("destroyed"))

    await channel.close()

    assert not channel.is_active
    assert log.entries == [("destroyed",)]


async def test_a_callback_at_the_end_may_be_a_coroutine(make):
    ended = asyncio.Event()

    async def on_destroy():
        ended.set()

    await make(on_destroy=on_destroy).close()

    assert ended.is_set()


async def test_a_callback_at_the_end_that_raises_is_logged(
    make, log, caplog, collector, peers
):
    error = ValueError("no database")
    channel = make(on_destroy=log("destroyed", error), network=Network(peers))

    await channel.close()

    assert collector.of("error") == [["on_destroy", error]]
    assert "on_destroy of '/chat/1' failed" in caplog.text
    assert peers.log == ["close"]


# Figures


async def test_the_collector_is_told_of_its_life(make, add, collector):
    channel = make()
    await add(channel, "ann")
    await channel.broadcast("news", {})
    await channel.remove_user("ann")

    told = [call for call in collector.calls if call[0] != "message_sent"]
    assert told == [
        ("channel_created", NAME),
        ("channel_joined", "ann", NAME),
        ("message_broadcast", NAME, "news", 1),
        ("channel_left", "ann", NAME),
        ("channel_destroyed", NAME),
    ]


async def test_without_a_collector_it_works_the_same(client, caplog):
    ann = client("ann")
    channel = Channel(ChannelOptions(name=NAME, options=Options(hooks=Hooks())))

    with caplog.at_level(logging.WARNING):
        await channel.join(ann.transport, "j1", {})
        await channel.broadcast("news", {})
        await channel.remove_user("ann")

    assert [name for _, name, _ in await ann.heard()] == ["ACKNOWLEDGE", "news"]
    assert caplog.text == ""


async def test_a_channel_made_by_hand_can_be_linked_to_other_nodes():
    async with asyncio.timeout(5):
        pubsub = LocalPubSub()
        one, other = (
            Channel(ChannelOptions(name="/room", endpoint_path="/chat", pubsub=pubsub))
            for _ in range(2)
        )
        ann, bob = InMemoryTransport("ann"), InMemoryTransport("bob")
        await one.add_user(ann)
        await other.add_user(bob)

        await one.broadcast("said", {"text": "hi"})

        assert one.node_id
        assert one.node_id != other.node_id
        assert (await bob.receive_sent()).payload == {"text": "hi"}
        await one.close()
        await other.close()
        assert pubsub.stats()["subscriptions"] == 0
        await pubsub.close()
