"""SendPump: many sends, and tasks only for those that wait."""

import asyncio
import contextlib
import sys
from contextvars import ContextVar, copy_context

import anyio
import pytest

from pondsocket.web.send_pump import SendPump

EAGER = [False, True] if sys.version_info >= (3, 12) else [False]


class Sends:
    """Sends that note when they begin and end, each behind a gate of its own."""

    def __init__(self, pump):
        self.pump = pump
        self.notes = []
        self.tasks = {}
        self.gates = {}

    def start(self, *names, gated=""):
        """Start sends; those in ``gated`` wait until their gate is opened."""
        for name in names:
            if name in gated:
                self.gates[name] = asyncio.Event()
            self.pump.start(self._send(name), copy_context())

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


@pytest.fixture(params=EAGER, ids=lambda eager: "eager" if eager else "by hand")
def pump(request):
    return SendPump(eager=request.param)


@pytest.fixture
def sends(pump):
    return Sends(pump)


async def until_idle(pump):
    async with asyncio.timeout(5):
        while pump._tasks:
            await asyncio.sleep(0)


async def test_a_send_that_waits_for_nothing_is_over_at_once(pump, sends):
    sends.start("a", "b")

    assert sends.notes == ["a begins", "a ends", "b begins", "b ends"]
    assert not pump._tasks


async def test_who_starts_a_send_is_still_the_current_task(sends):
    before = asyncio.current_task()

    sends.start("a", "b", gated="b")

    assert asyncio.current_task() is before
    assert before not in sends.tasks.values()
    sends.gates["b"].set()


async def test_a_send_can_be_started_outside_any_task(pump, sends):
    started = asyncio.Event()

    def start():
        sends.start("a", "b", gated="b")
        started.set()

    asyncio.get_running_loop().call_soon(start)
    await started.wait()
    sends.gates["b"].set()
    await until_idle(pump)

    assert sends.notes == ["a begins", "a ends", "b begins", "b ends"]


async def test_sends_of_one_turn_that_do_not_wait_share_a_task():
    sends = Sends(SendPump(eager=False))

    sends.start("a", "b")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    sends.start("c")

    assert sends.tasks["a"] is sends.tasks["b"]
    assert sends.tasks["a"] is not sends.tasks["c"]
    assert sends.tasks["a"].done()


async def test_only_a_send_that_waits_has_a_task_to_cancel(pump):
    async def wait():
        await asyncio.Event().wait()

    async def pass_by():
        pass

    assert pump.start(pass_by(), copy_context()) is None
    task = pump.start(wait(), copy_context())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_send_that_waits_holds_nobody_up(pump, sends):
    sends.start(*"abcde", gated="bd")

    assert "e ends" in sends.notes
    for gate in sends.gates.values():
        gate.set()
    await until_idle(pump)
    assert {"b ends", "d ends"} <= set(sends.notes)


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_a_send_that_waits_can_be_cancelled_alone(turns, pump, sends):
    sends.start("a", "b", gated="ab")
    for _ in range(turns):
        await asyncio.sleep(0)

    sends.tasks["a"].cancel()
    sends.gates["b"].set()
    await until_idle(pump)

    assert sorted(sends.notes[2:]) == ["a is cancelled", "b ends"]
    assert sends.tasks["a"].cancelled()


async def test_a_gate_that_opens_at_once_lets_the_send_go_on(pump, sends):
    sends.start("a", gated="a")
    sends.gates["a"].set()

    await until_idle(pump)

    assert sends.notes == ["a begins", "a ends"]


async def wait_with_asyncio():
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()


async def wait_with_anyio():
    with anyio.move_on_after(0.01):
        await anyio.Event().wait()


@pytest.mark.parametrize("wait", [wait_with_asyncio, wait_with_anyio])
async def test_a_deadline_inside_a_send_works(wait, pump):
    notes = []

    async def send():
        for number in range(2):
            await wait()
            notes.append(number)

    pump.start(send(), copy_context())
    await until_idle(pump)

    assert notes == [0, 1]


async def test_a_send_may_use_a_task_group(pump):
    notes = []

    async def send():
        async with anyio.create_task_group() as group:
            group.start_soon(asyncio.sleep, 0)
            notes.append(asyncio.current_task())
        notes.append(asyncio.current_task())

    pump.start(send(), copy_context())
    await until_idle(pump)

    assert len(notes) == 2
    assert notes[0] is notes[1]


async def test_a_send_may_wait_several_times(pump):
    notes = []

    async def send():
        for number in range(3):
            await asyncio.sleep(0)
            notes.append(number)

    pump.start(send(), copy_context())
    await until_idle(pump)

    assert notes == [0, 1, 2]


async def test_a_send_runs_in_its_context_from_first_to_last(pump):
    name = ContextVar("name", default="nobody")
    context = copy_context()
    context.run(name.set, "ada")
    seen = []

    async def send():
        token = name.set(name.get() + "!")
        seen.append(name.get())
        await asyncio.sleep(0)
        seen.append(name.get())
        name.reset(token)

    pump.start(send(), context)
    await until_idle(pump)

    assert seen == ["ada!", "ada!"]
    assert context[name] == "ada"
    assert name.get() == "nobody"


async def test_a_send_that_is_cancelled_from_within_costs_the_others_nothing(
    pump, sends
):
    async def give_up():
        raise asyncio.CancelledError

    pump.start(give_up(), copy_context())
    sends.start("a")

    assert sends.notes == ["a begins", "a ends"]


async def test_a_send_may_start_another(pump, sends):
    async def start_another():
        sends.start("b", gated="b")
        await asyncio.sleep(0)

    pump.start(start_another(), copy_context())
    sends.gates["b"].set()
    await until_idle(pump)

    assert sends.notes == ["b begins", "b ends"]


def test_each_loop_has_tasks_of_its_own(pump, sends):
    async def start(name):
        sends.start(name)

    for name in "ab":
        asyncio.run(start(name))

    assert sends.notes == ["a begins", "a ends", "b begins", "b ends"]


def test_a_send_that_waits_when_the_loop_ends_is_cancelled(sends):
    async def start():
        sends.start("a", "b", gated="b")

    asyncio.run(start())

    assert sends.notes[2:] == ["b begins", "b is cancelled"]


async def test_a_task_that_nobody_needed_may_be_cancelled():
    sends = Sends(SendPump(eager=False))
    sends.start("a")

    sends.tasks["a"].cancel()
    with pytest.raises(asyncio.CancelledError):
        await sends.tasks["a"]
    sends.start("b")

    assert sends.notes == ["a begins", "a ends", "b begins", "b ends"]


async def test_a_task_that_was_cancelled_before_it_began_takes_no_send():
    pump = SendPump(eager=False)
    sends = Sends(pump)
    sends.start("one")
    spare = sends.tasks["one"]

    spare.cancel()
    with pytest.raises(asyncio.CancelledError):
        await spare
    sends.start("two")

    assert sends.tasks["two"] is not spare
    assert sends.notes.count("two begins") == 1


async def test_nobody_but_its_task_waits_for_a_stand():
    pump = SendPump(eager=False)
    Sends(pump).start("one")

    with pytest.raises(NotImplementedError):
        pump._spare.__await__()
