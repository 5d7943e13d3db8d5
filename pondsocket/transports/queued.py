"""QueuedTransport: a frame sink whose frames wait until somebody takes them.

The queue ends at a mark; what is above it stays with the session, whose outbox and
slow-consumer policy are the bound that the application chose.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from pondsocket.base_transport import BaseTransport
from pondsocket.frame import Frame
from pondsocket.wire import JSON_CODEC, Codec

__all__ = ["QueuedTransport"]


class QueuedTransport(BaseTransport):
    """A transport that hands out its frames on demand.

    Args:
        id: The user's id.
        assigns: First assigns of the connection; copied.
        connection_id: Id of the connection, by default the user's id.
        codec: How this connection's messages are encoded.
        max_frames: The mark in frames.
        max_bytes: The mark in bytes; one frame is always taken, whatever its size.
    """

    def __init__(
        self,
        id: str,
        *,
        assigns: dict[str, Any] | None = None,
        connection_id: str | None = None,
        codec: Codec = JSON_CODEC,
        max_frames: int,
        max_bytes: int,
    ) -> None:
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._refused = False
        self._writable: Callable[[], None] = _nobody_waits
        self._arrived = asyncio.Event()
        self._closed = asyncio.Event()
        super().__init__(id, assigns=assigns, connection_id=connection_id, codec=codec)

    def try_send(self, frames: Sequence[Frame]) -> bool:
        """Queue all frames, or none while the queue is above its mark."""
        if self._closing:
            return False
        if self._frames and (
            len(self._frames) >= self._max_frames or self._bytes >= self._max_bytes
        ):
            self._refused = True
            return False
        for frame in frames:
            self._frames.append(frame)
            self._bytes += frame.size
        self._arrived.set()
        return True

    def on_writable(self, callback: Callable[[], None]) -> None:
        """Set what to call once frames are taken again after a refusal."""
        self._writable = callback

    async def _next(self) -> Frame | None:
        """Wait for the next frame; None once the transport is closed and empty."""
        while not self._frames:
            if self._closing:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        return self._pop()

    def _pop(self) -> Frame:
        frame = self._frames.popleft()
        self._bytes -= frame.size
        if self._refused and not self._frames:
            self._refused = False
            self._writable()
        return frame

    def _start_closing(self, *wire: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self._arrived.set()
        self._closed.set()
        return super()._start_closing(*wire)


def _nobody_waits() -> None:
    """Stand in for the session until the transport is registered."""
