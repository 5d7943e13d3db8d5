"""What a Publisher does when its connection breaks, or answers what nobody asked."""

import asyncio

import pytest
from redis.exceptions import ResponseError

from pondsocket import DeadlineExceeded, PubSubClosedError, Unavailable
from pondsocket_redis import publisher as module
from pondsocket_redis.publisher import Publisher
from pondsocket_redis.wire import encode_command
from tests.backends.redis.wires import Exchange, make_shared


@pytest.fixture
def exchange():
    return Exchange()


@pytest.fixture
def shared():
    return make_shared(publish_timeout=0.1)


@pytest.fixture
async def publisher(exchange, shared):
    publisher = Publisher("publisher", exchange.dial, command=b"PUBLISH", shared=shared)
    yield publisher
    await publisher.close()


async def begun(publisher, exchange):
    """Have the publisher connected; return the connection."""
    publisher.start()
    return await exchange.next_wire()


def published(data):
    return encode_command(b"PUBLISH", b"t", data)


async def test_a_loss_in_the_turn_of_a_publish_does_not_stop_the_next(
    publisher, exchange
):
    wire = await begun(publisher, exchange)
    lost = asyncio.ensure_future(publisher.publish("t", b"lost"))
    # Seen after the publish has made a task, and before that task has begun.
    wire.abort()
    with pytest.raises(Unavailable):
        await lost
    wire = await exchange.next_wire()

    found = asyncio.ensure_future(publisher.publish("t", b"found"))

    assert await wire.has_sent(1) == [published(b"found")]
    wire.answer(1)
    await found


async def test_what_was_sent_before_a_loss_is_not_sent_again(
    publisher, exchange, shared
):
    wire = await begun(publisher, exchange)
    lost = asyncio.ensure_future(publisher.publish_many([("t", b"1"), ("t", b"2")]))
    await wire.has_sent(2)
    wire.answer(1)
    wire.abort()

    assert await lost == 1
    wire = await exchange.next_wire()
    assert wire.sent == []
    assert (shared.tally.published, shared.tally.lost) == (1, 1)


async def test_an_answer_that_comes_too_late_is_not_taken_for_the_next(
    publisher, exchange
):
    wire = await begun(publisher, exchange)
    with pytest.raises(DeadlineExceeded):
        await publisher.publish("t", b"slow")
    refused = asyncio.ensure_future(publisher.publish("t", b"refused"))
    await wire.has_sent(2)

    wire.answer(1)
    wire.answer(ResponseError("no"))

    with pytest.raises(Unavailable, match="not published: no"):
        await refused


async def test_what_was_due_before_it_could_leave_never_leaves(publisher, exchange):
    late = asyncio.ensure_future(publisher.publish("t", b"late"))
    await asyncio.sleep(0)
    publisher._judge(asyncio.get_running_loop().time() + 1)
    with pytest.raises(DeadlineExceeded):
        await late
    wire = await begun(publisher, exchange)

    sending = asyncio.ensure_future(publisher.publish("t", b"next"))

    assert await wire.has_sent(1) == [published(b"next")]
    wire.answer(1)
    await sending


async def test_a_publish_that_was_cancelled_keeps_the_answers_in_step(
    publisher, exchange
):
    wire = await begun(publisher, exchange)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await publisher.publish("t", b"cancelled")
    refused = asyncio.ensure_future(publisher.publish("t", b"refused"))
    await wire.has_sent(2)

    wire.answer(1)
    wire.answer(ResponseError("no"))

    with pytest.raises(Unavailable, match="not published: no"):
        await refused


async def test_an_answer_to_nothing_ends_the_connection(publisher, exchange):
    wire = await begun(publisher, exchange)

    wire.answer(1)

    assert await exchange.next_wire() is not wire


async def test_more_than_may_wait_is_refused_at_once(
    publisher, exchange, shared, monkeypatch
):
    monkeypatch.setattr(module, "_MAX_MESSAGES", 2)
    await begun(publisher, exchange)
    waiting = asyncio.ensure_future(publisher.publish_many([("t", b"")] * 2))
    await asyncio.sleep(0)

    with pytest.raises(Unavailable, match="too many messages wait"):
        await publisher.publish("t", b"")

    assert await waiting == 2
    assert shared.tally.lost == 3


async def test_a_closed_publisher_takes_nothing(publisher):
    await publisher.close()

    with pytest.raises(PubSubClosedError):
        await publisher.publish_many([("t", b"")])


async def test_a_probe_is_not_counted(publisher, exchange, shared):
    assert not await publisher.probe("t", b"before there is a connection")
    wire = await begun(publisher, exchange)
    probing = asyncio.ensure_future(publisher.probe("t", b"1"))
    await wire.has_sent(1)

    wire.abort()

    assert not await probing
    assert (shared.tally.published, shared.tally.lost) == (0, 0)
