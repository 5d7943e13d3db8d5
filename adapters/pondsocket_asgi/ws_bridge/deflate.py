"""BoundedDeflate: permessage-deflate (RFC 7692), never inflating beyond a limit.

The server's side alone. How much comes out of zlib is limited before it comes out: a
megabyte that stands for a gigabyte costs no more memory than the longest message
allowed.
"""

import re
import sys
import zlib
from collections.abc import Callable, Sequence

from wsproto.extensions import Extension
from wsproto.frame_protocol import (
    CloseReason,
    FrameDecoder,
    FrameProtocol,
    Opcode,
    RsvBits,
)

from pondsocket.web import DEFLATE_MEMORY_LEVEL, DEFLATE_WINDOW_BITS

__all__ = ["BoundedDeflate", "negotiate"]

_NAME = "permessage-deflate"
_TAIL = b"\x00\x00\xff\xff"  # what a sender cuts off (RFC 7692 7.2.1)
_MARKED = RsvBits(True, False, False)  # what may be set with it
_PIECE = 262_144  # bytes that zlib hands out at once
_MAX_STREAMS = 64  # in one message: each costs a new zlib object and a copy of the rest

_WIDEST_WINDOW = 15
_NARROWEST_WINDOW = 9  # of zlib; whoever says 8 to an older one gets 9 (RFC 7692 7.1.2)

_SERVER_FORGETS = "server_no_context_takeover"
_CLIENT_FORGETS = "client_no_context_takeover"
_SERVER_WINDOW = "server_max_window_bits"
_CLIENT_WINDOW = "client_max_window_bits"

_is_window = re.compile("[89]|1[0-5]").fullmatch

# parameter -> whether an offer may have it with this value; None: it has none
_PARAMETERS: dict[str, Callable[[str | None], bool]] = {
    _SERVER_FORGETS: lambda value: value is None,
    _CLIENT_FORGETS: lambda value: value is None,
    _SERVER_WINDOW: lambda value: value is not None and bool(_is_window(value)),
    _CLIENT_WINDOW: lambda value: value is None or bool(_is_window(value)),
}


class BoundedDeflate(Extension):
    """What one connection compresses and inflates with.

    wsproto calls it with each frame. It answers with a close reason, and wsproto then
    raises ``ParseFailed`` with it: 1009 for a message beyond the limit, 1007 for what
    zlib does not take, 1008 for one cut into very many streams, 1002 for a compressed
    mark where none may be.

    A client may end a stream inside of a message (RFC 7692 7.2.3.4). What follows is
    inflated without what came before, as the compressor of such a client has forgotten
    it too; one that refers back nevertheless gets 1007.

    Args:
        max_message_size: Bytes of one message after inflation; 0 for no limit.
        server_no_context_takeover: Compress each message for itself.
        client_no_context_takeover: The client does so; keep nothing of its messages.
        server_max_window_bits: Power of two of the window to compress with, 9 to 15.
        client_max_window_bits: The client's, 8 to 15.
    """

    name: str = _NAME

    def __init__(
        self,
        *,
        max_message_size: int,
        server_no_context_takeover: bool = False,
        client_no_context_takeover: bool = False,
        server_max_window_bits: int = DEFLATE_WINDOW_BITS,
        client_max_window_bits: int = _WIDEST_WINDOW,
    ) -> None:
        self._limit = max_message_size or sys.maxsize
        self._server_forgets = server_no_context_takeover
        self._client_forgets = client_no_context_takeover
        self._server_bits = server_max_window_bits
        self._client_bits = max(client_max_window_bits, _NARROWEST_WINDOW)
        self._compressor: zlib._Compress | None = None
        self._decompressor: zlib._Decompress | None = None
        self._is_compressed = False  # this message
        self._inflates = False  # this frame
        self._room = 0  # bytes that this message may still become longer by
        self._streams = 0  # that ended within this message

    @property
    def fits_many(self) -> bool:
        """Whether what many connections get may be compressed once for all."""
        return self._server_forgets and self._server_bits >= DEFLATE_WINDOW_BITS

    def enabled(self) -> bool:
        """Tell wsproto to use it: there is none that was not negotiated."""
        return True

    def offer(self) -> bool:
        """Offer nothing: that is what clients do."""
        return False

    def frame_inbound_header(
        self,
        proto: FrameDecoder | FrameProtocol,
        opcode: Opcode,
        rsv: RsvBits,
        payload_length: int,
    ) -> CloseReason | RsvBits:
        """Note what frame begins; called again if its mask had not come yet."""
        if opcode.iscontrol() or opcode is Opcode.CONTINUATION:
            if rsv.rsv1:  # only a message's first frame has the mark (RFC 7692 6)
                return CloseReason.PROTOCOL_ERROR
            self._inflates = self._is_compressed and not opcode.iscontrol()
        else:
            self._is_compressed = self._inflates = rsv.rsv1
            self._room = self._limit
            self._streams = 0
        return _MARKED

    def frame_inbound_payload_data(
        self, proto: FrameDecoder | FrameProtocol, data: bytes
    ) -> bytes | CloseReason:
        """Inflate what came of a frame."""
        return self._inflate(data) if self._inflates else data

    def frame_inbound_complete(
        self, proto: FrameDecoder | FrameProtocol, fin: bool
    ) -> bytes | CloseReason | None:
        """Inflate what was held back at the end of a message."""
        if not (fin and self._inflates):
            return None
        self._is_compressed = False
        # no stream: the last one has ended, and there is nothing to hold back
        rest = self._inflate(_TAIL) if self._decompressor is not None else None
        if self._client_forgets:
            self._decompressor = None
        return rest

    def frame_outbound(
        self,
        proto: FrameDecoder | FrameProtocol,
        opcode: Opcode,
        rsv: RsvBits,
        data: bytes,
        fin: bool,
    ) -> tuple[RsvBits, bytes]:
        """Compress a frame of a message; others stay as they are."""
        if opcode.iscontrol():
            return rsv, data
        if opcode is not Opcode.CONTINUATION:
            rsv = RsvBits(True, rsv.rsv2, rsv.rsv3)
        if self._compressor is None:
            self._compressor = zlib.compressobj(
                wbits=-self._server_bits, memLevel=DEFLATE_MEMORY_LEVEL
            )
        compressed = self._compressor.compress(data)
        if fin:
            compressed += self._compressor.flush(zlib.Z_SYNC_FLUSH)
            compressed = compressed.removesuffix(_TAIL)
            if self._server_forgets:
                self._compressor = None
        return rsv, compressed

    def _inflate(self, data: bytes) -> bytes | CloseReason:
        pieces: list[bytes] = []
        try:
            while data:
                if self._decompressor is None:
                    self._decompressor = zlib.decompressobj(-self._client_bits)
                if not self._inflate_stream(self._decompressor, data, pieces):
                    return CloseReason.MESSAGE_TOO_BIG
                if not self._decompressor.eof:
                    break
                self._streams += 1
                if self._streams > _MAX_STREAMS:
                    return CloseReason.POLICY_VIOLATION
                data = self._decompressor.unused_data
                self._decompressor = None
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        return b"".join(pieces)

    def _inflate_stream(
        self, decompressor: "zlib._Decompress", data: bytes, pieces: list[bytes]
    ) -> bool:
        """Inflate up to a stream's end; return whether the message is not too long."""
        while True:
            # one byte more than there may be tells whether there is more
            size = min(self._room + 1, _PIECE)
            piece = decompressor.decompress(data, size)
            self._room -= len(piece)
            if self._room < 0:
                return False
            pieces.append(piece)
            if len(piece) < size:  # so nothing is left in zlib either
                return True
            data = decompressor.unconsumed_tail


def negotiate(
    offers: Sequence[str], max_message_size: int
) -> tuple[BoundedDeflate, str] | None:
    """Choose the first offer of permessage-deflate that can be accepted.

    One that breaks RFC 7692 7.1 (an unknown or doubled parameter, a value that may not
    be) is declined like one for another extension: the next is looked at.

    Args:
        offers: The elements of the client's Sec-WebSocket-Extensions, in its order.
        max_message_size: Bytes of one message after inflation; 0 for no limit.

    Returns:
        What to compress with and the text of the answer's Sec-WebSocket-Extensions, or
        None if nothing was offered that can be accepted.
    """
    for offer in offers:
        name, *parameters = (part.strip() for part in offer.split(";"))
        parsed = _parse(parameters) if name == _NAME else None
        if parsed is not None:
            return _accept(parsed, max_message_size)
    return None


def _parse(parameters: list[str]) -> dict[str, str | None] | None:
    """Return the parameters of an offer with their values, None if it is declined."""
    parsed: dict[str, str | None] = {}
    for parameter in parameters:
        name, equals, text = (part.strip() for part in parameter.partition("="))
        value = _unquote(text) if equals else None
        is_allowed = _PARAMETERS.get(name)
        if is_allowed is None or name in parsed or not is_allowed(value):
            return None
        parsed[name] = value
    # zlib has no such window to compress with
    return None if parsed.get(_SERVER_WINDOW) == "8" else parsed


def _unquote(text: str) -> str:
    """Return a value without the quotes it may be in (RFC 6455 9.1)."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1]
    return text


def _accept(
    parsed: dict[str, str | None], max_message_size: int
) -> tuple[BoundedDeflate, str]:
    answer = [_NAME, *(x for x in (_SERVER_FORGETS, _CLIENT_FORGETS) if x in parsed)]
    server_bits, client_bits = DEFLATE_WINDOW_BITS, _WIDEST_WINDOW
    if _SERVER_WINDOW in parsed:
        server_bits = min(
            int(parsed[_SERVER_WINDOW] or _WIDEST_WINDOW), DEFLATE_WINDOW_BITS
        )
        answer.append(f"{_SERVER_WINDOW}={server_bits}")
    if _CLIENT_WINDOW in parsed:  # else a client may not understand it (7.1.2.2)
        client_bits = min(
            int(parsed[_CLIENT_WINDOW] or _WIDEST_WINDOW), DEFLATE_WINDOW_BITS
        )
        answer.append(f"{_CLIENT_WINDOW}={client_bits}")
    deflate = BoundedDeflate(
        max_message_size=max_message_size,
        server_no_context_takeover=_SERVER_FORGETS in parsed,
        client_no_context_takeover=_CLIENT_FORGETS in parsed,
        server_max_window_bits=server_bits,
        client_max_window_bits=client_bits,
    )
    return deflate, "; ".join(answer)
