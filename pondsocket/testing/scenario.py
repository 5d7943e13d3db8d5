"""A scenario: one test of a suite, in an event loop of its own and bounded in time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol, TypeAlias, TypeVar

from pondsocket.options import Options
from pondsocket.server import PondSocket
from pondsocket.testing.peer import TransportPeer
from pondsocket.testing.runs import borrow_name, run_alone, until_no_task
from pondsocket.testing.stage import Stage

__all__ = ["Connect", "scenario"]

Connect: TypeAlias = Callable[[], Awaitable[TransportPeer]]
SECONDS = 15.0  # for a whole scenario


class _Serves(Protocol):
    def serve(self, pond: PondSocket) -> AbstractAsyncContextManager[Connect]:
        """Serve a PondSocket, see ``Served``."""
        ...


Contract = TypeVar("Contract", bound=_Serves)


def scenario(
    **options: Any,  # noqa: ANN401 - the fields of Options
) -> Callable[
    [Callable[[Contract, Stage], Awaitable[None]]], Callable[[Contract], None]
]:
    """Make a plain test method of a coroutine method that wants a stage.

    After it nothing may be left: no task, no connection, no channel. A failure tells
    the docstring: what the transport promised.

    Args:
        **options: Of the PondSocket; a send may take a second by default.
    """

    def decorate(
        test: Callable[[Contract, Stage], Awaitable[None]],
    ) -> Callable[[Contract], None]:
        def run(self: Contract) -> None:
            play = _play(self, test, Options(**{"send_timeout": 1.0, **options}))
            run_alone(play, test.__doc__)

        borrow_name(run, test)
        return run

    return decorate


async def _play(
    contract: Contract,
    test: Callable[[Contract, Stage], Awaitable[None]],
    options: Options,
) -> None:
    before = asyncio.all_tasks()
    async with asyncio.timeout(SECONDS):
        async with _staged(contract, options) as stage:
            await test(contract, stage)
        await stage.check_the_end()
        await until_no_task(before, "no task that outlives the server")


@asynccontextmanager
async def _staged(contract: _Serves, options: Options) -> AsyncIterator[Stage]:
    stage = Stage(options)
    async with contract.serve(stage.pond) as stage.open_wire:
        try:
            yield stage
        finally:
            await stage.close()
