"""PubSubContract: what ``pondsocket.PubSub`` promises, as a suite of tests."""

from typing import ClassVar, cast

from pondsocket.errors import PubSubClosedError
from pondsocket.pubsub import PublishesBatches, PubSub, ReconnectAware, match_topic
from pondsocket.testing.checks import expect, expect_equal, in_time
from pondsocket.testing.delivery import HOSTILE, DeliveryContract
from pondsocket.testing.exchange import Exchange, Listener, exchanging
from pondsocket.testing.subscribing import SubscribingContract, expect_error

__all__ = ["BatchContract", "PubSubContract", "WildcardContract"]

POWERS: tuple[type, ...] = (PublishesBatches, ReconnectAware)
BATCH = 300


class PubSubContract(DeliveryContract, SubscribingContract):
    """The suite that every backend runs.

    Subclass it under a name that begins with ``Test``, give :meth:`backend`, and add a
    base class for each further power of the backend: ``WildcardContract`` unless it
    refuses wildcards with a ``ValueError``, ``BatchContract`` for ``PublishesBatches``,
    ``OutageContract`` for ``ReconnectAware``. What a backend does not claim is not
    collected, so nothing is skipped; a power that it has without its base class fails
    a test here. An ``unsubscribe`` that takes only the pattern is noticed by its
    signature.

    Each test makes its own event loop and asks for a backend of its own, lasts seconds
    at most, and fails if a task outlives it.
    """

    power: ClassVar[type | None] = None  # the Protocol that a further suite is about
    has_wildcards: ClassVar[bool] = False

    @exchanging
    async def test_it_has_all_that_a_pubsub_must_have(self, exchange: Exchange) -> None:
        """It has the methods of ``pondsocket.PubSub``."""
        pubsub = await exchange.open()
        expect(isinstance(pubsub, PubSub), "every method of the Protocol")

    @exchanging
    async def test_each_of_its_powers_is_tested(self, exchange: Exchange) -> None:
        """Its powers and the suites among its base classes are the same."""
        pubsub = await exchange.open()
        has = {power for power in POWERS if isinstance(pubsub, power)}
        tested = {vars(base).get("power") for base in type(self).__mro__} - {None}
        expect_equal(tested, has, "the powers that are tested")
        async with in_time("a wildcard that is subscribed or refused"):
            try:
                await pubsub.subscribe("a.*", Listener())
            except ValueError:
                takes_wildcards = False
            else:
                takes_wildcards = True
        expect_equal(self.has_wildcards, takes_wildcards, "wildcards that are tested")


class WildcardContract(PubSubContract):
    """For a backend that takes wildcards, as ``match_topic`` explains them."""

    has_wildcards: ClassVar[bool] = True

    @exchanging
    async def test_a_wildcard_hears_what_begins_like_it(
        self, exchange: Exchange
    ) -> None:
        """``a.*`` hears ``a``, ``ab`` and ``a.b``, with the topics' own names."""
        sender, receiver = await exchange.pair()
        listener = await exchange.listen(receiver, "a.*")
        for topic in ("a", "b", "ab", "ba", "a.b", "A", "a.*", ""):
            await exchange.publish(sender, topic or "*", topic.encode())
        await exchange.quiesce(sender, receiver)
        expected = {(topic, topic.encode()) for topic in ("a", "ab", "a.b", "a.*")}
        expect_equal(set(listener.heard), expected, "what the wildcard heard")
        expect_equal(len(listener.heard), len(expected), "how often it was called")

    @exchanging
    async def test_a_dot_and_a_star_alone_are_a_topic(self, exchange: Exchange) -> None:
        """``.*`` hears itself only."""
        sender, receiver = await exchange.pair()
        listener = await exchange.listen(receiver, ".*")
        for topic in ("a", ".", ".*", ".a"):
            await exchange.publish(sender, topic, topic.encode())
        await exchange.quiesce(sender, receiver)
        expect_equal(listener.heard, [(".*", b".*")], "what .* heard")

    @exchanging
    async def test_each_subscription_that_matches_gets_a_message_once(
        self, exchange: Exchange
    ) -> None:
        """A message goes to the topic's and to each wildcard's subscription, once."""
        sender, receiver = await exchange.pair()
        patterns = ("ab", "a.*", "ab.*")
        listeners = [await exchange.listen(receiver, each) for each in patterns]
        await exchange.publish(sender, "ab", b"1")
        await exchange.quiesce(sender, receiver)
        heard = [listener.heard for listener in listeners]
        expect_equal(heard, [[("ab", b"1")]] * 3, f"what {patterns} heard")

    @exchanging
    async def test_no_name_has_power_over_a_wildcard(self, exchange: Exchange) -> None:
        """What stands before ``.*`` is text."""
        sender, receiver = await exchange.pair()
        patterns = [f"{name}.*" for name in HOSTILE]
        listeners = [await exchange.listen(receiver, each) for each in patterns]
        topics = [f"{name}!" for name in HOSTILE]
        for topic in topics:
            await exchange.publish(sender, topic, b"1")
        await exchange.quiesce(sender, receiver)
        for pattern, listener in zip(patterns, listeners, strict=True):
            expected = sorted(each for each in topics if match_topic(pattern, each))
            heard = sorted(topic for topic, _ in listener.heard)
            expect_equal(heard, expected, f"what {pattern!r} heard")

    @exchanging
    async def test_unsubscribing_a_wildcard_leaves_its_topics(
        self, exchange: Exchange
    ) -> None:
        """A wildcard and a topic that it matches end each for itself."""
        sender, receiver = await exchange.pair()
        wild = await exchange.listen(receiver, "a.*")
        exact = await exchange.listen(receiver, "ab")
        await exchange.unsubscribe(receiver, "a.*", wild)
        await exchange.publish(sender, "ab", b"1")
        await exact.hear(1)
        await exchange.quiesce(sender, receiver)
        expect_equal(wild.heard, [], "what the wildcard heard after its end")


class BatchContract(PubSubContract):
    """For a backend that ``PublishesBatches``."""

    power: ClassVar[type | None] = PublishesBatches

    @exchanging
    async def test_a_batch_arrives_in_order(self, exchange: Exchange) -> None:
        """``publish_many`` publishes in order and tells that all were confirmed."""
        sender, receiver = await exchange.pair()
        listener = await exchange.listen(receiver, "t")
        messages = [("t", b"%d" % number) for number in range(BATCH)]
        batches = _batches(sender)
        async with in_time("a publish_many() that returns"):
            lost = await batches.publish_many(messages)
        await listener.hear(BATCH)
        expect_equal((lost, listener.heard), (0, messages), "lost and heard")

    @exchanging
    async def test_an_empty_batch_is_nothing(self, exchange: Exchange) -> None:
        """``publish_many`` of nothing loses nothing."""
        batches = _batches(await exchange.open())
        expect_equal(await batches.publish_many([]), 0, "what was lost")

    @exchanging
    async def test_a_closed_object_publishes_no_batch(self, exchange: Exchange) -> None:
        """After ``close``, ``publish_many`` is a ``PubSubClosedError``."""
        pubsub = await exchange.open()
        await pubsub.close()
        batches = _batches(pubsub)
        await expect_error(PubSubClosedError, batches.publish_many([("t", b"1")]))


def _batches(pubsub: PubSub) -> PublishesBatches:
    found = f"a PublishesBatches, found {pubsub!r}"
    expect(isinstance(pubsub, PublishesBatches), found)
    return cast("PublishesBatches", pubsub)
