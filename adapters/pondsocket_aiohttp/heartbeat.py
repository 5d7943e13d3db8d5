"""Heartbeat: when to ask a client whether it is there, and when to give it up."""

import asyncio
from typing import Protocol

__all__ = ["Asking", "Heartbeat"]


class Asking(Protocol):
    """What a heartbeat asks with; both methods are plain and never wait."""

    def ask(self) -> None:
        """Send a ping; called at each interval."""
        ...

    def give_up(self) -> None:
        """Drop the connection; called once, after which nothing is."""
        ...


class Heartbeat:
    """Asks at an interval, and gives up when nothing is heard after it has asked.

    One timer for each connection, which nothing that is heard has to move. It is called
    by the timer itself: a server keeps one for each connection, and bound methods take
    as much again.

    Args:
        loop: Tells the time and calls.
        interval: Seconds between two questions.
        patience: Seconds that an answer to the first of them may take.
        owner: Asks, and gives up.
    """

    __slots__ = (
        "_asked", "_interval", "_loop", "_next", "_owner", "_patience", "_timer",
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        interval: float,
        patience: float,
        owner: Asking,
    ) -> None:
        self._loop = loop
        self._interval = interval
        self._patience = patience
        self._owner = owner
        self._asked: float | None = None  # when, if nothing was heard since
        self._next = loop.time() + interval
        self._timer = loop.call_at(self._next, self)

    def hear(self) -> None:
        """Note that something came from the client."""
        self._asked = None

    def stop(self) -> None:
        """Ask no more; idempotent."""
        self._timer.cancel()

    def __call__(self) -> None:
        """Ask or give up, if it is time to; called by its timer."""
        now = self._loop.time()
        if self._asked is not None and now >= self._asked + self._patience:
            self._owner.give_up()
            return
        if now >= self._next:
            self._next = now + self._interval
            self._asked = now if self._asked is None else self._asked
            self._owner.ask()
        due = self._next
        if self._asked is not None:
            due = min(due, self._asked + self._patience)
        self._timer = self._loop.call_at(due, self)
