"""Outage: which connections of one object are away, and who must know of it."""

import logging
import time
from collections.abc import Callable

__all__ = ["Outage"]

logger: logging.Logger = logging.getLogger(__name__)


class Outage:
    """Makes one event of the loss of several connections to the same server.

    Logs one line when the first is lost and one when all are back; then the callbacks
    are called. A first connection that cannot be made is an outage too.

    Args:
        clock: Gives seconds, for the log.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._up: set[str] = set()
        self._away: set[str] = set()
        self._since = 0.0
        self._callbacks: list[Callable[[], object]] = []
        self._is_over = False
        self.reconnects: int = 0

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection and none is away."""
        return bool(self._up) and not self._away

    def on_end(self, callback: Callable[[], object]) -> None:
        """Call ``callback()`` each time all connections are back."""
        self._callbacks.append(callback)

    def lost(self, connection: str, reason: Exception) -> None:
        """Note that a connection is away; again and again is the same as once."""
        self._up.discard(connection)
        if not self._away:
            self._since = self._clock()
            # What a server says may hold anything.
            logger.warning(
                "lost the %s: %s %.200r", connection, type(reason).__name__, str(reason)
            )
        self._away.add(connection)

    def back(self, connection: str) -> None:
        """Note that a connection is there and what was subscribed is restored."""
        self._up.add(connection)
        self._leave(connection)

    def forget(self, connection: str) -> None:
        """Note that a connection is not needed any more."""
        self._up.discard(connection)
        self._leave(connection)

    def close(self) -> None:
        """Tell nobody of anything any more: the connections are being closed."""
        self._is_over = True

    def _leave(self, connection: str) -> None:
        if connection not in self._away:
            return
        self._away.discard(connection)
        if self._away or self._is_over:
            return
        self.reconnects += 1
        logger.info("connected again after %.1f s", self._clock() - self._since)
        for callback in self._callbacks:
            try:
                callback()
            except Exception:  # the application's
                logger.exception("on_reconnect callback %r failed", callback)
