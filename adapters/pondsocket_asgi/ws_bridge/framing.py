"""Framing: a whole message as one frame of a server (RFC 6455 5.2).

By hand, since wsproto would copy the payload four times. Compressed frames are its own.
"""

import struct
from typing import Final

__all__ = ["frame_message"]

# The first byte, which says that the message is whole.
_TEXT: Final = 0x81
_BINARY: Final = 0x82

_SHORT: Final = 125  # the longest payload whose length is in the second byte
_MEDIUM: Final = 0xFFFF  # the longest whose length takes two bytes more
_pack_medium = struct.Struct("!BBH").pack
_pack_long = struct.Struct("!BBQ").pack


def frame_message(data: str | bytes) -> bytes:
    """Return the frame: text for str, else binary.

    Raises:
        ValueError: If a str cannot be encoded: it has half a surrogate pair.
    """
    if isinstance(data, str):
        first, payload = _TEXT, data.encode()
    else:
        first, payload = _BINARY, data
    size = len(payload)
    if size <= _SHORT:
        return bytes((first, size)) + payload
    if size <= _MEDIUM:
        return _pack_medium(first, 126, size) + payload
    return _pack_long(first, 127, size) + payload
