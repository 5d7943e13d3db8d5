"""SendPump: many sends, and tasks only for those that wait."""

import asyncio
import sys

import pytest

from pondsocket_asgi.pump import SendPump

EAGER = [False, True] if sys.version_info >= (3, 12) else [False]


class Sends:
    """Sends that note when they begin and end, each behind a gate of its own."""

    def __init__(self):
        self.notes = []
        self.tasks = {}
        self.gates = {}

    def free(self, name):
        return lambda: self._send(name)

    def gated(self, name):
        self.gates[name] = asyncio.Event()
        return lambda: self._send(name)

    async def _send(self, name):
        self.notes.append(f"{name} begins")
        self.tasks[name] = asyncio.current_task()
        if name in self.gates:
            try:
                await self.gates[name].wait()
            except asyncio.CancelledError:
                self.notes.append(f"{name} is cancelled")
                raise
        assert asyncio.current_task() is self.tasks[name]
        self.notes.append(f"{name} ends")


@pytest.fixture
def sends():
    return Sends()


@pytest.fixture(params=EAGER, ids=lambda eager: "eager" if eager else "queued")
def pump(request):
    return SendPump(eager=request.param)


async def until_idle(pump):
    async with asyncio.timeout(5):
        while pump._tasks:
            await asyncio.sleep(0)


async def test_sends_run_in_the_order_in_which_they_were_started(pump, sends):
    for name in "abc":
        pump.start(sends.free(name))
    await until_idle(pump)

    assert sends.notes == [f"{name} {what}" for name in "abc" for what in BOTH]


BOTH = ("begins", "ends")


async def test_sends_of_one_turn_that_do_not_wait_share_a_task(sends):
    pump = SendPump(eager=False)
    for name in "abc":
        pump.start(sends.free(name))
    await until_idle(pump)

    assert len(set(sends.tasks.values())) == 1


async def test_a_send_that_waits_holds_nobody_up(pump, sends):
    for start, name in [
        (sends.free, "a"),
        (sends.gated, "b"),
        (sends.free, "c"),
        (sends.gated, "d"),
        (sends.free, "e"),
    ]:
        pump.start(start(name))
    async with asyncio.timeout(5):
        while "e ends" not in sends.notes:
            await asyncio.sleep(0)

    assert [note for note in sends.notes if note[0] in "bd"] == ["b begins", "d begins"]
    for gate in sends.gates.values():
        gate.set()
    await until_idle(pump)
    assert {"b ends", "d ends"} <= set(sends.notes)


async def test_a_send_that_waits_can_be_cancelled_alone(pump, sends):
    pump.start(sends.gated("a"))
    pump.start(sends.gated("b"))
    async with asyncio.timeout(5):
        while len(sends.tasks) < 2:
            await asyncio.sleep(0)

    sends.tasks["a"].cancel()
    sends.gates["b"].set()
    await until_idle(pump)

    assert sends.notes[2:] in (
        ["a is cancelled", "b ends"],
        ["b ends", "a is cancelled"],
    )


async def test_a_deadline_inside_a_send_works(pump):
    notes = []

    async def send():
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            notes.append("late")

    pump.start(send)
    await until_idle(pump)

    assert notes == ["late"]


async def test_a_send_may_wait_several_times(pump):
    notes = []

    async def send():
        for number in range(3):
            await asyncio.sleep(0)
            notes.append(number)

    pump.start(send)
    await until_idle(pump)

    assert notes == [0, 1, 2]


async def test_a_send_that_is_cancelled_from_within_costs_the_others_nothing(
    pump, sends
):
    async def give_up():
        raise asyncio.CancelledError

    pump.start(give_up)
    pump.start(sends.free("a"))
    await until_idle(pump)

    assert sends.notes == ["a begins", "a ends"]


async def test_what_is_started_while_another_send_runs_has_its_turn(pump, sends):
    async def start_another():
        pump.start(sends.free("b"))

    pump.start(start_another)
    await until_idle(pump)

    assert sends.notes == ["b begins", "b ends"]
