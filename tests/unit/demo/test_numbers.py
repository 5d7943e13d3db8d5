"""The demo's numbers: what is counted, and the life of the task that publishes."""

import asyncio

import pytest

from pondsocket.demo.numbers import Numbers, Publisher, Rates


@pytest.fixture
def numbers():
    return Numbers(unseen="/metrics", now=10.0)


def test_messages_are_counted_per_second(numbers):
    for _ in range(3):
        numbers.message_received("c", "/rooms/a", "message", 10)
    for _ in range(8):
        numbers.message_sent("c", "/rooms/a", "message", 10)

    numbers.tick(12.0)

    assert (numbers.rates.received, numbers.rates.delivered) == (1.5, 4.0)


def test_the_channel_of_the_numbers_does_not_count_itself(numbers):
    numbers.message_received("c", "/metrics", "x", 10)
    numbers.message_sent("c", "/metrics", "stats", 10)

    numbers.tick(11.0)

    assert numbers.rates == Rates()


def test_handlers_are_timed_on_average(numbers):
    numbers.handler_duration("message", 0.002)
    numbers.handler_duration("message", 0.004)

    numbers.tick(11.0)

    assert numbers.rates.handler_ms == pytest.approx(3.0)


def test_the_deepest_outbox_of_the_time_is_told(numbers):
    for queue, depth in [("outbox", 2), ("outbox", 7), ("outbox", 1), ("inbox", 9)]:
        numbers.queue_depth(queue, depth)

    numbers.tick(11.0)

    assert numbers.rates.outbox == 7


def test_every_tick_starts_over(numbers):
    numbers.message_sent("c", "/rooms/a", "message", 10)
    numbers.queue_depth("outbox", 7)
    numbers.tick(11.0)

    numbers.tick(12.0)

    assert numbers.rates == Rates()


def test_two_ticks_at_once_divide_by_no_zero(numbers):
    numbers.message_sent("c", "/rooms/a", "message", 10)

    numbers.tick(10.0)

    assert numbers.rates.delivered == pytest.approx(1000.0)


def test_rates_travel_rounded_for_people():
    rates = Rates(received=1 / 3, delivered=12.34, outbox=2, handler_ms=0.12345)

    assert rates.to_payload() == {
        "received": 0.3,
        "delivered": 12.3,
        "outbox": 2,
        "handlerMs": 0.123,
    }


async def test_a_publisher_runs_from_its_first_watcher_to_its_last():
    published = asyncio.Event()

    async def publish():
        published.set()

    publisher = Publisher(publish, interval=0)
    assert not publisher.is_running

    publisher.watch("u1")
    publisher.watch("u2")
    await publisher.unwatch("u1")
    async with asyncio.timeout(1):
        await published.wait()
    assert publisher.is_running
    await publisher.unwatch("u2")

    assert not publisher.is_running
    assert [task.get_name() for task in asyncio.all_tasks()].count("demo numbers") == 0


async def test_a_publisher_that_nobody_watches_stays_as_it_is():
    publisher = Publisher(lambda: asyncio.sleep(0), interval=1)

    await publisher.unwatch("u1")

    assert not publisher.is_running


async def test_a_watcher_that_comes_back_starts_the_publisher_again():
    publisher = Publisher(lambda: asyncio.sleep(0), interval=1)
    publisher.watch("u1")
    await publisher.unwatch("u1")

    publisher.watch("u1")

    assert publisher.is_running
    await publisher.unwatch("u1")


async def test_a_failure_is_logged_and_the_next_second_is_another_chance(caplog):
    calls = 0
    again = asyncio.Event()

    async def publish():
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError("no luck")
        again.set()

    publisher = Publisher(publish, interval=0)
    publisher.watch("u1")
    async with asyncio.timeout(1):
        await again.wait()
    await publisher.unwatch("u1")

    assert "no luck" in caplog.text
