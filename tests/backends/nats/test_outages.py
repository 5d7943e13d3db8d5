"""A NatsPubSub whose server goes away and comes back."""

import asyncio
import logging
import time

import pytest
from nats.aio.client import Client

from pondsocket import DeadlineExceeded, PondError, Unavailable
from pondsocket.testing.checks import eventually
from pondsocket_nats import NatsPubSub, open_nats
from tests.backends.nats.listening import Listener, is_away, is_connected, opened
from tests.backends.servers import nats_server

NOTICE = 5.0  # seconds in which a stopped server must be noticed
RETURN = 2.0  # seconds in which service is back after the server is


@pytest.fixture
async def server():
    async with nats_server() as server:
        yield server


@pytest.fixture
async def pubsub(server):
    async with opened(server.url) as pubsub:
        await pubsub.subscribe("warm", print)
        yield pubsub


@pytest.fixture
def listener():
    return Listener()


async def within(seconds, condition, what):
    async with asyncio.timeout(seconds):
        await eventually(condition, what)


async def fill(pubsub):
    """Publish to a stopped server until the buffers of both sides are full."""
    while True:
        await pubsub.publish("t", bytes(1_000_000))


async def test_publishing_to_a_killed_server_fails_at_once_and_counts(server, pubsub):
    await server.kill()
    await is_away(pubsub)
    began = time.perf_counter()

    with pytest.raises(Unavailable, match="cannot be reached"):
        await pubsub.publish("t", b"")
    assert await pubsub.publish_many([("t", b"")] * 10) == 10
    assert time.perf_counter() - began < 0.1
    assert pubsub.stats()["lost"] == 11


async def test_subscriptions_come_back_and_what_failed_does_not(
    server, pubsub, listener
):
    await pubsub.subscribe("t", listener)
    await server.kill()
    await is_away(pubsub)
    with pytest.raises(Unavailable):
        await pubsub.publish("t", b"lost")
    await server.start()
    await within(RETURN, lambda: pubsub.stats()["connected"], "a connection")
    await pubsub.publish("t", b"found")

    await listener.has(b"found")


async def test_who_asked_is_told_once_per_outage_after_subscriptions_are_back(
    server, pubsub, listener
):
    publishing = []
    pubsub.on_reconnect(
        lambda: publishing.append(asyncio.ensure_future(pubsub.publish("t", b"back")))
    )
    await pubsub.subscribe("t", listener)
    for outages in (1, 2):
        await server.kill()
        await is_away(pubsub)
        await server.start()
        await listener.has(*[b"back"] * outages)
    await asyncio.gather(*publishing)

    assert pubsub.stats()["reconnects"] == 2


async def test_a_callback_that_fails_harms_no_other(server, pubsub, caplog):
    told = asyncio.Event()
    pubsub.on_reconnect(lambda: 1 / 0)
    pubsub.on_reconnect(told.set)
    await server.kill()
    await is_away(pubsub)
    await server.start()
    async with asyncio.timeout(RETURN):
        await told.wait()

    assert "on_reconnect callback" in caplog.text


async def test_an_outage_is_logged_in_two_lines(server, pubsub, caplog):
    caplog.set_level(logging.INFO)
    await server.kill()
    await is_away(pubsub)
    await server.start()
    await is_connected(pubsub)

    assert [each.levelname for each in caplog.records] == ["WARNING", "INFO"]


async def test_a_server_that_is_down_at_the_start_is_waited_for(server, listener):
    await server.kill()
    async with opened(server.url) as pubsub:
        told = []
        pubsub.on_reconnect(lambda: told.append(1))
        with pytest.raises(Unavailable):
            await pubsub.publish("t", b"lost")
        with pytest.raises(Unavailable, match="once the server is back"):
            await pubsub.subscribe("t", listener)
        await server.start()
        await is_connected(pubsub)
        await pubsub.publish("t", b"found")

        await listener.has(b"found")
        assert told == [1]


async def test_a_loss_while_closing_is_logged(server, pubsub, caplog):
    server.pause()
    await pubsub.publish("t", b"1")
    closing = asyncio.create_task(pubsub.close())
    await asyncio.sleep(0)
    await server.kill()

    await closing

    assert "closed while messages were on their way" in caplog.text
    assert pubsub.stats()["lost"] == 1


async def test_a_loop_that_stood_still_does_not_fail_the_first_publish(server):
    async with opened(server.url, publish_timeout=0.1) as pubsub:
        publishing = asyncio.create_task(pubsub.publish("t", b""))
        await asyncio.sleep(0)

        time.sleep(0.3)  # noqa: ASYNC251 - a handler that blocks the loop

        await publishing


async def test_what_is_unsubscribed_during_an_outage_stays_so(server, pubsub, listener):
    await pubsub.subscribe("t", listener)
    await server.kill()
    await is_away(pubsub)
    await pubsub.unsubscribe("t")
    await server.start()
    await is_connected(pubsub)
    await pubsub.publish("t", b"1")
    await pubsub.subscribe("t", last := Listener())
    await pubsub.publish("t", b"2")
    await last.has(b"2")

    assert not listener.got


async def test_a_stopped_server_is_noticed_and_buffers_do_not_grow(server, pubsub):
    server.pause()
    began = time.perf_counter()
    longest = 0.0
    while pubsub.stats()["connected"]:
        called = time.perf_counter()
        try:
            await pubsub.publish("t", bytes(500_000))
        except PondError:
            await asyncio.sleep(0.01)  # as a publisher does that is told so
        longest = max(longest, time.perf_counter() - called)
        assert time.perf_counter() - began < NOTICE
        assert pubsub._link.any_client.pending_data_size < 9 * 1024 * 1024

    assert longest < 0.25
    server.resume()
    await within(RETURN, lambda: pubsub.stats()["connected"], "a connection")


async def test_a_stopped_server_is_left_for_another_one(listener):
    async with (
        nats_server() as one,
        nats_server() as other,
        opened(one.url, other.url) as pubsub,
    ):
        await pubsub.subscribe("t", listener)
        used = pubsub._link.client.connected_url.port
        stopped, left = (one, other) if one.port == used else (other, one)
        stopped.pause()
        with pytest.raises(DeadlineExceeded):
            await fill(pubsub)
        await within(NOTICE, lambda: not pubsub.stats()["connected"], "a loss")
        await within(NOTICE, lambda: pubsub.stats()["connected"], "a connection")
        listener.got.clear()
        await pubsub.publish("t", b"1")

        assert pubsub._link.client.connected_url.port == left.port
        await listener.has(b"1")
        stopped.resume()


async def test_a_killed_server_is_left_for_another_one(listener):
    async with (
        nats_server() as one,
        nats_server() as other,
        opened(one.url, other.url) as pubsub,
    ):
        await pubsub.subscribe("t", listener)
        used = pubsub._link.client.connected_url.port
        await (one if one.port == used else other).kill()
        await is_away(pubsub)
        await is_connected(pubsub)
        await pubsub.publish("t", b"1")

        await listener.has(b"1")


async def test_a_client_that_the_library_closed_is_replaced(pubsub, listener):
    await pubsub.subscribe("t", listener)
    await pubsub._link.any_client._process_err("'slow consumer'")
    await eventually(lambda: pubsub.stats()["reconnects"] == 1, "another client")
    await pubsub.publish("t", b"1")

    await listener.has(b"1")


async def test_what_was_published_before_the_break_is_counted_as_lost(server, pubsub):
    server.pause()
    await pubsub.publish_many([("t", b"")] * 20)
    await server.kill()

    # The client is away a turn before it tells so.
    await eventually(lambda: pubsub.stats()["lost"] == 20, "20 lost")


async def test_what_was_published_before_a_second_break_is_lost_too(pubsub):
    pubsub._link._lose()
    await pubsub.publish("t", b"")
    pubsub._link._lose()

    assert pubsub.stats()["lost"] == 1


async def test_closing_during_an_outage_is_quick(server):
    pubsub = open_nats(server.url)
    await pubsub.subscribe("t", print)
    server.pause()
    await pubsub.publish("t", bytes(900_000))
    async with asyncio.timeout(3):
        await pubsub.close()

    assert pubsub.stats()["lost"] == 1


async def test_closing_before_the_first_connection_is_quick(server):
    await server.kill()
    pubsub = open_nats(server.url)
    with pytest.raises(Unavailable):
        await pubsub.publish("t", b"")
    async with asyncio.timeout(1):
        await pubsub.close()

    assert len(asyncio.all_tasks()) == 1


# A client that the application has already


async def connect(server, **options):
    client = Client()
    await client.connect(
        server.url, max_reconnect_attempts=-1, reconnect_time_wait=0.1, **options
    )
    return client


async def test_the_callbacks_of_a_client_keep_being_called(server):
    called = []

    async def on_loss():
        called.append("lost")

    async def on_return():
        called.append("back")

    async def on_error(error):
        called.append(type(error).__name__)

    client = await connect(
        server,
        disconnected_cb=on_loss,
        reconnected_cb=on_return,
        error_cb=on_error,
    )
    pubsub = NatsPubSub(client)
    await pubsub.subscribe("t", print)
    await server.kill()
    await is_away(pubsub)
    await server.start()
    await is_connected(pubsub)
    await pubsub.close()
    await client.close()

    assert "back" in called
    assert "lost" in called
    assert "UnexpectedEOF" in called


async def test_a_stopped_server_is_noticed_though_the_client_pings_seldom(server):
    async def quiet(_error):
        pass

    client = await connect(server, ping_interval=120, error_cb=quiet)
    pubsub = NatsPubSub(client)
    await pubsub.subscribe("t", print)
    server.pause()
    await within(NOTICE, lambda: not pubsub.stats()["connected"], "a loss")
    server.resume()
    await within(RETURN, lambda: pubsub.stats()["connected"], "a connection")

    await pubsub.close()
    await client.close()


async def test_a_client_that_its_owner_closed_is_reported(server, caplog):
    client = await connect(server)
    pubsub = NatsPubSub(client)
    await pubsub.subscribe("t", print)
    await client.close()

    with pytest.raises(Unavailable, match="was closed"):
        await pubsub.subscribe("u", print)
    with pytest.raises(Unavailable):
        await pubsub.publish("t", b"")
    assert "the nats client was closed" in caplog.text
    await pubsub.close()
