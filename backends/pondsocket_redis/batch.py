"""Batch: messages that were handed in together, on their way to the server."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Batch", "Tally"]


@dataclass(slots=True)
class Tally:
    """What became of the messages of one object so far."""

    published: int = 0
    """Confirmed by a server in time."""
    lost: int = 0
    """Not confirmed in time, or not sent at all."""


@dataclass(slots=True, eq=False)
class Batch:
    """Finished commands that belong together, and what became of them.

    Its future gets the number of messages without a confirmation, once all answers are
    there, the time is over or the connection is lost, whichever comes first.
    """

    commands: Sequence[bytes]
    done: asyncio.Future[int]
    deadline: float
    """By the loop's clock; infinity for none."""
    size: int
    """Bytes."""
    tally: Tally
    confirmed: int = 0
    unanswered: int = 0
    reason: BaseException | None = None
    """Why not all were confirmed: the refusal, the lost connection, or the time."""
    is_over: bool = field(default=False, init=False)
    """Whether it was counted; answers that come later change nothing."""

    def __post_init__(self) -> None:
        self.unanswered = len(self.commands)

    def answer(self, refusal: BaseException | None) -> bool:
        """Take the next answer; True if it was the last one."""
        self.unanswered -= 1
        if refusal is None:
            self.confirmed += 1
        else:
            self.reason = refusal
        if self.unanswered:
            return False
        self.finish(self.reason)
        return True

    def finish(self, reason: BaseException | None) -> None:
        """Count what was confirmed and what was not, and tell whoever waits."""
        if self.is_over:
            return
        self.is_over = True
        self.reason = reason
        lost = len(self.commands) - self.confirmed
        self.tally.published += self.confirmed
        self.tally.lost += lost
        if not self.done.done():  # whoever waited may have been cancelled
            self.done.set_result(lost)
