"""WebSocket frames of a client, as bytes; their mask is zero."""

EMPTY_PART = b"\x00\x80\0\0\0\0"
TEXT_BEGINS = b"\x01\x80\0\0\0\0"

_LENGTH_IN_TWO_BYTES = 126


def in_parts(text, size):
    """Return a text message as frames of ``size`` bytes of payload, below 65,536."""
    data = text.encode()
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    frames = [_frame(0x00, part) for part in parts]
    frames[0] = _frame(0x01, parts[0])
    frames[-1] = _frame(0x80, parts[-1])
    return b"".join(frames)


def _frame(first, payload):
    length = len(payload)
    if length < _LENGTH_IN_TWO_BYTES:
        return bytes([first, 0x80 | length]) + bytes(4) + payload
    return bytes([first, 0xFE]) + length.to_bytes(2, "big") + bytes(4) + payload
