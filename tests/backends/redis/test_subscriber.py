"""What a Subscriber asks of each new connection, and what breaks one."""

import asyncio

import pytest
from redis.exceptions import MovedError, ResponseError

from pondsocket import DeadlineExceeded, Unavailable
from pondsocket_redis.names import EXACT, SHARDED, Name
from pondsocket_redis.subscriber import Subscriber
from pondsocket_redis.wire import encode_command
from tests.backends.redis.ears import until
from tests.backends.redis.wires import Exchange, make_shared

A, B = Name(EXACT, b"a"), Name(EXACT, b"b")
SHARD = Name(SHARDED, b"s")


@pytest.fixture
def exchange():
    return Exchange()


@pytest.fixture
def moved():
    return []


@pytest.fixture
async def subscriber(exchange, moved):
    subscriber = Subscriber(
        "subscriber",
        exchange.dial,
        lambda *_: False,
        moved=moved.append,
        shared=make_shared(),
    )
    yield subscriber
    await subscriber.close()


def confirmed(wire, text, verb=b"subscribe"):
    wire.answer([verb, text, 1])


async def begun(subscriber, exchange, *names):
    """Have names subscribed; return the connection."""
    for name in names:
        subscriber.want(name)
    subscriber.start()
    wire = await exchange.next_wire()
    for kind, text in names:
        confirmed(wire, text, kind.lower() + b"subscribe")
    await until(lambda: subscriber.is_ready)
    wire.sent.clear()
    return wire


async def test_a_loss_in_the_turn_of_an_order_does_not_stop_the_next(
    subscriber, exchange
):
    wire = await begun(subscriber, exchange, A)
    # Seen before the task that the change makes has begun.
    wire.abort()
    subscriber.forget(A)
    wire = await exchange.next_wire()
    await until(lambda: subscriber.is_ready)

    subscriber.want(B)

    assert await wire.has_sent(1) == [encode_command(b"SUBSCRIBE", b"b")]


async def test_an_end_whose_confirmation_was_lost_is_not_waited_for(
    subscriber, exchange
):
    wire = await begun(subscriber, exchange, A, B)
    subscriber.forget(B)
    await wire.has_sent(1)
    wire.abort()

    wire = await exchange.next_wire()

    assert await wire.has_sent(1) == [encode_command(b"SUBSCRIBE", b"a")]
    confirmed(wire, b"a")
    await until(lambda: subscriber.is_ready)


async def test_what_is_wanted_later_does_not_delay_the_return(subscriber, exchange):
    subscriber.want(A)
    subscriber.start()
    wire = await exchange.next_wire()
    await wire.has_sent(1)
    subscriber.want(B)
    await wire.has_sent(2)

    confirmed(wire, b"a")

    await until(lambda: subscriber.is_ready)


async def test_what_is_forgotten_meanwhile_does_not_delay_the_return(
    subscriber, exchange
):
    subscriber.want(A)
    subscriber.start()
    wire = await exchange.next_wire()
    await wire.has_sent(1)

    subscriber.forget(A)
    confirmed(wire, b"a")

    await until(lambda: subscriber.is_ready)


async def test_of_refused_names_each_is_asked_for_by_itself(
    subscriber, exchange, caplog
):
    subscriber.want(A)
    subscriber.want(B)
    subscriber.start()
    wire = await exchange.next_wire()
    await wire.has_sent(1)
    wire.answer(ResponseError("one of them"))

    assert set((await wire.has_sent(3))[1:]) == {
        encode_command(b"SUBSCRIBE", b"a"),
        encode_command(b"SUBSCRIBE", b"b"),
    }
    wire.answer(ResponseError("not this one"))
    wire.answer([b"subscribe", b"b" if wire.sent[1].endswith(b"a\r\n") else b"a", 1])
    await until(lambda: subscriber.is_ready)
    assert "not this one" in caplog.text


async def test_a_connection_that_confirms_nothing_is_given_up(exchange):
    subscriber = Subscriber(
        "subscriber",
        exchange.dial,
        lambda *_: False,
        moved=lambda _: None,
        shared=make_shared(subscribe_timeout=0.05),
    )
    subscriber.want(A)
    subscriber.start()
    await exchange.next_wire()

    await exchange.next_wire()

    await subscriber.close()


async def test_a_name_that_is_not_confirmed_in_time_is_kept(exchange):
    subscriber = Subscriber(
        "subscriber",
        exchange.dial,
        lambda *_: False,
        moved=lambda _: None,
        shared=make_shared(subscribe_timeout=0.05),
    )
    wire = await begun(subscriber, exchange, A)
    subscriber.want(B)
    with pytest.raises(DeadlineExceeded, match=r"not confirmed within 0\.05 s"):
        await subscriber.confirmed(B)

    confirmed(wire, b"b")

    await subscriber.confirmed(B)
    await subscriber.close()


async def test_a_loss_tells_who_waits_for_a_confirmation(subscriber, exchange):
    wire = await begun(subscriber, exchange, A)
    subscriber.want(B)
    waiting = asyncio.ensure_future(subscriber.confirmed(B))
    await wire.has_sent(1)

    wire.abort()

    with pytest.raises(Unavailable, match="subscribed once the server is back: cut"):
        await waiting


async def test_a_loss_that_has_no_text_is_told_by_its_name(subscriber, exchange):
    wire = await begun(subscriber, exchange, A)
    subscriber.want(B)
    waiting = asyncio.ensure_future(subscriber.confirmed(B))
    await wire.has_sent(1)

    wire.answer(TimeoutError())

    with pytest.raises(Unavailable, match=r"the server is back: TimeoutError\(\)"):
        await waiting


async def test_a_topic_whose_slot_left_is_reported_and_not_waited_for(
    subscriber, exchange, moved
):
    wire = await begun(subscriber, exchange, SHARD)
    confirmed(wire, b"s", b"sunsubscribe")

    await until(lambda: moved == [SHARD])


async def test_a_topic_that_another_node_serves_is_reported(
    subscriber, exchange, moved, caplog
):
    subscriber.want(SHARD)
    subscriber.start()
    wire = await exchange.next_wire()
    await wire.has_sent(1)
    wire.answer(MovedError("1 127.0.0.1:1"))

    await until(lambda: moved == [SHARD])
    assert caplog.text == ""
