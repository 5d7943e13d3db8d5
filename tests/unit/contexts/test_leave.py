"""What a leave handler is given: who left, why, and one message to send."""

import pytest

from pondsocket.channel import Channel
from pondsocket.channel_options import ChannelOptions
from pondsocket.contexts.leave import LeaveContext
from pondsocket.errors import BadRequest
from pondsocket.types import LeaveReason, Route, User


@pytest.fixture
def bob(client):
    return client("bob")


@pytest.fixture
def cid(client):
    return client("cid")


@pytest.fixture
async def channel(bob, cid):
    """A channel that ann just left."""
    channel = Channel(ChannelOptions(name="/chat/1"))
    await channel.add_user(bob.transport)
    await channel.add_user(cid.transport)
    return channel


@pytest.fixture
def user():
    return User("ann", {"role": "admin"}, {"n": 1})


@pytest.fixture
def context(channel, user):
    return LeaveContext(
        channel=channel,
        user=user,
        reason=LeaveReason.EVICTED,
        route=Route({"room": "1"}),
    )


def test_it_shows_who_left_and_why(context, channel, user):
    assert context.channel is channel
    assert context.user is context.get_user() is user
    assert context.reason is context.get_reason() is LeaveReason.EVICTED
    assert context.route.param("room") == "1"


def test_the_reasons_are_plain_words():
    assert LeaveReason.EXPLICIT_LEAVE == "explicit_leave"
    assert LeaveReason.CONNECTION_CLOSED == "connection_closed"
    assert LeaveReason.EVICTED == "evicted"


def test_the_last_assigns_can_be_read(context):
    assert context.get_assign("role") == "admin"
    assert context.get_assign("nothing") is None


async def test_those_who_remain_can_be_counted_and_read(context, channel):
    await channel.track_presence("bob", {"n": 2})

    assert await context.remaining_user_count() == 2
    assert await context.get_all_presence() == {"bob": {"n": 2}}
    assert await context.get_all_assigns() == {"bob": {}, "cid": {}}


async def test_a_broadcast_reaches_those_who_remain(context, bob, cid):
    assert await context.broadcast("gone", {"n": 1}) is context

    assert await bob.heard() == [("BROADCAST", "gone", {"n": 1})]
    assert await cid.heard() == [("BROADCAST", "gone", {"n": 1})]


async def test_a_broadcast_can_name_its_receivers(context, bob, cid):
    assert await context.broadcast_to("gone", {}, "bob") is context

    assert await bob.heard() == [("BROADCAST", "gone", {})]
    assert await cid.heard() == []


async def test_a_broadcast_can_leave_out_the_user_if_it_came_back(
    context, channel, bob, client
):
    ann = client("ann")
    await channel.add_user(ann.transport)

    assert await context.broadcast_from("gone", {}) is context

    assert await ann.heard() == []
    assert await bob.heard() == [("BROADCAST", "gone", {})]


VERBS = [
    ("broadcast", ("gone", {})),
    ("broadcast_to", ("gone", {}, "bob")),
    ("broadcast_from", ("gone", {})),
]


@pytest.mark.parametrize(("first", "first_args"), VERBS)
@pytest.mark.parametrize(("second", "second_args"), VERBS)
async def test_a_second_broadcast_is_refused(
    context, bob, first, first_args, second, second_args
):
    await getattr(context, first)(*first_args)

    with pytest.raises(BadRequest, match="may send once") as caught:
        await getattr(context, second)(*second_args)

    assert caught.value.code == 400
    assert len(await bob.heard()) == 1
