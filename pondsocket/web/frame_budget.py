"""FrameBudget: how many frames a client may send that bring no message nearer.

Pings, pongs, and parts of a message with next to nothing in them: no limit on messages
ever sees these. Time is an argument.
"""

import math

__all__ = ["FrameBudget"]

_RATE = 1000  # frames per second
_BURST = 2000
_TINY_PART = 64  # bytes; of larger parts the limit on messages allows few enough


class FrameBudget:
    """The budget of one connection: 1,000 frames per second, 2,000 at once.

    Once it is overdrawn it stays so: a message without its middle must not come
    together. Whoever asks then closes the connection with 1008.
    """

    __slots__ = ("_counted", "_debt")

    def __init__(self) -> None:
        self._debt = 0.0  # frames above the rate
        self._counted = 0.0  # when it was last brought up to date

    def admits(self, now: float, *, unsent: int = 0) -> bool:
        """Count a ping or a pong; return whether the client may go on.

        Args:
            now: Seconds on any clock that does not go back.
            unsent: Bytes that wait for the client to read. While there are any, time
                pays nothing off: else the answers to pings would pile up there.
        """
        if not unsent:
            self._debt = max(0.0, self._debt - (now - self._counted) * _RATE)
        self._counted = now
        self._debt += 1
        if self._debt > _BURST:
            self._debt = math.inf
        return self._debt <= _BURST

    def admits_part(self, size: int, now: float, *, unsent: int = 0) -> bool:
        """Count a continuation frame, if it is tiny; return whether it may go on.

        Args:
            size: Bytes of its payload.
            now: As for :meth:`admits`.
            unsent: As for :meth:`admits`.
        """
        if size >= _TINY_PART:
            return self._debt <= _BURST
        return self.admits(now, unsent=unsent)
