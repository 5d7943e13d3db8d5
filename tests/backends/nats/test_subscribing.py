"""What becomes of a ``subscribe`` whose server is away, silent, or not waited for."""

import asyncio
import time

import pytest

from pondsocket import DeadlineExceeded, PubSubClosedError, Unavailable
from tests.backends.nats.listening import Listener, is_away, is_connected, opened
from tests.backends.servers import nats_server


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


async def test_what_is_subscribed_during_an_outage_fails_at_once_and_works_after_it(
    server, pubsub, listener
):
    await server.kill()
    await is_away(pubsub)

    began = time.perf_counter()
    with pytest.raises(Unavailable, match="subscribed once the server is back"):
        await pubsub.subscribe("t", listener)
    assert time.perf_counter() - began < 0.25

    await server.start()
    await is_connected(pubsub)
    await pubsub.publish("t", b"1")
    await listener.has(b"1")


async def test_a_subscribe_that_waits_when_the_server_goes_away_is_told_so(
    server, pubsub, listener
):
    server.pause()
    subscribing = asyncio.create_task(pubsub.subscribe("t", listener))
    await asyncio.sleep(0)
    await server.kill()

    with pytest.raises(Unavailable, match="subscribed once the server is back"):
        await subscribing


async def test_a_subscribe_that_was_cancelled_is_kept(server, pubsub, listener):
    server.pause()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await pubsub.subscribe("t", listener)
    await server.kill()
    await is_away(pubsub)
    await server.start()
    await is_connected(pubsub)
    await pubsub.publish("t", b"1")

    await listener.has(b"1")


async def test_a_subscribe_that_was_cancelled_before_a_connection_can_be_undone(
    server, listener
):
    async with opened(server.url) as pubsub:
        server.pause()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await pubsub.subscribe("t", listener)

        await pubsub.unsubscribe("t", listener)

        server.resume()
        await is_connected(pubsub)
        await pubsub.subscribe("t", last := Listener())
        await pubsub.publish("t", b"1")
        await last.has(b"1")
        assert not listener.got


async def test_a_subscribe_that_waits_while_the_object_is_closed_is_told_so(
    server, pubsub, listener
):
    server.pause()
    subscribing = asyncio.create_task(pubsub.subscribe("t", listener))
    await asyncio.sleep(0)

    await pubsub.close()

    with pytest.raises(PubSubClosedError):
        await subscribing


async def test_a_server_that_confirms_nothing_is_a_deadline(server, listener):
    async with opened(server.url, subscribe_timeout=0.1) as pubsub:
        server.pause()

        with pytest.raises(DeadlineExceeded, match=r"subscribe_timeout, 0\.1 s"):
            await pubsub.subscribe("t", listener)

        server.resume()
