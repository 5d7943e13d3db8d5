"""WSProtocol: one WebSocket's frames (RFC 6455), without the socket.

Bytes of the client go in and whole messages come out; what must be sent is returned as
bytes. It waits for nothing and reads no clock. wsproto's decoder cuts the client's
bytes into frames; what frames make up together is told here: messages, the closing
handshake, and how much a client may ask for.

The decoder also hands out what there is of a long frame, so that a message which is too
long or no text is noticed while it comes in. Of such a frame each piece but the first
looks like a continuation: ``_is_inside_frame`` tells the two apart.
"""

import codecs
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from wsproto.extensions import Extension
from wsproto.frame_protocol import (
    CloseReason,
    FrameDecoder,
    FrameProtocol,
    Opcode,
    ParseFailed,
)

from pondsocket.web import FrameBudget, frame_message
from pondsocket_asgi.ws_bridge.close_codes import NO_STATUS, may_be_sent, parse_close
from pondsocket_asgi.ws_bridge.config import ServerConfig
from pondsocket_asgi.ws_bridge.deflate import negotiate
from pondsocket_asgi.ws_bridge.request import (
    RequestReceived,
    find_extension_offers,
    find_subprotocols,
)

__all__ = ["Closed", "Pong", "Received", "WSClosedError", "WSProtocol"]

# RFC 6455 7.4.1
_PROTOCOL_ERROR = CloseReason.PROTOCOL_ERROR
_INVALID_DATA = CloseReason.INVALID_FRAME_PAYLOAD_DATA
_POLICY_VIOLATION = CloseReason.POLICY_VIOLATION
_TOO_BIG = CloseReason.MESSAGE_TOO_BIG

# looked up for each frame
_TEXT = Opcode.TEXT
_CONTINUATION = Opcode.CONTINUATION
_FIRST_CONTROL = Opcode.CLOSE

# What one call brings: once it is exceeded the rest waits.
_BYTES_AT_ONCE = 262_144
_BYTES_OF_A_FRAME = 1024  # that even an empty one counts for: 256 at once

_new_utf8_decoder = codecs.getincrementaldecoder("utf-8")

_TOO_MANY = "too many frames"

# What a client is told when the extension ends it: wsproto's text names no reason.
_IN_EXTENSION = "error in extension"
_DEFLATE_REASONS = {
    _PROTOCOL_ERROR: "compressed frame where none may be",
    _INVALID_DATA: "invalid compressed data",
    _POLICY_VIOLATION: "too many compressed streams",
    _TOO_BIG: "message too big",
}

# wsproto's Frame, as the decoder makes it: opcode, payload, whether the frame ends with
# this piece, whether the message ends with this frame
_Piece = tuple[Opcode, bytes, bool, bool]


class WSClosedError(Exception):
    """Nothing more can be sent: a close frame was sent or received."""


@dataclass(frozen=True, slots=True)
class Pong:
    """The client answered a ping, or sent a pong unasked.

    Attributes:
        payload: That of the ping, at most 125 bytes.
    """

    payload: bytes


@dataclass(frozen=True, slots=True)
class Closed:
    """The last that is received.

    Attributes:
        code: The close code (RFC 6455 7.4), 1005 if the client's frame had none.
        reason: Why, "" if nobody said.
        by_client: True for a close frame of the client, also for its answer to ours.
            False if we ended it because the client broke a rule.
    """

    code: int
    reason: str
    by_client: bool


Received = str | bytes | Pong | Closed


class WSProtocol:
    """The server's side of one WebSocket, from the handshake's end on.

    Args:
        max_message_size: Bytes of one message, after inflation; 0 for no limit.
        subprotocols: What the client asked for, in its order.
        offers: The elements of the client's Sec-WebSocket-Extensions, in its order.
        compression: Whether to accept an offer of permessage-deflate.

    Attributes:
        subprotocols: What the client asked for, in its order.
        extensions: What to answer as Sec-WebSocket-Extensions, None for nothing.
        shared_deflate: Whether frames that fit many connections are to be compressed
            ones; None if none fit, since each depends on what was sent before.
        close_sent: Whether our close frame was returned, or waits in the output:
            nothing can be sent any more.
        close_received: Whether the client's came; ours is then sent, too.
        has_more: Whether the last ``receive`` brought only a part, since there was much
            in few bytes. Let others have a turn and call it again, with b"".
    """

    __slots__ = (
        "_budget", "_decoder", "_frames", "_has_failed", "_incoming", "_is_deflating",
        "_is_inside_frame", "_limit", "_next_piece", "_opcode", "_output", "_partial",
        "_utf8", "close_received", "close_sent", "extensions", "has_more",
        "shared_deflate", "subprotocols",
    )  # fmt: skip

    def __init__(
        self,
        *,
        max_message_size: int = 0,
        subprotocols: Sequence[str] = (),
        offers: Sequence[str] = (),
        compression: bool = False,
    ) -> None:
        self.subprotocols: tuple[str, ...] = tuple(subprotocols)
        self.extensions: str | None = None
        self.close_sent: bool = False
        self.close_received: bool = False
        self.has_more: bool = False
        negotiated = negotiate(offers, max_message_size) if compression else None
        used: list[Extension] = []
        self.shared_deflate: bool | None = False
        if negotiated is not None:
            deflate, self.extensions = negotiated
            self.shared_deflate = deflate.fits_many or None
            used.append(deflate)
        self._is_deflating = bool(used)
        self._frames = FrameProtocol(client=False, extensions=used)
        self._decoder = FrameDecoder(client=False, extensions=used)
        self._next_piece = cast(
            "Callable[[], _Piece | None]", self._decoder.process_buffer
        )
        self._incoming = self._decoder.buffer.buffer  # the same object for ever
        self._output = bytearray()
        self._budget = FrameBudget()
        self._limit = max_message_size or sys.maxsize
        self._has_failed = False
        # of the message that is coming in
        self._opcode: Opcode | None = None
        self._is_inside_frame = False
        self._partial = bytearray()
        self._utf8 = _new_utf8_decoder()

    @classmethod
    def for_request(
        cls, request: RequestReceived, config: ServerConfig
    ) -> "WSProtocol":
        """Return the protocol for a client that asked for it so.

        Args:
            request: The handshake, already found to be one.
            config: The server's limits.
        """
        return cls(
            max_message_size=config.max_message_size,
            subprotocols=find_subprotocols(request),
            offers=find_extension_offers(request),
            compression=config.compression,
        )

    @property
    def is_closed(self) -> bool:
        """Whether nothing is received any more.

        Both close frames went, or the client broke a rule. The connection can end once
        the output is written.
        """
        return self.close_received or self._has_failed

    def receive(self, data: bytes, *, now: float, unsent: int = 0) -> list[Received]:
        """Take bytes of the client; return what they brought, in its order.

        Afterwards :meth:`take_output` may have something to write. A client that breaks
        a rule raises nothing: ``Closed`` is the last that comes, and whatever it sends
        after that is ignored.

        Args:
            data: What was read, cut anywhere.
            now: Seconds on any clock that does not go back.
            unsent: Bytes that wait for the client to read; while there are any, it may
                send fewer frames that bring no message nearer.
        """
        received: list[Received] = []
        self.has_more = False
        if self.is_closed:
            return received
        try:
            self._decoder.receive_bytes(data)
            self._take_pieces(received, now, unsent)
            self._check_announced()
        except ParseFailed as exc:
            reason = str(exc)
            if reason == _IN_EXTENSION:
                reason = _DEFLATE_REASONS[exc.code]
            received.append(self._fail(exc.code, reason))
        except UnicodeDecodeError:
            received.append(self._fail(_INVALID_DATA, "invalid UTF-8"))
        return received

    def take_output(self) -> bytes:
        """Return what must be written now, b"" for nothing; each byte once.

        Pongs, the answer to a close frame, the close frame for a broken rule.
        """
        if not self._output:
            return b""
        output = bytes(self._output)
        self._output.clear()
        return output

    def send(self, data: str | bytes | bytearray | memoryview) -> bytes:
        """Return the frame of one message: text for str, else binary.

        Raises:
            WSClosedError: If a close frame was sent or received.
            ValueError: If a str cannot be encoded: it has half a surrogate pair.
            TypeError: If it is neither a str nor bytes of some kind.
        """
        if self.close_sent:
            raise WSClosedError("cannot send a message after a close frame")
        if not isinstance(data, str | bytes):
            data = bytes(memoryview(data))
        if self._is_deflating:
            return bytes(self._frames.send_data(data))
        return frame_message(data)

    def ping(self, payload: bytes = b"") -> bytes:
        """Return the frame of a ping.

        Raises:
            WSClosedError: If a close frame was sent or received.
            ValueError: If the payload is longer than 125 bytes.
        """
        if self.close_sent:
            raise WSClosedError("cannot send a ping after a close frame")
        return bytes(self._frames.ping(payload))

    def close(self, code: int = 1000, reason: str | None = "") -> bytes:
        """Return our close frame, b"" if there was one already.

        Args:
            code: 1000 to 1003, 1007 to 1014, or 3000 to 4999; 1005 for a frame with
                neither code nor reason.
            reason: For the client; cut to 123 bytes, at a character.

        Raises:
            ValueError: If the code must not be sent, or the reason not be encoded.
        """
        if code != NO_STATUS and not may_be_sent(code):
            raise ValueError(
                f"close code {code!r} must not be sent: expected 1000-1003, 1007-1014, "
                "3000-4999, or 1005 for none"
            )
        if self.close_sent:
            return b""
        frame = self._make_close(code, reason or "")
        self.close_sent = True
        return frame

    def _make_close(self, code: int, reason: str) -> bytes:
        if code == NO_STATUS:
            return bytes(self._frames.close())
        return bytes(self._frames.close(code, reason))

    def _answer_close(self, code: int, reason: str) -> None:
        """Put our close frame into the output, unless it was sent already."""
        self._partial = bytearray()
        if not self.close_sent:
            self._output += self._make_close(code, reason)
            self.close_sent = True

    def _fail(self, code: int, reason: str) -> Closed:
        self._has_failed = True
        self._answer_close(code, reason)
        return Closed(int(code), reason, by_client=False)

    def _take_pieces(self, received: list[Received], now: float, unsent: int) -> None:
        """Take all that the decoder has; the hot path of this module.

        Raises:
            ParseFailed: If the client broke a rule; it has the close code.
            UnicodeDecodeError: If a text is none.
        """
        incoming, next_piece = self._incoming, self._next_piece
        budget = _BYTES_AT_ONCE
        while incoming and (piece := next_piece()) is not None:
            opcode, payload, frame_ends, is_last = piece
            budget -= len(payload) + _BYTES_OF_A_FRAME
            if opcode >= _FIRST_CONTROL:
                self._take_control(piece, received, now, unsent)
                if self.close_received:
                    return
            elif (
                frame_ends
                and is_last
                and self._opcode is None
                and opcode is not _CONTINUATION
                and len(payload) <= self._limit
            ):
                received.append(str(payload, "utf-8") if opcode is _TEXT else payload)
            else:
                if not self._is_inside_frame:
                    self._begin_frame(piece, now, unsent)
                self._take_part(piece, received)
            if budget < 0:
                self.has_more = True
                return

    def _begin_frame(self, piece: _Piece, now: float, unsent: int) -> None:
        """Check that a frame of a message may come now (RFC 6455 5.4)."""
        opcode, payload, _, _ = piece
        if opcode is not _CONTINUATION:
            if self._opcode is not None:
                raise ParseFailed("message inside of a message")
            self._opcode = opcode
            return
        if self._opcode is None:
            raise ParseFailed("continuation of no message")
        header = self._decoder.header  # None once the frame has come whole
        size = len(payload) if header is None else header.payload_len
        if not self._budget.admits_part(size, now, unsent=unsent):
            raise ParseFailed(_TOO_MANY, _POLICY_VIOLATION)

    def _take_part(self, piece: _Piece, received: list[Received]) -> None:
        """Add to the message that is coming in; receive it if it is whole."""
        _, payload, frame_ends, is_last = piece
        self._is_inside_frame = not frame_ends
        self._partial += payload
        if len(self._partial) > self._limit:
            raise ParseFailed("message too big", _TOO_BIG)
        is_whole = frame_ends and is_last
        is_text = self._opcode is _TEXT
        if is_text:  # the text so far is thrown away: as bytes it takes less
            self._utf8.decode(payload, is_whole)
        if is_whole:
            message = self._partial
            received.append(str(message, "utf-8") if is_text else bytes(message))
            self._partial = bytearray()
            self._opcode = None

    def _check_announced(self) -> None:
        """Check how long the message will be by what its frame's head says."""
        header = self._decoder.header
        # a compressed frame says little of what it will be
        if header is None or self._is_deflating or header.opcode >= _FIRST_CONTROL:
            return
        missing = header.payload_len - self._decoder.payload_consumed
        if len(self._partial) + missing > self._limit:
            raise ParseFailed("message too big", _TOO_BIG)

    def _take_control(
        self, piece: _Piece, received: list[Received], now: float, unsent: int
    ) -> None:
        opcode, payload, _, _ = piece
        if opcode is Opcode.CLOSE:
            code, reason = parse_close(payload)
            self.close_received = True
            self._answer_close(code, "")
            received.append(Closed(code, reason, by_client=True))
        elif not self._budget.admits(now, unsent=unsent):
            raise ParseFailed(_TOO_MANY, _POLICY_VIOLATION)
        elif opcode is Opcode.PONG:
            received.append(Pong(payload))
        elif not self.close_sent:
            self._output += self._frames.pong(payload)
