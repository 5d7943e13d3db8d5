"""Frames: the way of ready frames past a connection of the library.

The library has no verb for bytes that are a frame already. Its own ``send`` ends in the
same ``transport.write``; tests/adapters/bare_websockets/test_frames.py holds that
against each release.
"""

from websockets.asyncio.server import ServerConnection
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.protocol import State

from pondsocket.web import DEFLATE_WINDOW_BITS, MAX_UNSENT, FrameWriter

__all__ = ["find_frame_writer"]


def find_frame_writer(connection: ServerConnection) -> FrameWriter | None:
    """Return the way past an accepted connection; None if its frames are its own.

    That is so if it agreed on an extension that nobody here knows, or on one whose
    state each message changes.
    """
    if not all(map(_can_share, connection.protocol.extensions)):
        return None
    return _FrameWriter(connection)


class _FrameWriter(FrameWriter):
    __slots__ = ("_protocol", "_wire")

    def __init__(self, connection: ServerConnection) -> None:
        super().__init__(is_deflating=bool(connection.protocol.extensions))
        self._protocol = connection.protocol
        self._wire = connection.transport

    def write(self, frames: bytes) -> bool:
        """Write, unless there is a close frame before it or no room for it."""
        wire = self._wire
        if (
            self._protocol.state is not State.OPEN
            or wire.is_closing()
            or wire.get_write_buffer_size() + len(frames) > MAX_UNSENT
        ):
            return False
        wire.write(frames)
        return True


def _can_share(extension: object) -> bool:
    """Tell whether all messages are compressed alike, whatever was sent before."""
    return (
        isinstance(extension, PerMessageDeflate)
        and extension.local_no_context_takeover
        and extension.local_max_window_bits >= DEFLATE_WINDOW_BITS
    )
