"""The PubSub inside one process."""

import asyncio
import contextvars
import gc
import logging

import pytest

from pondsocket.errors import Conflict, NotFound, PubSubClosedError
from pondsocket.local_pubsub import LocalPubSub, open_memory
from pondsocket.pubsub import PubSub

who = contextvars.ContextVar("who", default="nobody")


class Listener:
    """A handler that remembers what it got and can be held up."""

    def __init__(self):
        self.got = []
        self.entered = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, topic, data):
        self.entered.set()
        await self.go.wait()
        self.got.append((topic, data))

    async def method(self, topic, data):
        self.got.append((topic, data))


async def settle(*hubs):
    """Return once every message is handed over and its task has ended."""
    while tasks := set().union(*(hub._subscriptions._tasks for hub in hubs)):
        await asyncio.wait(tasks)
        await asyncio.sleep(0)  # for their callbacks


async def hold(hub, listener):
    """Have the listener stuck in a first message."""
    listener.go.clear()
    await hub.publish("t", b"first")
    await listener.entered.wait()


@pytest.fixture
async def hub():
    hub = LocalPubSub()
    yield hub
    await hub.close()


@pytest.fixture
async def small():
    hub = LocalPubSub(buffer_size=4)
    yield hub
    await hub.close()


@pytest.fixture
async def listener():
    listener = Listener()
    yield listener
    listener.go.set()


def test_it_is_a_pubsub():
    assert isinstance(LocalPubSub(), PubSub)


@pytest.mark.parametrize("size", [0, -1])
def test_a_buffer_that_holds_nothing_is_refused(size):
    with pytest.raises(ValueError, match=f"buffer_size must be at least 1, got {size}"):
        LocalPubSub(buffer_size=size)


# Delivery


async def test_a_message_reaches_whoever_subscribed_its_topic(hub, listener):
    await hub.subscribe("t", listener)

    await hub.publish("t", b"1")
    await hub.publish("other", b"2")
    await settle(hub)

    assert listener.got == [("t", b"1")]


async def test_a_plain_function_can_listen(hub):
    got = []
    await hub.subscribe("t", lambda topic, data: got.append(data))

    await hub.publish("t", b"1")
    await settle(hub)

    assert got == [b"1"]


async def test_a_wildcard_hears_what_begins_like_it(hub, listener):
    await hub.subscribe("a.*", listener)

    for topic in ("ab", "a.*", "b", "a"):
        await hub.publish(topic, b"")
    await settle(hub)

    assert [topic for topic, _ in listener.got] == ["ab", "a.*", "a"]


async def test_a_message_reaches_each_subscription_that_matches_once(hub):
    first, second = Listener(), Listener()
    await hub.subscribe("a.*", first)
    await hub.subscribe("ab", first)
    await hub.subscribe("ab", second)

    await hub.publish("ab", b"1")
    await settle(hub)

    assert (len(first.got), len(second.got)) == (2, 1)


async def test_messages_arrive_in_the_order_in_which_they_were_published(hub, listener):
    await hub.subscribe("t", listener)

    for number in range(1000):
        await hub.publish("t", b"%d" % number)
    await settle(hub)

    assert [int(data) for _, data in listener.got] == list(range(1000))


async def test_a_handler_is_never_called_twice_at_a_time(hub):
    running, most = 0, 0

    async def count(topic, data):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    await hub.subscribe("t", count)
    for _ in range(5):
        await hub.publish("t", b"")
        await asyncio.sleep(0)
    await settle(hub)

    assert (most, hub.stats()["delivered"]) == (1, 5)


async def test_publishing_does_not_wait_for_handlers(hub, listener):
    await hub.subscribe("t", listener)
    await hold(hub, listener)

    await hub.publish("t", b"second")

    assert listener.got == []


async def test_a_handler_that_is_stuck_does_not_delay_the_others(hub, listener):
    other = Listener()
    await hub.subscribe("t", listener)
    await hub.subscribe("t", other)

    await hold(hub, listener)
    await other.entered.wait()

    assert other.got == [("t", b"first")]


async def test_a_handler_can_publish_to_its_own_topic(hub):
    got = []

    async def echo(topic, data):
        got.append(data)
        if len(got) < 3:
            await hub.publish(topic, data + b"!")

    await hub.subscribe("t", echo)
    await hub.publish("t", b"hi")
    await settle(hub)

    assert got == [b"hi", b"hi!", b"hi!!"]


async def test_an_idle_subscription_has_no_task(hub, listener):
    before = asyncio.all_tasks()
    await hub.subscribe("t", listener)
    await hub.publish("t", b"1")
    await settle(hub)

    assert asyncio.all_tasks() == before


async def test_a_handler_runs_in_the_context_of_the_subscriber(hub):
    seen = []
    who.set("subscriber")
    await hub.subscribe("t", lambda topic, data: seen.append(who.get()))

    who.set("publisher")
    await hub.publish("t", b"1")
    await settle(hub)

    assert seen == ["subscriber"]


# Full buffers


async def test_a_full_buffer_drops_what_comes_next_and_counts_it(small, listener):
    await small.subscribe("t", listener)
    await hold(small, listener)

    for number in range(6):
        await small.publish("t", b"%d" % number)

    assert small.stats()["pubsub_dropped"] == 2
    assert small.stats()["waiting"] == 4
    listener.go.set()
    await settle(small)
    assert [data for _, data in listener.got] == [b"first", b"0", b"1", b"2", b"3"]


async def test_a_full_buffer_costs_the_other_subscriptions_nothing(small, listener):
    other = Listener()
    await small.subscribe("t", listener)
    await small.subscribe("t", other)
    await hold(small, listener)

    for _ in range(20):
        await small.publish("t", b"")
    listener.go.set()
    await settle(small)

    assert (len(listener.got), len(other.got)) == (5, 21)


async def test_a_publisher_in_a_loop_does_not_starve_its_listeners(small, listener):
    await small.subscribe("t", listener)

    for _ in range(50):
        await small.publish("t", b"")
    await settle(small)

    assert (len(listener.got), small.stats()["pubsub_dropped"]) == (50, 0)


# Handlers that fail


class Fault(BaseException):
    """Not even an Exception."""


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad"),
        asyncio.CancelledError(),
        Fault(),
        BaseExceptionGroup("several", [Fault()]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_handler_that_raises_stays_subscribed(hub, caplog, error):
    got = []

    async def fail_once(topic, data):
        got.append(data)
        if len(got) == 1:
            raise error

    await hub.subscribe("t", fail_once)
    with caplog.at_level(logging.ERROR, "pondsocket.local_pubsub"):
        await hub.publish("t", b"1")
        await hub.publish("t", b"2")
        await settle(hub)

    assert got == [b"1", b"2"]
    assert (hub.stats()["handler_failed"], hub.stats()["delivered"]) == (1, 1)
    assert [record.exc_info[1] for record in caplog.records] == [error]


async def test_a_topic_is_logged_escaped_and_bounded(hub, caplog):
    def fail(topic, data):
        raise ValueError("bad")

    await hub.subscribe("a.*", fail)
    await hub.publish("a\n\x1b" + "x" * 10_000, b"")
    await settle(hub)

    message = caplog.records[0].message
    assert r"a\n\x1bxxx" in message
    assert len(message) < 500


# Subscribing and unsubscribing


async def test_the_same_pair_twice_is_a_conflict(hub, listener):
    await hub.subscribe("t", listener.method)

    with pytest.raises(Conflict, match="already subscribed to 't'"):
        await hub.subscribe("t", listener.method)


async def test_a_pair_that_differs_in_one_half_is_another(hub, listener):
    await hub.subscribe("t", listener)
    await hub.subscribe("u", listener)
    await hub.subscribe("t", listener.method)

    assert hub.stats()["subscriptions"] == 3


async def test_unsubscribing_a_pair_leaves_the_others_of_its_pattern(hub, listener):
    other = Listener()
    await hub.subscribe("t", listener)
    await hub.subscribe("t", other)

    await hub.unsubscribe("t", listener)
    await hub.publish("t", b"1")
    await settle(hub)

    assert (listener.got, other.got) == ([], [("t", b"1")])


@pytest.mark.parametrize("pattern", ["t", "t.*"])
async def test_unsubscribing_a_pattern_ends_all_of_it_and_nothing_else(hub, pattern):
    first, second, other = Listener(), Listener(), Listener()
    await hub.subscribe(pattern, first)
    await hub.subscribe(pattern, second)
    await hub.subscribe("tt", other)

    await hub.unsubscribe(pattern)
    await hub.publish("tt", b"1")
    await hub.publish("t", b"1")
    await settle(hub)

    assert (first.got, second.got, other.got) == ([], [], [("tt", b"1")])


@pytest.mark.parametrize("has_handler", [True, False])
async def test_unsubscribing_what_is_unknown_is_not_found(hub, listener, has_handler):
    await hub.subscribe("t", listener.method)

    with pytest.raises(NotFound, match="no such subscription of 'u'"):
        await hub.unsubscribe("u", listener.method if has_handler else None)


async def test_unsubscribing_another_handler_is_not_found(hub, listener):
    await hub.subscribe("t", listener)

    with pytest.raises(NotFound):
        await hub.unsubscribe("t", listener.method)


async def test_after_unsubscribing_the_handler_is_not_called_again(hub, listener):
    await hub.subscribe("t", listener)
    await hold(hub, listener)
    await hub.publish("t", b"second")

    await hub.unsubscribe("t", listener)
    listener.go.set()
    await settle(hub)

    assert listener.got == [("t", b"first")]


async def test_a_handler_can_unsubscribe_itself(hub):
    got = []

    async def only_once(topic, data):
        got.append(data)
        await hub.unsubscribe(topic, only_once)

    await hub.subscribe("t", only_once)
    await hub.publish("t", b"1")
    await hub.publish("t", b"2")
    await settle(hub)

    assert got == [b"1"]


async def test_a_pair_can_be_subscribed_again_after_its_end(hub, listener):
    await hub.subscribe("t", listener)
    await hub.unsubscribe("t", listener)

    await hub.subscribe("t", listener)
    await hub.publish("t", b"1")
    await settle(hub)

    assert listener.got == [("t", b"1")]


# Closing


async def test_a_closed_hub_takes_no_subscription(hub, listener):
    await hub.close()

    with pytest.raises(PubSubClosedError):
        await hub.subscribe("t", listener)


async def test_a_closed_hub_publishes_nothing(hub):
    await hub.close()

    with pytest.raises(PubSubClosedError):
        await hub.publish("t", b"1")


async def test_a_closed_hub_has_no_subscription_left(hub, listener):
    await hub.subscribe("t", listener)

    await hub.close()

    with pytest.raises(NotFound):
        await hub.unsubscribe("t", listener)


async def test_closing_twice_is_no_error(hub, listener):
    await hub.subscribe("t", listener)

    await hub.close()
    await hub.close()

    assert hub.stats()["subscriptions"] == 0


async def test_closing_cancels_and_awaits_handlers_that_run(hub):
    entered, log = asyncio.Event(), []

    async def hang(topic, data):
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            log.append("cleaned up")

    before = asyncio.all_tasks()
    await hub.subscribe("t", hang)
    await hub.publish("t", b"1")
    await entered.wait()

    await hub.close()

    assert log == ["cleaned up"]
    assert asyncio.all_tasks() == before


async def test_closing_awaits_a_handler_that_was_unsubscribed_before(hub, listener):
    await hub.subscribe("t", listener)
    await hold(hub, listener)
    await hub.unsubscribe("t")

    await hub.close()

    assert len(asyncio.all_tasks()) == 1


async def test_what_waits_when_the_hub_closes_is_counted_as_dropped(hub, listener):
    await hub.subscribe("t", listener)
    await hold(hub, listener)
    await hub.publish("t", b"second")
    await hub.publish("t", b"third")

    await hub.close()

    assert hub.stats()["pubsub_dropped"] == 2


async def test_a_handler_can_close_the_hub_that_called_it(hub):
    log = []

    async def close(topic, data):
        await hub.close()
        log.append("closed")

    await hub.subscribe("t", close)
    await hub.publish("t", b"1")
    await hub.publish("t", b"2")
    await settle(hub)

    assert log == ["closed"]


# Sharing


async def test_stats_tell_what_happened_and_what_is(hub, listener):
    await hub.subscribe("t", listener)
    await hub.publish("t", b"1")
    await hub.publish("unheard", b"2")
    await settle(hub)

    assert hub.stats() == {
        "published": 2,
        "delivered": 1,
        "handler_failed": 0,
        "pubsub_dropped": 0,
        "subscriptions": 1,
        "waiting": 0,
    }


async def test_hubs_without_a_name_do_not_hear_each_other(hub, small, listener):
    await hub.subscribe("t", listener)

    await small.publish("t", b"1")
    await settle(hub, small)

    assert listener.got == []


@pytest.fixture
async def pair():
    first, second = open_memory("memory://app"), open_memory("memory://app")
    yield first, second
    await first.close()
    await second.close()


async def test_urls_with_one_name_open_the_same_hub(pair, listener):
    first, second = pair
    await second.subscribe("t", listener)

    await first.publish("t", b"1")
    await settle(*pair)

    assert listener.got == [("t", b"1")]
    assert second.stats()["delivered"] == first.stats()["published"] == 1


@pytest.mark.parametrize("url", ["memory://other", "memory://", "memory://app/x"])
async def test_urls_with_other_names_open_other_hubs(pair, listener, url):
    other = open_memory(url)
    await other.subscribe("t", listener)

    await pair[0].publish("t", b"1")

    assert other.stats()["waiting"] == 0
    await other.close()


async def test_the_empty_name_is_a_name_too(listener):
    first, second = open_memory("memory://"), open_memory("memory://")
    await second.subscribe("t", listener)

    await first.publish("t", b"1")

    assert second.stats()["waiting"] == 1
    await first.close()
    await second.close()


async def test_objects_of_one_name_can_subscribe_the_same_pair(pair, listener):
    for each in pair:
        await each.subscribe("t", listener)

    await pair[0].publish("t", b"1")
    await settle(*pair)

    assert len(listener.got) == 2


async def test_closing_one_object_of_a_name_leaves_the_others_open(pair):
    first, second = pair
    mine, theirs = Listener(), Listener()
    await first.subscribe("t", mine)
    await second.subscribe("t", theirs)

    await first.close()
    await second.publish("t", b"1")
    await settle(*pair)

    assert (mine.got, theirs.got) == ([], [("t", b"1")])


async def test_what_was_published_arrives_though_its_publisher_closed(pair, listener):
    first, second = pair
    await second.subscribe("t", listener)
    await first.publish("t", b"1")

    await first.close()
    await settle(*pair)

    assert listener.got == [("t", b"1")]


async def test_a_name_is_forgotten_with_its_last_object():
    hub = open_memory("memory://short-lived")
    await hub.close()
    names = open_memory.__globals__["_NAMED"]
    assert "short-lived" in names

    del hub
    gc.collect()

    assert "short-lived" not in names
