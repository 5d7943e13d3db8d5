"""SSEServerTransport: the server's side of a Server-Sent Events connection.

It knows no HTTP: an adapter takes what is to be written with ``next_frames`` (or an
application the plain events with ``next_event``) and hands in what the client posted
with ``push_message``.
"""

import asyncio
import secrets
from typing import Any

from pondsocket.errors import TooManyRequests
from pondsocket.frame import Frame
from pondsocket.transports.queued import QueuedTransport
from pondsocket.types import Event, TransportType

__all__ = ["SSEServerTransport"]

MAX_FRAMES = 64
MAX_BYTES = 65_536


class SSEServerTransport(QueuedTransport):
    """A connection that receives by an event stream and sends by single requests.

    Args:
        id: The user's id, which other users see.
        assigns: First assigns of the connection; copied.
        connection_id: The secret by which the client addresses the connection; by
            default 192 random bits.
    """

    def __init__(
        self,
        *,
        id: str,
        assigns: dict[str, Any] | None = None,
        connection_id: str | None = None,
    ) -> None:
        super().__init__(
            id,
            assigns=assigns,
            connection_id=connection_id or secrets.token_urlsafe(24),
            max_frames=MAX_FRAMES,
            max_bytes=MAX_BYTES,
        )

    def transport_type(self) -> TransportType:
        """Return ``TransportType.SSE``."""
        return TransportType.SSE

    async def push_message(self, data: bytes) -> None:
        """Take one message that the client posted; malformed ones are answered.

        Raises:
            TooManyRequests: If the connection's inbox is full.
        """
        if not self.receive(data):
            raise TooManyRequests("", "the connection's inbox is full")
        await asyncio.sleep(0)  # a started handler runs up to its first wait

    async def next_event(self) -> Event | None:
        """Wait for the next event; None once the transport is closed and drained."""
        frame = await self._next()
        return None if frame is None else frame.event

    async def next_frames(self) -> list[Frame]:
        """Wait for frames and return all that are there; none once it is closed."""
        frame = await self._next()
        frames = [] if frame is None else [frame]
        while self._frames:
            frames.append(self._pop())
        return frames

    async def wait_until_closed(self) -> None:
        """Wait for the end of the connection."""
        await self._closed.wait()
