"""A PubSub that does worse than the one it wraps, repeatably."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pondsocket.errors import Conflict, DeadlineExceeded, NotFound, PubSubClosedError
from pondsocket.local_pubsub import LocalPubSub
from pondsocket.pubsub import PubSub, ReconnectAware
from pondsocket.testing import FaultyPubSub


class Listener:
    """A handler that remembers the numbers it got and can be held up."""

    def __init__(self):
        self.numbers = []
        self.entered = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, topic, data):
        self.entered.set()
        await self.go.wait()
        self.numbers.append(int(data))


async def idle():
    """Return once no other task runs."""
    while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(tasks)


async def publish(pubsub, *numbers):
    for number in numbers:
        await pubsub.publish("t", b"%d" % number)
        await idle()


async def play(count=50, *, seed=1, settled=True, **odds):
    """Return what a listener gets of so many messages, and the faults."""
    pubsub = FaultyPubSub(LocalPubSub(), seed=seed, **odds)
    listener = Listener()
    await pubsub.subscribe("t", listener)
    await publish(pubsub, *range(count))
    if settled:
        await pubsub.settle()
    stats = pubsub.stats()
    await pubsub.close()
    return listener.numbers, stats


@pytest.fixture
async def late():
    """An object whose every delivery is late."""
    pubsub = FaultyPubSub(LocalPubSub(), seed=1, delay=1.0)
    yield pubsub
    await pubsub.close()


@pytest.fixture
async def islands():
    """Two objects that hear each other, as long as they are on one island."""
    pair = [FaultyPubSub(LocalPubSub(name="islands"), seed=1) for _ in range(2)]
    yield pair
    for each in pair:
        await each.close()


def test_it_is_a_pubsub_that_tells_of_reconnects():
    pubsub = FaultyPubSub(LocalPubSub(), seed=1)

    assert isinstance(pubsub, PubSub)
    assert isinstance(pubsub, ReconnectAware)


@pytest.mark.parametrize("name", ["loss", "duplicate", "delay"])
@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused(name, probability):
    with pytest.raises(ValueError, match=f"{name} must be within 0.0 and 1.0"):
        FaultyPubSub(LocalPubSub(), seed=1, **{name: probability})


# Faults


async def test_without_probabilities_everything_arrives_once_in_order():
    numbers, stats = await play()

    assert numbers == list(range(50))
    assert stats == {"lost": 0, "duplicated": 0, "delayed": 0, "cut": 0, "late": 0}


async def test_what_is_lost_is_counted():
    numbers, stats = await play(loss=0.5)

    assert 0 < stats["lost"] < 50
    assert len(numbers) == 50 - stats["lost"]


async def test_what_is_duplicated_arrives_twice():
    numbers, stats = await play(duplicate=1.0)

    assert numbers == sorted([*range(50)] * 2)
    assert stats["duplicated"] == 50


async def test_what_is_late_is_overtaken_by_a_handful_at_most():
    numbers, stats = await play(delay=0.3)

    overtakers = [
        sum(other > number for other in numbers[: numbers.index(number)])
        for number in numbers
    ]
    assert 0 < max(overtakers) <= 5
    assert sorted(numbers) == list(range(50))
    assert 0 < stats["delayed"] < 50


async def test_what_is_late_waits_until_others_came(late):
    listener = Listener()
    await late.subscribe("t", listener)

    await publish(late, 1)

    assert (listener.numbers, late.stats()["late"]) == ([], 1)


async def test_settling_lets_out_all_that_is_late(late):
    listener = Listener()
    await late.subscribe("t", listener)
    await publish(late, 1)

    await late.settle()

    assert (listener.numbers, late.stats()["late"]) == ([1], 0)


async def test_settling_waits_for_a_call_that_runs(late):
    listener = Listener()
    listener.go.clear()
    await late.subscribe("t", listener)
    await publish(late, 1)
    settlings = [asyncio.create_task(late.settle()) for _ in range(2)]
    await listener.entered.wait()
    late.faults = False
    await late.publish("t", b"2")
    await asyncio.sleep(0)

    numbers_meanwhile = listener.numbers.copy()
    listener.go.set()
    await asyncio.wait(settlings)
    await idle()

    assert (numbers_meanwhile, listener.numbers) == ([], [1, 2])


async def test_faults_can_be_switched_off(late):
    listener = Listener()
    await late.subscribe("t", listener)

    late.faults = False
    await publish(late, 1, 2)

    assert listener.numbers == [1, 2]


@given(
    seed=st.integers(),
    odds=st.fixed_dictionaries(
        dict.fromkeys(["loss", "duplicate", "delay"], st.floats(0, 1))
    ),
)
def test_the_same_seed_makes_the_same_faults(seed, odds):
    async def twice():
        return [await play(10, seed=seed, **odds) for _ in range(2)]

    first, second = asyncio.run(twice())

    assert first == second
    numbers, stats = first
    assert len(set(numbers)) == 10 - stats["lost"]


async def test_other_seeds_make_other_faults():
    first, second = [await play(seed=seed, loss=0.5) for seed in (1, 2)]

    assert first != second


async def test_each_subscription_meets_its_own_faults():
    pubsub = FaultyPubSub(LocalPubSub(), seed=1, loss=0.5)
    first, second = Listener(), Listener()
    for each in (first, second):
        await pubsub.subscribe("t", each)

    await publish(pubsub, *range(50))

    assert first.numbers != second.numbers
    await pubsub.close()


async def test_a_handler_that_raises_gets_what_comes_with_its_message(caplog):
    calls = []

    def fail(topic, data):
        calls.append(data)
        raise ValueError("bad")

    pubsub = FaultyPubSub(LocalPubSub(), seed=1, duplicate=1.0)
    await pubsub.subscribe("t", fail)
    await publish(pubsub, 1)

    assert calls == [b"1", b"1"]
    assert len(caplog.records[0].exc_info[1].exceptions) == 2
    await pubsub.close()


# Subscriptions


async def test_the_same_pair_twice_is_a_conflict(late):
    listener = Listener()
    await late.subscribe("t", listener)

    with pytest.raises(Conflict):
        await late.subscribe("t", listener)


@pytest.mark.parametrize("has_handler", [True, False])
async def test_after_unsubscribing_nothing_late_arrives(late, has_handler):
    listener = Listener()
    await late.subscribe("t", listener)
    await publish(late, 1)

    await late.unsubscribe("t", listener if has_handler else None)
    await late.settle()

    assert listener.numbers == []


async def test_a_handler_that_unsubscribes_misses_what_comes_with_its_message():
    calls = []
    pubsub = FaultyPubSub(LocalPubSub(), seed=1, duplicate=1.0)

    async def once(topic, data):
        calls.append(data)
        await pubsub.unsubscribe(topic, once)

    await pubsub.subscribe("t", once)
    await publish(pubsub, 1)

    assert calls == [b"1"]
    await pubsub.close()


async def test_unsubscribing_what_is_unknown_is_not_found(late):
    with pytest.raises(NotFound):
        await late.unsubscribe("t", Listener())


async def test_a_subscription_that_was_refused_is_none(late):
    await late.close()

    with pytest.raises(PubSubClosedError):
        await late.subscribe("t", Listener())
    with pytest.raises(NotFound):
        await late.unsubscribe("t")


async def test_a_subscription_that_took_too_long_is_kept():
    class Slow(LocalPubSub):
        async def subscribe(self, pattern, handler):
            await super().subscribe(pattern, handler)
            raise DeadlineExceeded("", "took too long")

    pubsub, listener = FaultyPubSub(Slow(), seed=1), Listener()
    with pytest.raises(DeadlineExceeded):
        await pubsub.subscribe("t", listener)

    await publish(pubsub, 1)

    assert listener.numbers == [1]
    await pubsub.unsubscribe("t", listener)


async def test_what_is_late_at_the_end_is_dropped(late):
    listener = Listener()
    await late.subscribe("t", listener)
    await publish(late, 1)

    await late.close()
    await late.settle()

    assert listener.numbers == []


# Islands


async def test_messages_do_not_leave_their_island(islands):
    here, there = islands
    listeners = [Listener(), Listener()]
    for each, listener in zip(islands, listeners, strict=True):
        await each.subscribe("t", listener)

    there.island = "away"
    await publish(here, 1)
    await publish(there, 2)

    assert [each.numbers for each in listeners] == [[1], [2]]
    assert [each.stats()["cut"] for each in islands] == [1, 1]


async def test_messages_travel_again_on_one_island(islands):
    here, there = islands
    listener = Listener()
    await here.subscribe("t", listener)
    there.island = "away"
    await publish(there, 1)

    there.island = ""
    await publish(there, 2)

    assert listener.numbers == [2]


async def test_any_bytes_pass_the_frame(islands):
    here, there = islands
    got = []
    await here.subscribe("t", lambda topic, data: got.append(data))

    await there.publish("t", b"\x00a\x00")
    await idle()

    assert got == [b"\x00a\x00"]


def test_rejoining_calls_back_those_who_want_to_know(islands):
    calls = []
    islands[0].on_reconnect(lambda: calls.append(1))

    islands[0].rejoin()

    assert calls == [1]


def test_a_reconnect_of_the_inner_object_is_told_too():
    inner = FaultyPubSub(LocalPubSub(), seed=1)
    calls = []
    FaultyPubSub(inner, seed=1).on_reconnect(lambda: calls.append(1))

    inner.rejoin()

    assert calls == [1]
