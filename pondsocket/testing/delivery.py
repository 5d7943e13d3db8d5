"""What a PubSub promises about messages: to whom, whole, in order, once."""

from pondsocket.pubsub import format_topic
from pondsocket.testing.backend import HasBackend
from pondsocket.testing.checks import expect, expect_equal
from pondsocket.testing.exchange import Exchange, exchanging

__all__ = ["HOSTILE", "DeliveryContract"]

MANY = 1000
BINARY = (bytes(range(256)), b"", b"\x00", b"\xff" * 512 * 1024, b"\r\n.\r\n")
# A client chooses a channel's name; none may mean something to a server.
HOSTILE = (
    "", " ", "  ", "a", "A", "a ", " a", "a b", "*", "a*", "a.*.b", "**", ">", "a.>",
    ".", "..", "a.", ".a", "a.b", "a..b", "?", "a?", "[a]", "[^b]", "[", "{", "{a}",
    "{a}b", "\\", "a\\", "\\a", "a\nb", "a\r\nb", "a\tb", "a\x00", "%", "%61", "a%20b",
    "+", "#", "$a", "$SYS", "_INBOX.a", "a/b", "a:b", ":", "é", "e\u0301", "😀", "中",
    "x" * 499 + "y", "x" * 500, "x" * 501,
)  # fmt: skip


class DeliveryContract(HasBackend):
    """Tests of what travels."""

    @exchanging
    async def test_a_message_reaches_who_subscribed_its_topic(
        self, exchange: Exchange
    ) -> None:
        """What one object publishes, another that subscribed the topic hears."""
        sender, receiver = await exchange.pair()
        listener = await exchange.listen(receiver, "t")
        await exchange.publish(sender, "t", b"1")
        await listener.hear(1)
        expect_equal(listener.heard, [("t", b"1")], "what was heard")

    @exchanging
    async def test_a_message_reaches_its_sender_too(self, exchange: Exchange) -> None:
        """An object hears what it publishes itself."""
        sender = await exchange.open()
        listener = await exchange.listen(sender, "t")
        await exchange.publish(sender, "t", b"1")
        await listener.hear(1)
        expect_equal(listener.heard, [("t", b"1")], "what the sender heard")

    @exchanging
    async def test_a_message_arrives_once(self, exchange: Exchange) -> None:
        """Each subscription gets each message once at most."""
        sender, receiver = await exchange.pair()
        listeners = [
            await exchange.listen(each, "t") for each in (sender, receiver, receiver)
        ]
        await exchange.publish(sender, "t", b"1")
        await exchange.quiesce(sender, sender, receiver)
        heard = [listener.data for listener in listeners]
        expect_equal(heard, [[b"1"]] * 3, "what three subscriptions heard")

    @exchanging
    async def test_a_message_of_another_topic_does_not_arrive(
        self, exchange: Exchange
    ) -> None:
        """A subscription of a plain topic hears that topic and no other."""
        sender, receiver = await exchange.pair()
        listener = await exchange.listen(receiver, "a.b")
        for topic in ("a", "a.", "a.b.c", "a.bc", "A.B", "x", "a_b"):
            await exchange.publish(sender, topic, b"other")
        await exchange.publish(sender, "a.b", b"mine")
        await exchange.quiesce(sender, receiver)
        expect_equal(listener.heard, [("a.b", b"mine")], "what was heard")

    @exchanging
    async def test_no_topic_has_power_over_another(self, exchange: Exchange) -> None:
        """A channel's name is text: two names never get each other's messages."""
        sender, receiver = await exchange.pair()
        topics = [format_topic("/chat", name) for name in HOSTILE]
        listeners = [await exchange.listen(receiver, topic) for topic in topics]
        for topic in topics:
            await exchange.publish(sender, topic, topic.encode())
        await exchange.quiesce(sender, receiver)
        for topic, listener in zip(topics, listeners, strict=True):
            expected = [(topic, topic.encode())]
            expect_equal(listener.heard, expected, f"what {topic!r} heard")

    @exchanging
    async def test_any_bytes_arrive_unchanged(self, exchange: Exchange) -> None:
        """Data is bytes: empty, of any value, of half a megabyte."""
        sender, receiver = await exchange.pair()
        listener = await exchange.listen(receiver, "t")
        await exchange.publish(sender, "t", *BINARY)
        await listener.hear(len(BINARY))
        for number, (found, sent) in enumerate(
            zip(listener.data, BINARY, strict=True), 1
        ):
            expect(found == sent, f"message {number}, of {len(sent)} bytes, unchanged")

    @exchanging
    async def test_messages_of_one_topic_arrive_in_order(
        self, exchange: Exchange
    ) -> None:
        """What one object publishes to a topic arrives in that order, all of it."""
        sender, receiver = await exchange.pair()
        listener = await exchange.listen(receiver, "t")
        await exchange.publish(sender, "t", *(b"%d" % each for each in range(MANY)))
        await listener.hear(MANY)
        numbers = [int(data) for data in listener.data]
        expect(numbers == list(range(MANY)), f"{MANY} messages in order, not {numbers}")

    @exchanging
    async def test_each_publisher_keeps_its_order(self, exchange: Exchange) -> None:
        """Order is promised per publisher, also when several publish in turns."""
        senders = [await exchange.open() for _ in range(3)]
        listener = await exchange.listen(await exchange.open(), "t")
        for number in range(100):
            for index, sender in enumerate(senders):
                await exchange.publish(sender, "t", b"%d %d" % (index, number))
        await listener.hear(3 * 100)
        for index in range(3):
            head = b"%d " % index
            own = [data for data in listener.data if data.startswith(head)]
            expected = [b"%d %d" % (index, number) for number in range(100)]
            expect(own == expected, f"the order of publisher {index}")

    @exchanging
    async def test_a_message_that_nobody_hears_is_no_error(
        self, exchange: Exchange
    ) -> None:
        """Publishing returns whether somebody listens or not."""
        sender = await exchange.open()
        await exchange.publish(sender, "unheard", b"1")
        listener = await exchange.listen(sender, "unheard")
        await exchange.quiesce(sender, sender)
        expect_equal(listener.heard, [], "what who came later heard")
