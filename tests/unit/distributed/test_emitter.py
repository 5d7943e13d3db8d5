"""Speaking to channels from outside: to real nodes, over a PubSub in this process."""

import asyncio
import contextlib
import json

import pytest

from pondsocket import LocalPubSub, Options, PondSocket
from pondsocket.distributed import Emitter
from pondsocket.distributed.messages import StateResponse, StateUser, encode
from pondsocket.errors import (
    BadRequest,
    DeadlineExceeded,
    EncodingError,
    PubSubClosedError,
)
from pondsocket.pubsub import format_topic

CHANNEL = ("/socket", "/chat/1")
TOPIC = format_topic(*CHANNEL)
WAIT = 0.05  # seconds; on one loop answers come at once
BUSY = 0.5  # a node that has just answered takes half of it to answer again


class Silent:
    """A PubSub that takes nothing: each call lasts for ever."""

    def __init__(self):
        self.unsubscribed = []

    async def subscribe(self, pattern, handler):
        await asyncio.Event().wait()

    async def unsubscribe(self, pattern, handler=None):
        self.unsubscribed.append(pattern)

    async def publish(self, topic, data):
        await asyncio.Event().wait()

    async def close(self): ...


class ForPublishedNodes(LocalPubSub):
    """As its authors wrote it: handlers are coroutines, unsubscribing takes none."""

    async def subscribe(self, pattern, handler):
        async def call(topic, data):
            await handler(topic, data)

        await super().subscribe(pattern, call)

    async def unsubscribe(self, pattern):
        await super().unsubscribe(pattern)


async def join(context):
    await context.accept({"role": "guest"})
    if context.transport.get_id() != "quiet":
        await context.track({"name": context.transport.get_id()})


@contextlib.asynccontextmanager
async def node(pubsub, **options):
    """Run a node whose users are shown to each other."""
    async with PondSocket(pubsub=pubsub, options=Options(**options)) as pond:
        endpoint = pond.create_endpoint("/socket", lambda ctx: ctx.accept())
        endpoint.create_channel("/chat/:room", join)
        yield endpoint


@pytest.fixture
async def bus():
    bus = LocalPubSub()
    yield bus
    await bus.close()


@pytest.fixture
async def emitter(bus):
    async with Emitter(bus) as emitter:
        yield emitter


@pytest.fixture
async def members(bus, connect):
    """Return ann on one node and bob on another, who know of each other."""
    async with node(bus) as first, node(bus) as second:
        ann, bob = await connect(first, "ann"), await connect(second, "bob")
        for each in (ann, bob):
            await each.join()
        for each in (ann, bob):
            await each.events()
        yield ann, bob


def broadcasts(heard):
    return [
        (event, payload) for action, event, payload in heard if action != "PRESENCE"
    ]


async def published(bus, topic=TOPIC):
    """Return a list that fills with what is published to a topic."""
    messages = []
    await bus.subscribe(topic, lambda _, data: messages.append(json.loads(data)))
    return messages


def state(node, *user_ids, presence=None, **members):
    """Return what a node says of its users."""
    users = [StateUser(each, {"on": node}, presence) for each in user_ids]
    message = StateResponse(
        **{
            "message_id": "m",
            "source_node_id": node,
            "endpoint_name": "socket",
            "channel_name": "/chat/1",
            "timestamp": 1,
            "users": users,
        }
        | members
    )
    return encode(message)


def answering(bus, *answers):
    """Answer the next request for states so."""

    async def answer(topic, data):
        if json.loads(data)["type"] == "STATE_REQUEST":
            for each in answers:
                await bus.publish(TOPIC, each)

    return bus.subscribe(TOPIC, answer)


# Broadcasts.


async def test_a_broadcast_reaches_the_members_on_every_node(emitter, members):
    await emitter.broadcast(*CHANNEL, "news", {"n": 1})

    for member in members:
        assert broadcasts(await member.heard()) == [("news", {"n": 1})]


async def test_a_broadcast_to_some_reaches_nobody_else(emitter, members):
    ann, bob = members
    await emitter.broadcast_to(*CHANNEL, "news", {"n": 1}, "bob", "nobody")

    assert broadcasts(await bob.heard()) == [("news", {"n": 1})]
    assert broadcasts(await ann.heard()) == []


async def test_a_broadcast_from_a_user_reaches_all_the_others(emitter, members):
    ann, bob = members
    await emitter.broadcast_from(*CHANNEL, "news", {"n": 1}, "bob")

    assert broadcasts(await ann.heard()) == [("news", {"n": 1})]
    assert broadcasts(await bob.heard()) == []


async def test_a_message_stands_outside_the_counting(bus, emitter):
    messages = await published(bus)

    await emitter.broadcast(*CHANNEL, "news", {"n": 1})

    (message,) = messages
    assert message["type"] == "USER_MESSAGE"
    assert message["payload"] == {"n": 1}
    assert not message.keys() & {"sourceEpoch", "sourceSeq"}


async def test_namespace_and_prefix_lead_to_the_nodes_that_have_them(bus, connect):
    async with (
        node(bus, namespace="blue", key_prefix="mine") as endpoint,
        Emitter(bus, namespace="blue", key_prefix="mine") as emitter,
    ):
        ann = await connect(endpoint, "ann")
        await ann.join()
        await ann.events()

        await emitter.broadcast(*CHANNEL, "news", {})

        assert broadcasts(await ann.heard()) == [("news", {})]


@pytest.mark.parametrize("name", ["", "ACKNOWLEDGE"])
async def test_a_name_that_clients_misunderstand_is_refused(emitter, name):
    with pytest.raises(BadRequest, match="event"):
        await emitter.broadcast(*CHANNEL, name, {})


@pytest.mark.parametrize("name", ["", "/chat/.*"])
async def test_a_channel_name_that_no_node_takes_is_refused(emitter, name):
    with pytest.raises(BadRequest, match="channelName"):
        await emitter.evict("/socket", name, "ann")


async def test_a_payload_without_json_form_is_refused(emitter):
    with pytest.raises(EncodingError):
        await emitter.broadcast(*CHANNEL, "news", {"n": object()})


async def test_a_message_that_no_node_would_read_is_refused(emitter):
    with pytest.raises(BadRequest, match="up to 4194304 bytes"):
        await emitter.broadcast(*CHANNEL, "news", {"text": "x" * 4_194_304})


async def test_what_the_pubsub_raises_is_raised(bus, emitter):
    await bus.close()

    with pytest.raises(PubSubClosedError):
        await emitter.broadcast(*CHANNEL, "news", {})


async def test_a_pubsub_that_takes_nothing_is_waited_for_no_longer_than_timeout():
    async with Emitter(Silent(), timeout=0.01) as emitter:
        with pytest.raises(DeadlineExceeded, match=r"longer than 0\.01 s"):
            await emitter.broadcast(*CHANNEL, "news", {})


# Evictions.


async def test_the_node_that_has_a_user_evicts_it(emitter, members):
    ann, bob = members
    await emitter.evict(*CHANNEL, "bob", "enough")

    assert ("EVICTED", {"reason": "enough"}) in broadcasts(await bob.heard())
    assert [p["presence"] for _, e, p in await ann.heard() if e == "LEAVE"] == [
        [{"name": "ann"}]
    ]


async def test_nobody_can_be_evicted_by_an_empty_id(emitter):
    with pytest.raises(BadRequest, match="user_id"):
        await emitter.evict(*CHANNEL, "")


# Who is there.


async def test_presences_are_those_of_all_nodes(emitter, members):
    found = await emitter.presence(*CHANNEL, wait=BUSY)

    assert found == {"ann": {"name": "ann"}, "bob": {"name": "bob"}}


async def test_users_are_those_without_presence_too(bus, emitter, connect):
    async with node(bus) as endpoint:
        quiet = await connect(endpoint, "quiet")
        await quiet.join()

        found = (await emitter.users(*CHANNEL, wait=WAIT))["quiet"]

        assert (found.assigns, found.presence) == ({"role": "guest"}, None)


async def test_a_channel_without_members_is_empty(emitter):
    assert await emitter.users(*CHANNEL, wait=WAIT) == {}


async def test_a_state_in_parts_is_put_together(bus, emitter):
    life = {"source_epoch": "1-a", "source_seq": 7, "parts": 2}
    parts = [state("n", "bob", part=2, **life), state("n", "ann", part=1, **life)]
    await answering(bus, *parts)

    assert set(await emitter.users(*CHANNEL, wait=WAIT)) == {"ann", "bob"}


async def test_a_part_that_is_missing_is_logged(bus, emitter, caplog):
    part = state("n", "ann", part=1, parts=2, source_epoch="1-a", source_seq=7)
    await answering(bus, part)

    assert set(await emitter.users(*CHANNEL, wait=WAIT)) == {"ann"}
    assert "a part of the users of node 'n' did not come" in caplog.text


async def test_a_later_state_of_a_node_replaces_the_one_before(bus, emitter):
    await answering(
        bus,
        state("n", "ann", source_epoch="1-a", source_seq=7),
        state("n", "bob", source_epoch="1-a", source_seq=8),
    )

    assert set(await emitter.users(*CHANNEL, wait=WAIT)) == {"bob"}


async def test_of_a_user_on_two_nodes_the_one_that_members_see_is_returned(
    bus, emitter
):
    await answering(
        bus,
        state("c", "ann", presence={"on": "c"}),
        state("a", "ann"),
        state("b", "ann", presence={"on": "b"}),
        state("d", "bob"),
    )

    assert await emitter.presence(*CHANNEL, wait=WAIT) == {"ann": {"on": "b"}}


async def test_what_is_no_state_of_the_channel_is_passed_over(bus, emitter):
    await answering(
        bus,
        b"no message",
        state("n", "ann", endpoint_name="other"),
        state("n", "ann", channel_name="/chat/2"),
    )

    assert await emitter.users(*CHANNEL, wait=WAIT) == {}


async def test_nothing_stays_subscribed_after_asking(bus, emitter):
    await emitter.users(*CHANNEL, wait=WAIT)

    assert bus.stats()["subscriptions"] == 0


async def test_a_subscription_that_was_not_confirmed_is_ended():
    pubsub = Silent()
    async with Emitter(pubsub, timeout=0.01) as emitter:
        with pytest.raises(DeadlineExceeded):
            await emitter.users(*CHANNEL, wait=WAIT)

    assert pubsub.unsubscribed == [TOPIC]


async def test_a_subscription_that_cannot_be_ended_is_logged(bus, emitter, caplog):
    async def refuse(pattern, handler=None):
        raise OSError("no way")

    bus.unsubscribe = refuse

    assert await emitter.users(*CHANNEL, wait=WAIT) == {}
    assert "unsubscribing '/chat/1' failed: no way" in caplog.text


# Beginning and end.


async def test_a_pubsub_that_was_handed_in_stays_open(bus):
    async with Emitter(bus):
        pass

    await bus.publish("t", b"1")


async def test_a_pubsub_that_was_opened_by_url_is_closed():
    emitter = Emitter("memory://emitters")
    await emitter.close()

    with pytest.raises(PubSubClosedError):
        await emitter._pubsub.publish("t", b"1")


async def test_a_closed_emitter_refuses_to_work(emitter):
    await emitter.close()

    with pytest.raises(PubSubClosedError):
        await emitter.broadcast(*CHANNEL, "news", {})


async def test_a_timeout_that_allows_nothing_is_refused(bus):
    with pytest.raises(ValueError, match="timeout must be above 0 seconds, got 0"):
        Emitter(bus, timeout=0)


# PubSubs of others.


async def test_a_backend_made_for_published_nodes_will_do(connect, caplog):
    pubsubs = [ForPublishedNodes(name="published") for _ in range(3)]
    async with node(pubsubs[0]) as first, node(pubsubs[1]) as second:
        ann, bob = await connect(first, "ann"), await connect(second, "bob")
        for each in (ann, bob):
            await each.join()
        async with Emitter(pubsubs[2]) as emitter:
            users = await emitter.users(*CHANNEL, wait=BUSY)
            await emitter.broadcast(*CHANNEL, "said", {})
        heard = [broadcasts(await each.heard())[-1] for each in (ann, bob)]

    assert users.keys() == {"ann", "bob"}
    assert heard == [("said", {})] * 2
    assert caplog.records == []
    for pubsub in pubsubs:
        await pubsub.close()
