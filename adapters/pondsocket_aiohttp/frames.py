"""Frames: the way of ready frames past a WebSocket of aiohttp.

aiohttp has no verb for bytes that are a frame already. Its own writer ends in the same
``transport.write``; tests/adapters/aiohttp/test_frames.py holds that against each
release.
"""

import asyncio

from aiohttp import hdrs, web

from pondsocket.web import DEFLATE_WINDOW_BITS, MAX_UNSENT, FrameWriter

__all__ = ["FORGETS", "find_frame_writer"]

FORGETS = "server_no_context_takeover"  # RFC 7692 7.1.1.1


def find_frame_writer(
    websocket: web.WebSocketResponse, wire: asyncio.Transport
) -> FrameWriter | None:
    """Return the way past a prepared WebSocket; None if its frames are its own.

    That is so if it agreed on an extension whose state each message changes.

    Args:
        websocket: As above.
        wire: What carries it.
    """
    is_deflating = bool(websocket.compress)
    if is_deflating and not _can_share(websocket):
        return None
    return _FrameWriter(websocket, wire, is_deflating=is_deflating)


class _FrameWriter(FrameWriter):
    __slots__ = ("_websocket", "_wire")

    def __init__(
        self,
        websocket: web.WebSocketResponse,
        wire: asyncio.Transport,
        *,
        is_deflating: bool,
    ) -> None:
        super().__init__(is_deflating=is_deflating)
        self._websocket = websocket
        self._wire = wire

    def write(self, frames: bytes) -> bool:
        """Write, unless there is a close frame before it or no room for it."""
        wire = self._wire
        if (
            self._websocket.closed
            or wire.is_closing()
            or wire.get_write_buffer_size() + len(frames) > MAX_UNSENT
        ):
            return False
        wire.write(frames)
        return True


def _can_share(websocket: web.WebSocketResponse) -> bool:
    """Tell whether all messages are compressed alike, whatever was sent before."""
    agreed = websocket.headers.get(hdrs.SEC_WEBSOCKET_EXTENSIONS, "")
    return FORGETS in agreed and websocket.compress >= DEFLATE_WINDOW_BITS
