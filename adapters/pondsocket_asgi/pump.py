"""SendPump: runs the sends of many connections, a task only where one really waits.

Theory of operation. A host's ``send`` is a coroutine that mostly has nothing to wait
for, and a broadcast calls it for each member: a task for each would cost more than the
send itself. On Python 3.12+ each runs as an eager task, which is cheap unless it waits.
Python 3.11 has none; there the sends of one turn of the loop are queued and one task
steps through them. A send that waits keeps that task, from its first step to its last,
so a host may use ``asyncio.timeout`` or anyio inside; those still queued get a new one.
"""

import asyncio
import sys
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeAlias

__all__ = ["SendPump"]

Work: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

_NAME = "pond-send"


class SendPump:
    """Starts sends; one for all connections of an application.

    Args:
        eager: Whether the loop's tasks can start eagerly.
    """

    def __init__(self, *, eager: bool = sys.version_info >= (3, 12)) -> None:
        self._eager = eager
        self._due: deque[Work] = deque()
        self._is_scheduled = False
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Work) -> None:
        """Run ``work`` up to its first real wait, now or in the loop's next turn.

        ``work`` makes the coroutine, which deals with its own exceptions.
        """
        if (
            sys.version_info >= (3, 12) and self._eager
        ):  # pragma: no cover - not on 3.11
            loop = asyncio.get_running_loop()
            self._keep(asyncio.Task(work(), loop=loop, name=_NAME, eager_start=True))
            return
        self._due.append(work)
        if not self._is_scheduled:
            self._schedule()

    def _schedule(self) -> None:
        self._is_scheduled = True
        self._keep(asyncio.create_task(self._run(), name=_NAME))

    def _keep(self, task: "asyncio.Task[None]") -> None:
        if not task.done():  # the loop itself holds no reference
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self) -> None:
        self._is_scheduled = False
        try:
            while self._due:
                await self._step(self._due.popleft()())
        finally:
            if self._due and not self._is_scheduled:
                self._schedule()

    @types.coroutine
    def _step(self, send: Coroutine[Any, Any, None]) -> Generator[Any, Any, None]:
        """Await ``send``; before the first wait, leave what is due to another task."""
        try:
            waits_for = send.send(None)
            if self._due and not self._is_scheduled:
                self._schedule()
            while True:
                try:
                    result = yield waits_for
                except BaseException as error:  # noqa: BLE001 - passed on as it came
                    waits_for = send.throw(error)
                else:
                    waits_for = send.send(result)
        except StopIteration:
            pass
