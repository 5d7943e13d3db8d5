"""Exchange: the PubSub objects of one test, and who listens on them."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

from pondsocket.ids import uuid
from pondsocket.pubsub import PubSub, PubSubHandler
from pondsocket.testing.backend import Backend, HasBackend, StoppableBackend
from pondsocket.testing.checks import eventually, expect, in_time
from pondsocket.testing.runs import borrow_name, run_alone, until_no_task

__all__ = ["Exchange", "Listener", "exchanging", "stoppable", "takes_handler"]

SECONDS = 30.0  # for a whole test; a server may have to start in it


class Listener:
    """A coroutine handler that remembers what it got.

    Attributes:
        heard: Topics and data, in the order of arrival.
        gate: Cleared, it holds up each call.
        was_called: Set by the first call.
        was_cancelled: Whether a call ended by cancellation.
    """

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.gate: asyncio.Event = asyncio.Event()
        self.gate.set()
        self.was_called: asyncio.Event = asyncio.Event()
        self.was_cancelled: bool = False

    async def __call__(self, topic: str, data: bytes) -> None:
        """Note a message once the gate is open."""
        self.was_called.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        self.heard.append((topic, data))

    @property
    def data(self) -> list[bytes]:
        """Return what was heard, without the topics."""
        return [data for _, data in self.heard]

    async def hear(self, count: int) -> None:
        """Wait until ``count`` messages were heard altogether."""
        await eventually(
            lambda: len(self.heard) >= count,
            f"{count} messages heard, at {len(self.heard)} before",
        )


class Exchange:
    """What a test does with the objects of one backend.

    Attributes:
        backend: Opens objects that this one does not know.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._opened: list[PubSub] = []

    async def open(self) -> PubSub:
        """Return a new object, which is closed at the end of the test."""
        async with in_time("a PubSub object that opens"):
            opened = await self.backend.open()
        self._opened.append(opened)
        return opened

    async def pair(self) -> tuple[PubSub, PubSub]:
        """Return two new objects."""
        return await self.open(), await self.open()

    async def listen(self, pubsub: PubSub, pattern: str) -> Listener:
        """Return a new listener of ``pattern``."""
        listener = Listener()
        await self.subscribe(pubsub, pattern, listener)
        return listener

    async def subscribe(
        self, pubsub: PubSub, pattern: str, handler: PubSubHandler
    ) -> None:
        """Subscribe; fail if that takes too long."""
        async with in_time(f"a subscribe({pattern!r:.60}) that returns"):
            await pubsub.subscribe(pattern, handler)

    async def unsubscribe(
        self, pubsub: PubSub, pattern: str, handler: PubSubHandler | None = None
    ) -> None:
        """Unsubscribe; fail if that takes too long.

        Where ``unsubscribe`` takes only the pattern, all handlers of it end.
        """
        async with in_time(f"an unsubscribe({pattern!r:.60}) that returns"):
            if takes_handler(pubsub):
                await pubsub.unsubscribe(pattern, handler)
            else:
                await pubsub.unsubscribe(pattern)

    async def publish(self, pubsub: PubSub, topic: str, *messages: bytes) -> None:
        """Publish one after the other; fail if that takes too long."""
        async with in_time(f"a publish({topic!r:.60}) that returns"):
            for data in messages:
                await pubsub.publish(topic, data)

    async def quiesce(self, sender: PubSub, *receivers: PubSub) -> None:
        """Return when what ``sender`` published before has arrived, if it ever will.

        Nothing tells that a message does not come. One that was sent later does not
        overtake others here; the second makes up for a handler's last turn.
        """
        for receiver in receivers:
            topic = f"quiet:{uuid()}"
            fence = await self.listen(receiver, topic)
            for count in (1, 2):
                await self.publish(sender, topic, b"")
                await fence.hear(count)
            await self.unsubscribe(receiver, topic, fence)

    async def close(self) -> None:
        """Close all that was opened, also what a test has closed."""
        for each in self._opened:
            async with in_time("a close() that returns"):
                await each.close()


Contract = TypeVar("Contract", bound=HasBackend)


def exchanging(
    test: Callable[[Contract, Exchange], Awaitable[None]],
) -> Callable[[Contract], None]:
    """Make a plain test method of a coroutine method that wants an exchange.

    After it no task may be left. A failure tells the docstring: what was promised.
    """

    def run(self: Contract) -> None:
        run_alone(_play(self, test), test.__doc__)

    borrow_name(run, test)
    return run


async def _play(
    contract: Contract, test: Callable[[Contract, Exchange], Awaitable[None]]
) -> None:
    before = asyncio.all_tasks()
    async with asyncio.timeout(SECONDS), contract.backend() as backend:
        exchange = Exchange(backend)
        others = asyncio.all_tasks()
        try:
            await test(contract, exchange)
        finally:
            await exchange.close()
        # The author's server may have tasks of its own until the block ends.
        await until_no_task(others, "no task that outlives close()")
    await until_no_task(before, "no task that outlives the backend")


def takes_handler(pubsub: PubSub) -> bool:
    """Tell whether ``unsubscribe`` takes a handler too, by its signature."""
    try:
        inspect.signature(pubsub.unsubscribe).bind("t", None)
    except TypeError:
        return False
    return True


def stoppable(exchange: Exchange) -> StoppableBackend:
    """Return the backend as one that can be stopped."""
    backend = exchange.backend
    expect(isinstance(backend, StoppableBackend), "a backend() that can be stopped")
    return cast("StoppableBackend", backend)
