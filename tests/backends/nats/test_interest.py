"""What a client is subscribed to."""

import asyncio

import pytest
from nats.errors import ConnectionClosedError, FlushTimeoutError

from pondsocket_nats.intake import Sink
from pondsocket_nats.interest import Interest, close_client


class Subscription:
    """Stands in for one of the library."""

    def __init__(self, subject):
        self.subject = subject
        self.is_ended = False

    async def unsubscribe(self):
        self.is_ended = True
        raise ConnectionClosedError


class Client:
    """Subscribes when it is let; refuses if it is closed; cannot be closed itself."""

    _transport = None

    def __init__(self):
        self.subscriptions = []
        self.go = asyncio.Event()
        self.go.set()
        self.is_closed = False

    async def subscribe(self, subject, future):
        await self.go.wait()
        if self.is_closed:
            raise ConnectionClosedError
        self.subscriptions.append(Subscription(subject))
        return self.subscriptions[-1]

    async def close(self):
        raise FlushTimeoutError


@pytest.fixture
async def client():
    return Client()


@pytest.fixture
async def interest():
    return Interest(lambda topic: Sink(lambda data: None))


async def test_a_topic_is_subscribed_once(interest, client):
    await interest.add(client, "a.b")
    await interest.add(client, "a.b")

    assert [each.subject for each in client.subscriptions] == ["a%2Eb"]


async def test_a_topic_that_was_removed_meanwhile_is_unsubscribed(interest, client):
    client.go.clear()
    adding = asyncio.create_task(interest.add(client, "t"))
    await asyncio.sleep(0)
    await interest.remove("t")
    client.go.set()
    await adding

    assert [each.is_ended for each in client.subscriptions] == [True]


async def test_a_topic_that_came_back_meanwhile_keeps_its_last_subscription(
    interest, client
):
    client.go.clear()
    adding = asyncio.create_task(interest.add(client, "t"))
    await asyncio.sleep(0)
    await interest.remove("t")
    again = asyncio.create_task(interest.add(client, "t"))
    await asyncio.sleep(0)
    client.go.set()
    await asyncio.gather(adding, again)

    assert [each.is_ended for each in client.subscriptions] == [True, False]


async def test_a_topic_that_was_refused_can_be_added_again(interest, client):
    client.is_closed = True
    with pytest.raises(ConnectionClosedError):
        await interest.add(client, "t")
    client.is_closed = False
    await interest.add(client, "t")

    assert len(client.subscriptions) == 1


async def test_another_client_gets_everything_that_is_wanted(interest, client):
    await interest.add(client, "old")
    other = Client()
    await interest.move(other, ["a", "b"])

    assert [each.subject for each in other.subscriptions] == ["a", "b"]


async def test_a_client_that_does_not_close_stops_nobody(client, caplog):
    caplog.set_level("DEBUG")
    await close_client(client)

    assert "closing the nats client failed" in caplog.text
