"""RedisPubSub against real servers: Valkey 9 and Redis 6.2, RESP2 and RESP3."""

import asyncio
import logging
import time
from traceback import format_exception

import pytest
from redis import Redis as BlockingRedis
from redis._parsers import _AsyncHiredisParser, _AsyncRESP3Parser
from redis.asyncio import Redis

from pondsocket import (
    DeadlineExceeded,
    PubSub,
    PubSubClosedError,
    ReconnectAware,
    Unavailable,
)
from pondsocket_redis import RedisPubSub, open_redis
from tests.backends.redis.ears import (
    Cable,
    Ear,
    returns_of,
    until,
    within_patience,
)
from tests.backends.servers import free_port, valkey_server


@pytest.fixture(params=["valkey", "redis6"])
async def server(request):
    async with valkey_server(kind=request.param) as server:
        yield server


@pytest.fixture
async def pubsub(server):
    pubsub = RedisPubSub.from_url(server.url, ping_interval=0.2)
    yield pubsub
    await pubsub.close()


@pytest.fixture
async def client(server):
    async with Redis.from_url(server.url) as client:
        yield client


@pytest.fixture
async def cable(server):
    async with Cable(server.port).plugged_in() as cable:
        yield cable


@pytest.fixture
async def remote(cable):
    """An object at the far end of a cable, alive and listening."""
    pubsub = RedisPubSub.from_url(
        f"redis://127.0.0.1:{cable.port}", ping_interval=0.2, publish_timeout=0.3
    )
    yield pubsub
    await pubsub.close()


def test_it_is_a_pubsub_that_tells_of_reconnects():
    pubsub = open_redis("redis://nowhere")

    assert isinstance(pubsub, PubSub)
    assert isinstance(pubsub, ReconnectAware)


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("parser", [_AsyncHiredisParser, _AsyncRESP3Parser])
async def test_messages_go_round_whatever_the_client_makes_of_texts(
    server, protocol, parser
):
    # The second parser is the one where hiredis is not installed; the client itself
    # takes its brother for the protocol 2.
    client = Redis.from_url(
        server.url, protocol=protocol, decode_responses=True, parser_class=parser
    )
    pubsub, ear = RedisPubSub(client, owns_client=True), Ear()
    await pubsub.subscribe("a", ear)
    await pubsub.subscribe("w[1]*?.*", ear)

    await pubsub.publish("a", bytes(range(256)))
    await pubsub.publish("w[1]*?x", b"")
    await pubsub.publish("w1zzx", b"another topic")
    await pubsub.publish("a", b"last")

    assert await ear.hears(3) == [
        ("a", bytes(range(256))),
        ("w[1]*?x", b""),
        ("a", b"last"),
    ]
    await pubsub.close()


async def test_an_exact_topic_is_no_pattern_on_the_server(pubsub, client):
    await pubsub.subscribe("a*b", Ear())

    assert await client.pubsub_numpat() == 0


async def test_a_batch_arrives_in_order(pubsub):
    ear = Ear()
    await pubsub.subscribe("a", ear)
    messages = [("a", b"%d" % number) for number in range(1000)]

    assert await pubsub.publish_many(messages) == 0

    assert await ear.hears(1000) == messages


async def test_publishes_of_one_turn_arrive_in_order(pubsub):
    ear = Ear()
    await pubsub.subscribe("a", ear)

    await asyncio.gather(*(pubsub.publish("a", b"%d" % n) for n in range(100)))

    assert await ear.hears(100) == [("a", b"%d" % n) for n in range(100)]


async def test_a_killed_subscriber_is_back_with_its_subscriptions(pubsub, client):
    ear, back = Ear(), returns_of(pubsub)
    await pubsub.subscribe("a", ear)

    await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    await within_patience(back)

    await pubsub.publish("a", b"after")
    assert await ear.hears(1) == [("a", b"after")]
    assert pubsub.stats()["reconnects"] == 1


async def test_a_subscriber_dropped_for_its_backlog_is_a_reconnect(
    server, pubsub, client
):
    await client.config_set("client-output-buffer-limit", "pubsub 100kb 50kb 1")
    ear, back = Ear(), returns_of(pubsub)
    await pubsub.subscribe("a", ear)

    # This client blocks the loop, so that nobody reads meanwhile. What the kernel takes
    # in between differs between machines: tens of megabytes on some.
    with BlockingRedis.from_url(server.url) as blocking:
        receivers = (blocking.publish("a", bytes(1_000_000)) for _ in range(500))
        assert 0 in receivers

    await within_patience(back)
    assert pubsub.stats()["reconnects"] == 1


async def test_a_killed_server_fails_fast_and_is_found_again(server, pubsub, caplog):
    caplog.set_level(logging.INFO, "pondsocket_redis")
    ear, back = Ear(), returns_of(pubsub)
    await pubsub.subscribe("a", ear)
    await server.kill()
    await until(lambda: not pubsub.stats()["connected"])

    async with asyncio.timeout(0.25):
        with pytest.raises(Unavailable):
            await pubsub.publish("a", b"lost")
        with pytest.raises(Unavailable):
            await pubsub.subscribe("b", ear)
        assert await pubsub.publish_many([("a", b"lost")] * 3) == 3
    await server.start()
    async with asyncio.timeout(2):
        await back.wait()

    await pubsub.publish("b", b"after")
    assert await ear.hears(1) == [("b", b"after")]
    assert pubsub.stats()["lost"] == 4
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_a_stopped_server_is_noticed_and_nothing_comes_twice(server, pubsub):
    ear, back = Ear(), returns_of(pubsub)
    await pubsub.subscribe("a", ear)
    await pubsub.publish("a", b"before")
    server.pause()

    with pytest.raises(DeadlineExceeded):
        await pubsub.publish("a", b"unsure")
    async with asyncio.timeout(5):
        await until(lambda: not pubsub.stats()["connected"])
    server.resume()
    async with asyncio.timeout(2):
        await back.wait()
    await pubsub.publish("a", b"after")

    async with asyncio.timeout(5):
        await until(lambda: ("a", b"after") in ear.heard)
    assert len(ear.heard) == len(set(ear.heard))


async def test_a_link_that_swallows_everything_is_noticed(cable, remote):
    back = returns_of(remote)
    await remote.subscribe("a", Ear())
    cable.is_dead = True

    async with asyncio.timeout(5):
        await until(lambda: not remote.stats()["connected"])
    cable.is_dead = False
    cable.cut()

    async with asyncio.timeout(2):
        await back.wait()


async def test_a_message_whose_answer_was_cut_is_not_sent_again(pubsub, cable, remote):
    ear, back = Ear(), returns_of(remote)
    await pubsub.subscribe("a", ear)
    await remote.publish("a", b"before")
    cable.is_swallowing = True

    publishing = asyncio.ensure_future(remote.publish("a", b"once"))
    await ear.hears(2)
    await within_patience(cable.swallowed)
    cable.cut()
    cable.is_swallowing = False
    with pytest.raises(Unavailable):
        await publishing
    await within_patience(back)
    await remote.publish("a", b"after")

    heard = [data for _, data in await ear.hears(3)]
    assert heard == [b"before", b"once", b"after"]
    assert remote.stats()["lost"] == 1


async def test_a_server_that_is_down_at_the_start_is_found_later():
    port = free_port()
    pubsub, ear = RedisPubSub.from_url(f"redis://127.0.0.1:{port}"), Ear()
    back = returns_of(pubsub)

    with pytest.raises(Unavailable):
        await pubsub.subscribe("a", ear)
    async with valkey_server(port=port):
        await within_patience(back)
        await pubsub.publish("a", b"1")

        assert await ear.hears(1) == [("a", b"1")]
        await pubsub.close()


async def test_a_loop_that_stood_still_does_not_fail_what_was_published(pubsub):
    await pubsub.publish("a", b"before")
    unsent = asyncio.ensure_future(pubsub.publish("a", b"1"))
    await asyncio.sleep(0)

    time.sleep(0.3)  # noqa: ASYNC251 - a handler that blocks the loop

    await unsent


async def test_a_confirmation_that_waits_is_read_before_the_deadline_counts(pubsub):
    await pubsub.publish("a", b"before")
    sent = asyncio.ensure_future(pubsub.publish("a", b"1"))
    for _ in range(3):  # until it is written
        await asyncio.sleep(0)

    time.sleep(0.3)  # noqa: ASYNC251 - a handler that blocks the loop

    await sent


async def test_a_topic_that_is_no_text_is_counted_and_harms_nobody(
    pubsub, client, caplog
):
    ear = Ear()
    await pubsub.subscribe("a.*", ear)

    await client.publish(b"a\xff", b"1")
    await client.publish(b"ab", b"2")

    assert await ear.hears(1) == [("ab", b"2")]
    assert pubsub.stats()["malformed"] == 1
    assert "whose topic is no UTF-8" in caplog.text


async def test_unsubscribing_a_topic_written_like_a_glob_leaves_the_wildcard(pubsub):
    ear = Ear()
    await pubsub.subscribe("a.*", ear)
    await pubsub.subscribe("a*", Ear())

    await pubsub.unsubscribe("a*")

    await pubsub.publish("ab", b"1")
    assert await ear.hears(1) == [("ab", b"1")]


async def allow_only(client, channels):
    await client.execute_command("ACL", "SETUSER", "default", "resetchannels", channels)


async def test_a_refused_topic_harms_no_other(pubsub, client, caplog):
    await allow_only(client, "&ok*")
    ear = Ear()

    # The canary is refused too: it must not take the others along.
    allowed, refused = await asyncio.gather(
        pubsub.subscribe("ok", ear),
        pubsub.subscribe("secret", ear),
        return_exceptions=True,
    )

    await pubsub.publish("ok", b"1")
    assert await ear.hears(1) == [("ok", b"1")]
    assert allowed is None
    assert isinstance(refused, Unavailable)
    assert "refuses to subscribe us to b'secret'" in caplog.text


async def test_a_refused_publish_is_lost(pubsub, client):
    await allow_only(client, "&pondsocket:*")

    with pytest.raises(Unavailable, match="not published"):
        await pubsub.publish("secret", b"1")

    assert pubsub.stats()["lost"] == 1


async def test_a_password_is_never_logged(caplog):
    caplog.set_level(logging.DEBUG)
    async with valkey_server("--requirepass", "right") as server:
        url = f"redis://:wrong-password@127.0.0.1:{server.port}"
        pubsub = RedisPubSub.from_url(url)

        with pytest.raises(Unavailable):
            await pubsub.subscribe("a", Ear())

        assert "lost the" in caplog.text
        assert "wrong-password" not in caplog.text
        await pubsub.close()


@pytest.mark.parametrize(
    "url",
    [
        "redis://:cret/1@host",
        "redis://:cret?@host",
        "redis://ann:cret#@host",
        "redis://ann:cret\u2100@host",
        "redis://:cret/1@host?cluster=plain",
        "redis://ann:cret@host?socket_timeout=cret",
        "redis://ann:cret@host?cluster=cret",
        "redis://ann:cret@host?no_such_option=cret",
    ],
)
def test_a_url_that_makes_no_sense_is_refused_without_its_password(url):
    with pytest.raises(ValueError, match=r"redis://host|cluster must be") as caught:
        RedisPubSub.from_url(url)

    # The lines of source are this test's, and hold no URL.
    assert "cret" not in "".join(format_exception(caught.value))


async def test_ten_thousand_topics_are_subscribed_together(pubsub, client):
    ear = Ear()

    await asyncio.gather(*(pubsub.subscribe(f"t{n}", ear) for n in range(10_000)))

    assert len(await client.pubsub_channels("t*")) == 10_000


async def test_closing_ends_all_tasks_and_can_be_repeated(server):
    before = asyncio.all_tasks()
    pubsub = RedisPubSub.from_url(server.url)
    await pubsub.subscribe("a", Ear())

    await pubsub.close()
    await pubsub.close()

    assert asyncio.all_tasks() == before
    with pytest.raises(PubSubClosedError):
        await pubsub.publish("a", b"")
    with pytest.raises(PubSubClosedError):
        await pubsub.publish_many([("a", b"")])
    with pytest.raises(PubSubClosedError):
        await pubsub.subscribe("a", Ear())


async def test_closing_lets_what_is_being_published_leave(server, pubsub):
    ear, other = Ear(), RedisPubSub.from_url(server.url)
    await pubsub.subscribe("a", ear)
    await other.publish("a", b"first")
    publishing = asyncio.ensure_future(other.publish("a", b"last"))
    await asyncio.sleep(0)

    await other.close()

    await publishing
    assert await ear.hears(2) == [("a", b"first"), ("a", b"last")]


async def test_a_client_of_the_application_stays_open(server, client):
    pubsub = RedisPubSub(client)
    await pubsub.publish("a", b"1")

    await pubsub.close()

    assert await client.ping()


@pytest.mark.parametrize("name", ["publish_timeout", "ping_interval", "ping_timeout"])
def test_a_time_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be above 0 seconds, got 0"):
        RedisPubSub(Redis(), **{name: 0})


def test_a_url_with_an_unknown_kind_of_cluster_is_refused():
    with pytest.raises(ValueError, match="cluster must be 'plain' or 'sharded'"):
        open_redis("redis://:secret@nowhere?cluster=yes")
