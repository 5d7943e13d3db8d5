"""WebSocketProtocol: uvicorn's sans-I/O WebSocket protocol, hardened."""

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from pondsocket.web import FrameBudget

__all__ = ["WebSocketProtocol"]

_POLICY_VIOLATION = 1008  # RFC 6455 7.4.1


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """What ``pondsocket serve`` runs each WebSocket on.

    Beside what uvicorn does: pings, pongs and empty continuation frames without end
    close the connection with 1008, since no limit on messages ever sees them; a
    handshake that cannot be parsed is answered and closed, not left open; and a refused
    handshake is not logged as an unfinished one.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - uvicorn's
        **settings: Any,  # noqa: ANN401 - as above
    ) -> None:
        super().__init__(*args, **settings)
        self._budget = FrameBudget()

    def data_received(self, data: bytes) -> None:
        """Take what the client sent; answer a handshake that makes no sense."""
        super().data_received(data)
        is_broken = self.conn.handshake_exc is not None and not self.handshake_complete
        if is_broken and self.initial_response is None:
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

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
