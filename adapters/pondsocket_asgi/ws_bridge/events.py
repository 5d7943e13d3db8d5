"""EventQueue: what waits for an application, bounded by number and by bytes."""

import asyncio
import sys
from collections import deque
from typing import Any

__all__ = ["Event", "EventQueue"]

Event = dict[str, Any]


class EventQueue(asyncio.Queue[Event]):
    """The ASGI events of one connection, from its reader to its application.

    A reader that waits in ``put`` reads no socket meanwhile: so a slow application
    slows its client down.

    Args:
        max_messages: It is full from so many on.
        max_bytes: It is full from so many on, as they are in memory; 0 for no limit.
    """

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        super().__init__()
        self._max_messages = max_messages
        self._max_bytes = max_bytes or float("inf")
        self._bytes = 0
        self._is_discarding = False
        self._end: Event | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the last event was added."""
        return self._end is not None

    def full(self) -> bool:
        """Tell whether the next ``put`` has to wait."""
        is_full = (
            self._bytes >= self._max_bytes or len(self._queue) >= self._max_messages
        )
        return is_full and not self._is_discarding

    def discard(self) -> None:
        """Drop what is there and what comes, but for the end; who waits goes on."""
        self._is_discarding = True
        while self.qsize() > self.has_ended:
            self.get_nowait()

    def end(self, event: Event) -> None:
        """Add the last event, for which there is always room; the first one counts."""
        if self._end is None:
            self._end = event
            self._is_discarding = True
            self.put_nowait(event)

    # The hooks that asyncio.Queue has for its subclasses; `_queue` is what it looks at.

    def _init(self, maxsize: int) -> None:
        self._queue: deque[Event] = deque()

    def _put(self, item: Event) -> None:
        if self._is_discarding and item is not self._end:
            return
        self._bytes += _size_of(item)
        self._queue.append(item)

    def _get(self) -> Event:
        item = self._queue.popleft()
        self._bytes -= _size_of(item)
        return item


def _size_of(event: Event) -> int:
    return sys.getsizeof(event.get("text") or event.get("bytes"))
