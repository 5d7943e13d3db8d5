"""Work that keeps a task for itself only if it really waits."""

import asyncio
import contextlib
import gc
import sys
import weakref
from contextvars import Context, ContextVar, copy_context
from threading import Thread

import anyio
import pytest

from pondsocket.eager import start_by_hand, start_eagerly
from tests.unit.doubles import settle

pytestmark = pytest.mark.usefixtures("no_task_is_left")

HAS_EAGER_TASKS = sys.version_info >= (3, 12)


def start_shared(work, context=None):
    """Start it in the name of a task that others use, too."""
    return start_by_hand(work, context, may_share=True)


@pytest.fixture(
    params=[start_eagerly, start_by_hand, start_shared], ids=lambda f: f.__name__
)
def start(request):
    return request.param


class Works:
    """Work that notes what it does, each piece behind a gate of its own if it waits."""

    def __init__(self, start):
        self.start = start
        self.notes = []
        self.tasks = {}
        self.gates = {}

    def begin(self, *names, gated=""):
        """Start several; return the tasks of those in ``gated``, which wait."""
        for name in gated:
            self.gates[name] = asyncio.Event()
        tasks = [self.start(self._work(name)) for name in names]
        return [task for task in tasks if task is not None]

    async def _work(self, name):
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
def works(start):
    return Works(start)


@pytest.fixture
def by_hand():
    return Works(start_shared)


async def test_work_that_waits_for_nothing_is_over_at_once(works):
    assert not works.begin("a", "b")

    assert works.notes == ["a begins", "a ends", "b begins", "b ends"]


async def test_work_that_waits_has_a_task_which_goes_on_with_it(works):
    (task,) = works.begin("a", "b", "c", gated="b")
    assert works.notes[-2:] == ["c begins", "c ends"]

    works.gates["b"].set()
    await task

    assert works.tasks["b"] is task
    assert works.notes[-1] == "b ends"


async def test_who_starts_work_is_still_the_current_task(works):
    before = asyncio.current_task()

    (task,) = works.begin("a", "b", gated="b")

    assert asyncio.current_task() is before
    assert before not in works.tasks.values()
    works.gates["b"].set()
    await task


async def test_work_can_be_started_outside_any_task(works):
    started = asyncio.get_running_loop().create_future()

    def begin():
        started.set_result(works.begin("a", "b", gated="b"))

    asyncio.get_running_loop().call_soon(begin)
    (task,) = await started
    works.gates["b"].set()
    await task

    assert works.notes == ["a begins", "a ends", "b begins", "b ends"]


async def test_work_may_start_other_work(start, works):
    begun = []

    async def work():
        begun.extend(works.begin("a", "b", gated="b"))
        await asyncio.sleep(0)
        works.notes.append("outer ends")

    outer = start(work())
    await outer
    works.gates["b"].set()
    await begun[0]

    assert works.notes == [
        "a begins", "a ends", "b begins", "outer ends", "b ends"
    ]  # fmt: skip


# Its context.


async def test_work_has_a_context_of_its_own_from_first_to_last(start):
    name = ContextVar("name", default="nobody")
    name.set("ada")
    seen = []

    async def work():
        token = name.set(name.get() + "!")
        await asyncio.sleep(0)
        seen.append(name.get())
        name.reset(token)
        seen.append(name.get())

    await start(work())

    assert seen == ["ada!", "ada"]
    assert name.get() == "ada"


async def test_two_pieces_of_work_do_not_share_a_context(start):
    name = ContextVar("name", default="nobody")
    seen = []

    async def work(value):
        seen.append(name.get())
        name.set(value)

    start(work("ada"))
    start(work("bob"))

    assert seen == ["nobody", "nobody"]


# Waiting.


async def test_work_may_wait_several_times(start):
    notes = []

    async def work():
        for number in range(3):
            await asyncio.sleep(0)
            notes.append(number)

    await start(work())

    assert notes == [0, 1, 2]


async def test_a_bare_turn_of_the_loop_is_one_turn(start):
    notes = []

    async def work():
        await asyncio.sleep(0)
        notes.append("work")

    start(work())
    asyncio.get_running_loop().call_soon(notes.append, "later")
    await settle()

    assert notes == ["work", "later"]


async def test_several_may_wait_for_one_future(start):
    future = asyncio.get_running_loop().create_future()
    notes = []

    async def work(name):
        notes.append((name, await future))

    tasks = [start(work(name)) for name in "abc"]
    await settle()
    future.set_result(1)
    await asyncio.gather(*tasks)

    assert sorted(notes) == [("a", 1), ("b", 1), ("c", 1)]


async def test_a_gate_that_opens_at_once_lets_the_work_go_on(works):
    (task,) = works.begin("a", gated="a")
    works.gates["a"].set()

    await task

    assert works.notes == ["a begins", "a ends"]


async def wait_with_asyncio():
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1e-6):
            await asyncio.Event().wait()


async def wait_with_anyio():
    with anyio.move_on_after(1e-6):
        await anyio.Event().wait()


@pytest.mark.parametrize("wait", [wait_with_asyncio, wait_with_anyio])
async def test_a_deadline_inside_of_work_holds(wait, start):
    notes = []

    async def work():
        for number in range(2):
            await wait()
            notes.append(number)

    await start(work())

    assert notes == [0, 1]


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_a_deadline_that_is_over_before_it_began_holds(turns, start):
    notes = []

    async def work():
        for _ in range(turns):
            await asyncio.sleep(0)
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            notes.append("late")

    await start(work())

    assert notes == ["late"]


async def test_work_may_use_a_task_group(start):
    notes = []

    async def work():
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
            notes.append(asyncio.current_task())
        notes.append(asyncio.current_task())

    task = start(work())
    await task

    assert notes == [task, task]


async def test_a_task_group_of_work_ends_with_what_one_of_it_raised(start):
    async def fail():
        raise ValueError("bad")

    async def work():
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup, match="unhandled errors"):
        await start(work())


async def test_what_is_no_future_cannot_be_waited_for(start):
    class Strange:
        def __await__(self):
            yield "strange"

    async def work():
        await Strange()

    with pytest.raises(RuntimeError, match="strange"):
        await start(work())


# Failing and cancelling.


async def test_what_work_raises_at_once_reaches_who_started_it(start):
    async def work():
        raise ValueError("bad")

    current = asyncio.current_task()
    with pytest.raises(ValueError, match="bad"):
        start(work())

    assert asyncio.current_task() is current


async def test_work_that_failed_costs_the_next_nothing(start, works):
    async def work():
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        start(work())
    works.begin("a")

    assert works.notes == ["a begins", "a ends"]


async def test_an_empty_context_is_a_context(start):
    word = ContextVar("word", default="")
    word.set("here")
    seen = []

    async def work():
        seen.append(word.get())

    start(work(), Context())

    assert seen == [""]


async def test_the_tasks_that_a_loop_makes_its_own_way_are_not_asked_for(start):
    async def wrap(coroutine):
        return await coroutine

    def make(loop, coroutine, **settings):
        return asyncio.Task(wrap(coroutine), loop=loop, **settings)

    notes = []

    async def work():
        await asyncio.sleep(0)
        notes.append("done")

    loop = asyncio.get_running_loop()
    loop.set_task_factory(make)
    try:
        await start(work())
    finally:
        loop.set_task_factory(None)

    assert notes == ["done"]


@pytest.mark.parametrize("begin", [start_eagerly, start_by_hand])
async def test_who_keeps_the_task_of_work_that_is_over_can_cancel_nothing(begin):
    works = Works(begin)
    works.begin("a")
    works.tasks["a"].cancel()
    [task] = works.begin("b", gated="b")
    works.tasks["a"].cancel()
    works.gates["b"].set()
    await task

    assert works.notes == ["a begins", "a ends", "b begins", "b ends"]


async def test_work_can_run_in_the_context_of_another(start):
    word = ContextVar("word", default="")
    seen = []

    async def work():
        seen.append(word.get())
        await asyncio.sleep(0)
        seen.append(word.get())

    context = copy_context()
    context.run(word.set, "there")
    await start(work(), context)

    assert seen == ["there", "there"]
    assert not word.get()


async def test_what_work_raises_after_a_wait_stays_in_its_task(start):
    async def work():
        await asyncio.sleep(0)
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        await start(work())


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
async def test_the_end_of_the_process_comes_through(start, error):
    async def work():
        raise error

    current = asyncio.current_task()
    with pytest.raises(error):
        start(work())

    assert asyncio.current_task() is current
    gc.collect()


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_work_that_waits_can_be_cancelled_alone(turns, works):
    first, second = works.begin("a", "b", gated="ab")
    for _ in range(turns):
        await asyncio.sleep(0)

    first.cancel()
    works.gates["b"].set()
    await settle()

    assert sorted(works.notes[2:]) == ["a is cancelled", "b ends"]
    assert first.cancelled()
    assert not second.cancelled()


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_what_work_waits_for_is_cancelled_with_it(turns, start):
    inner = []

    async def work():
        inner.append(asyncio.ensure_future(asyncio.Event().wait()))
        await inner[0]

    task = start(work())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel("enough")

    with pytest.raises(asyncio.CancelledError, match="enough"):
        await task
    assert inner[0].cancelled()


async def test_a_turn_of_the_loop_can_be_cancelled(start):
    async def work():
        await asyncio.sleep(0)

    task = start(work())
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_work_may_resist_a_cancellation(start):
    async def work():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.sleep(0)

    task = start(work())
    task.cancel()

    await task


@pytest.mark.parametrize("turns", [0, 1])
async def test_work_may_cancel_its_own_task(turns, start):
    async def work():
        for _ in range(turns):
            await asyncio.sleep(0)
        asyncio.current_task().cancel()
        await asyncio.Event().wait()

    with pytest.raises(asyncio.CancelledError):
        await start(work())


async def test_work_that_is_cancelled_from_within_costs_the_others_nothing(
    start, works
):
    async def give_up():
        asyncio.current_task().cancel()
        raise asyncio.CancelledError

    assert start(give_up()) is None
    (task,) = works.begin("a", gated="a")
    await settle()
    works.gates["a"].set()
    await task

    assert works.notes == ["a begins", "a ends"]


def test_work_that_waits_when_the_loop_ends_is_cancelled(works):
    async def begin():
        works.begin("a", "b", gated="b")

    asyncio.run(begin())

    assert works.notes[2:] == ["b begins", "b is cancelled"]


def test_each_loop_has_tasks_of_its_own(works):
    async def begin(name):
        works.begin(name)

    for name in "ab":
        asyncio.run(begin(name))

    assert works.notes == ["a begins", "a ends", "b begins", "b ends"]


# One task for many, where there are no eager tasks.


def test_a_loop_that_was_closed_is_forgotten_when_another_needs_a_task(by_hand):
    async def begin(name):
        by_hand.begin(name)

    gone = asyncio.new_event_loop()
    gone.run_until_complete(begin("a"))
    gone.close()
    is_gone = weakref.ref(gone)
    task = by_hand.tasks.pop("a")
    del gone
    asyncio.run(begin("b"))
    task._log_destroy_pending = False  # as it was meant to be
    del task
    gc.collect()

    assert is_gone() is None


async def test_a_loop_that_goes_on_keeps_its_task_when_another_needs_one(by_hand):
    async def begin(name):
        by_hand.begin(name)

    by_hand.begin("a")
    elsewhere = Thread(target=asyncio.run, args=[begin("b")])
    elsewhere.start()
    elsewhere.join()  # with no turn of this loop, which would end its task
    by_hand.begin("c")

    assert by_hand.tasks["a"] is by_hand.tasks["c"]
    assert by_hand.tasks["a"] is not by_hand.tasks["b"]


async def test_work_of_one_turn_that_does_not_wait_shares_a_task(by_hand):
    by_hand.begin("a", "b")

    assert by_hand.tasks["a"] is by_hand.tasks["b"]


async def test_a_task_stays_while_each_turn_uses_it(by_hand):
    for name in "abcd":
        by_hand.begin(name)
        await asyncio.sleep(0)

    assert len(set(by_hand.tasks.values())) == 1


async def test_a_task_that_a_turn_did_not_use_ends(by_hand):
    by_hand.begin("a")
    await settle()
    by_hand.begin("b")

    assert by_hand.tasks["a"].done()
    assert by_hand.tasks["a"] is not by_hand.tasks["b"]


async def test_a_task_that_nobody_needs_may_be_cancelled(by_hand):
    by_hand.begin("a")
    spare = by_hand.tasks["a"]

    spare.cancel()
    by_hand.begin("b")
    with pytest.raises(asyncio.CancelledError):
        await spare

    assert by_hand.tasks["b"] is not spare
    assert by_hand.notes == ["a begins", "a ends", "b begins", "b ends"]


async def test_a_cancelled_spare_task_takes_no_work(by_hand):
    by_hand.begin("a")
    spare = by_hand.tasks["a"]
    spare.cancel()
    await settle()

    by_hand.begin("b")

    assert by_hand.tasks["b"] is not spare


def test_a_task_that_ended_keeps_no_loop_alive(by_hand):
    async def begin():
        by_hand.begin("a")
        return weakref.ref(asyncio.get_running_loop())

    loop = asyncio.run(begin())
    by_hand.tasks.clear()
    gc.collect()

    assert loop() is None


async def test_nobody_but_its_task_waits_for_a_stand(by_hand):
    by_hand.begin("a")

    with pytest.raises(NotImplementedError):
        by_hand.tasks["a"].get_coro().__await__()
