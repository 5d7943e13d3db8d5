import asyncio

import pytest

from pondsocket.callbacks import attempt, attempt_within, invoke, is_contained
from pondsocket.errors import DeadlineExceeded

CONTAINED = [
    ValueError("bad"),
    asyncio.CancelledError(),
    BaseExceptionGroup("several", [asyncio.CancelledError()]),
]
TRAVELLING = [KeyboardInterrupt(), SystemExit(), GeneratorExit()]

by_name = {"ids": lambda error: type(error).__name__}


def failing(error):
    async def fail():
        raise error

    return fail


async def forever():
    await asyncio.Event().wait()


async def started(coroutine):
    """Return a task that runs the coroutine and got as far as its first wait."""
    task = asyncio.ensure_future(coroutine)
    await asyncio.sleep(0)
    return task


async def test_a_plain_function_gives_its_result():
    assert await invoke(lambda a, b: a + b, 1, 2) == 3


async def test_a_coroutine_function_is_awaited():
    async def double(n):
        return 2 * n

    assert await invoke(double, 4) == 8


async def test_a_plain_function_that_returns_a_coroutine_is_awaited():
    async def double(n):
        return 2 * n

    assert await invoke(lambda: double(21)) == 42


async def test_an_object_that_is_callable_and_its_awaitable_result_will_do():
    class Later:
        def __await__(self):
            yield from ()
            return "later"

    class Callback:
        def __call__(self):
            return Later()

    assert await invoke(Callback()) == "later"


async def test_what_a_plain_function_raises_comes_through():
    def fail():
        raise KeyError("a")

    with pytest.raises(KeyError):
        await invoke(fail)


async def test_what_a_coroutine_raises_comes_through():
    async def fail():
        raise KeyError("a")

    with pytest.raises(KeyError):
        await invoke(fail)


async def test_an_attempt_awaits_whatever_can_be_awaited():
    done = asyncio.get_running_loop().create_future()
    attempt_at_it = await started(attempt(lambda: done))
    assert not attempt_at_it.done()

    done.set_exception(ValueError("bad"))

    assert isinstance(await attempt_at_it, ValueError)


async def test_an_attempt_that_succeeds_passes_its_arguments_and_returns_nothing():
    got = []

    assert await attempt(got.append, 1) is None
    assert got == [1]


@pytest.mark.parametrize("error", CONTAINED, **by_name)
async def test_an_attempt_returns_what_the_callback_raised(error):
    assert await attempt(failing(error)) is error


async def test_an_attempt_is_cancelled_with_its_task():
    task = await started(attempt(forever))

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_end_of_the_process_leaves_an_attempt():
    def leave():
        raise SystemExit

    with pytest.raises(SystemExit):
        await attempt(leave)


@pytest.mark.parametrize("seconds", [0, 60])
@pytest.mark.parametrize("error", CONTAINED, **by_name)
async def test_an_attempt_in_time_returns_what_the_callback_raised(seconds, error):
    assert await attempt_within(seconds, failing(error)) is error


async def test_an_attempt_in_time_that_succeeds_returns_nothing():
    got = []

    assert await attempt_within(60, got.append, 1) is None
    assert got == [1]


async def test_an_attempt_that_takes_too_long_is_cancelled_and_fails_by_its_deadline():
    cancelled = []

    async def hang():
        try:
            await forever()
        except asyncio.CancelledError as error:
            cancelled.append(error)
            raise

    assert isinstance(await attempt_within(1e-6, hang), DeadlineExceeded)
    assert cancelled


async def test_an_attempt_with_a_deadline_is_cancelled_with_its_task():
    task = await started(attempt_within(60, forever))

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_deadline_of_zero_is_none():
    go = asyncio.Event()

    async def wait():
        await go.wait()

    task = await started(attempt_within(0, wait))
    go.set()

    assert await task is None


async def test_outside_of_a_task_nothing_was_cancelled():
    loop = asyncio.get_running_loop()
    answer = loop.create_future()

    loop.call_soon(
        lambda: answer.set_result(is_contained(asyncio.CancelledError())),
    )

    assert await answer


@pytest.mark.parametrize("error", TRAVELLING, **by_name)
def test_the_end_of_the_process_is_nobodys_failure(error):
    assert not is_contained(error)
