"""WebSocketProtocol: uvicorn's sans-I/O WebSocket protocol, faster and hardened.

For uvicorn's own option, whatever the application::

    uvicorn app:app --ws pondsocket_asgi.uvicorn:WebSocketProtocol
"""

import asyncio
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.extensions.permessage_deflate import (
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
)
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from pondsocket.web import (
    DEFLATE_MEMORY_LEVEL,
    DEFLATE_WINDOW_BITS,
    MAX_UNSENT,
    FrameBudget,
)
from pondsocket_asgi.frames import FRAMES, describe_frame_writer

__all__ = ["DeflatingWebSocketProtocol", "WebSocketProtocol"]

_POLICY_VIOLATION = 1008  # RFC 6455 7.4.1
_READ_AHEAD = 16  # messages that wait for the application before reading is paused
_SHORT = 4096  # bytes of each of them; reading is paused with a longer one


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """What ``pondsocket serve`` runs each WebSocket on.

    Beside what uvicorn does: the extension ``pondsocket.frames`` lets a PondSocket
    write ready frames; reading is paused only while several messages wait for the
    application, not with each; pings, pongs and empty continuation frames without end
    close the connection with 1008, since no limit on messages ever sees them; a
    handshake that cannot be parsed is answered and closed, not left open; and a refused
    handshake is not logged as an unfinished one.

    It declines compression, which uvicorn agrees to by default: a frame would have to
    be compressed for each client. See :class:`DeflatingWebSocketProtocol`.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - uvicorn's
        **settings: Any,  # noqa: ANN401 - as above
    ) -> None:
        super().__init__(*args, **settings)
        self.conn.available_extensions = self._choose_extensions()
        self._budget = FrameBudget()

    def _choose_extensions(self) -> list[ServerPerMessageDeflateFactory]:
        return []

    def handle_connect(self, event: Request) -> None:
        """Take the handshake, and offer the application to write frames."""
        super().handle_connect(event)
        # else it is refused already, or its frames are its own
        if not self.close_sent and all(map(_can_share, self.conn.extensions)):
            writer = _FrameWriter(self.conn, self.transport)
            self.scope["extensions"][FRAMES] = describe_frame_writer(
                writer.write, deflate=bool(self.conn.extensions)
            )

    def data_received(self, data: bytes) -> None:
        """Take what the client sent; answer a handshake that makes no sense."""
        super().data_received(data)
        is_broken = self.conn.handshake_exc is not None and not self.handshake_complete
        if is_broken and self.initial_response is None:
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def send_receive_event_to_app(self) -> None:
        """Hand a message on; go on reading unless several wait, or a long one."""
        is_short = sum(map(len, self.frames)) <= _SHORT and self.handshake_complete
        if is_short and self.queue.qsize() < _READ_AHEAD and not self.read_paused:
            self.read_paused: bool = True  # so that it is not paused
            super().send_receive_event_to_app()
            self.read_paused = False
        else:
            super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        """Answer a ping, unless there are too many."""
        if self._goes_on(self._budget.admits(self.loop.time(), unsent=self._unsent)):
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        """Note a pong, unless there are too many."""
        if self._goes_on(self._budget.admits(self.loop.time(), unsent=self._unsent)):
            super().handle_pong(event)

    def handle_cont(self, event: Frame) -> None:
        """Take the next part of a message, unless there are too many with nothing."""
        admitted = self._budget.admits_part(
            len(event.data), self.loop.time(), unsent=self._unsent
        )
        if self._goes_on(admitted):
            super().handle_cont(event)

    @property
    def _unsent(self) -> int:
        return self.transport.get_write_buffer_size()

    def _goes_on(self, is_admitted: bool) -> bool:
        """Close a connection with too many frames; tell whether it is still open."""
        if not is_admitted and not self.close_sent:
            self.conn.fail(_POLICY_VIOLATION, "too many frames")
            self.handle_parser_exception()
        return not self.close_sent

    async def send(self, message: Any) -> None:  # noqa: ANN401 - a dict of ASGI
        """Send what the application wants to."""
        await super().send(message)
        kind = message["type"]
        if kind == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True


class _FrameWriter:
    """Writes frames past the protocol, of which each would have to find its parts."""

    __slots__ = ("_protocol", "_wire")

    def __init__(self, protocol: ServerProtocol, wire: asyncio.Transport) -> None:
        self._protocol = protocol
        self._wire = wire

    def write(self, frames: bytes) -> bool:
        """Write, unless it is not accepted, there is a close frame, or no room."""
        wire = self._wire
        if (
            self._protocol.state is not State.OPEN
            or wire.is_closing()
            or wire.get_write_buffer_size() + len(frames) > MAX_UNSENT
        ):
            return False
        wire.write(frames)
        return True


class DeflatingWebSocketProtocol(WebSocketProtocol):
    """The same, compressing for clients that offer permessage-deflate (RFC 7692).

    Each message is compressed for itself, so that a broadcast is compressed once for
    all of them; ``pondsocket serve`` takes it for ``Options.compression``.
    """

    def _choose_extensions(self) -> list[ServerPerMessageDeflateFactory]:
        return [
            ServerPerMessageDeflateFactory(
                server_no_context_takeover=True,
                server_max_window_bits=DEFLATE_WINDOW_BITS,
                client_max_window_bits=DEFLATE_WINDOW_BITS,
                compress_settings={"memLevel": DEFLATE_MEMORY_LEVEL},
            )
        ]


def _can_share(extension: object) -> bool:
    """Tell whether all messages are compressed alike, whatever was sent before."""
    return (
        isinstance(extension, PerMessageDeflate)
        and extension.local_no_context_takeover
        and extension.local_max_window_bits >= DEFLATE_WINDOW_BITS
    )
