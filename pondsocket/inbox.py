"""Inbox: the messages that one connection sent and nobody handled yet.

It is bounded, and it has one lane per channel: messages of one channel are handled one
at a time in the order in which they came, messages of different channels do not wait
for each other. It is not a place for answers: whoever fills it says what happens when
it is full. ``FloodGate`` beside it decides what becomes of a client's excess.
"""

import asyncio
import enum
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TypeAlias

from pondsocket.callbacks import is_contained
from pondsocket.eager import find_current_task, start_eagerly
from pondsocket.ratelimit import TokenBucket
from pondsocket.types import Event, Limits

__all__ = ["FloodGate", "Flooding", "Inbox"]

logger: logging.Logger = logging.getLogger(__name__)

_Waiting: TypeAlias = deque[tuple[Event, int]]

ANSWER_INTERVAL = 1.0  # seconds between two answers to a flood (client protocol)
CALM = 1.0  # seconds without a refusal after which a flood counts as over
NEVER = float("-inf")

MAX_NESTED = 8  # handlers that begin inside of each other

# The lanes whose handlers are beginning just now, each inside of the one before.
_nested: list[str] = []

# The worker that runs the handler from which one is called, be it through other tasks.
_worker: ContextVar[asyncio.Task[None] | None] = ContextVar("worker", default=None)


class Flooding(enum.Enum):
    """What to do with a message that is one too many."""

    DROP = enum.auto()
    ANSWER = enum.auto()
    CLOSE = enum.auto()


class FloodGate:
    """Limits the messages per second of one connection.

    Args:
        limits: ``max_messages_per_second`` (a burst of one second is let through) and
            ``flood_tolerance`` (seconds); 0 switches either off.
        now: The current time on the caller's monotonic clock, in seconds.
    """

    __slots__ = ("_answered", "_bucket", "_refused", "_since", "_tolerance")

    def __init__(self, limits: Limits, now: float) -> None:
        rate = limits.max_messages_per_second
        self._bucket = TokenBucket(rate, max(rate, 1.0), now) if rate else None
        self._tolerance = limits.flood_tolerance
        self._since = self._refused = self._answered = NEVER

    def admits(self, now: float) -> bool:
        """Tell whether one more message fits the rate at ``now``, and count it."""
        return self._bucket is None or self._bucket.take(now)

    def refuse(self, now: float) -> Flooding:
        """Note that a message was refused at ``now`` and tell what to do about it."""
        if now - self._refused > CALM:
            self._since = now
        self._refused = now
        if self._tolerance and now - self._since >= self._tolerance:
            return Flooding.CLOSE
        if now - self._answered >= ANSWER_INTERVAL:
            self._answered = now
            return Flooding.ANSWER
        return Flooding.DROP


class Inbox:
    """A bounded queue of events with a lane per channel.

    Args:
        handle: Called with each event, never twice at a time for one channel.
        limits: ``inbound_max_messages`` and ``inbound_max_bytes`` of waiting events at
            most, and at most ``max_concurrent_handlers`` lanes at work at a time.
        name: Of the connection; its tasks carry it.
    """

    __slots__ = (
        "_busy", "_bytes", "_closed", "_handle", "_lanes", "_limits", "_name", "_ready",
        "_waiting", "_workers",
    )  # fmt: skip

    def __init__(
        self, handle: Callable[[Event], Awaitable[object]], limits: Limits, name: str
    ) -> None:
        self._handle = handle
        self._limits = limits
        self._name = name
        # What waits in each lane that has work; None while nothing but its running
        # handler is there: an empty deque takes 760 bytes.
        self._lanes: dict[str, _Waiting | None] = {}
        self._ready: list[tuple[str, _Waiting]] = []  # lanes that wait for a worker
        self._waiting = 0
        self._bytes = 0
        self._busy = 0
        self._workers: tuple[asyncio.Task[None], ...] = ()  # few, mostly none
        self._closed = False

    def __len__(self) -> int:
        """Return how many events wait; those being handled do not count."""
        return self._waiting

    @property
    def is_idle(self) -> bool:
        """Whether no event waits and no handler runs."""
        return not self._waiting and not self._busy

    def put(self, event: Event, size: int = 0) -> bool:
        """Have an event handled; False if the inbox is full or closed and took nothing.

        If its lane is idle, its handler runs up to its first wait before this returns.

        Args:
            event: What the client sent.
            size: Its encoded bytes; decoded it may take many times as much memory.
        """
        if self._closed or (self._waiting and not self._fits(size)):
            return False
        name = event.channel_name
        lanes = self._lanes
        is_idle = name not in lanes
        if is_idle and self._busy < self._limits.max_concurrent_handlers:
            lanes[name] = None
            self._start_worker(name, event)
            return True
        waiting = lanes.get(name)
        if waiting is None:
            waiting = lanes[name] = deque()
        if is_idle:
            self._ready.append((name, waiting))
        waiting.append((event, size))
        self._waiting += 1
        self._bytes += size
        return True

    def _fits(self, size: int) -> bool:
        limits = self._limits
        return self._waiting < limits.inbound_max_messages and (
            not 0 < limits.inbound_max_bytes < self._bytes + size or not self._bytes
        )

    def _start_worker(self, lane: str, event: Event) -> None:
        self._busy += 1
        work = self._work(lane, event)
        if len(_nested) < MAX_NESTED:
            _nested.append(lane)
            try:
                task = start_eagerly(work)
            finally:
                _nested.pop()
        else:  # handlers that start handlers: a stack of them has an end
            task = asyncio.get_running_loop().create_task(work)
        if task is not None:
            task.set_name(f"pond-inbox-{self._name}")
            self._workers += (task,)
            task.add_done_callback(self._forget)

    def _forget(self, worker: asyncio.Task[None]) -> None:
        self._workers = tuple(each for each in self._workers if each is not worker)

    def close(self) -> int:
        """Drop what waits and return how much that was; running handlers finish."""
        dropped, self._waiting, self._bytes = self._waiting, 0, 0
        self._closed = True
        self._ready.clear()
        for waiting in filter(None, self._lanes.values()):
            waiting.clear()
        return dropped

    async def settle(self, timeout: float) -> None:  # noqa: ASYNC109 - ends, not raises
        """Wait for running handlers, at most ``timeout`` seconds, then cancel them.

        A handler that calls this itself is neither waited for nor cancelled.
        """
        others = set(self._workers) - {_worker.get()}
        if not others:
            return
        _, late = await asyncio.wait(others, timeout=timeout)
        for task in late:
            task.cancel()
        if late:
            logger.warning("%d handlers of %r were cancelled", len(late), self._name)
            await asyncio.wait(late, timeout=timeout)

    async def _work(self, lane: str, event: Event) -> None:
        """Handle an event, then whatever waits for a worker."""
        _worker.set(find_current_task(asyncio.get_running_loop()))
        try:
            while True:
                try:
                    await self._handle(event)
                except BaseException as error:  # a task root: nobody else would see it
                    if not is_contained(error):
                        raise
                    logger.exception("handling a message of %r failed", self._name)
                finally:
                    self._release(lane)
                if not self._ready:
                    return
                lane, event = self._take()
        finally:
            self._busy -= 1
            if self._ready:  # a handler cancelled its own task
                self._start_worker(*self._take())

    def _release(self, lane: str) -> None:
        waiting = self._lanes[lane]
        if waiting:
            self._ready.append((lane, waiting))
        elif len(self._lanes) > 1:
            del self._lanes[lane]
        else:  # one that ever held something keeps its room: 120 bytes
            self._lanes = {}

    def _take(self) -> tuple[str, Event]:
        """Take the first event of the lane that is ready for longest."""
        lane, waiting = self._ready.pop(0)
        event, size = waiting.popleft()
        self._waiting -= 1
        self._bytes -= size
        return lane, event
