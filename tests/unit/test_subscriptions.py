"""Who listens to what on one PubSub object, and the hand-over to them."""

import asyncio
import contextvars
import functools
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pondsocket import subscriptions as module
from pondsocket.errors import Conflict, NotFound
from pondsocket.pubsub import match_topic
from pondsocket.subscriptions import Subscriptions

who = contextvars.ContextVar("who", default="nobody")


class Listener:
    """A coroutine handler that remembers what it got and can be held up."""

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


class Plain:
    """A plain handler that remembers what it got."""

    def __init__(self):
        self.got = []

    def __call__(self, topic, data):
        self.got.append((topic, data))

    def method(self, topic, data):
        self.got.append((topic, data))


async def settle():
    """Return once every message is handed over."""
    while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(tasks)


async def hold(subscriptions, listener):
    """Have the listener stuck in a first message to its topic, ``t``."""
    listener.go.clear()
    subscriptions.dispatch("t", b"first")
    await listener.entered.wait()


@pytest.fixture
async def subscriptions():
    made = Subscriptions(buffer_size=4)
    yield made
    await made.close()


@pytest.fixture
async def listener():
    listener = Listener()
    yield listener
    listener.go.set()


@pytest.fixture
def plain():
    return Plain()


@pytest.mark.parametrize("size", [0, -1])
def test_a_buffer_that_holds_nothing_is_refused(size):
    with pytest.raises(ValueError, match=f"buffer_size must be at least 1, got {size}"):
        Subscriptions(buffer_size=size)


# Adding and removing


def test_adding_tells_who_is_the_first_of_a_pattern(plain):
    subscriptions = Subscriptions()

    answers = [
        subscriptions.add("t", plain),
        subscriptions.add("t", plain.method),
        subscriptions.add("t.*", plain),
    ]

    assert answers == [True, False, True]


def test_the_same_pair_twice_is_a_conflict(plain):
    subscriptions = Subscriptions()
    subscriptions.add("t", plain.method)

    with pytest.raises(Conflict, match="already subscribed to 't'"):
        subscriptions.add("t", plain.method)


@pytest.mark.parametrize("pattern", ["t", "t.*"])
def test_removing_tells_who_was_the_last_of_a_pattern(plain, pattern):
    subscriptions = Subscriptions()
    subscriptions.add(pattern, plain)
    subscriptions.add(pattern, plain.method)

    answers = [
        subscriptions.remove(pattern, plain.method),
        subscriptions.remove(pattern, plain),
    ]

    assert answers == [False, True]


def test_removing_without_a_handler_ends_all_of_the_pattern(plain):
    subscriptions = Subscriptions()
    for handler in (plain, plain.method):
        subscriptions.add("t", handler)

    was_last = subscriptions.remove("t")

    assert (was_last, subscriptions.patterns()) == (True, [])


@pytest.mark.parametrize("pattern", ["t", "u", "t.*"])
def test_removing_what_is_unknown_is_not_found(plain, pattern):
    subscriptions = Subscriptions()
    subscriptions.add("t", plain.method)

    with pytest.raises(NotFound, match="no such subscription"):
        subscriptions.remove(pattern, plain)


def test_each_pattern_is_told_once(plain):
    subscriptions = Subscriptions()
    for pattern in ("t", "t.*"):
        subscriptions.add(pattern, plain)
        subscriptions.add(pattern, plain.method)

    assert subscriptions.patterns() == ["t", "t.*"]


# Plain functions


async def test_a_plain_function_is_called_by_dispatch_itself(subscriptions, plain):
    subscriptions.add("t", plain)

    subscriptions.dispatch("t", b"1")

    assert plain.got == [("t", b"1")]
    assert len(asyncio.all_tasks()) == 1


async def test_a_plain_function_runs_in_the_context_of_the_subscriber(subscriptions):
    seen = []
    who.set("subscriber")
    subscriptions.add("t", lambda topic, data: seen.append(who.get()))

    who.set("publisher")
    subscriptions.dispatch("t", b"1")

    assert seen == ["subscriber"]


async def test_what_a_plain_function_promises_is_awaited_before_its_next_message(
    subscriptions, listener
):
    def promise(topic, data):
        return listener(topic, data)

    subscriptions.add("t", promise)
    await hold(subscriptions, listener)

    subscriptions.dispatch("t", b"second")
    waiting = subscriptions.stats()["waiting"]
    listener.go.set()
    await settle()

    assert waiting == 1
    assert [data for _, data in listener.got] == [b"first", b"second"]


async def test_a_plain_function_is_called_at_once_again_when_nothing_waits_any_more(
    subscriptions, listener
):
    subscriptions.add("t", lambda topic, data: listener(topic, data) if data else None)
    subscriptions.dispatch("t", b"1")
    await settle()

    subscriptions.dispatch("t", b"")

    assert subscriptions.stats()["delivered"] == 2


async def test_a_broken_promise_is_a_failure(subscriptions, caplog):
    async def fail():
        raise ValueError("bad")

    subscriptions.add("t", lambda topic, data: fail())
    subscriptions.dispatch("t", b"1")
    await settle()

    assert subscriptions.stats()["handler_failed"] == 1
    assert "failed on topic 't'" in caplog.text


async def test_a_plain_function_that_dispatches_to_itself_gets_it_afterwards(
    subscriptions,
):
    events = []

    def again(topic, data):
        events.append(b"begin " + data)
        if data == b"1":
            subscriptions.dispatch(topic, b"2")
        events.append(b"end " + data)

    subscriptions.add("t", again)
    subscriptions.dispatch("t", b"1")
    await settle()

    assert events == [b"begin 1", b"end 1", b"begin 2", b"end 2"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
async def test_the_end_of_the_process_travels_on(subscriptions, error):
    def end(topic, data):
        raise error

    subscriptions.add("t", end)

    with pytest.raises(error):
        subscriptions.dispatch("t", b"1")


async def test_a_plain_function_that_raises_stays_subscribed(subscriptions, caplog):
    got = []

    def fail_once(topic, data):
        got.append(data)
        if len(got) == 1:
            raise ValueError("bad")

    subscriptions.add("t", fail_once)
    subscriptions.dispatch("t", b"1")
    subscriptions.dispatch("t", b"2")

    assert got == [b"1", b"2"]
    stats = subscriptions.stats()
    assert (stats["handler_failed"], stats["delivered"]) == (1, 1)
    assert [str(record.exc_info[1]) for record in caplog.records] == ["bad"]


# Coroutine functions


@pytest.mark.parametrize(
    "make",
    [
        lambda listener: listener,
        lambda listener: listener.method,
        lambda listener: functools.partial(listener.method),
    ],
    ids=["object", "method", "partial"],
)
async def test_whatever_makes_coroutines_runs_in_a_task(subscriptions, listener, make):
    subscriptions.add("t", make(listener))

    subscriptions.dispatch("t", b"1")
    got_at_once = listener.got.copy()
    await settle()

    assert (got_at_once, listener.got) == ([], [("t", b"1")])


async def test_a_coroutine_function_gets_one_message_at_a_time(subscriptions):
    running, most = 0, 0

    async def count(topic, data):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    subscriptions.add("t", count)
    for _ in range(4):
        subscriptions.dispatch("t", b"")
        await asyncio.sleep(0)
    await settle()

    assert (most, subscriptions.stats()["delivered"]) == (1, 4)


async def test_a_coroutine_function_runs_in_the_context_of_the_subscriber(
    subscriptions,
):
    seen = []

    async def see(topic, data):
        seen.append(who.get())

    who.set("subscriber")
    subscriptions.add("t", see)
    who.set("publisher")
    subscriptions.dispatch("t", b"1")
    await settle()

    assert seen == ["subscriber"]


async def test_an_idle_subscription_has_no_task(subscriptions, listener):
    subscriptions.add("t", listener)
    subscriptions.dispatch("t", b"1")
    await settle()

    assert len(asyncio.all_tasks()) == 1


async def test_a_long_backlog_does_not_keep_the_loop_from_other_work(listener):
    subscriptions = Subscriptions()
    subscriptions.add("t", listener.method)
    for _ in range(500):
        subscriptions.dispatch("t", b"")

    await asyncio.sleep(0)

    assert 0 < len(listener.got) < 500
    await settle()


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad"),
        asyncio.CancelledError(),
        BaseExceptionGroup("all", [OSError()]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_coroutine_function_that_raises_stays_subscribed(
    subscriptions, caplog, error
):
    got = []

    async def fail_once(topic, data):
        got.append(data)
        if len(got) == 1:
            raise error

    subscriptions.add("t", fail_once)
    subscriptions.dispatch("t", b"1")
    subscriptions.dispatch("t", b"2")
    await settle()

    assert got == [b"1", b"2"]
    assert [record.exc_info[1] for record in caplog.records] == [error]


async def test_a_topic_is_logged_escaped_and_bounded(subscriptions, caplog):
    def fail(topic, data):
        raise ValueError("bad")

    subscriptions.add("a.*", fail)
    subscriptions.dispatch("a\n\x1b" + "x" * 10_000, b"")

    message = caplog.records[0].message
    assert r"a\n\x1bxxx" in message
    assert len(message) < 500


# Full buffers


async def test_dispatch_tells_when_a_buffer_is_half_full(subscriptions, listener):
    subscriptions.add("t", listener)
    await hold(subscriptions, listener)

    answers = [subscriptions.dispatch("t", b"") for _ in range(5)]

    assert answers == [False, True, True, True, True]


async def test_a_full_buffer_drops_what_comes_next_and_counts_it(
    subscriptions, listener
):
    subscriptions.add("t", listener)
    await hold(subscriptions, listener)

    for number in range(6):
        subscriptions.dispatch("t", b"%d" % number)

    stats = subscriptions.stats()
    assert (stats["pubsub_dropped"], stats["waiting"]) == (2, 4)
    listener.go.set()
    await settle()
    assert [data for _, data in listener.got] == [b"first", b"0", b"1", b"2", b"3"]


async def test_drops_are_logged_once_until_the_buffer_has_been_empty(
    subscriptions, listener, caplog
):
    caplog.set_level(logging.WARNING)
    subscriptions.add("t", listener)
    for _ in range(2):
        listener.entered.clear()
        await hold(subscriptions, listener)
        for _ in range(10):
            subscriptions.dispatch("t", b"")
        listener.go.set()
        await settle()

    assert ["is too slow: 4 messages wait" in each for each in caplog.messages] == [
        True,
        True,
    ]


async def test_a_full_buffer_costs_the_other_subscriptions_nothing(
    subscriptions, listener, plain
):
    subscriptions.add("t", listener)
    subscriptions.add("t", plain)
    await hold(subscriptions, listener)

    for _ in range(20):
        subscriptions.dispatch("t", b"")

    assert len(plain.got) == 21


# Who gets a message


async def test_dispatch_to_reaches_exactly_one_pattern(subscriptions, plain):
    other = Plain()
    subscriptions.add("a.*", plain)
    subscriptions.add("ab", other)

    subscriptions.dispatch_to("a.*", "ab", b"1")

    assert (plain.got, other.got) == ([("ab", b"1")], [])


async def test_dispatch_to_an_unknown_pattern_reaches_nobody(subscriptions, plain):
    subscriptions.add("t", plain)

    assert not subscriptions.dispatch_to("u", "t", b"1")
    assert plain.got == []


async def test_a_removed_handler_is_not_called_any_more(subscriptions, listener):
    subscriptions.add("t", listener)
    await hold(subscriptions, listener)
    subscriptions.dispatch("t", b"second")

    subscriptions.remove("t", listener)
    listener.go.set()
    await settle()

    assert listener.got == [("t", b"first")]


async def test_a_handler_that_another_one_removed_misses_the_message_of_both(
    subscriptions, plain
):
    subscriptions.add("t", lambda topic, data: subscriptions.remove("t", plain))
    subscriptions.add("t", plain)

    subscriptions.dispatch("t", b"1")

    assert plain.got == []


async def test_a_handler_that_another_one_added_misses_the_message_of_that(
    subscriptions, plain
):
    subscriptions.add("t", lambda topic, data: subscriptions.add("t", plain))

    subscriptions.dispatch("t", b"1")

    assert plain.got == []


async def test_a_wildcard_that_a_wildcard_removed_gets_nothing(subscriptions, plain):
    subscriptions.add("a.*", lambda topic, data: subscriptions.remove("ab.*"))
    subscriptions.add("ab.*", plain)

    subscriptions.dispatch("abc", b"1")

    assert plain.got == []


TOPICS = st.text("a.*", max_size=4)


@given(patterns=st.lists(TOPICS, unique=True), topic=TOPICS)
def test_dispatch_reaches_whoever_match_topic_says(patterns, topic):
    subscriptions = Subscriptions()
    heard = []
    for pattern in patterns:
        note = functools.partial(lambda name, *_: heard.append(name), pattern)
        subscriptions.add(pattern, note)

    subscriptions.dispatch(topic, b"")

    assert sorted(heard) == sorted(p for p in patterns if match_topic(p, topic))


@given(
    steps=st.lists(st.sampled_from(["plain", "promise", "turn"]), max_size=40),
)
def test_all_that_is_offered_arrives_in_order_or_is_counted(steps):
    got = []
    kinds = [step for step in steps if step != "turn"]

    async def later(data):
        await asyncio.sleep(0)
        got.append(int(data))

    def handle(topic, data):
        if kinds[int(data)] == "plain":
            got.append(int(data))
            return None
        return later(data)

    async def play():
        subscriptions = Subscriptions(buffer_size=3)
        subscriptions.add("t", handle)
        offered = 0
        for step in steps:
            if step != "turn":
                subscriptions.dispatch("t", b"%d" % offered)
                offered += 1
            else:
                await asyncio.sleep(0)
        await settle()
        return offered, subscriptions.stats()

    offered, stats = asyncio.run(play())

    assert got == sorted(got)
    assert stats["delivered"] == len(got)
    assert stats["delivered"] + stats["pubsub_dropped"] == offered


# Closing


async def test_closing_ends_all_subscriptions(subscriptions, plain):
    for pattern in ("t", "t.*"):
        subscriptions.add(pattern, plain)

    await subscriptions.close()

    assert not subscriptions.dispatch("t", b"1")
    assert (plain.got, subscriptions.patterns()) == ([], [])


async def test_what_waits_at_the_end_is_counted_as_dropped(subscriptions, listener):
    subscriptions.add("t", listener)
    await hold(subscriptions, listener)
    subscriptions.dispatch("t", b"second")
    subscriptions.dispatch("t", b"third")

    await subscriptions.close()

    assert subscriptions.stats()["pubsub_dropped"] == 2


async def test_closing_cancels_and_awaits_handlers_that_run(subscriptions):
    entered, log = asyncio.Event(), []

    async def hang(topic, data):
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            log.append("cleaned up")

    subscriptions.add("t", hang)
    subscriptions.dispatch("t", b"1")
    await entered.wait()

    await subscriptions.close()

    assert log == ["cleaned up"]
    assert len(asyncio.all_tasks()) == 1


async def test_closing_awaits_a_handler_that_was_removed_before(
    subscriptions, listener
):
    subscriptions.add("t", listener)
    await hold(subscriptions, listener)
    subscriptions.remove("t")

    await subscriptions.close()

    assert len(asyncio.all_tasks()) == 1


async def test_closing_leaves_no_promise_unawaited(subscriptions):
    begun = []

    async def begin():
        begun.append(True)
        await asyncio.Event().wait()

    subscriptions.add("t", lambda topic, data: begin())
    subscriptions.dispatch("t", b"1")

    await subscriptions.close()

    assert begun == [True]
    assert len(asyncio.all_tasks()) == 1


async def test_closing_calls_no_handler_for_what_waited(subscriptions, listener):
    subscriptions.add("t", listener)
    subscriptions.dispatch("t", b"1")

    await subscriptions.close()

    assert listener.got == []
    assert subscriptions.stats()["pubsub_dropped"] == 1


async def test_a_handler_can_close_what_called_it(subscriptions):
    log = []

    async def close(topic, data):
        await subscriptions.close()
        log.append("closed")

    subscriptions.add("t", close)
    subscriptions.dispatch("t", b"1")
    await settle()

    assert log == ["closed"]


async def test_a_handler_that_ignores_its_cancellation_is_left_behind_and_told_of(
    subscriptions, monkeypatch, caplog
):
    monkeypatch.setattr(module, "_CLOSE_SECONDS", 0.01)
    entered, go = asyncio.Event(), asyncio.Event()

    async def stay(topic, data):
        entered.set()
        while not go.is_set():
            try:
                await go.wait()
            except asyncio.CancelledError:
                continue

    subscriptions.add("t", stay)
    subscriptions.dispatch("t", b"1")
    await entered.wait()

    await subscriptions.close()

    assert "1 pubsub handlers ignore their cancellation" in caplog.text
    go.set()
    await settle()


# Counting


async def test_stats_tell_what_happened_and_what_is(subscriptions, plain):
    subscriptions.add("t", plain)
    subscriptions.add("t.*", plain)
    subscriptions.dispatch("t", b"1")
    subscriptions.dispatch("unheard", b"2")

    assert subscriptions.stats() == {
        "delivered": 2,
        "handler_failed": 0,
        "pubsub_dropped": 0,
        "subscriptions": 2,
        "waiting": 0,
    }
