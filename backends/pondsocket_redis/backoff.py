"""Backoff: how long to wait before the next attempt to connect; it does not wait."""

import random
from collections.abc import Callable

__all__ = ["Backoff"]


class Backoff:
    """Delays with full jitter: anything from 0 to a limit that doubles each time.

    Nodes that lost one server at one moment so come back spread over time.

    Args:
        first: The first limit, in seconds.
        cap: The highest limit, in seconds.
        uniform: Gives a number between two others.
    """

    def __init__(
        self,
        *,
        first: float = 0.05,
        cap: float = 0.5,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._first = first
        self._cap = cap
        self._uniform = uniform
        self._limit = first

    def next_delay(self) -> float:
        """Return the seconds to wait now."""
        delay = self._uniform(0.0, self._limit)
        self._limit = min(2 * self._limit, self._cap)
        return delay

    def reset(self) -> None:
        """Begin again: the last connection was a good one."""
        self._limit = self._first
