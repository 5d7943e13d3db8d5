"""What a client reads: frames of a server by the parser of the library websockets."""

import pytest
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame
from websockets.streams import StreamReader

from pondsocket.framing import DEFLATE_WINDOW_BITS

__all__ = ["read_frames"]


def read_frames(
    data: bytes, *, window_bits: int | None = DEFLATE_WINDOW_BITS
) -> list[Frame]:
    """Return all frames in ``data``, inflated, which ends with the last of them.

    Args:
        data: What a server writes.
        window_bits: Agreed on for permessage-deflate, None if that was not.
    """
    extensions = [_forgetful_deflate(window_bits)] if window_bits else []
    reader = StreamReader()
    reader.feed_data(data)
    frames = []
    while reader.buffer:
        parsing = Frame.parse(
            reader.read_exact, mask=False, max_size=None, extensions=extensions
        )
        with pytest.raises(StopIteration) as parsed:
            next(parsing)
        frames.append(parsed.value.value)
    return frames


def _forgetful_deflate(window_bits: int) -> PerMessageDeflate:
    return PerMessageDeflate(
        remote_no_context_takeover=True,
        local_no_context_takeover=True,
        remote_max_window_bits=window_bits,
        local_max_window_bits=window_bits,
    )
