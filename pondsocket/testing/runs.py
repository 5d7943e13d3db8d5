"""Runs: how a coroutine becomes a plain test, alone in an event loop of its own."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from pondsocket.testing.checks import eventually

__all__ = ["borrow_name", "run_alone", "until_no_task"]


def run_alone(play: Coroutine[Any, Any, None], promise: str | None) -> None:
    """Run a coroutine in a new event loop; a failure tells what was promised."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        try:
            runner.run(play)
        except AssertionError as error:
            error.add_note(f"The contract: {promise}")
            raise


def borrow_name(run: Callable[..., object], test: Callable[..., object]) -> None:
    """Name a plain test as the coroutine method that it runs."""
    # not functools.wraps: frameworks would take its second argument for a fixture
    for name in ("__name__", "__qualname__", "__doc__", "__module__"):
        setattr(run, name, getattr(test, name))


async def until_no_task(before: set[asyncio.Task[Any]], what: str) -> None:
    """Fail if a task that was not there before is not over soon."""
    await eventually(lambda: asyncio.all_tasks() <= before, what)
