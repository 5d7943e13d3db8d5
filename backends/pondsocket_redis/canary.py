"""Canary: a message to oneself that shows whether messages still go round."""

import asyncio
from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

from pondsocket_redis.names import Name
from pondsocket_redis.publisher import Publisher
from pondsocket_redis.subscriber import Subscriber
from pondsocket_redis.supervisor import end_task

__all__ = ["Canary"]

_SLICES: Final = 4


class Canary:
    """Sends a message round once per interval and cuts the connection that fails.

    A server that is stopped, or a link that swallows everything, closes nothing: only
    what does not come back shows it. A connection on which anything else has come
    meanwhile is slow, not dead.

    Args:
        publisher: Sends it.
        subscriber: Gets it back, if it was started.
        kind: Of the name: exact or sharded.
        interval: Seconds between two.
        patience: Seconds that one may take.
    """

    def __init__(
        self,
        publisher: Publisher,
        subscriber: Subscriber,
        *,
        kind: bytes,
        interval: float,
        patience: float,
    ) -> None:
        self._publisher = publisher
        self._subscriber = subscriber
        self._kind = kind
        self._interval = interval
        self._patience = patience
        self._number = 0
        self._heard: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._stem = f"pondsocket:canary:{uuid4().hex}"
        self._topic = self._stem
        self.topic: bytes = self._topic.encode()
        self.lag: float = 0.0

    def start(self, fits: Callable[[str], bool] = lambda _: True) -> None:
        """Begin, unless that was done; needs a running loop.

        Args:
            fits: Whether this server serves a topic.
        """
        if self._task is None:
            self.move(fits)
            self._task = asyncio.create_task(self._run(), name="pond-redis-canary")

    def move(self, fits: Callable[[str], bool]) -> None:
        """Take a topic that this server serves, if the present one is not its own."""
        if fits(self._topic) and self._task is not None:
            return
        self._subscriber.forget(Name(self._kind, self.topic))
        tries = (f"{self._stem}:{number}" for number in range(100_000))
        self._topic = next(filter(fits, tries), self._stem)
        self.topic = self._topic.encode()
        self._subscriber.want(Name(self._kind, self.topic))

    def hear(self, data: bytes) -> None:
        """Take one that came back; called by whoever reads."""
        heard = self._heard
        if heard is not None and not heard.done() and data == b"%d" % self._number:
            heard.set_result(None)

    async def close(self) -> None:
        """End the task; idempotent."""
        if self._task is not None:
            await end_task(self._task)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._interval)
            if not self._publisher.is_ready:
                continue
            sent = loop.time()
            if await self._goes_round():
                self.lag = loop.time() - sent

    async def _goes_round(self) -> bool:
        """Send one and wait for it; cut what is dead."""
        self._number += 1
        self._heard = asyncio.get_running_loop().create_future()
        answers, signs = self._publisher.signs, self._subscriber.signs
        is_heard_here = self._subscriber.is_ready
        probe = asyncio.create_task(
            self._publisher.probe(self._topic, b"%d" % self._number),
            name="pond-redis-probe",
        )
        try:
            if not await self._within_patience(probe):
                if self._publisher.signs == answers:
                    self._publisher.cut()
            elif not is_heard_here or not probe.result():
                return probe.result()
            elif await self._within_patience(self._heard):
                return True
            # Whether a subscriber still hears shows only while somebody publishes.
            if self._subscriber.is_ready and self._subscriber.signs == signs:
                self._subscriber.cut()
            return False
        finally:
            await end_task(probe)

    async def _within_patience(self, future: "asyncio.Future[Any]") -> bool:
        """Wait in slices: while this very process stands still, nothing is late."""
        for _ in range(_SLICES):
            done, _ = await asyncio.wait([future], timeout=self._patience / _SLICES)
            if done:
                return True
        return False
