"""Publisher: sends this node's messages over the PubSub, in order, in the background.

So a broadcast does not wait for the network. What waits is bounded; what does not fit,
or cannot be published, is counted.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Final

from pondsocket.callbacks import is_contained
from pondsocket.metrics import Telemetry
from pondsocket.pubsub import PublishesBatches, PubSub

__all__ = ["Publisher"]

logger: logging.Logger = logging.getLogger(__name__)

MAX_MESSAGES: Final = 20_000
MAX_BYTES: Final = 32 * 1024 * 1024
CROWDED_BELOW: Final = 0.5
"""The part that must be free; with less, those who announce wait a little."""
BATCH: Final = 256
"""Messages that a PubSub gets at once if it takes several, to share one deadline."""
ROOM_SECONDS: Final = 0.2
"""How long those who announce wait at most."""


class Publisher:
    """A bounded queue of messages and, while there are any, the task that sends them.

    Args:
        pubsub: Carries them.
        telemetry: Counts ``publish_failed``.
        timeout: Seconds after which publishing has failed.
    """

    def __init__(self, pubsub: PubSub, telemetry: Telemetry, timeout: float) -> None:
        self._pubsub = pubsub
        self._publish_many = (
            pubsub.publish_many
            if isinstance(pubsub, PublishesBatches)
            else self._publish_one
        )
        self._at_once = BATCH if isinstance(pubsub, PublishesBatches) else 1
        self._telemetry = telemetry
        self._timeout = timeout
        self._queue: deque[tuple[str, bytes]] = deque()
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._is_failing = False
        self._is_closed = False

    def offer(self, topic: str, data: bytes) -> None:
        """Queue a message; never waits. One that does not fit is dropped and counted.

        So is everything after :meth:`close`.
        """
        if (
            self._is_closed
            or len(self._queue) >= MAX_MESSAGES
            or self._bytes + len(data) > MAX_BYTES
        ):
            self._fail(1, None)
            return
        self._queue.append((topic, data))
        self._bytes += len(data)
        if (
            len(self._queue) >= MAX_MESSAGES * CROWDED_BELOW
            or self._bytes >= MAX_BYTES * CROWDED_BELOW
        ):
            self._has_room.clear()
        if self._task is None:
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._work(), name="pond-publish")

    @property
    def is_crowded(self) -> bool:
        """Whether :meth:`room` should be awaited before more is offered."""
        return not self._has_room.is_set()

    async def room(self) -> None:
        """Return when half of the queue is free, after a fifth of a second at most."""
        try:
            async with asyncio.timeout(ROOM_SECONDS):
                await self._has_room.wait()
        except TimeoutError:
            pass  # offer() will count what does not fit

    async def close(self) -> None:
        """Send what waits, for as long as one message may take; count the rest.

        A PubSub that ignores cancellation is left behind after as long again.
        """
        self._is_closed = True
        task = self._task
        if task is None:
            return
        _, late = await asyncio.wait([task], timeout=self._timeout)
        if late:
            task.cancel()
            _, stuck = await asyncio.wait([task], timeout=self._timeout)
            if stuck:
                logger.error("the PubSub ignores that publishing was cancelled")
        if self._queue:
            self._fail(len(self._queue), None)
            self._queue.clear()

    async def _work(self) -> None:
        # One turn of the loop later, since more may be offered in this one.
        await asyncio.sleep(0)
        try:
            while self._queue:
                count = min(self._at_once, len(self._queue))
                batch = [self._queue.popleft() for _ in range(count)]
                self._bytes -= sum(len(data) for _, data in batch)
                await self._publish(batch)
                if (
                    len(self._queue) < MAX_MESSAGES * CROWDED_BELOW
                    and self._bytes < MAX_BYTES * CROWDED_BELOW
                ):
                    self._has_room.set()
        finally:
            self._task = None

    async def _publish(self, batch: Sequence[tuple[str, bytes]]) -> None:
        failed, error = len(batch), None
        try:
            async with asyncio.timeout(self._timeout):
                failed = await self._publish_many(batch)
        except BaseException as raised:
            if not is_contained(raised):
                self._fail(failed, raised)
                raise
            error = raised
        if failed:
            self._fail(failed, error)
        elif self._is_failing:
            self._is_failing = False
            logger.info("messages reach the other nodes again")

    async def _publish_one(self, batch: Sequence[tuple[str, bytes]]) -> int:
        ((topic, data),) = batch
        await self._pubsub.publish(topic, data)
        return 0

    def _fail(self, count: int, error: BaseException | None) -> None:
        self._telemetry.count("publish_failed", count)
        self._warn(error)

    def _warn(self, error: BaseException | None) -> None:
        if self._is_failing:
            return
        self._is_failing = True
        logger.warning(
            "messages do not reach the other nodes: %s; more such failures are only "
            "counted (publish_failed)",
            error if error is not None else "the PubSub is away or too slow",
        )
