"""SendPump: starts the sends of many connections, a task only for one that waits.

Theory of operation. A host's ``send`` is a coroutine that mostly has nothing to wait
for, and a broadcast calls it for each member: a task for each would cost more than the
send itself. On Python 3.12+ eager tasks do this. Python 3.11 has none, so a send is
stepped here by hand, in the name of a task that was made but has not begun: what a host
uses inside (``asyncio.timeout``, anyio) finds a current task, and always the same. If
the send is over with its first step, the next one may use that task. If it waits, the
task goes on with it. A task that nobody needed ends when its turn comes.
"""

import asyncio
import sys
from asyncio import _enter_task, _leave_task  # for makers of tasks: Extending asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeAlias

__all__ = ["SendPump"]

Sending: TypeAlias = Coroutine[Any, Any, None]

_NAME = "pond-send"


class SendPump:
    """Starts sends; one for all connections of an application.

    Args:
        eager: Whether the loop's tasks can start eagerly.
    """

    def __init__(self, *, eager: bool = sys.version_info >= (3, 12)) -> None:
        self._eager = eager
        self._spare: _Stand | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, send: Sending, context: Context) -> "asyncio.Task[None] | None":
        """Run a send up to its first real wait.

        Args:
            send: Deals with its own exceptions.
            context: What it runs in, from its first step to its last.

        Returns:
            The task that goes on with it, None if it is over.
        """
        loop = asyncio.get_running_loop()
        if (
            sys.version_info >= (3, 12) and self._eager
        ):  # pragma: no cover - not on 3.11
            task = asyncio.Task(
                send, loop=loop, name=_NAME, context=context, eager_start=True
            )
            return None if task.done() else self._keep(task)
        stand = self._spare
        if stand is None or stand.has_begun or stand.loop is not loop:
            stand = _Stand(loop)
        self._spare = None  # a send may start another
        if stand.finishes(send, context):
            self._spare = stand
            return None
        return self._keep(stand.task)

    def _keep(self, task: "asyncio.Task[None]") -> "asyncio.Task[None]":
        self._tasks.add(task)  # the loop itself holds no reference
        task.add_done_callback(self._tasks.discard)
        return task


class _Stand(Sending):
    """A task's coroutine, which goes on with a send that was begun in its name."""

    __slots__ = ("_context", "_send", "_waits_for", "has_begun", "loop", "task")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.has_begun = False
        self.loop = loop
        self.task: asyncio.Task[None] = loop.create_task(self, name=_NAME)
        self._send: Sending | None = None
        self._context: Context
        self._waits_for: object

    def finishes(self, send: Sending, context: Context) -> bool:
        """Take the first step of ``send`` as the task; tell whether it was the last."""
        loop, task = self.loop, self.task
        current = asyncio.current_task(loop)
        if current is not None:
            _leave_task(loop, current)
        _enter_task(loop, task)
        try:
            self._waits_for = context.run(send.send, None)
        except (StopIteration, asyncio.CancelledError):  # a task would end by either
            return True
        finally:
            _leave_task(loop, task)
            if current is not None:
                _enter_task(loop, current)
        self._send = send
        self._context = context
        return False

    # Coroutine, called by the task

    def send(self, value: object) -> object:
        if self._send is None:
            self.has_begun = True
            raise StopIteration
        if not self.has_begun:
            self.has_begun = True
            # a host's own kind of future may be one that the collector cannot look into
            waits_for, self._waits_for = self._waits_for, None
            return waits_for
        return self._context.run(self._send.send, value)

    def throw(self, *error: Any) -> object:  # noqa: ANN401 - as Coroutine has it
        self.has_begun = True
        if self._send is None:
            raise error[0]
        return self._context.run(self._send.throw, *error)

    def close(self) -> None:
        """Do nothing: a task closes no coroutine."""

    def __await__(self) -> Any:  # noqa: ANN401 - as Coroutine has it
        raise NotImplementedError("it is a task's, nobody else awaits it")
