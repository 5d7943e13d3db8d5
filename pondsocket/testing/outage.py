"""OutageContract: what a PubSub promises when its server goes away and comes back."""

import asyncio
import time
from collections.abc import Sized
from contextlib import suppress
from functools import partial
from typing import ClassVar, cast

from pondsocket.errors import PondError
from pondsocket.pubsub import PubSub, ReconnectAware
from pondsocket.testing.backend import HasStoppableBackend
from pondsocket.testing.checks import PAUSE, eventually, expect, expect_equal, in_time
from pondsocket.testing.exchange import (
    Exchange,
    Listener,
    exchanging,
    stoppable,
    takes_handler,
)
from pondsocket.testing.pubsub import PubSubContract

__all__ = ["OutageContract"]

NOTICE = 1.0  # seconds that a publish into an outage may take
SOME = 100  # messages between two outages


class OutageContract(PubSubContract, HasStoppableBackend):
    """For a backend that can lose its server, and tells so (``ReconnectAware``).

    ``backend()`` yields a ``StoppableBackend``. A test may take the patience of a
    suite for each outage, so allow it half a minute.
    """

    power: ClassVar[type | None] = ReconnectAware

    @exchanging
    async def test_publishing_into_an_outage_fails_soon(
        self, exchange: Exchange
    ) -> None:
        """While the server is away ``publish`` raises a ``PondError`` in a second."""
        pubsub = await exchange.open()
        await stoppable(exchange).stop()
        await _until_away(pubsub)
        for _ in range(3):
            began = time.monotonic()
            failed = await _fails(pubsub, "t", b"1")
            took = time.monotonic() - began
            expect(failed, "a publish() that raises a PondError during an outage")
            expect(took < NOTICE, f"that within {NOTICE} s, found {took:.3f} s")

    @exchanging
    async def test_what_failed_during_an_outage_does_not_arrive_later(
        self, exchange: Exchange
    ) -> None:
        """What ``publish`` refused is not kept and sent behind its caller's back."""
        sender, receiver = await exchange.pair()
        listener = await exchange.listen(receiver, "t")
        await stoppable(exchange).stop()
        await _until_away(sender)
        failed = [b"%d" % n for n in range(20) if await _fails(sender, "t", b"%d" % n)]
        await stoppable(exchange).start()
        await _until_heard(sender, listener)
        await exchange.quiesce(sender, receiver)
        expect(failed, "a publish() that raises a PondError during an outage")
        late = [data for data in listener.data if data in failed]
        expect_equal(late, [], "what arrived though it had failed")

    @exchanging
    async def test_subscriptions_come_back_by_themselves(
        self, exchange: Exchange
    ) -> None:
        """Nobody subscribes anew after an outage; what had ended stays so."""
        sender, receiver = await exchange.pair()
        listeners = [await exchange.listen(receiver, f"t{n}") for n in range(3)]
        gone = await exchange.listen(receiver, "gone")
        await exchange.unsubscribe(receiver, "gone", gone)
        for _ in range(2):
            await stoppable(exchange).stop()
            await _until_away(receiver)
            await stoppable(exchange).start()
            for number, listener in enumerate(listeners):
                await _until_heard(sender, listener, f"t{number}")
        await exchange.publish(sender, "gone", b"1")
        await exchange.quiesce(sender, receiver)
        expect_equal(gone.heard, [], "what a subscription that had ended heard")

    @exchanging
    async def test_what_is_unsubscribed_during_an_outage_does_not_come_back(
        self, exchange: Exchange
    ) -> None:
        """``unsubscribe`` works without a server."""
        sender, receiver = await exchange.pair()
        gone = await exchange.listen(receiver, "t")
        other = "t" if takes_handler(receiver) else "u"
        stays = await exchange.listen(receiver, other)
        await stoppable(exchange).stop()
        await _until_away(receiver)
        await exchange.unsubscribe(receiver, "t", gone)
        await stoppable(exchange).start()
        await _until_heard(sender, stays, other)
        await _fails(sender, "t", b"again")
        await exchange.quiesce(sender, receiver)
        expect_equal(gone.heard, [], "what was heard after unsubscribe()")

    @exchanging
    async def test_it_tells_once_per_outage_that_it_is_back(
        self, exchange: Exchange
    ) -> None:
        """``on_reconnect`` calls back once each time, and never for the beginning."""
        pubsub = await exchange.open()
        calls: list[int] = []
        _aware(pubsub).on_reconnect(lambda: calls.append(1))
        listener = await exchange.listen(pubsub, "t")
        await exchange.publish(pubsub, "t", b"1")
        await listener.hear(1)
        expect_equal(len(calls), 0, "calls before the first outage")
        for outage in (1, 2):
            await stoppable(exchange).stop()
            await _until_away(pubsub)
            await stoppable(exchange).start()
            await eventually(partial(_has, calls, outage), "a call back")
            await _until_heard(pubsub, listener)
            await exchange.quiesce(pubsub, pubsub)
            expect_equal(len(calls), outage, f"calls after {outage} outages")

    @exchanging
    async def test_subscriptions_are_back_when_it_tells_so(
        self, exchange: Exchange
    ) -> None:
        """What is published after ``on_reconnect`` called back arrives."""
        sender, receiver = await exchange.pair()
        told = {id(each): asyncio.Event() for each in (sender, receiver)}
        for each in (sender, receiver):
            _aware(each).on_reconnect(told[id(each)].set)
        listeners = [await exchange.listen(receiver, f"t{n}") for n in range(20)]
        await exchange.listen(sender, "own")
        await stoppable(exchange).stop()
        await _until_away(sender)
        await _until_away(receiver)
        await stoppable(exchange).start()
        for each in (sender, receiver):
            await eventually(told[id(each)].is_set, "a call back")
        for number, listener in enumerate(listeners):
            await exchange.publish(sender, f"t{number}", b"1")
            await listener.hear(1)

    @exchanging
    async def test_what_is_opened_during_an_outage_works_after_it(
        self, exchange: Exchange
    ) -> None:
        """Opening and subscribing need no server; a subscription is kept from then."""
        await stoppable(exchange).stop()
        pubsub = await exchange.open()
        listener = Listener()
        async with in_time("a subscribe() that ends once there is a server"):
            await asyncio.gather(
                _subscribe_early(pubsub, listener), stoppable(exchange).start()
            )
        await _until_heard(pubsub, listener)

    @exchanging
    async def test_nothing_arrives_twice(self, exchange: Exchange) -> None:
        """Messages around an outage arrive once or not at all, in order."""
        sender, receiver = await exchange.pair()
        listener = await exchange.listen(receiver, "t")
        for first in (0, SOME):
            for number in range(first, first + SOME):
                await _fails(sender, "t", b"%d" % number)
            await stoppable(exchange).stop()
            await stoppable(exchange).start()
            await _until_heard(sender, listener)
        after = range(2 * SOME, 3 * SOME)
        await exchange.publish(sender, "t", *(b"%d" % number for number in after))
        await exchange.quiesce(sender, receiver)
        numbers = [int(data) for data in listener.data if data.isdigit()]
        expect_equal(numbers, sorted(set(numbers)), "the numbers that were heard")
        expect(set(after) <= set(numbers), "all that followed the outages")

    @exchanging
    async def test_it_can_be_closed_during_an_outage(self, exchange: Exchange) -> None:
        """``close`` needs no server."""
        pubsub = await exchange.open()
        await exchange.listen(pubsub, "t")
        await stoppable(exchange).stop()
        await _until_away(pubsub)
        async with in_time("a close() that returns"):
            await pubsub.close()


def _aware(pubsub: PubSub) -> ReconnectAware:
    expect(isinstance(pubsub, ReconnectAware), f"a ReconnectAware, found {pubsub!r}")
    return cast("ReconnectAware", pubsub)


def _has(calls: Sized, count: int) -> bool:
    return len(calls) >= count


async def _fails(pubsub: PubSub, topic: str, data: bytes) -> bool:
    """Publish; tell whether that failed with a PondError."""
    async with in_time("a publish() that returns or raises"):
        try:
            await pubsub.publish(topic, data)
        except PondError:
            return True
    return False


async def _subscribe_early(pubsub: PubSub, listener: Listener) -> None:
    """Subscribe without a server, which may fail and counts nevertheless."""
    with suppress(PondError):
        await pubsub.subscribe("t", listener)


async def _until_away(pubsub: PubSub) -> None:
    """Wait until an object has noticed that its server is gone."""
    async with in_time("a publish() that raises a PondError during an outage"):
        while not await _fails(pubsub, "nobody", b""):  # noqa: ASYNC110 - no event
            await asyncio.sleep(PAUSE)


async def _until_heard(sender: PubSub, listener: Listener, topic: str = "t") -> None:
    """Publish until a listener hears it again."""
    before = len(listener.heard)
    async with in_time(f"a message of {topic!r} after an outage"):
        while len(listener.heard) == before:
            await _fails(sender, topic, b"again")
            await asyncio.sleep(PAUSE)
