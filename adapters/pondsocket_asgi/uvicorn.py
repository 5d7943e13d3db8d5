"""WebSocketProtocol: uvicorn's sans-I/O WebSocket protocol, hardened."""

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

__all__ = ["WebSocketProtocol"]

_POLICY_VIOLATION = 1008  # RFC 6455 7.4.1
_RATE = 1000  # frames per second that carry no message of their own
_BURST = 2000


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """What ``pondsocket serve`` runs each WebSocket on.

    Beside what uvicorn does: pings, pongs and continuation frames without end close the
    connection with 1008, since no limit on messages ever sees them; a handshake that
    cannot be parsed is answered and closed, not left open; and a refused handshake is
    not logged as an unfinished one.
    """

    _debt = 0.0  # frames above the rate
    _counted = 0.0  # when it was last brought up to date

    def data_received(self, data: bytes) -> None:
        """Take what the client sent; answer a handshake that makes no sense."""
        super().data_received(data)
        is_broken = self.conn.handshake_exc is not None and not self.handshake_complete
        if is_broken and self.initial_response is None:
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def handle_ping(self) -> None:
        """Answer a ping, unless there are too many."""
        if self._admits_frame():
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        """Note a pong, unless there are too many."""
        if self._admits_frame():
            super().handle_pong(event)

    def handle_cont(self, event: Frame) -> None:
        """Take the next part of a message, unless there are too many."""
        if self._admits_frame():
            super().handle_cont(event)

    def _admits_frame(self) -> bool:
        now = self.loop.time()
        self._debt = max(0.0, self._debt - (now - self._counted) * _RATE) + 1
        self._counted = now
        if self._debt > _BURST and not self.close_sent:
            self.conn.fail(_POLICY_VIOLATION, "too many frames")
            self.handle_parser_exception()
        return not self.close_sent

    async def send(self, message: Any) -> None:  # noqa: ANN401 - a dict of ASGI
        """Send what the application wants to."""
        await super().send(message)
        kind = message["type"]
        if kind == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True
