"""Subscriptions: who listens to what on one PubSub object, and the hand-over to them.

What an author of a backend needs beside the connection to a server; it knows no server
and publishes nothing. It is not thread-safe.
"""

import asyncio
import contextvars
import inspect
import logging
from collections import deque
from collections.abc import Awaitable
from dataclasses import asdict, dataclass
from typing import Final

from pondsocket.callbacks import attempt, is_contained
from pondsocket.errors import Conflict, NotFound
from pondsocket.pubsub import HANDLED, PubSubHandler, match_topic

__all__ = ["Subscriptions"]

logger: logging.Logger = logging.getLogger(__name__)

_CLOSE_SECONDS: Final = 5.0  # for handlers that were cancelled
_TURN: Final = 64  # messages handed over before the loop may do something else


class Subscriptions:
    """The subscriptions of one PubSub object.

    A coroutine function is called with one message at a time. What comes meanwhile
    waits in a buffer of its own; a task per subscription, which exists only while
    something waits or runs, hands it over. A full buffer drops what comes next: that is
    counted, and logged once until the buffer has been empty.

    A plain function is called by :meth:`dispatch` itself, without buffer and task, so
    it must not block. If it returns an awaitable, that is awaited before its next
    message, which then waits as above.

    What a handler raises is logged and counted and does not end its subscription. All
    handlers run in the context (``contextvars``) of whoever subscribed.

    Args:
        buffer_size: Messages that wait in one subscription, at least 1.

    Raises:
        ValueError: If ``buffer_size`` is below 1.
    """

    def __init__(self, *, buffer_size: int = 1000) -> None:
        if buffer_size < 1:
            raise ValueError(f"buffer_size must be at least 1, got {buffer_size!r}")
        self._buffer_size = buffer_size
        self._counts = _Counts()
        # Tuples, since a handler may subscribe and unsubscribe while they are read.
        self._exact: dict[str, tuple[_Subscription, ...]] = {}
        self._wildcards: dict[str, tuple[_Subscription, ...]] = {}
        # Those of ended subscriptions too, whose handlers may still run.
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, pattern: str, handler: PubSubHandler) -> bool:
        """Let ``handler`` hear ``pattern``; tell whether nobody else does so far.

        Raises:
            Conflict: If this very pair of pattern and handler is subscribed.
        """
        table = self._table(pattern)
        others = table.get(pattern, ())
        # A method is a new object each time it is looked up, but equal to itself.
        if any(each.handler == handler for each in others):
            raise Conflict("", f"{handler!r} is already subscribed to {pattern!r}")
        added = _Subscription(
            pattern, handler, self._buffer_size, self._counts, self._tasks
        )
        table[pattern] = (*others, added)
        return not others

    def remove(self, pattern: str, handler: PubSubHandler | None = None) -> bool:
        """End one subscription, without a handler all of that pattern.

        What waits for it is dropped; a handler that runs may finish.

        Returns:
            Whether nobody hears ``pattern`` any more.

        Raises:
            NotFound: If there is no such subscription.
        """
        table = self._table(pattern)
        present = table.get(pattern, ())
        found = [each for each in present if handler in (None, each.handler)]
        if not found:
            raise NotFound("", f"no such subscription of {pattern!r}")
        for each in found:
            each.end()
        rest = tuple(each for each in present if each not in found)
        if rest:
            table[pattern] = rest
        else:
            del table[pattern]
        return not rest

    def patterns(self) -> list[str]:
        """Return the patterns that somebody hears, each once."""
        return [*self._exact, *self._wildcards]

    def dispatch(self, topic: str, data: bytes) -> bool:
        """Give a message to each subscription whose pattern matches ``topic``.

        For servers that deliver a message once, however many patterns match. Called in
        the order of arrival by whoever reads; never waits.

        Returns:
            Whether some buffer is half full or more: the reader should yield to the
            loop, or read on later.
        """
        is_crowded = False
        for each in self._exact.get(topic, ()):
            is_crowded |= each.offer(topic, data)
        if self._wildcards:
            for pattern in list(self._wildcards):
                if match_topic(pattern, topic):
                    is_crowded |= self.dispatch_to(pattern, topic, data)
        return is_crowded

    def dispatch_to(self, pattern: str, topic: str, data: bytes) -> bool:
        """Give a message to the subscriptions of exactly this pattern.

        For servers that deliver a message once per pattern that matches. Otherwise as
        :meth:`dispatch`.
        """
        is_crowded = False
        for each in self._table(pattern).get(pattern, ()):
            is_crowded |= each.offer(topic, data)
        return is_crowded

    async def close(self) -> None:
        """End all subscriptions; idempotent.

        What waits is dropped and counted. Handlers that run are cancelled and awaited,
        for five seconds at most; one that calls this itself is neither. The owner must
        not add anything from then on.
        """
        for table in (self._exact, self._wildcards):
            for each in (each for several in table.values() for each in several):
                self._counts.pubsub_dropped += each.waiting
                each.end()
            table.clear()
        running = self._tasks - {asyncio.current_task()}
        if not running:
            return
        # A task that has not begun must begin: what it was to await may be a coroutine.
        await asyncio.sleep(0)
        for task in running:
            task.cancel()
        await _wait_for(running)

    def stats(self) -> dict[str, int]:
        """Return the counters and the gauges.

        ``delivered``, ``handler_failed`` and ``pubsub_dropped`` since the beginning;
        ``subscriptions`` and ``waiting`` are the state of now.
        """
        present = [
            each
            for table in (self._exact, self._wildcards)
            for several in table.values()
            for each in several
        ]
        return asdict(self._counts) | {
            "subscriptions": len(present),
            "waiting": sum(each.waiting for each in present),
        }

    def _table(self, pattern: str) -> dict[str, tuple["_Subscription", ...]]:
        # All but a few patterns are plain topics: those need no search.
        return self._wildcards if pattern.endswith(".*") else self._exact


@dataclass(slots=True)
class _Counts:
    """What happened to the messages so far."""

    delivered: int = 0
    handler_failed: int = 0
    pubsub_dropped: int = 0


class _Subscription:
    """A handler, its buffer, and at most one task that brings the one to the other."""

    __slots__ = (
        "_buffer", "_context", "_counts", "_is_dropping", "_is_ended", "_is_plain",
        "_is_working", "_size", "_tasks", "handler", "pattern",
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
        # Else the handler would inherit that of whoever happens to publish or to read.
        self._context = contextvars.copy_context()
        self._is_plain = not _is_coroutine_function(handler)
        self._is_working = False
        self._is_dropping = False
        self._is_ended = False

    @property
    def waiting(self) -> int:
        """How many messages wait."""
        return len(self._buffer)

    def offer(self, topic: str, data: bytes) -> bool:
        """Hand over, buffer or drop a message; tell whether the buffer is half full."""
        if self._is_ended:  # by another handler of the same message
            return False
        if self._is_plain and not self._is_working and not self._buffer:
            self._call(topic, data)
            return False
        if len(self._buffer) >= self._size:
            self._drop()
            return True
        self._buffer.append((topic, data))
        if not self._is_working:
            self._start(None)
        return 2 * len(self._buffer) >= self._size

    def end(self) -> None:
        """Drop what waits and take nothing more."""
        self._is_ended = True
        self._buffer.clear()

    def _call(self, topic: str, data: bytes) -> None:
        """Call a plain function here and now."""
        promise: tuple[str, Awaitable[object]] | None = None
        self._is_working = True
        try:
            result = self._context.run(self.handler, topic, data)
        except BaseException as error:
            if not is_contained(error):
                raise
            self._note(topic, error)
        else:
            if result is None or result is HANDLED:
                self._counts.delivered += 1
            elif inspect.isawaitable(result):
                promise = (topic, result)
            else:
                self._counts.delivered += 1
        finally:
            self._is_working = False
        if promise or self._buffer:  # the handler may have dispatched to itself
            self._start(promise)

    def _drop(self) -> None:
        self._counts.pubsub_dropped += 1
        if self._is_dropping:
            return
        self._is_dropping = True
        logger.warning(
            "pubsub handler %r of %.200r is too slow: %d messages wait, more are "
            "dropped",
            self.handler,
            self.pattern,
            self._size,
        )

    def _start(self, promise: tuple[str, Awaitable[object]] | None) -> None:
        self._is_working = True
        task = asyncio.get_running_loop().create_task(
            self._work(promise),
            name=f"pond-pubsub-{self.pattern}",
            context=self._context,
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, promise: tuple[str, Awaitable[object]] | None) -> None:
        """Await what a plain function promised, then hand over until nothing waits."""
        try:
            if promise is not None:
                topic, result = promise
                self._note(topic, await attempt(lambda: result))
            handed_over = 0
            while self._buffer:
                topic, data = self._buffer.popleft()
                self._note(topic, await attempt(self.handler, topic, data))
                handed_over += 1
                if handed_over % _TURN == 0:
                    await asyncio.sleep(0)
            self._is_dropping = False
        finally:
            self._is_working = False

    def _note(self, topic: str, error: BaseException | None) -> None:
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


def _is_coroutine_function(handler: PubSubHandler) -> bool:
    """Tell whether calling it makes a coroutine: a function, a method, an object."""
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        type(handler).__call__
    )


async def _wait_for(running: set[asyncio.Task[None]]) -> None:
    _, stuck = await asyncio.wait(running, timeout=_CLOSE_SECONDS)
    if stuck:
        logger.error(
            "%d pubsub handlers ignore their cancellation and were left behind: %.200r",
            len(stuck),
            sorted(task.get_name() for task in stuck),
        )
