"""Calling what an application registered: coroutines and plain functions alike."""

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from types import CoroutineType
from typing import TypeVar, TypeVarTuple

from pondsocket.errors import DeadlineExceeded

__all__ = ["attempt", "attempt_within", "invoke", "is_contained"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


async def invoke(callback: Callable[[*Ts], Awaitable[T] | T], *args: *Ts) -> T:
    """Call ``callback`` and return its result, awaited if it can be.

    The result decides, not the function: a lambda that returns a coroutine works. A
    plain function runs inline, so it must not block.

    Raises:
        BaseException: Whatever the callback raises.
    """
    result = callback(*args)
    # Nearly all are coroutines, and what else can be awaited takes long to find out.
    if type(result) is CoroutineType or isawaitable(result):
        awaited: T = await result
        return awaited
    return result


async def attempt(
    callback: Callable[[*Ts], object], *args: *Ts
) -> BaseException | None:
    """Call ``callback`` and return the failure that ends with it, None if it has none.

    Raises:
        BaseException: What must travel on, see :func:`is_contained`.
    """
    try:
        result = callback(*args)  # as invoke(), which would be one more coroutine
        if type(result) is CoroutineType or isawaitable(result):
            await result
    except BaseException as error:
        if not is_contained(error):
            raise
        return error
    return None


async def attempt_within(
    seconds: float, callback: Callable[[*Ts], object], *args: *Ts
) -> BaseException | None:
    """As :func:`attempt`, but cancel the callback after ``seconds``; 0 is no limit.

    The failure of a callback that took too long is a ``DeadlineExceeded``.
    """
    try:
        async with asyncio.timeout(seconds or None):
            return await attempt(callback, *args)
    except TimeoutError:  # ours: what the callback raises is returned
        return DeadlineExceeded("", f"took longer than {seconds} s")


def is_contained(error: BaseException) -> bool:
    """Tell whether what a callback raised is that callback's failure and ends with it.

    For ``except BaseException`` around a callback: True also for a ``CancelledError``
    that the callback raised by itself and for any exception group. False for what must
    travel on: the cancellation of the running task, and the end of the process.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or not task.cancelling()
    return not isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit)
