"""Eager starts: work that keeps a task for itself only if it really waits.

Theory of operation. Most handlers, and most sends of a host, are over without having
waited for anything: a task for each would cost more than all the rest. Python 3.12 has
eager tasks for this. Before, work is stepped here by hand, in the name of a task that
is ready to go on: whatever the work uses (``asyncio.timeout``, a task group) finds a
current task, and always the same. If it waits, the task goes on with it. If it is over
with its first step, that task ends unused; or the next work uses it, if both may share
one. Handlers may not: an application may keep its current task, and cancel it when it
is long over. A shared task stays as long as each turn of the loop uses it, and ends
with the first that does not.
"""

import asyncio
import sys
from asyncio import _enter_task, _leave_task  # for makers of tasks: Extending asyncio
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from types import coroutine
from typing import Any, Final, TypeAlias

__all__ = ["find_current_task", "start_by_hand", "start_eagerly"]

_Work: TypeAlias = Coroutine[Any, Any, None]

_NAME = "pond-eager"  # until the caller gives a task a better one
_READY: Final = object()

# asyncio.current_task(), which in Python 3.11 is a function of Python around this; of
# that, typeshed does not know.
find_current_task: Final[
    Callable[[asyncio.AbstractEventLoop], asyncio.Task[Any] | None]
] = (
    asyncio.current_task
    if sys.version_info >= (3, 12)
    else asyncio.tasks._current_tasks.get  # type: ignore[attr-defined]  # noqa: SLF001
)


# The stand that the next work of a loop may use; one that ends takes itself out.
_spares: dict[asyncio.AbstractEventLoop, "_Stand"] = {}


def start_by_hand(
    work: _Work,
    context: Context | None = None,
    loop: asyncio.AbstractEventLoop | None = None,
    *,
    may_share: bool = False,
) -> asyncio.Task[None] | None:
    """Run work up to its first real wait.

    To be called on the event loop, from inside of a task or not.

    Args:
        work: The coroutine of an ``async def``.
        context: What it runs in, from its first step to its last; by default a copy of
            the current one.
        loop: The running one, if it is at hand: to find it Python 3.11 asks the kernel.
        may_share: Whether its current task may be that of other work, before or after.

    Returns:
        The task that goes on with it, to be kept by the caller; None if it is over.

    Raises:
        BaseException: What the work raised before its first wait, but for its own
            cancellation. What it raises later is the task's.
    """
    loop = loop or asyncio.get_running_loop()
    context = copy_context() if context is None else context
    # taken out, as the work may start other work; not if its task is being cancelled
    stand = _spares.pop(loop, None) if may_share else None
    if stand is None or stand.task.cancelling():
        stand = _make_stand(loop)
    current = find_current_task(loop)
    if current is not None:
        _leave_task(loop, current)
    _enter_task(loop, stand.task)
    try:
        waits_for = context.run(stand.driver.send, work)
    except BaseException as error:  # noqa: BLE001 - raised there, unless it is the end
        waits_for = stand.recover(error)
    finally:
        _leave_task(loop, stand.task)
        if current is not None:
            _enter_task(loop, current)
    if waits_for is not _READY:
        stand.go_on(waits_for, context)
        return stand.task
    if may_share:
        stand.is_used = True
        _spares[loop] = stand
    return None


if sys.version_info >= (3, 12):  # pragma: no cover - each Python runs one half

    def start_eagerly(
        work: _Work,
        context: Context | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        *,
        may_share: bool = False,
    ) -> asyncio.Task[None] | None:
        """Do what :func:`start_by_hand` does, by an eager task."""
        loop = loop or asyncio.get_running_loop()
        task = asyncio.Task(
            work, loop=loop, name=_NAME, context=context, eager_start=True
        )
        if not task.done():
            return task
        try:
            if not task.cancelled():
                task.result()
        finally:
            del task  # which the error would keep, and it the error
        return None

else:  # pragma: no cover - Python 3.11
    start_eagerly = start_by_hand


@coroutine
def _drive() -> Generator[object, Any, None]:
    """Await one piece of work after the other.

    Were each stepped by itself, its end would be an exception, made and caught.
    """
    work = yield _READY
    while True:
        yield from work
        work = yield _READY


def _start_driver() -> Generator[object, Any, None]:
    driver = _drive()
    next(driver)
    return driver


def _make_stand(loop: asyncio.AbstractEventLoop) -> "_Stand":
    for other in tuple(_spares):
        if other.is_closed():  # with its tasks pending: else they took theirs out
            del _spares[other]
    return _Stand(loop)


class _Stand(_Work):
    """A task's coroutine, which goes on with work that was begun in its name."""

    __slots__ = ("_context", "_loop", "_waits_for", "driver", "is_used", "task")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.is_used = False  # since the task's last turn
        self.driver = _start_driver()
        self._loop = loop
        self._context: Context | None = None  # of the work that the task goes on with
        self._waits_for: Any = None  # what the task does not yet know of
        # not by the loop's factory, which may wrap what it is given
        self.task: asyncio.Task[None] = asyncio.Task(self, loop=loop, name=_NAME)

    def recover(self, error: BaseException) -> object:
        """Be ready for other work; raise what the last one raised."""
        self.driver = _start_driver()
        if isinstance(error, asyncio.CancelledError):  # which just ends a task
            return _READY
        try:
            raise error
        finally:
            del error  # whose traceback would keep it

    def go_on(self, waits_for: object, context: Context) -> None:
        """Have the task go on with what the driver began, once its turn comes."""
        self._waits_for, self._context = waits_for, context
        _mark(waits_for, False)  # others may wait for it meanwhile

    # Coroutine, called by the task

    def send(self, value: object) -> object:
        if self._context is None:
            if self.is_used:
                self.is_used = False
                return None  # once more, in the next turn
            self._end()
            raise StopIteration
        if self._waits_for is not None:
            return self._hand_over()
        return self._run(self._context, self.driver.send, value)

    def throw(self, *error: Any) -> object:  # noqa: ANN401 - as Coroutine has it
        if self._context is None:
            self._end()
            raise error[0]
        if asyncio.isfuture(self._waits_for) and self._waits_for.cancel(*error[0].args):
            return self._hand_over()  # as if the task had known what to cancel
        self._waits_for = None
        return self._run(self._context, self.driver.throw, *error)

    def close(self) -> None:
        """Do nothing: a task closes no coroutine."""

    def __await__(self) -> Any:  # noqa: ANN401 - as Coroutine has it
        raise NotImplementedError("it is a task's, nobody else awaits it")

    def _run(
        self, context: Context, step: Callable[..., object], *args: object
    ) -> object:
        waits_for = context.run(step, *args)
        if waits_for is _READY:
            raise StopIteration
        return waits_for

    def _hand_over(self) -> object:
        # not kept: it may be of a kind that the collector cannot look into
        waits_for, self._waits_for = self._waits_for, None
        _mark(waits_for, True)
        return waits_for

    def _end(self) -> None:
        if _spares.get(self._loop) is self:  # it would keep the loop alive
            del _spares[self._loop]


def _mark(waits_for: Any, is_awaited: bool) -> None:  # noqa: ANN401 - of any kind
    """Set the mark that a future has from its ``await`` on until its task takes it.

    No task takes one without it, and nobody can wait for one that has it.
    """
    if asyncio.isfuture(waits_for):
        waits_for._asyncio_future_blocking = is_awaited  # noqa: SLF001 - as said
