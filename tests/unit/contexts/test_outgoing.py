"""One delivery to one recipient, as an outgoing handler sees it."""

import pytest

from pondsocket.channel import Channel
from pondsocket.channel_options import ChannelOptions
from pondsocket.contexts.outgoing import OutgoingContext
from pondsocket.errors import NotFound
from pondsocket.types import Event, Route, User


@pytest.fixture
def ann(client):
    return client("ann", role="admin")


@pytest.fixture
async def channel(ann):
    channel = Channel(ChannelOptions(name="/chat/1"))
    await channel.add_user(ann.transport)
    return channel


@pytest.fixture
def event():
    return Event("BROADCAST", "/chat/1", "r1", "news", {"n": 1})


@pytest.fixture
def user():
    return User("ann", {"role": "admin"})


@pytest.fixture
def context(channel, ann, event, user):
    return OutgoingContext(
        channel=channel,
        event=event,
        user=user,
        transport=ann.transport,
        route=Route({"kind": "local"}),
    )


def test_it_shows_what_goes_to_whom(context, channel, ann, event, user):
    assert context.channel is channel
    assert context.event is event
    assert context.user is context.get_user() is user
    assert context.transport is ann.transport
    assert context.route.param("kind") == "local"
    assert context.get_event() == "news"
    assert context.get_payload() == {"n": 1}


def test_a_delivery_can_be_blocked_and_let_go_again(context):
    assert not context.is_blocked()

    assert context.block() is context
    assert context.is_blocked()

    assert context.unblock() is context
    assert not context.is_blocked()


def test_a_payload_can_be_replaced(context):
    assert not context.has_transformed()

    assert context.transform({"n": 2}) is context

    assert context.has_transformed()
    assert context.get_payload() == {"n": 2}


def test_a_blocked_delivery_can_be_transformed_too(context):
    context.block().transform({"n": 2}).unblock()

    assert not context.is_blocked()
    assert context.has_transformed()


async def test_the_recipient_can_be_looked_up_again(context, channel):
    await channel.update_assign("ann", "role", "guest")
    assert context.get_user().assigns == {"role": "admin"}

    assert await context.refresh_user() is context

    assert context.get_user().assigns == {"role": "guest"}


async def test_a_recipient_that_left_is_not_found(context, channel):
    await channel.remove_user("ann")

    with pytest.raises(NotFound):
        await context.refresh_user()


async def test_everyones_presence_and_assigns_can_be_read(context, channel):
    await channel.track_presence("ann", {"n": 1})

    assert await context.get_all_presence() == {"ann": {"n": 1}}
    assert await context.get_all_assigns() == {"ann": {"role": "admin"}}
