"""What the contexts inside a channel have in common."""

import pytest

from pondsocket.channel import Channel
from pondsocket.channel_options import ChannelOptions
from pondsocket.contexts._base import ChannelContext
from pondsocket.types import Route


@pytest.fixture
async def channel(client):
    channel = Channel(ChannelOptions(name="/chat/1"))
    await channel.add_user(client("ann", role="admin").transport)
    await channel.add_user(client("bob").transport)
    await channel.track_presence("ann", {"at": [1]})
    return channel


def test_it_has_the_channel_and_the_route_it_was_made_with(channel):
    route = Route({"room": "1"})

    context = ChannelContext(channel, route)

    assert context.channel is channel
    assert context.route is route


def test_the_route_can_be_set_later(channel):
    context = ChannelContext(channel, None)

    context.route = Route({"room": "1"})

    assert context.route.param("room") == "1"


def test_a_context_made_without_a_route_has_an_empty_one(channel):
    assert ChannelContext(channel, None).route == Route()


async def test_everyones_presence_can_be_read_and_not_changed(channel):
    context = ChannelContext(channel, None)

    presences = await context.get_all_presence()
    presences["ann"]["at"].append(2)

    assert await context.get_all_presence() == {"ann": {"at": [1]}}


async def test_everyones_assigns_can_be_read_and_not_changed(channel):
    context = ChannelContext(channel, None)

    assigns = await context.get_all_assigns()
    assigns["ann"]["role"] = "guest"

    assert await context.get_all_assigns() == {"ann": {"role": "admin"}, "bob": {}}
