"""Intake: the way of a message from the client library to the handlers.

The library runs a task for each subscription with a callback, and a queue and a task
switch for each message. It also takes a future that gets the message; a future that is
never done gets them all, inside the library's own reader. That is what is used here:
ten thousand topics need no task.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from nats.aio.msg import Msg

from pondsocket import Subscriptions

__all__ = ["Intake", "Sink"]

logger: logging.Logger = logging.getLogger(__name__)

_TURN: Final = 200  # messages handed over before other tasks run
_OVERHEAD: Final = 200  # bytes that a waiting message takes besides its data


class Sink(asyncio.Future[Msg]):
    """The future that takes every message of one subscription and is never done.

    Cancelling it ends that at once; what still comes is dropped by the library.
    """

    def __init__(self, receive: Callable[[bytes], None]) -> None:
        super().__init__()
        self._receive = receive

    def set_result(self, result: Msg, /) -> None:
        """Take a message; called by the library's reader."""
        self._receive(result.data)


class Intake:
    """Hands over what arrives: at once, or in turn while a handler is behind.

    The library's reader does not wait for anybody, and one read can bring more messages
    than a subscription has room for. So once a handler is behind, messages wait here
    while it runs; a task that exists only meanwhile hands them over. Above ``limit``
    bytes a message is dropped and counted, and the first of a row is logged.
    """

    def __init__(self, subscriptions: Subscriptions, limit: int) -> None:
        self.received: int = 0
        self.dropped: int = 0
        self._subscriptions = subscriptions
        self._limit = limit
        self._backlog: deque[tuple[str, bytes]] = deque()
        self._size = 0  # bytes in the backlog
        self._is_full = False
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many messages wait here."""
        return len(self._backlog)

    def sink(self, topic: str) -> Sink:
        """Return what a subscription of ``topic`` delivers to."""
        return Sink(lambda data: self._receive(topic, data))

    async def close(self) -> None:
        """Drop and count what waits; end the task."""
        self.dropped += len(self._backlog)
        self._backlog.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _receive(self, topic: str, data: bytes) -> None:
        self.received += 1
        if self._task is None:
            if self._subscriptions.dispatch_to(topic, topic, data):
                loop = asyncio.get_running_loop()
                self._task = loop.create_task(self._work(), name="pond-nats-intake")
            return
        size = len(data) + _OVERHEAD
        if self._size + size > self._limit:
            self._drop()
            return
        self._size += size
        self._backlog.append((topic, data))

    def _drop(self) -> None:
        self.dropped += 1
        if not self._is_full:
            self._is_full = True
            logger.warning(
                "messages from nats come faster than they are handled: %d wait, "
                "dropping what comes next",
                len(self._backlog),
            )

    async def _work(self) -> None:
        try:
            await asyncio.sleep(0)  # the handler that is behind
            handed_over = 0
            while self._backlog:
                topic, data = self._backlog.popleft()
                self._size -= len(data) + _OVERHEAD
                handed_over += 1
                is_behind = self._subscriptions.dispatch_to(topic, topic, data)
                if is_behind or handed_over % _TURN == 0:
                    await asyncio.sleep(0)
        finally:
            self._task = None
            self._size = 0
            self._is_full = False
