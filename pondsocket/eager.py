"""Eager tasks: work that is a real task only if it really waits."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any

__all__ = ["start_eagerly"]


def start_eagerly(coro: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Start a task that runs up to its first real wait before this returns.

    On Python 3.11, which has no eager tasks, it starts with the loop's next turn.
    """
    loop = asyncio.get_running_loop()
    if sys.version_info >= (3, 12):  # pragma: no cover - each Python runs one half
        return asyncio.Task(coro, loop=loop, name=name, eager_start=True)
    return loop.create_task(coro, name=name)  # pragma: no cover - Python 3.11
