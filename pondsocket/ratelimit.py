"""Rate limits: how often something may happen per key. Not what happens otherwise.

``TokenBucket`` is the arithmetic and reads no clock; ``TokenBucketRateLimiter`` keeps
one bucket per key and is what an application puts into its hooks.
"""

import math
import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable

__all__ = ["RateLimiter", "TokenBucket", "TokenBucketRateLimiter"]


@runtime_checkable
class RateLimiter(Protocol):
    """Decides whether one more of something may happen now.

    Asked by ``with_rate_limiter`` before each message that it guards, and by a channel
    before each broadcast. It may wait (for a shared store, say); the message or the
    broadcast waits with it.
    """

    async def allow(self, key: str) -> bool:
        """Count one attempt of ``key`` and tell whether it may go on."""
        ...

    async def reset(self, key: str) -> None:
        """Forget what was counted for ``key``. The framework never calls it."""
        ...


class TokenBucket:
    """Lets ``capacity`` pass at once and ``rate`` a second in the long run.

    Args:
        rate: Tokens that come back per second, above 0.
        capacity: The most tokens that it holds, at least 1. It starts full.
        now: The current time on the caller's monotonic clock, in seconds.

    Raises:
        ValueError: If ``rate`` or ``capacity`` is outside of its range.
    """

    __slots__ = ("_capacity", "_rate", "_tokens", "_updated")

    def __init__(self, rate: float, capacity: float, now: float) -> None:
        _check(rate, capacity)
        self._rate = rate
        self._capacity = capacity
        self._tokens = float(capacity)
        self._updated = now

    def take(self, now: float) -> bool:
        """Take one token at ``now``; False if there is none, and nothing is taken.

        A clock that went backwards brings no tokens and costs none.
        """
        elapsed = max(0.0, now - self._updated)
        self._tokens = min(self._capacity, self._tokens + elapsed * self._rate)
        self._updated = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class TokenBucketRateLimiter:
    """A RateLimiter with one token bucket per key, in this process only.

    A key is forgotten once it was idle long enough for its bucket to be full again, so
    memory follows the keys in use and not the keys ever seen.

    Args:
        rate: How often a key may happen per second in the long run, above 0.
        capacity: How often it may happen at once, at least 1.
        clock: A monotonic clock in seconds.

    Raises:
        ValueError: If ``rate`` or ``capacity`` is outside of its range.
    """

    def __init__(
        self,
        *,
        rate: float,
        capacity: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        _check(rate, capacity)
        self._rate = rate
        self._capacity = capacity
        self._clock = clock
        self._full_after = capacity / rate
        # Least recently used first, so that only the front needs a look.
        self._buckets: dict[str, tuple[TokenBucket, float]] = {}

    def __len__(self) -> int:
        """Return the number of keys that are remembered."""
        return len(self._buckets)

    async def allow(self, key: str) -> bool:
        """Take a token of ``key``; False if it has none left."""
        now = self._clock()
        self._forget_idle(now)
        known = self._buckets.pop(key, None)
        bucket = known[0] if known else TokenBucket(self._rate, self._capacity, now)
        self._buckets[key] = bucket, now
        return bucket.take(now)

    async def reset(self, key: str) -> None:
        """Give ``key`` a full bucket again; an unknown key is no error."""
        self._buckets.pop(key, None)

    async def reset_all(self) -> None:
        """Give every key a full bucket again."""
        self._buckets.clear()

    def _forget_idle(self, now: float) -> None:
        while self._buckets:
            key, (_, used) = next(iter(self._buckets.items()))
            if now - used < self._full_after:
                break
            del self._buckets[key]


def _check(rate: float, capacity: float) -> None:
    if not 0 < rate < math.inf:
        raise ValueError(f"rate must be a number above 0, got {rate!r}")
    if not 1 <= capacity < math.inf:
        raise ValueError(f"capacity must be a number of at least 1, got {capacity!r}")
