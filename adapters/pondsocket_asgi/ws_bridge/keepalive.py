"""KeepAlive: pings for a silent connection, and an end for one that stays silent."""

import asyncio
from collections.abc import Callable

__all__ = ["KeepAlive"]


class KeepAlive:
    """One timer of one connection.

    Whatever the client sends shows that it is there, a pong is only one way to say so.
    While nobody reads the socket (:attr:`is_deaf`) nothing can be heard, so nobody is
    given up.

    Args:
        interval: Seconds of silence before a ping; 0 for no pings at all.
        patience: Seconds for something to come after a ping.
        ping: Called to send one.
        give_up: Called once, when nothing came.

    Attributes:
        last_heard: When bytes came last, by the loop's clock.
        is_deaf: Whether the socket is not being read just now.
    """

    def __init__(
        self,
        interval: float,
        patience: float,
        *,
        ping: Callable[[], object],
        give_up: Callable[[], object],
    ) -> None:
        self._interval = interval
        self._patience = patience
        self._ping = ping
        self._give_up = give_up
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._pinged_at: float | None = None
        self.last_heard: float = self._loop.time()
        self.is_deaf: bool = False

    def start(self) -> None:
        """Begin to watch; without an interval nothing happens."""
        if self._interval:
            self._wake_after(self._interval)

    def stop(self) -> None:
        """Watch no more; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake_after(self, seconds: float) -> None:
        self._timer = self._loop.call_later(seconds, self._wake)

    def _wake(self) -> None:
        now = self._loop.time()
        if self.is_deaf:
            self.last_heard = now
        if self._pinged_at is not None and self.last_heard < self._pinged_at:
            self._timer = None
            self._give_up()
            return
        self._pinged_at = None
        silent_for = now - self.last_heard
        if silent_for < self._interval:
            self._wake_after(self._interval - silent_for)
            return
        self._pinged_at = now
        self._ping()
        self._wake_after(self._patience)
