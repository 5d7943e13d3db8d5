"""Sharded messages on a cluster of three masters."""

import asyncio
import time

import pytest
from redis.asyncio import Redis, RedisCluster

from pondsocket import PondError
from pondsocket_redis import RedisPubSub
from tests.backends.redis.ears import Ear, returns_of, until, within_patience
from tests.backends.servers import free_port

pytestmark = pytest.mark.timeout(40)


def sharded(cluster, **options):
    return RedisPubSub.from_url(f"{cluster.url}?cluster=sharded", **options)


async def test_topics_of_all_slots_go_round(cluster):
    pubsub, ear = sharded(cluster), Ear()
    topics = [f"topic {number}" for number in range(50)]
    await asyncio.gather(*(pubsub.subscribe(topic, ear) for topic in topics))

    for topic in topics:
        await pubsub.publish(topic, topic.encode())

    heard = await ear.hears(len(topics))
    assert sorted(heard) == sorted((topic, topic.encode()) for topic in topics)
    await pubsub.close()


async def test_another_object_hears_a_batch_in_order_per_topic(cluster):
    there, here, ear = sharded(cluster), sharded(cluster), Ear()
    await asyncio.gather(*(there.subscribe(topic, ear) for topic in "abc"))

    messages = [("abc"[number % 3], b"%d" % number) for number in range(99)]
    lost = await here.publish_many(messages)

    assert lost == 0
    heard = await ear.hears(99)
    for topic in "abc":
        wanted = [data for name, data in messages if name == topic]
        assert [data for name, data in heard if name == topic] == wanted
    await there.close()
    await here.close()


async def test_a_topic_is_followed_to_the_node_its_slot_moves_to(cluster):
    pubsub, ear = sharded(cluster, ping_interval=0.3), Ear()
    await pubsub.subscribe("topic", ear)
    async with RedisCluster.from_url(cluster.url) as client:
        old = client.get_node_from_key("topic")
        new = next(node for node in client.get_primaries() if node != old)
        slot = client.keyslot("topic")
        identity = await client.execute_command("CLUSTER MYID", target_nodes=new)
        for node in (new, old, *client.get_primaries()):
            await client.execute_command(
                f"CLUSTER SETSLOT {slot} NODE {identity.decode()}", target_nodes=node
            )
    # Nothing tells when the object has found out; it must do so by itself.
    while not ear.heard:
        await pubsub.publish_many([("topic", b"moved")])
        await asyncio.sleep(0.05)

    assert set(ear.heard) == {("topic", b"moved")}
    await pubsub.close()


async def test_a_node_that_was_killed_comes_back_with_its_topics(cluster):
    pubsub, ear = sharded(cluster, ping_interval=0.3), Ear()
    topics = [f"topic {number}" for number in range(20)]
    await asyncio.gather(*(pubsub.subscribe(topic, ear) for topic in topics))
    back = returns_of(pubsub)
    await cluster.servers[1].kill()
    await until(lambda: not pubsub.stats()["connected"])

    await cluster.servers[1].start()

    await within_patience(back)
    assert pubsub.stats()["connected"] == 1
    await pubsub.close()


async def test_a_loop_that_stood_still_does_not_fail_the_first_publish(cluster):
    pubsub, mapped = sharded(cluster), sharded(cluster)
    await mapped.publish("a", b"so that what is slow only once is over")
    publishing = asyncio.ensure_future(pubsub.publish("a", b"1"))
    await asyncio.sleep(0)

    time.sleep(0.4)  # noqa: ASYNC251 - a handler that blocks the loop

    await publishing
    await pubsub.close()
    await mapped.close()


async def test_a_cluster_that_is_away_fails_fast_and_counts():
    pubsub = RedisPubSub.from_url(
        f"redis://127.0.0.1:{free_port()}?cluster=sharded", ping_interval=0.1
    )

    assert await pubsub.publish_many([("a", b"1"), ("b", b"2")]) == 2
    with pytest.raises(PondError):
        await pubsub.publish("a", b"3")
    with pytest.raises(PondError):
        await pubsub.subscribe("a", Ear())

    assert pubsub.stats()["lost"] == 3
    await pubsub.close()


async def test_a_wildcard_is_refused(cluster):
    pubsub = sharded(cluster)

    with pytest.raises(ValueError, match="no wildcards"):
        await pubsub.subscribe("a.*", Ear())

    await pubsub.close()


async def test_a_cluster_whose_messages_go_to_all_nodes_takes_wildcards(cluster):
    pubsub, ear = RedisPubSub.from_url(f"{cluster.url}?cluster=plain"), Ear()
    await pubsub.subscribe("a.*", ear)

    await pubsub.publish("a.b", b"1")

    assert await ear.hears(1) == [("a.b", b"1")]
    await pubsub.close()


async def test_learning_of_a_whole_cluster_may_take_longer_than_to_connect(cluster):
    pubsub, ear = RedisPubSub.from_url(f"{cluster.url}?cluster=plain"), Ear()
    subscribing = asyncio.ensure_future(pubsub.subscribe("a", ear))
    await until(pubsub._client.get_nodes)  # half of it

    time.sleep(1.1)  # noqa: ASYNC251 - a machine that is busy

    await subscribing
    await pubsub.close()


def test_a_client_that_is_no_cluster_is_refused():
    with pytest.raises(TypeError, match="sharded needs a RedisCluster, got Redis"):
        RedisPubSub(Redis(), sharded=True)
