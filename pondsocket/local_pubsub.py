"""LocalPubSub: a PubSub inside this process. Nothing of it reaches another one.

For tests, and for several PondSockets on one event loop. It is not thread-safe.
"""

import asyncio
import contextvars
import logging
from collections import deque
from dataclasses import asdict, dataclass
from typing import Final
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from pondsocket.callbacks import attempt
from pondsocket.errors import Conflict, NotFound, PubSubClosedError
from pondsocket.pubsub import PubSubHandler, match_topic

__all__ = ["LocalPubSub", "open_memory"]

logger: logging.Logger = logging.getLogger(__name__)


class LocalPubSub:
    """A PubSub for objects of one process.

    Several PondSockets may share one object. Objects of the same ``name`` hear each
    other as if they were clients of one server; each is closed for itself and ends only
    its own subscriptions. A name lasts as long as an object that has it.

    A message waits in the buffer of each subscription that it matches; a task per
    subscription, which exists only while something waits, hands one after the other to
    the handler. A full buffer drops what comes next and counts it.

    Args:
        buffer_size: Messages that wait in one subscription, at least 1.
        name: Which objects hear each other; without one only this object hears itself.

    Raises:
        ValueError: If ``buffer_size`` is below 1.
    """

    def __init__(self, *, buffer_size: int = 100, name: str | None = None) -> None:
        if buffer_size < 1:
            raise ValueError(f"buffer_size must be at least 1, got {buffer_size!r}")
        self._buffer_size = buffer_size
        self._hub = _Hub() if name is None else _NAMED.setdefault(name, _Hub())
        self._counts = _Counts()
        self._subscriptions: list[_Subscription] = []
        # Those of ended subscriptions too, whose handlers may still run.
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def subscribe(self, pattern: str, handler: PubSubHandler) -> None:
        """Call ``handler(topic, data)`` for each message whose topic matches.

        The handler runs in the context (``contextvars``) of whoever subscribed.

        Raises:
            Conflict: If this very pair of pattern and handler is subscribed.
            PubSubClosedError: After :meth:`close`.
        """
        self._check_open()
        if self._find(pattern, handler):
            raise Conflict("", f"{handler!r} is already subscribed to {pattern!r}")
        subscription = _Subscription(
            pattern, handler, self._buffer_size, self._counts, self._tasks
        )
        self._subscriptions.append(subscription)
        self._hub.add(subscription)

    async def unsubscribe(
        self, pattern: str, handler: PubSubHandler | None = None
    ) -> None:
        """End one subscription, without a handler all of that pattern.

        What waits for it is dropped; a handler that runs may finish.

        Raises:
            NotFound: If there is no such subscription; after :meth:`close` always.
        """
        found = self._find(pattern, handler)
        if not found:
            raise NotFound("", f"no such subscription of {pattern!r}")
        for subscription in found:
            self._drop(subscription)

    async def publish(self, topic: str, data: bytes) -> None:
        """Put ``data`` into the buffer of every matching subscription.

        Never waits for a handler, but yields to the loop once while a buffer is half
        full or more: publishing in a loop does not starve those who listen.

        Raises:
            PubSubClosedError: After :meth:`close`.
        """
        self._check_open()
        self._counts.published += 1
        is_crowded = False
        for subscription in self._hub.matching(topic):
            is_crowded |= subscription.offer(topic, data)
        if is_crowded:
            await asyncio.sleep(0)

    async def close(self) -> None:
        """End the subscriptions of this object; idempotent.

        What waits is dropped and counted. Handlers that run are cancelled and awaited;
        one that calls this itself is neither.
        """
        self._closed = True
        for subscription in self._subscriptions.copy():
            self._counts.pubsub_dropped += subscription.waiting
            self._drop(subscription)
        running = self._tasks - {asyncio.current_task()}
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    def stats(self) -> dict[str, int]:
        """Return the counters of this object and its gauges.

        ``published`` here; ``delivered``, ``handler_failed`` and ``pubsub_dropped`` by
        its subscriptions; ``subscriptions`` and ``waiting`` are the state of now.
        """
        return asdict(self._counts) | {
            "subscriptions": len(self._subscriptions),
            "waiting": sum(each.waiting for each in self._subscriptions),
        }

    def _check_open(self) -> None:
        if self._closed:
            raise PubSubClosedError

    def _find(
        self, pattern: str, handler: PubSubHandler | None
    ) -> list["_Subscription"]:
        return [
            each
            for each in self._subscriptions
            # A method is a new object each time it is looked up, but equal to itself.
            if each.pattern == pattern and handler in (None, each.handler)
        ]

    def _drop(self, subscription: "_Subscription") -> None:
        self._subscriptions.remove(subscription)
        self._hub.remove(subscription)
        subscription.clear()


def open_memory(url: str) -> LocalPubSub:
    """Open ``memory://<name>``: every URL with that name opens the same hub.

    Called by ``open_pubsub``, by entry point. ``memory://`` is a name like any other,
    the empty one. How objects of one name end: see ``LocalPubSub``.
    """
    parts = urlsplit(url)
    return LocalPubSub(name=parts.netloc + parts.path)


@dataclass(slots=True)
class _Counts:
    """What happened to the messages of one LocalPubSub so far."""

    published: int = 0
    delivered: int = 0
    handler_failed: int = 0
    pubsub_dropped: int = 0


class _Subscription:
    """A handler, its buffer, and at most one task that brings the one to the other."""

    __slots__ = (
        "_buffer", "_context", "_counts", "_is_working", "_size", "_tasks", "handler",
        "pattern",
    )  # fmt: skip

    def __init__(
        self,
        pattern: str,
        handler: PubSubHandler,
        size: int,
        counts: _Counts,
        tasks: set[asyncio.Task[None]],
    ) -> None:
        self.pattern = pattern
        self.handler = handler
        self._size = size
        self._counts = counts
        self._tasks = tasks
        self._buffer: deque[tuple[str, bytes]] = deque()
        # Else the task would inherit that of whoever happens to publish first.
        self._context = contextvars.copy_context()
        self._is_working = False

    @property
    def waiting(self) -> int:
        """How many messages wait."""
        return len(self._buffer)

    def offer(self, topic: str, data: bytes) -> bool:
        """Buffer a message or drop it; tell whether the buffer is half full or more."""
        if len(self._buffer) >= self._size:
            self._counts.pubsub_dropped += 1
            return True
        self._buffer.append((topic, data))
        if not self._is_working:
            self._is_working = True
            task = asyncio.create_task(
                self._work(), name=f"pond-pubsub-{self.pattern}", context=self._context
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return 2 * len(self._buffer) >= self._size

    def clear(self) -> None:
        """Drop what waits."""
        self._buffer.clear()

    async def _work(self) -> None:
        try:
            while self._buffer:
                await self._hand_over(*self._buffer.popleft())
        finally:
            self._is_working = False

    async def _hand_over(self, topic: str, data: bytes) -> None:
        error = await attempt(self.handler, topic, data)
        if error is None:
            self._counts.delivered += 1
            return
        self._counts.handler_failed += 1
        # A topic holds a channel's name, which a client may have chosen.
        logger.error(
            "pubsub handler %r failed on topic %.200r",
            self.handler,
            topic,
            exc_info=error,
        )


class _Hub:
    """The subscriptions of all objects that hear each other."""

    __slots__ = ("__weakref__", "_exact", "_wildcards")

    def __init__(self) -> None:
        self._exact: dict[str, list[_Subscription]] = {}
        self._wildcards: dict[str, list[_Subscription]] = {}

    def add(self, subscription: _Subscription) -> None:
        """Let a subscription hear."""
        table = self._table(subscription.pattern)
        table.setdefault(subscription.pattern, []).append(subscription)

    def remove(self, subscription: _Subscription) -> None:
        """Let a subscription hear no more."""
        table = self._table(subscription.pattern)
        table[subscription.pattern].remove(subscription)
        if not table[subscription.pattern]:
            del table[subscription.pattern]

    def matching(self, topic: str) -> list[_Subscription]:
        """Return a snapshot of the subscriptions that ``topic`` goes to."""
        found = self._exact.get(topic, []).copy()
        for pattern, subscriptions in self._wildcards.items():
            if match_topic(pattern, topic):
                found += subscriptions
        return found

    def _table(self, pattern: str) -> dict[str, list[_Subscription]]:
        # All but a few patterns are plain topics: those need no search.
        return self._wildcards if pattern.endswith(".*") else self._exact


_NAMED: Final[WeakValueDictionary[str, _Hub]] = WeakValueDictionary()
