"""Framing: a whole message as one WebSocket frame of a server (RFC 6455 5.2).

A server does not mask (5.1), so the same bytes fit every connection that agreed on the
same extensions: none, or permessage-deflate (RFC 7692) without context takeover.
"""

import zlib
from struct import Struct
from typing import Final

__all__ = [
    "BINARY",
    "DEFLATED",
    "DEFLATE_MEMORY_LEVEL",
    "DEFLATE_WINDOW_BITS",
    "TEXT",
    "build_frame",
    "deflate",
    "frame_message",
]

# First bytes of a frame: FIN, which says that the message is whole, and the opcode.
TEXT: Final = 0x81
BINARY: Final = 0x82
DEFLATED: Final = 0x40  # to be added: RSV1, "compressed" (RFC 7692 6)

# Of what `deflate` returns: a connection that agreed on fewer cannot read it.
DEFLATE_WINDOW_BITS: Final = 12

# Of zlib: 32 KiB for each that sends, not 256; texts of some kilobytes become hardly
# longer by it. Much more would take its time to clear, for each message.
DEFLATE_MEMORY_LEVEL: Final = 5

# The length stands in 7 bits up to 125, else 126 or 127 there and it in 16 or 64 bits.
_MEDIUM_FOLLOWS: Final = 126
_LONG_FOLLOWS: Final = 127
_LONG_FROM: Final = 0x1_0000
_pack_medium = Struct("!BBH").pack
_pack_long = Struct("!BBQ").pack

_DEFLATE_TAIL: Final = b"\x00\x00\xff\xff"  # what a sender cuts off (RFC 7692 7.2.1)


def build_frame(first: int, payload: bytes) -> bytes:
    """Return a frame.

    Args:
        first: Its first byte: ``TEXT`` or ``BINARY``, with ``DEFLATED`` or without.
        payload: Of any length.
    """
    size = len(payload)
    if size < _MEDIUM_FOLLOWS:
        return bytes((first, size)) + payload
    if size < _LONG_FROM:
        return _pack_medium(first, _MEDIUM_FOLLOWS, size) + payload
    return _pack_long(first, _LONG_FOLLOWS, size) + payload


def frame_message(data: str | bytes) -> bytes:
    """Return a frame for a message: text for str, else binary.

    Raises:
        ValueError: If a str cannot be encoded: it has half a surrogate pair.
    """
    if isinstance(data, str):
        return build_frame(TEXT, data.encode())
    return build_frame(BINARY, data)


def deflate(payload: bytes) -> bytes:
    """Compress a message for itself, as for ``server_no_context_takeover``."""
    compressor = zlib.compressobj(
        wbits=-DEFLATE_WINDOW_BITS, memLevel=DEFLATE_MEMORY_LEVEL
    )
    compressed = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return compressed.removesuffix(_DEFLATE_TAIL)
