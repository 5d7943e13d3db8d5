"""Publisher: a bounded queue and, while it holds something, a task."""

import asyncio
import logging

import pytest

from pondsocket.distributed import publisher as module
from pondsocket.distributed.publisher import BATCH, MAX_BYTES, MAX_MESSAGES, Publisher
from pondsocket.metrics import Telemetry
from tests.unit.doubles import other_tasks, settle, started

HALF = MAX_MESSAGES // 2


class Bus:
    """A PubSub that notes what is published, and can be held up."""

    def __init__(self):
        self.published = []
        self.failure = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.cancelled = 0
        self.is_stubborn = False

    async def publish(self, topic, data):
        while not self.gate.is_set():
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                if not self.is_stubborn:
                    raise
        if self.failure is not None:
            raise self.failure
        self.published.append((topic, data))


class BatchBus(Bus):
    """The same that takes several at once, of which some fail."""

    def __init__(self):
        super().__init__()
        self.batches = []
        self.failing = 0

    async def publish_many(self, messages):
        await self.gate.wait()
        self.batches.append(len(messages))
        return self.failing


def open_publisher(bus, timeout=1.0):
    telemetry = Telemetry(None)
    return Publisher(bus, telemetry, timeout), telemetry


def failed(telemetry):
    return telemetry.counts()["publish_failed"]


@pytest.fixture
async def bus():
    bus = Bus()
    yield bus
    bus.gate.set()
    while tasks := other_tasks():
        await asyncio.wait(tasks)


async def test_messages_go_out_in_order_and_the_task_ends(bus):
    publisher, _ = open_publisher(bus)
    for number in range(5):
        publisher.offer("t", b"%d" % number)
    await settle()

    assert bus.published == [("t", b"%d" % number) for number in range(5)]
    assert other_tasks() == set()


async def test_what_is_offered_later_goes_out_too(bus):
    publisher, _ = open_publisher(bus)
    publisher.offer("t", b"1")
    await settle()

    publisher.offer("t", b"2")
    await settle()

    assert [data for _, data in bus.published] == [b"1", b"2"]


async def test_a_pubsub_that_takes_batches_gets_batches():
    bus = BatchBus()
    publisher, telemetry = open_publisher(bus)
    for _ in range(BATCH + 1):
        publisher.offer("t", b"x")
    await settle()

    assert bus.batches == [BATCH, 1]
    assert failed(telemetry) == 0


async def test_what_failed_of_a_batch_is_counted():
    bus = BatchBus()
    bus.failing = 2
    publisher, telemetry = open_publisher(bus)
    for _ in range(5):
        publisher.offer("t", b"x")
    await settle()

    assert failed(telemetry) == 2


async def test_a_failure_is_counted_and_the_next_message_goes_out(bus):
    publisher, telemetry = open_publisher(bus)
    bus.failure = OSError("away")
    publisher.offer("t", b"1")
    await settle()
    bus.failure = None
    publisher.offer("t", b"2")
    await settle()

    assert failed(telemetry) == 1
    assert bus.published == [("t", b"2")]


async def test_an_outage_is_logged_once_and_so_is_its_end(bus, caplog):
    caplog.set_level(logging.INFO, module.logger.name)
    publisher, _ = open_publisher(bus)
    bus.failure = OSError("away")
    publisher.offer("t", b"1")
    publisher.offer("t", b"2")
    await settle()
    bus.failure = None
    publisher.offer("t", b"3")
    await settle()

    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_a_pubsub_that_cancels_itself_fails_like_any_other(bus):
    publisher, telemetry = open_publisher(bus)
    bus.failure = asyncio.CancelledError()
    publisher.offer("t", b"1")
    await settle()

    assert failed(telemetry) == 1


async def test_each_message_has_a_deadline_of_its_own(bus, flying_time):
    publisher, telemetry = open_publisher(bus, timeout=1.0)
    bus.gate.clear()
    publisher.offer("t", b"1")
    publisher.offer("t", b"2")
    await asyncio.sleep(1.5)
    bus.gate.set()
    await settle()

    assert failed(telemetry) == 1
    assert bus.published == [("t", b"2")]


async def test_more_messages_than_fit_are_dropped_and_counted(bus):
    publisher, telemetry = open_publisher(bus)
    bus.gate.clear()
    for _ in range(MAX_MESSAGES + 3):
        publisher.offer("t", b"")

    assert failed(telemetry) == 3


async def test_more_bytes_than_fit_are_dropped_and_counted(bus):
    publisher, telemetry = open_publisher(bus)
    bus.gate.clear()
    publisher.offer("t", bytes(MAX_BYTES))
    publisher.offer("t", b"1")

    assert failed(telemetry) == 1


async def test_who_announces_waits_until_half_of_the_queue_is_free(bus):
    publisher, _ = open_publisher(bus)
    for _ in range(HALF + 1):
        publisher.offer("t", b"")
    crowded = publisher.is_crowded

    await publisher.room()

    assert crowded
    assert not publisher.is_crowded
    assert bus.published


async def test_who_announces_waits_a_fifth_of_a_second_at_most(bus, flying_time):
    publisher, _ = open_publisher(bus, timeout=60.0)
    bus.gate.clear()
    for _ in range(HALF):
        publisher.offer("t", b"")
    before = flying_time()

    await publisher.room()

    assert 0.2 <= flying_time() - before < 0.3


async def test_many_bytes_are_a_crowd_too(bus):
    publisher, _ = open_publisher(bus)

    publisher.offer("t", bytes(MAX_BYTES // 2))

    assert publisher.is_crowded


async def test_close_sends_what_waits(bus):
    publisher, telemetry = open_publisher(bus)
    for _ in range(3):
        publisher.offer("t", b"x")

    await publisher.close()

    assert len(bus.published) == 3
    assert failed(telemetry) == 0


async def test_close_without_anything_waiting_returns(bus):
    publisher, _ = open_publisher(bus)

    await publisher.close()

    assert other_tasks() == set()


async def test_close_counts_what_a_hanging_pubsub_does_not_take(bus, flying_time):
    publisher, telemetry = open_publisher(bus)
    bus.gate.clear()
    for _ in range(3):
        publisher.offer("t", b"x")

    await publisher.close()

    assert failed(telemetry) == 3
    assert other_tasks() == set()


async def test_close_cancels_and_counts_the_message_on_its_way(bus, flying_time):
    publisher, telemetry = open_publisher(bus)
    publisher._timeout = 1.0
    bus.gate.clear()
    publisher.offer("t", b"x")
    await asyncio.sleep(0.5)
    publisher._timeout = 0.2

    await publisher.close()

    assert bus.cancelled == 1
    assert failed(telemetry) == 1


async def test_close_leaves_a_pubsub_behind_that_ignores_cancellation(
    bus, flying_time, caplog
):
    publisher, _ = open_publisher(bus)
    bus.gate.clear()
    bus.is_stubborn = True
    publisher.offer("t", b"x")

    await publisher.close()

    assert "ignores that publishing was cancelled" in caplog.text


async def test_what_is_offered_after_close_is_counted_and_starts_nothing(bus):
    publisher, telemetry = open_publisher(bus)
    await publisher.close()

    publisher.offer("t", b"x")

    assert failed(telemetry) == 1
    assert other_tasks() == set()


async def test_a_close_that_is_cancelled_can_be_called_again(bus):
    publisher, _ = open_publisher(bus)
    bus.gate.clear()
    publisher.offer("t", b"x")
    closing = await started(publisher.close())
    closing.cancel()
    await asyncio.wait([closing])
    bus.gate.set()

    await publisher.close()

    assert bus.published == [("t", b"x")]
