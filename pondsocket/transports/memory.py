"""InMemoryTransport: a connection without a network, for tests of applications."""

import asyncio
from typing import Any

from pondsocket.transports.queued import QueuedTransport
from pondsocket.types import Event

__all__ = ["InMemoryTransport"]


class InMemoryTransport(QueuedTransport):
    """A transport whose client is the test itself.

    Args:
        id: The user's id; the connection's id is the same.
        assigns: First assigns of the connection; copied.
        capacity: Sent events that may wait in here; more stay in the session's outbox,
            where ``Options.slow_consumer`` applies.
    """

    def __init__(
        self,
        id: str,
        *,
        assigns: dict[str, Any] | None = None,
        capacity: int = 10_000,
    ) -> None:
        super().__init__(
            id, assigns=assigns, max_frames=capacity, max_bytes=1 << 40
        )  # a test counts events, not bytes

    async def push_inbound(self, event: Event) -> None:
        """Act as the client: send one event; what is wrong with it is answered."""
        if not self._closing:
            self.intake.take(event)
        await asyncio.sleep(0)  # a started handler runs up to its first wait

    async def receive_sent(self, *, wait: float | None = 1.0) -> Event:
        """Return the next event that the server sent.

        Args:
            wait: Seconds to wait for it; None waits without end.

        Raises:
            TimeoutError: If none came in time, or the transport is closed and empty.
        """
        async with asyncio.timeout(wait):
            frame = await self._next()
        if frame is None:
            raise TimeoutError(f"the connection of {self._id!r} is closed, none came")
        return frame.event

    def outbox_size(self) -> int:
        """Return how many sent events nobody received yet."""
        return len(self._frames)

    async def drain_outbox(self) -> list[Event]:
        """Return all events sent so far, after one turn of the loop."""
        await asyncio.sleep(0)
        drained = []
        while self._frames:
            drained.append(self._pop().event)
        return drained
