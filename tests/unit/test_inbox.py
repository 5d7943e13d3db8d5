"""Messages in lanes, and what becomes of a flood."""

import asyncio
import logging
from collections import defaultdict
from contextvars import ContextVar
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pondsocket.inbox import MAX_NESTED, FloodGate, Flooding, Inbox
from pondsocket.types import Event, Limits
from tests.unit.doubles import event, other_tasks, settle, started

pytestmark = pytest.mark.usefixtures("no_task_is_left")


class Handlers:
    """Handlers that take notes and wait until the test lets them go on."""

    def __init__(self, *, waiting=True):
        self.waiting = waiting
        self.handled = []
        self.ended = []
        self.failures = {}
        self.running = defaultdict(asyncio.Event)

    async def __call__(self, event):
        number = event.payload["n"]
        self.handled.append(number)
        try:
            if number in self.failures:
                raise self.failures[number]
            if self.waiting:
                await self.running[number].wait()
        finally:
            del self.running[number]
            self.ended.append(number)

    async def finish(self, *numbers):
        for number in numbers:
            self.running[number].set()
        await settle()


@pytest.fixture
def handlers():
    return Handlers()


@pytest.fixture
def make(handlers):
    def make(**limits):
        return Inbox(handlers, Limits(**limits), "ann")

    return make


# Lanes.


async def test_messages_of_one_channel_are_handled_one_after_the_other(make, handlers):
    inbox = make()

    for number in range(3):
        inbox.put(event(number))
    await settle()

    assert handlers.handled == [0]
    await handlers.finish(0)
    assert handlers.handled == [0, 1]
    await handlers.finish(1, 2)
    assert handlers.ended == [0, 1, 2]


async def test_a_channel_does_not_wait_for_another(make, handlers):
    inbox = make()
    inbox.put(event(0, channel="/slow"))
    inbox.put(event(1, channel="/slow"))
    inbox.put(event(2, channel="/fast"))
    await settle()

    await handlers.finish(2)

    assert handlers.ended == [2]
    await handlers.finish(0, 1)


async def test_no_more_handlers_run_at_a_time_than_allowed(make, handlers):
    inbox = make(max_concurrent_handlers=2)
    for number in range(4):
        inbox.put(event(number, channel=f"/{number}"))
    await settle()

    assert handlers.handled == [0, 1]
    await handlers.finish(1)
    assert handlers.handled == [0, 1, 2]
    await handlers.finish(0, 2, 3)


async def test_a_busy_channel_takes_turns_with_those_that_wait(make, handlers):
    inbox = make(max_concurrent_handlers=1)
    for number, channel in enumerate(["/a", "/a", "/b"]):
        inbox.put(event(number, channel=channel))
    await settle()

    await handlers.finish(0, 1, 2)

    assert handlers.handled == [0, 2, 1]


async def test_many_messages_of_one_channel_make_one_task(make, handlers):
    inbox = make()

    for number in range(5):
        inbox.put(event(number))

    assert len(other_tasks()) == 1
    await handlers.finish(*range(5))


async def test_a_handler_begins_before_its_message_is_put(make, handlers):
    make().put(event(0))

    assert handlers.handled == [0]
    await handlers.finish(0)


async def test_a_handler_that_waits_for_nothing_is_over_when_its_message_is_put():
    async def handle(message):
        handled.append(message)

    handled = []
    inbox = Inbox(handle, Limits(), "ann")
    before = asyncio.current_task()

    inbox.put(event(0))

    assert len(handled) == 1
    assert inbox.is_idle
    assert asyncio.current_task() is before


async def test_a_handler_that_waits_runs_in_a_task_with_the_connections_name(
    make, handlers
):
    make().put(event(0))

    (worker,) = other_tasks()
    assert worker.get_name() == "pond-inbox-ann"
    await handlers.finish(0)


async def test_a_handler_does_not_change_the_context_of_who_put_its_message():
    async def handle(_):
        name.set("handler")

    name = ContextVar("name", default="reader")

    Inbox(handle, Limits(), "ann").put(event(0))

    assert name.get() == "reader"


async def test_inboxes_may_feed_each_other():
    """As where two ends of a wire live in one process."""

    async def handle(message):
        handled.append(message.payload["n"])
        if message.payload["n"] < 50:
            other = inboxes[message.payload["n"] % 2]
            other.put(event(message.payload["n"] + 1, channel=f"/{len(handled)}"))

    handled = []
    inboxes = [Inbox(handle, Limits(), name) for name in ("ann", "bob")]

    inboxes[0].put(event(0))
    await settle()

    assert handled == list(range(51))
    assert all(inbox.is_idle for inbox in inboxes)


async def test_a_handler_may_put_a_message_of_its_own_channel():
    async def handle(message):
        handled.append(message.payload["n"])
        if message.payload["n"] == 0:
            inbox.put(event(1))

    handled = []
    inbox = Inbox(handle, Limits(), "ann")

    inbox.put(event(0))
    await settle()

    assert handled == [0, 1]
    assert inbox.is_idle


async def test_an_idle_inbox_has_no_task(make, handlers):
    inbox = make()
    inbox.put(event())
    await settle()
    await handlers.finish(0)

    assert inbox.is_idle
    assert not other_tasks()
    assert not inbox._lanes


@pytest.mark.parametrize(
    "failure",
    [
        ValueError("bad"),
        asyncio.CancelledError(),
        BaseExceptionGroup("several", [asyncio.CancelledError()]),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_a_handler_that_raises_costs_only_its_own_message(
    make, handlers, caplog, failure
):
    handlers.failures[0] = failure
    inbox = make()
    inbox.put(event(0))
    inbox.put(event(1))
    await settle()

    assert handlers.handled == [0, 1]
    assert "handling a message of 'ann' failed" in caplog.text
    await handlers.finish(1)


async def test_a_cancelled_handler_is_cancelled_and_its_lane_goes_on(make, handlers):
    inbox = make()
    inbox.put(event(0))
    inbox.put(event(1))
    await settle()
    (worker,) = other_tasks()

    worker.cancel()
    await settle()

    assert worker.cancelled()
    assert handlers.handled == [0, 1]
    await handlers.finish(1)
    assert handlers.ended == [0, 1]


# Bounds and the end.


async def test_what_waits_is_bounded_in_bytes(make, handlers):
    inbox = make(inbound_max_bytes=100)
    assert inbox.put(event(0), 1000)  # it is being handled at once, or waits alone
    await settle()

    assert [inbox.put(event(n), 40) for n in (1, 2, 3)] == [True, True, False]
    await handlers.finish(0, 1)
    assert inbox.put(event(3), 60)

    await handlers.finish(2, 3)
    assert handlers.ended == [0, 1, 2, 3]


async def test_one_message_of_any_size_may_wait(make, handlers):
    inbox = make(inbound_max_bytes=100)
    inbox.put(event(0), 10)
    await settle()

    assert inbox.put(event(1), 1000)
    assert not inbox.put(event(2), 1)

    await handlers.finish(0, 1)


async def test_a_full_inbox_takes_nothing(make, handlers):
    inbox = make(inbound_max_messages=2)
    inbox.put(event(0))
    await settle()  # being handled, it does not count

    assert [inbox.put(event(number)) for number in (1, 2, 3)] == [True, True, False]
    assert len(inbox) == 2
    await handlers.finish(0, 1, 2, 3)
    assert handlers.ended == [0, 1, 2]


async def test_a_closed_inbox_drops_what_waits_and_tells_how_much(make, handlers):
    inbox = make(max_concurrent_handlers=1)
    for number, channel in enumerate(["/a", "/a", "/b"]):
        inbox.put(event(number, channel=channel))
    await settle()

    assert inbox.close() == 2
    assert len(inbox) == 0
    assert not inbox.is_idle
    await handlers.finish(0)
    assert handlers.ended == [0]
    assert inbox.is_idle


async def test_closing_twice_drops_nothing_more(make, handlers):
    inbox = make()
    inbox.put(event(0))
    inbox.put(event(1))
    await settle()

    assert [inbox.close(), inbox.close()] == [1, 0]
    await handlers.finish(0)


async def test_a_closed_inbox_takes_nothing(make):
    inbox = make()
    inbox.close()

    assert not inbox.put(event())


async def test_settling_waits_for_running_handlers(make, handlers):
    inbox = make()
    inbox.put(event())
    await settle()
    settling = await started(inbox.settle(60))

    assert not settling.done()
    await handlers.finish(0)
    await settling
    assert handlers.ended == [0]


async def test_settling_cancels_handlers_that_take_too_long(make, handlers, caplog):
    caplog.set_level(logging.WARNING)
    inbox = make()
    inbox.put(event())
    await settle()

    await inbox.settle(1e-6)

    assert handlers.ended == [0]
    assert "1 handlers of 'ann' were cancelled" in caplog.text


async def test_settling_an_idle_inbox_is_no_wait(make):
    await make().settle(60)


async def test_a_handler_may_settle_its_own_inbox_through_another_task():
    async def handle(_):
        await asyncio.create_task(inbox.settle(60))
        ended.append(True)

    ended = []
    inbox = Inbox(handle, Limits(), "ann")

    inbox.put(event())
    await settle()

    assert ended == [True]


async def test_a_handler_that_settles_its_own_inbox_does_not_wait_for_itself():
    async def handle(message):
        inbox.close()
        await inbox.settle(60)
        ended.append(message)

    ended = []
    inbox = Inbox(handle, Limits(), "ann")
    inbox.put(event())
    await settle()

    assert len(ended) == 1


# All of it, against what it promises.

messages = st.lists(st.sampled_from("abcd"), max_size=30)
steps = st.lists(st.integers(0, 9), max_size=60)


@given(messages=messages, steps=steps, at_once=st.integers(1, 4))
def test_nothing_is_lost_or_overtaken_or_handled_beside_its_like(
    messages, steps, at_once
):
    asyncio.run(play(messages, steps, at_once))


async def play(messages, steps, at_once):
    """Put messages; at each step but 0 end a running handler, at 0 put the next."""
    put, handled, ended = defaultdict(list), defaultdict(list), defaultdict(list)
    running = {}

    async def handle(message):
        lane = message.channel_name
        assert lane not in running, "two of one lane at once"
        running[lane] = asyncio.Event()
        handled[lane].append(message.payload["n"])
        await running[lane].wait()
        del running[lane]
        ended[lane].append(message.payload["n"])

    def end_one(choice):
        lanes = sorted(running)
        if lanes:
            running[lanes[choice % len(lanes)]].set()

    async def check():
        await settle()
        assert len(inbox) == count(put) - count(handled)
        unfinished = [lane for lane in put if put[lane] != ended[lane]]
        assert len(running) == min(at_once, len(unfinished))

    inbox = Inbox(handle, Limits(max_concurrent_handlers=at_once), "ann")
    choices = iter(steps)
    for number, channel in enumerate(messages):
        assert inbox.put(event(number, channel=channel))
        put[channel].append(number)
        for choice in takewhile(bool, choices):
            end_one(choice)
            await check()
    await check()
    while running:
        end_one(0)
        await check()
    assert put == handled == ended
    assert inbox.is_idle
    assert not other_tasks()


def count(numbers_by_lane):
    return sum(map(len, numbers_by_lane.values()))


# The flood gate.


def gate(rate=10.0, tolerance=5.0):
    limits = Limits(max_messages_per_second=rate, flood_tolerance=tolerance)
    return FloodGate(limits, now=100.0)


def test_a_second_worth_of_messages_is_let_through_at_once():
    flood = gate(rate=10)

    assert [flood.admits(100.0) for _ in range(11)] == [True] * 10 + [False]


def test_messages_are_let_through_at_the_rate():
    flood = gate(rate=8)
    while flood.admits(100.0):
        pass

    assert [flood.admits(100.125), flood.admits(100.125)] == [True, False]


def test_less_than_one_message_a_second_lets_the_first_through():
    flood = gate(rate=0.5)

    assert [flood.admits(100.0), flood.admits(101.0)] == [True, False]


def test_without_a_rate_everything_is_let_through():
    flood = gate(rate=0)

    assert all(flood.admits(100.0) for _ in range(10_000))


def test_a_flood_is_answered_once_a_second():
    flood = gate()

    verdicts = [flood.refuse(100 + tenth / 10) for tenth in range(21)]

    answered = [n for n, each in enumerate(verdicts) if each is Flooding.ANSWER]
    assert answered == [0, 10, 20]
    assert verdicts.count(Flooding.DROP) == 18


def test_a_flood_that_goes_on_closes_the_connection():
    flood = gate(tolerance=5)

    verdicts = [flood.refuse(100 + half / 2) for half in range(11)]

    assert verdicts[-1] is Flooding.CLOSE
    assert Flooding.CLOSE not in verdicts[:-1]


def test_a_flood_that_pauses_begins_anew():
    flood = gate(tolerance=5)
    for half in range(10):
        flood.refuse(100 + half / 2)

    assert flood.refuse(105.6) is Flooding.ANSWER
    assert flood.refuse(106.0) is Flooding.DROP


def test_without_a_tolerance_a_flood_never_closes():
    flood = gate(tolerance=0)

    assert Flooding.CLOSE not in {flood.refuse(100.0 + n) for n in range(1000)}


# Handlers that start handlers.


async def test_handlers_that_start_each_other_begin_in_each_other_only_so_deep():
    depth, deepest, handled = 0, 0, []
    inboxes = []

    async def handle(event):
        nonlocal depth, deepest
        number = int(event.event)
        depth += 1
        deepest = max(deepest, depth)
        if number < 200:
            following = Inbox(handle, Limits(), f"user-{number}")
            inboxes.append(following)
            following.put(Event("BROADCAST", "/c", "r", str(number + 1)))
        depth -= 1
        handled.append(number)

    Inbox(handle, Limits(), "first").put(Event("BROADCAST", "/c", "r", "0"))
    async with asyncio.timeout(5):
        while len(handled) < 201:
            await asyncio.sleep(0)
    await settle()

    assert deepest <= MAX_NESTED + 1  # in a task, and those inside of it
    assert all(inbox.is_idle for inbox in inboxes)
