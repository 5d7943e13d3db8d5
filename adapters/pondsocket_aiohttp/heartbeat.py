"""Heartbeat: when to ask a client whether it is there, and when to give it up."""

import asyncio
from collections.abc import Callable

__all__ = ["Heartbeat"]


class Heartbeat:
    """Asks at an interval, and gives up when nothing is heard after it has asked.

    One timer for each connection, which nothing that is heard has to move.

    Args:
        loop: Tells the time and calls.
        interval: Seconds between two questions.
        patience: Seconds that an answer to the first of them may take.
        ask: Sends a ping; never waits.
        give_up: Called once, after which nothing is.
    """

    __slots__ = (
        "_ask", "_asked", "_give_up", "_interval", "_loop", "_next", "_patience",
        "_timer",
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        interval: float,
        patience: float,
        ask: Callable[[], None],
        give_up: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._interval = interval
        self._patience = patience
        self._ask = ask
        self._give_up = give_up
        self._asked: float | None = None  # when, if nothing was heard since
        self._next = loop.time() + interval
        self._timer = loop.call_at(self._next, self._beat)

    def hear(self) -> None:
        """Note that something came from the client."""
        self._asked = None

    def stop(self) -> None:
        """Ask no more; idempotent."""
        self._timer.cancel()

    def _beat(self) -> None:
        now = self._loop.time()
        if self._asked is not None and now >= self._asked + self._patience:
            self._give_up()
            return
        if now >= self._next:
            self._next = now + self._interval
            self._asked = now if self._asked is None else self._asked
            self._ask()
        due = self._next
        if self._asked is not None:
            due = min(due, self._asked + self._patience)
        self._timer = self._loop.call_at(due, self._beat)
