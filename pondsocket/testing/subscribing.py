"""What a PubSub promises to handlers, and how subscriptions and objects end."""

import asyncio
from collections.abc import Awaitable

from pondsocket.errors import Conflict, NotFound, PubSubClosedError
from pondsocket.testing.backend import HasBackend
from pondsocket.testing.checks import expect, expect_equal, in_time
from pondsocket.testing.exchange import Exchange, Listener, exchanging, takes_handler

__all__ = ["SubscribingContract", "expect_error"]


class SubscribingContract(HasBackend):
    """Tests of who listens."""

    @exchanging
    async def test_who_subscribed_hears_what_is_published_right_afterwards(
        self, exchange: Exchange
    ) -> None:
        """``subscribe`` returns once messages arrive, whoever publishes them."""
        sender, receiver = await exchange.pair()
        listeners = []
        for number in range(20):
            listeners.append(await exchange.listen(receiver, f"t{number}"))
            await exchange.publish(sender, f"t{number}", b"1")
        for listener in listeners:
            await listener.hear(1)

    @exchanging
    async def test_the_second_handler_of_a_pattern_hears_at_once_too(
        self, exchange: Exchange
    ) -> None:
        """``subscribe`` returns once messages arrive, also if it is not the first."""
        sender, receiver = await exchange.pair()
        both = [Listener(), Listener()]
        async with in_time("two subscribe() at a time"):
            await asyncio.gather(*(receiver.subscribe("t", each) for each in both))
        await exchange.publish(sender, "t", b"1")
        for listener in both:
            await listener.hear(1)

    @exchanging
    async def test_a_pair_that_is_subscribed_is_a_conflict(
        self, exchange: Exchange
    ) -> None:
        """The same pattern and handler twice is a ``Conflict`` and changes nothing."""
        pubsub = await exchange.open()
        listener = await exchange.listen(pubsub, "t")
        await expect_error(Conflict, pubsub.subscribe("t", listener))
        await exchange.publish(pubsub, "t", b"1")
        await exchange.quiesce(pubsub, pubsub)
        expect_equal(listener.data, [b"1"], "what was heard")

    @exchanging
    async def test_a_plain_function_can_listen(self, exchange: Exchange) -> None:
        """A handler is a coroutine function or a plain one."""
        pubsub = await exchange.open()
        heard: list[tuple[str, bytes]] = []
        await exchange.subscribe(
            pubsub, "t", lambda topic, data: heard.append((topic, data))
        )
        await exchange.publish(pubsub, "t", b"1")
        await exchange.quiesce(pubsub, pubsub)
        expect_equal(heard, [("t", b"1")], "what a plain function heard")

    @exchanging
    async def test_unsubscribing_one_handler_leaves_the_others(
        self, exchange: Exchange
    ) -> None:
        """Once ``unsubscribe`` returned its handler is not called, the others are.

        The others of the same pattern too, where it takes a handler.
        """
        sender, receiver = await exchange.pair()
        gone = await exchange.listen(receiver, "t")
        other = "t" if takes_handler(receiver) else "u"
        stays = await exchange.listen(receiver, other)
        await exchange.unsubscribe(receiver, "t", gone)
        for topic in {"t", other}:
            await exchange.publish(sender, topic, b"1")
        await stays.hear(1)
        await exchange.quiesce(sender, receiver)
        expect_equal(gone.heard, [], "what the one that left heard")

    @exchanging
    async def test_unsubscribing_a_pattern_ends_all_of_it(
        self, exchange: Exchange
    ) -> None:
        """``unsubscribe`` without a handler ends the pattern, and no other object's."""
        sender, receiver = await exchange.pair()
        gone = [await exchange.listen(receiver, "t") for _ in range(2)]
        other_topic = await exchange.listen(receiver, "u")
        other_object = await exchange.listen(sender, "t")
        await exchange.unsubscribe(receiver, "t")
        for topic in ("t", "u"):
            await exchange.publish(sender, topic, b"1")
        await other_topic.hear(1)
        await other_object.hear(1)
        await exchange.quiesce(sender, receiver)
        expect_equal([each.heard for each in gone], [[], []], "what those heard")

    @exchanging
    async def test_unsubscribing_what_is_unknown_is_not_found(
        self, exchange: Exchange
    ) -> None:
        """A pattern, or a handler of it, that is not subscribed is ``NotFound``."""
        pubsub = await exchange.open()
        listener = await exchange.listen(pubsub, "t")
        await expect_error(NotFound, exchange.unsubscribe(pubsub, "u"))
        await expect_error(NotFound, exchange.unsubscribe(pubsub, "u", listener))
        if takes_handler(pubsub):
            await expect_error(NotFound, pubsub.unsubscribe("t", Listener()))
        await exchange.publish(pubsub, "t", b"1")
        await listener.hear(1)

    @exchanging
    async def test_a_pair_can_be_subscribed_again(self, exchange: Exchange) -> None:
        """After its end a subscription can be made anew, and works at once."""
        sender, receiver = await exchange.pair()
        listener = await exchange.listen(receiver, "t")
        for number in range(1, 6):
            await exchange.unsubscribe(receiver, "t", listener)
            await exchange.subscribe(receiver, "t", listener)
            await exchange.publish(sender, "t", b"1")
            await listener.hear(number)

    @exchanging
    async def test_a_handler_that_raises_harms_nobody(self, exchange: Exchange) -> None:
        """What a handler raises ends neither its subscription nor another."""
        sender, receiver = await exchange.pair()
        calls: list[bytes] = []

        async def fail(_topic: str, data: bytes) -> None:
            """Note a message and fail."""
            calls.append(data)
            raise ValueError("a handler that fails, as the test wants it")

        await exchange.subscribe(receiver, "t", fail)
        listener = await exchange.listen(receiver, "t")
        await exchange.publish(sender, "t", b"1", b"2")
        await listener.hear(2)
        await exchange.quiesce(sender, receiver)
        expect_equal(calls, [b"1", b"2"], "the calls of a handler that raises")

    @exchanging
    async def test_a_handler_that_is_stuck_harms_nobody(
        self, exchange: Exchange
    ) -> None:
        """While a handler waits, publishing, subscribing and the others go on."""
        sender, receiver = await exchange.pair()
        stuck = await exchange.listen(receiver, "t")
        stuck.gate.clear()
        other = await exchange.listen(receiver, "t")
        await exchange.publish(sender, "t", b"1", b"2")
        await other.hear(2)
        third = await exchange.listen(receiver, "u")
        await exchange.publish(sender, "u", b"3")
        await third.hear(1)
        expect_equal(stuck.heard, [], "what a handler that is stuck noted")
        stuck.gate.set()
        await stuck.hear(2)
        expect_equal(stuck.data, [b"1", b"2"], "what it noted afterwards")

    @exchanging
    async def test_a_handler_gets_one_message_at_a_time(
        self, exchange: Exchange
    ) -> None:
        """A handler is not called while a call of it runs."""
        pubsub = await exchange.open()
        running: list[int] = []

        async def count(_topic: str, _data: bytes) -> None:
            """Note how many calls run, at the beginning and at the end."""
            running.append(running[-1] + 1 if running else 1)
            await asyncio.sleep(0)
            running.append(running[-1] - 1)

        await exchange.subscribe(pubsub, "t", count)
        await exchange.publish(pubsub, "t", *[b""] * 20)
        await exchange.quiesce(pubsub, pubsub)
        expect_equal(max(running, default=0), 1, "calls at a time")

    @exchanging
    async def test_a_handler_can_use_the_object_that_called_it(
        self, exchange: Exchange
    ) -> None:
        """A handler may publish, subscribe and unsubscribe."""
        pubsub = await exchange.open()
        later = Listener()

        async def move_on(topic: str, _data: bytes) -> None:
            """Listen to something else from now on."""
            await pubsub.subscribe("later", later)
            await exchange.unsubscribe(pubsub, topic, move_on)
            await pubsub.publish("later", b"1")

        await exchange.subscribe(pubsub, "t", move_on)
        await exchange.publish(pubsub, "t", b"1")
        await later.hear(1)

    @exchanging
    async def test_a_closed_object_refuses_to_work(self, exchange: Exchange) -> None:
        """``close`` is for good: no subscription is left, and twice is no error."""
        pubsub = await exchange.open()
        listener = await exchange.listen(pubsub, "t")
        for _ in range(2):
            async with in_time("a close() that returns"):
                await pubsub.close()
        await expect_error(PubSubClosedError, pubsub.subscribe("u", listener))
        await expect_error(PubSubClosedError, pubsub.publish("t", b"1"))
        await expect_error(NotFound, exchange.unsubscribe(pubsub, "t", listener))

    @exchanging
    async def test_a_closed_object_hears_nothing_and_the_others_go_on(
        self, exchange: Exchange
    ) -> None:
        """``close`` ends the object's own subscriptions and no other's."""
        closed, other = await exchange.pair()
        mine = await exchange.listen(closed, "t")
        theirs = await exchange.listen(other, "t")
        await closed.close()
        await exchange.publish(other, "t", b"1")
        await theirs.hear(1)
        await exchange.quiesce(other, other)
        expect_equal(mine.heard, [], "what the closed object heard")

    @exchanging
    async def test_closing_cancels_and_awaits_handlers(
        self, exchange: Exchange
    ) -> None:
        """A handler that runs is over when ``close`` returns."""
        pubsub = await exchange.open()
        stuck = await exchange.listen(pubsub, "t")
        stuck.gate.clear()
        await exchange.publish(pubsub, "t", b"1")
        async with in_time("a handler that is called"):
            await stuck.was_called.wait()
        async with in_time("a close() that returns"):
            await pubsub.close()
        expect(stuck.was_cancelled, "a handler that was cancelled and awaited")


async def expect_error(error: type[Exception], work: Awaitable[object]) -> None:
    """Fail unless ``work`` raises ``error``, and soon."""
    async with in_time(f"a {error.__name__}"):
        try:
            await work
        except error:
            return
    raise AssertionError(f"expected: a {error.__name__}")
