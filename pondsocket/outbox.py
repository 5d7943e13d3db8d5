"""Outbox: what waits for one connection, bounded; it costs next to nothing when empty.

A process has one for each connection, and nearly all of them are empty nearly always.
"""

from collections import deque
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

__all__ = ["Outbox"]


class _Sized(Protocol):
    @property
    def size(self) -> int: ...  # in bytes


ItemT = TypeVar("ItemT", bound=_Sized)


class Outbox(Generic[ItemT]):
    """A queue with a mark in items and one in bytes.

    The marks are asked about, not enforced: what to do about a full outbox is a policy.

    Args:
        max_messages: The mark in items, 0 for none.
        max_bytes: The mark in bytes, 0 for none.

    Attributes:
        size: Bytes that wait.
    """

    __slots__ = ("_items", "_max_bytes", "_max_messages", "size")

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._items: deque[ItemT] | None = None  # an empty deque takes 760 bytes
        self.size: int = 0

    def __len__(self) -> int:
        """Return how many items wait."""
        return len(self._items or ())

    def __iter__(self) -> Iterator[ItemT]:
        """Iterate over what waits, in order."""
        return iter(self._items or ())

    def fits(self, item: ItemT) -> bool:
        """Tell whether an item fits; an empty outbox takes one of any size."""
        return not self._items or (
            not 0 < self._max_messages <= len(self._items)
            and not 0 < self._max_bytes < self.size + item.size
        )

    def append(self, item: ItemT) -> None:
        """Put an item behind the others."""
        self._begin().append(item)
        self.size += item.size

    def put_back(self, item: ItemT) -> None:
        """Put an item before the others."""
        self._begin().appendleft(item)
        self.size += item.size

    def pop(self) -> ItemT:
        """Take the first item.

        Raises:
            IndexError: If there is none.
        """
        item = self._begin().popleft()
        self.size -= item.size
        if not self._items:
            self._items = None
        return item

    def clear(self) -> int:
        """Drop all and return how much that was."""
        dropped = len(self)
        self._items = None
        self.size = 0
        return dropped

    def _begin(self) -> deque[ItemT]:
        if self._items is None:
            self._items = deque()
        return self._items
