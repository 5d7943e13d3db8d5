import asyncio
import sys

import pytest

from pondsocket.eager import start_eagerly

IS_EAGER = sys.version_info >= (3, 12)


async def test_it_runs_up_to_its_first_wait_before_the_start_returns_where_it_can():
    steps = []
    go = asyncio.Event()

    async def work():
        steps.append("started")
        await go.wait()
        steps.append("ended")

    task = start_eagerly(work(), "work")

    assert steps == (["started"] if IS_EAGER else [])
    go.set()
    await task
    assert steps == ["started", "ended"]


async def test_the_task_carries_its_name():
    task = start_eagerly(asyncio.sleep(0), "pond-inbox-ann")

    assert task.get_name() == "pond-inbox-ann"
    await task


async def test_work_that_never_waits_is_a_finished_task():
    async def work():
        pass

    task = start_eagerly(work(), "work")

    assert task.done() is IS_EAGER
    await task


async def test_work_knows_itself_as_the_current_task():
    known = []

    async def work():
        known.append(asyncio.current_task())

    task = start_eagerly(work(), "work")
    await task

    assert known == [task]


async def test_what_the_work_raises_stays_in_the_task():
    async def work():
        raise ValueError("bad")

    task = start_eagerly(work(), "work")

    with pytest.raises(ValueError, match="bad"):
        await task
