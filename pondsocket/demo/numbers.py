"""Live numbers of the demo: a metrics collector, and who publishes its figures."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pondsocket import NoopMetrics

__all__ = ["Numbers", "Publisher", "Rates"]

logger: logging.Logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rates:
    """What happened between two ticks.

    Attributes:
        received: Client messages per second.
        delivered: Messages handed to transports per second.
        outbox: The deepest that any connection's outbox was.
        handler_ms: How long the message handlers ran on average, in milliseconds.
    """

    received: float = 0.0
    delivered: float = 0.0
    outbox: int = 0
    handler_ms: float = 0.0

    def to_payload(self) -> dict[str, Any]:
        """Return the numbers by name, rounded for people."""
        return {
            "received": round(self.received, 1),
            "delivered": round(self.delivered, 1),
            "outbox": self.outbox,
            "handlerMs": round(self.handler_ms, 3),
        }


@dataclass(slots=True)
class _Window:
    """What was counted since the last tick."""

    received: int = 0
    delivered: int = 0
    outbox: int = 0
    handled: int = 0
    handler_seconds: float = 0.0


class Numbers(NoopMetrics):
    """Counts what the framework tells it; nothing about the channel in ``unseen``.

    Args:
        unseen: The channel on which the numbers travel, which should not count
            themselves.
        now: The time of the first tick, in seconds.
    """

    def __init__(self, unseen: str, now: float) -> None:
        self._unseen = unseen
        self._last_tick = now
        self._window = _Window()
        self.rates: Rates = Rates()

    def message_received(
        self, conn_id: str, channel: str, event: str, size: int
    ) -> None:
        """Count a client's message."""
        self._window.received += channel != self._unseen

    def message_sent(self, conn_id: str, channel: str, event: str, size: int) -> None:
        """Count a delivery."""
        self._window.delivered += channel != self._unseen

    def handler_duration(self, handler: str, duration_seconds: float) -> None:
        """Add up the time that handlers took."""
        self._window.handled += 1
        self._window.handler_seconds += duration_seconds

    def queue_depth(self, queue: str, depth: int) -> None:
        """Keep the deepest outbox."""
        if queue == "outbox":
            self._window.outbox = max(self._window.outbox, depth)

    def tick(self, now: float) -> None:
        """Turn what was counted since the last tick into ``rates``; start over."""
        elapsed = max(now - self._last_tick, 1e-3)
        window = self._window
        self.rates = Rates(
            received=window.received / elapsed,
            delivered=window.delivered / elapsed,
            outbox=window.outbox,
            handler_ms=1e3 * window.handler_seconds / max(window.handled, 1),
        )
        self._last_tick, self._window = now, _Window()


class Publisher:
    """Calls ``publish`` once per interval while somebody watches. Owns one task.

    Args:
        publish: Called in the publisher's task; what it raises is logged.
        interval: Seconds between two calls.
    """

    def __init__(self, publish: Callable[[], Awaitable[None]], interval: float) -> None:
        self._publish = publish
        self._interval = interval
        self._watchers: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """Whether the task exists."""
        return self._task is not None

    @property
    def watchers(self) -> frozenset[str]:
        """The users who watch now."""
        return frozenset(self._watchers)

    def watch(self, user_id: str) -> None:
        """Add a watcher; the first one starts the task."""
        self._watchers.add(user_id)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="demo numbers")

    async def unwatch(self, user_id: str) -> None:
        """Remove a watcher; with the last one the task is cancelled and awaited."""
        self._watchers.discard(user_id)
        task = self._task
        if self._watchers or task is None:
            return
        self._task = None  # before the await: a new watcher starts a new task
        task.cancel()
        await asyncio.wait([task])

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self._publish()
            except Exception:  # the root of a task; the next second is another chance
                logger.exception("the demo's numbers were not published")
