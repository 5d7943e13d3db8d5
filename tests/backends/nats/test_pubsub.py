"""A NatsPubSub at a server that is there."""

import asyncio
import logging

import pytest
from nats.aio.client import Client

from pondsocket import (
    BadRequest,
    PondError,
    PubSub,
    PubSubClosedError,
    ReconnectAware,
    Unavailable,
)
from pondsocket.testing.checks import eventually
from pondsocket_nats import NatsPubSub, open_nats, to_subject
from tests.backends.nats.listening import Listener, Stuck, opened
from tests.backends.servers import nats_server


@pytest.fixture
async def server():
    async with nats_server() as server:
        yield server


@pytest.fixture
async def pubsub(server):
    async with opened(server.url) as pubsub:
        yield pubsub


@pytest.fixture
async def client(server):
    client = Client()
    await client.connect(server.url, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
    yield client
    await client.close()


@pytest.fixture
def listener():
    return Listener()


def test_it_is_a_pubsub_that_tells_of_reconnects():
    pubsub = NatsPubSub.from_url("nats://localhost")

    assert isinstance(pubsub, PubSub)
    assert isinstance(pubsub, ReconnectAware)


@pytest.mark.parametrize(
    "name", ["publish_timeout", "subscribe_timeout", "ping_interval", "buffer_size"]
)
def test_a_number_that_makes_no_sense_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be .* got 0"):
        NatsPubSub.from_url("nats://localhost", **{name: 0})


async def test_nothing_connects_before_it_is_used():
    pubsub = open_nats("nats://localhost:1")
    await pubsub.close()

    assert pubsub.stats()["lost"] == 0
    assert len(asyncio.all_tasks()) == 1


async def test_a_message_comes_back_to_who_sent_it(pubsub, listener):
    await pubsub.subscribe("a.b *", listener)
    await pubsub.publish("a.b *", b"\r\n\0\xff")

    await listener.has(b"\r\n\0\xff")
    assert listener.got[0][0] == "a.b *"


async def test_a_subscription_is_in_place_once_subscribe_returns(
    server, pubsub, listener
):
    async with opened(server.url) as other:
        await other.subscribe("warm", print)
        await pubsub.subscribe("t", listener)
        await other.publish("t", b"1")

        await listener.has(b"1")


async def test_any_client_of_the_server_sees_escaped_subjects(pubsub, client, listener):
    await pubsub.subscribe("a.>", listener)
    await client.publish("a.x", b"no")
    await client.publish(to_subject("a.>"), b"yes")

    await listener.has(b"yes")


@pytest.mark.parametrize("pattern", ["a.*", "pondsocket:v1:*.*"])
async def test_a_wildcard_is_refused(pubsub, pattern):
    with pytest.raises(ValueError, match="exact topics only, got the wildcard"):
        await pubsub.subscribe(pattern, print)


async def test_what_looks_like_a_wildcard_and_is_none_is_taken(pubsub, listener):
    await pubsub.subscribe(".*", listener)
    await pubsub.publish(".*", b"1")

    await listener.has(b"1")


async def test_a_message_that_the_server_does_not_take_is_refused(pubsub):
    with pytest.raises(BadRequest, match="up to 1048576 bytes, got 1048577"):
        await pubsub.publish("t", bytes(1024 * 1024 + 1))


async def test_a_batch_leaves_out_what_the_server_does_not_take(
    pubsub, listener, caplog
):
    await pubsub.subscribe("t", listener)
    left_out = await pubsub.publish_many(
        [("t", b"1"), ("t", bytes(1024 * 1024 + 1)), ("." * 4000, b""), ("t", b"2")]
    )

    await listener.has(b"1", b"2")
    assert left_out == pubsub.stats()["lost"] == 2
    reasons = ["the server takes messages up to 1048576", "a topic takes at most 3840"]
    assert [each.exc_info for each in caplog.records] == [None] * 2
    for record, reason in zip(caplog.records, reasons, strict=True):
        assert record.message.startswith(f"a message cannot be published: {reason}")


async def test_a_batch_arrives_whole_and_in_order(pubsub, listener):
    messages = [b"%d" % each for each in range(5000)]
    await pubsub.subscribe("t", listener)

    assert await pubsub.publish_many([("t", each) for each in messages]) == 0
    await listener.has(*messages)


async def test_more_than_the_connection_holds_is_waited_for_not_refused(
    server, listener
):
    async with opened(server.url, publish_timeout=2) as pubsub:
        await pubsub.subscribe("t", listener)
        for _ in range(40):
            await pubsub.publish("t", bytes(512 * 1024))

        await listener.has(*[bytes(512 * 1024)] * 40)


async def test_a_handler_that_is_too_slow_loses_messages_which_are_counted(
    server, caplog
):
    stuck = Stuck()
    async with opened(server.url, buffer_size=2) as pubsub:
        await pubsub.subscribe("t", stuck)
        await pubsub.publish_many([("t", b"")] * 10)
        await eventually(lambda: stuck.calls, "a call")
        await eventually(lambda: pubsub.stats()["received"] == 10, "all messages")
        await eventually(lambda: pubsub.stats()["waiting"] == 2, "no backlog")

        assert pubsub.stats()["pubsub_dropped"] == 7
        assert len(caplog.records) == 1


async def test_ten_thousand_topics_need_no_task_each(pubsub):
    await pubsub.subscribe("warm", print)
    before = len(asyncio.all_tasks())
    for start in range(0, 10_000, 1000):
        topics = range(start, start + 1000)
        await asyncio.gather(*[pubsub.subscribe(f"t{each}", print) for each in topics])

    assert pubsub.stats()["subscriptions"] == 10_001
    assert len(asyncio.all_tasks()) == before


async def test_two_handlers_of_a_topic_cost_the_server_one_subscription(pubsub, client):
    one, other = Listener(), Listener()
    await pubsub.subscribe("t", one)
    await pubsub.subscribe("t", other)
    await client.publish("t", b"1")

    await one.has(b"1")
    await other.has(b"1")
    assert pubsub.stats()["received"] == 1


async def test_a_topic_can_be_left_and_entered_again_at_once(pubsub, listener):
    await pubsub.subscribe("t", listener)
    await asyncio.gather(
        pubsub.unsubscribe("t"),
        pubsub.subscribe("t", listener),
    )
    await pubsub.publish("t", b"1")
    await pubsub.publish("t", b"2")

    await listener.has(b"1", b"2")


async def test_the_lag_of_the_link_is_measured(pubsub):
    await pubsub.subscribe("t", print)

    assert 0 < pubsub.stats()["lag"] < 1


async def test_close_lets_the_server_have_what_was_published(server, listener):
    async with opened(server.url) as other:
        await other.subscribe("t", listener)
        pubsub = open_nats(server.url)
        await pubsub.publish_many([("t", b"1")] * 100)
        await pubsub.close()

        await listener.has(*[b"1"] * 100)
        assert pubsub.stats()["lost"] == 0


async def test_after_close_nothing_works_and_no_task_is_left(server):
    pubsub = open_nats(server.url)
    await pubsub.subscribe("t", print)
    await pubsub.close()
    await pubsub.close()

    with pytest.raises(PubSubClosedError):
        await pubsub.publish("t", b"")
    with pytest.raises(PubSubClosedError):
        await pubsub.publish_many([])
    with pytest.raises(PubSubClosedError):
        await pubsub.subscribe("t", print)
    await eventually(lambda: len(asyncio.all_tasks()) == 1, "no task")


async def test_close_is_silent(server, caplog):
    caplog.set_level(logging.INFO)
    pubsub = open_nats(server.url)
    await pubsub.subscribe("t", print)
    await pubsub.close()

    assert not caplog.records


async def test_a_token_in_the_url_opens_the_server_and_is_never_logged(
    listener, caplog
):
    caplog.set_level(logging.DEBUG)
    async with nats_server("--auth", "s@cret") as server:
        wrong = server.url.replace("//", "//s%40cre@")
        right = server.url.replace("//", "//s%40cret@")
        async with opened(wrong) as refused, opened(right) as pubsub:
            with pytest.raises(PondError):
                await refused.publish("t", b"no")
            await pubsub.subscribe("t", listener)
            await pubsub.publish("t", b"yes")
            await listener.has(b"yes")

    assert "Authorization Violation" in caplog.text
    assert "s@cre" not in caplog.text


async def test_a_client_that_drains_takes_no_subscription(client):
    pubsub = NatsPubSub(client)
    await pubsub.subscribe("t", print)
    client._status = Client.DRAINING_SUBS
    with pytest.raises(Unavailable, match="refused a subscription"):
        await pubsub.subscribe("u", print)
    client._status = Client.CONNECTED

    assert pubsub.stats()["subscriptions"] == 1
    await pubsub.close()


# A client that the application has already


async def test_a_client_of_the_application_is_used_and_left_open(client, listener):
    theirs = Listener()

    async def callback(message):
        theirs(message.subject, message.data)

    await client.subscribe("theirs", cb=callback)
    pubsub = NatsPubSub(client)
    await pubsub.subscribe("t", listener)
    await pubsub.publish("t", b"1")
    await listener.has(b"1")
    await pubsub.close()
    await client.publish("theirs", b"2")

    await theirs.has(b"2")


async def test_closing_takes_every_subscription_off_the_client(client):
    pubsub = NatsPubSub(client)
    await pubsub.subscribe("t", print)
    await pubsub.close()

    assert not client._subs


async def test_a_client_that_is_owned_is_closed(client):
    pubsub = NatsPubSub(client, owns_client=True)
    await pubsub.subscribe("t", print)
    await pubsub.close()

    assert client.is_closed


async def test_several_objects_share_a_client(client, listener):
    one, other = NatsPubSub(client), NatsPubSub(client)
    await one.subscribe("t", listener)
    await other.publish("t", b"1")
    await listener.has(b"1")
    await one.close()
    second = Listener()
    await other.subscribe("t", second)
    await other.publish("t", b"2")

    await second.has(b"2")
    await other.close()


async def test_a_client_that_hears_nothing_of_its_own_is_refused(server):
    client = Client()
    await client.connect(server.url, no_echo=True)

    with pytest.raises(ValueError, match="no_echo"):
        NatsPubSub(client)
    await client.close()
