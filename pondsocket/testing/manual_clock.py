"""ManualClock: a clock that stands still until a test moves it."""

__all__ = ["ManualClock"]


class ManualClock:
    """Give it to whatever takes a clock, ``time.monotonic`` for example.

    Args:
        start: What it shows first, in seconds.
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def __call__(self) -> float:
        """Return what it shows, in seconds."""
        return self._now

    def now(self) -> float:
        """Return what it shows, in seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move it on.

        Raises:
            ValueError: If ``seconds`` is negative: it never goes back.
        """
        if seconds < 0:
            raise ValueError(f"seconds must not be negative, got {seconds!r}")
        self._now += seconds
