"""What becomes of a ``subscribe`` that its caller or the server does not wait for."""

import asyncio

import pytest

from pondsocket import PubSubClosedError
from pondsocket_redis import RedisPubSub
from tests.backends.redis.ears import Ear, returns_of, until, within_patience
from tests.backends.servers import valkey_server


@pytest.fixture
async def server():
    async with valkey_server() as server:
        yield server


@pytest.fixture
async def pubsub(server):
    pubsub = RedisPubSub.from_url(server.url, ping_interval=0.2)
    yield pubsub
    await pubsub.close()


async def test_a_subscribe_that_was_cancelled_is_kept(server, pubsub):
    ear, back = Ear(), returns_of(pubsub)
    await pubsub.subscribe("warm", ear)
    server.pause()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await pubsub.subscribe("a", ear)
    await server.kill()
    await until(lambda: not pubsub.stats()["connected"])
    await server.start()
    await within_patience(back)

    await pubsub.publish("a", b"1")

    assert await ear.hears(1) == [("a", b"1")]


async def test_a_subscribe_that_was_cancelled_can_be_undone(server, pubsub):
    ear, last = Ear(), Ear()
    server.pause()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await pubsub.subscribe("a", ear)

    await pubsub.unsubscribe("a", ear)

    server.resume()
    await until(lambda: pubsub.stats()["connected"])
    await pubsub.subscribe("a", last)
    await pubsub.publish("a", b"1")
    assert await last.hears(1) == [("a", b"1")]
    assert ear.heard == []


async def test_a_subscribe_that_waits_while_the_object_is_closed_is_told_so(
    server, pubsub
):
    server.pause()
    subscribing = asyncio.ensure_future(pubsub.subscribe("a", Ear()))
    await asyncio.sleep(0)

    await pubsub.close()

    with pytest.raises(PubSubClosedError):
        await subscribing
