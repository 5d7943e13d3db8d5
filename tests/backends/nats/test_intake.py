"""From the library's reader to the handlers."""

import asyncio

import pytest

from pondsocket.subscriptions import Subscriptions
from pondsocket_nats.intake import Intake


class Message:
    """What is used of the library's message."""

    def __init__(self, data):
        self.data = data


@pytest.fixture
async def subscriptions():
    subscriptions = Subscriptions(buffer_size=4)
    yield subscriptions
    await subscriptions.close()


@pytest.fixture
async def intake(subscriptions):
    intake = Intake(subscriptions, 10_000)
    yield intake
    await intake.close()


async def settle(intake):
    while intake._task is not None or intake._subscriptions._tasks:
        await asyncio.sleep(0)


async def test_a_plain_handler_is_called_by_the_reader_itself(intake, subscriptions):
    got = []
    subscriptions.add("t", lambda topic, data: got.append((topic, data)))

    intake.sink("t").set_result(Message(b"1"))

    assert got == [("t", b"1")]


async def test_a_handler_that_keeps_up_loses_nothing_of_a_long_read(
    intake, subscriptions
):
    got = []

    async def handler(_, data):
        await asyncio.sleep(0)
        got.append(data)

    subscriptions.add("t", handler)
    sink = intake.sink("t")
    messages = [b"%d" % each for each in range(40)]
    for data in messages:
        sink.set_result(Message(data))
    await settle(intake)

    assert got == messages


async def test_what_no_handler_takes_is_dropped_counted_and_logged_once(
    intake, subscriptions, caplog
):
    stuck = asyncio.Event()

    async def handler(_topic, _data):
        await stuck.wait()

    subscriptions.add("t", handler)
    sink = intake.sink("t")
    for _ in range(30):
        sink.set_result(Message(b"x" * 1000))

    # 2 of 4 make it crowded; 8 of 1,200 bytes fit the limit
    assert (intake.received, intake.waiting, intake.dropped) == (30, 8, 20)
    assert [each.message[:27] for each in caplog.records] == [
        "messages from nats come fas"
    ]
    stuck.set()


async def test_a_stuck_handler_does_not_hold_up_the_others(intake, subscriptions):
    got = []
    stuck = asyncio.Event()

    async def handler(_topic, _data):
        await stuck.wait()

    subscriptions.add("stuck", handler)
    subscriptions.add("well", lambda _, data: got.append(data))
    for _ in range(5):
        intake.sink("stuck").set_result(Message(b""))
    intake.sink("well").set_result(Message(b"!"))
    while intake._task is not None:
        await asyncio.sleep(0)

    assert got == [b"!"]
    stuck.set()


async def test_other_tasks_run_while_a_long_backlog_is_handed_over(
    intake, subscriptions
):
    got = []
    subscriptions.add("well", lambda _, data: got.append(data))

    async def handler(_topic, _data):
        pass

    subscriptions.add("slow", handler)
    slow, well = intake.sink("slow"), intake.sink("well")
    for _ in range(2):
        slow.set_result(Message(b""))
    intake._limit = 10**6
    for _ in range(1000):
        well.set_result(Message(b""))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert 0 < len(got) < 1000


async def test_close_counts_what_waits(intake, subscriptions):
    stuck = asyncio.Event()

    async def handler(_topic, _data):
        await stuck.wait()

    subscriptions.add("t", handler)
    sink = intake.sink("t")
    for _ in range(5):
        sink.set_result(Message(b""))
    await intake.close()

    assert (intake.waiting, intake.dropped) == (0, 3)
    stuck.set()
