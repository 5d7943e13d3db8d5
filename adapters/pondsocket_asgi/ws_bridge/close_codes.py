"""Close codes: which of them may stand in a close frame (RFC 6455 7.4)."""

from wsproto.frame_protocol import ParseFailed

__all__ = ["NO_STATUS", "may_be_sent", "parse_close"]

NO_STATUS: int = 1005  # stands for a frame without a code, never in one

_REGISTERED = frozenset({*range(1000, 1004), *range(1007, 1015)})  # with IANA
_UNREGISTERED = range(3000, 5000)  # left to libraries and applications


def may_be_sent(code: int) -> bool:
    """Tell whether a close frame may have this code, either way."""
    return code in _REGISTERED or code in _UNREGISTERED


def parse_close(payload: bytes) -> tuple[int, str]:
    """Return the code and the reason of a client's close frame (RFC 6455 5.5.1).

    Raises:
        ParseFailed: If it has half a code, or one that may not be sent.
        UnicodeDecodeError: If the reason is no text.
    """
    if not payload:
        return NO_STATUS, ""
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not may_be_sent(code):
        raise ParseFailed("invalid close frame")
    return code, str(payload[2:], "utf-8")
