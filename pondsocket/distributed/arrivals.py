"""Arrivals: which numbers of one sender came, and which are missing. Pure.

Numbers begin with 1 and rise by 1. A bus may lose, repeat and reorder their messages.
"""

from enum import Enum, auto
from typing import Final

__all__ = ["Arrival", "Arrivals"]

MAX_GAPS: Final = 256
"""Gaps that are remembered; the oldest is forgotten first, and stays lost."""

MAX_LEAP: Final = 10_000_000
"""Numbers that may be missed at once and count as lost, which is hours at a thousand a
second. More means that somebody forged a number: those are missing, but not lost."""


class Arrival(Enum):
    """What a number turned out to be."""

    NEW = auto()
    """Higher than all before."""
    LATE = auto()
    """It was missing until now."""
    DUPLICATE = auto()
    """It came before, or is so old that nobody can tell."""


class Arrivals:
    """The numbers of one sender, as they arrive.

    Args:
        baseline: The highest number that was used before anyone listened. What is not
            above it is missing, but not lost.

    Attributes:
        highest: The highest number that is known to have been used.
        lost: How many numbers above the baseline are missing now; rises by ``MAX_LEAP``
            at most with one call.
    """

    __slots__ = ("_baseline", "_gaps", "highest", "lost")

    def __init__(self, baseline: int = 0) -> None:
        self.highest: int = baseline
        self.lost: int = 0
        self._baseline = baseline
        # Inclusive ranges in rising order, none touching another.
        self._gaps: list[tuple[int, int]] = [(1, baseline)] if baseline else []

    def note(self, number: int) -> Arrival:
        """Take in a number that arrived."""
        if number > self.highest:
            if number > self.highest + 1:
                self.expect(number - 1)
            self.highest = number
            return Arrival.NEW
        for index, (first, last) in enumerate(self._gaps):
            if first <= number <= last:
                pieces = [(first, number - 1), (number + 1, last)]
                self._gaps[index : index + 1] = [p for p in pieces if p[0] <= p[1]]
                self._forget_oldest()
                self.lost -= number > self._baseline
                return Arrival.LATE
        return Arrival.DUPLICATE

    def expect(self, highest: int) -> None:
        """Take in that the sender has used all numbers up to ``highest``."""
        if highest <= self.highest:
            return
        leap = highest - self.highest
        if leap > MAX_LEAP:
            self._baseline = highest
        else:
            self.lost += leap
        self._gaps.append((self.highest + 1, highest))
        self._forget_oldest()
        self.highest = highest

    def _forget_oldest(self) -> None:
        if len(self._gaps) > MAX_GAPS:
            del self._gaps[0]
