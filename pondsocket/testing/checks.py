"""Checks that say what was expected and what was found, for tests in a library.

``assert`` would tell nothing here, since test frameworks explain it only in tests.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

__all__ = ["PATIENCE", "PAUSE", "eventually", "expect", "expect_equal", "in_time"]

PATIENCE = 5.0  # seconds for anything that a suite waits for
PAUSE = 0.002  # between two looks


def expect(condition: object, what: str) -> None:
    """Fail unless a condition holds."""
    if not condition:
        raise AssertionError(f"expected: {what}")


def expect_equal(found: object, expected: object, what: str) -> None:
    """Fail unless what was found is what was expected."""
    if found != expected:
        raise AssertionError(f"{what}: expected {expected!r}, found {found!r}")


@asynccontextmanager
async def in_time(what: str) -> AsyncIterator[None]:
    """Fail unless the block ends in time."""
    limit = asyncio.timeout(PATIENCE)
    try:
        async with limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise AssertionError(f"expected within {PATIENCE} s: {what}") from error


async def eventually(condition: Callable[[], object], what: str) -> None:
    """Wait for a state that nobody announces, and fail if it does not come in time."""
    async with in_time(what):
        while not condition():  # noqa: ASYNC110 - no event exists for it
            await asyncio.sleep(PAUSE)
