"""ASGIWebSocketTransport: one WebSocket of an ASGI host, as the core sees it."""

from collections.abc import Awaitable, Sequence
from typing import Any

from pondsocket import Options
from pondsocket.web import SendPump, WebSocketTransport
from pondsocket_asgi.websocket import WebSocketASGI

__all__ = ["ASGIWebSocketTransport"]


class ASGIWebSocketTransport(WebSocketTransport):
    """The transport of one accepted WebSocket; made by ``PondASGIApp``.

    Args:
        id: The user's id, the connection's too.
        websocket: The accepted connection.
        pump: Runs the sends; one for all connections is best.
        options: ``send_timeout`` and ``slow_consumer`` are used.
        assigns: First assigns of the connection; copied.
        joins_messages: Whether the client takes several messages, separated by
            newlines, in one WebSocket frame.
    """

    def __init__(
        self,
        *,
        id: str,
        websocket: WebSocketASGI,
        pump: SendPump | None = None,
        options: Options | None = None,
        assigns: dict[str, Any] | None = None,
        joins_messages: bool = False,
    ) -> None:
        super().__init__(
            id=id,
            pump=pump,
            options=options,
            assigns=assigns,
            joins_messages=joins_messages,
        )
        self._websocket = websocket

    async def _send_messages(self, messages: Sequence[str | bytes]) -> None:
        await self._websocket.send_all(messages)

    def _receive_message(self) -> Awaitable[str | bytes]:
        return self._websocket.receive()  # raises ConnectionClosed, which is ClientLeft

    async def _send_close(self, code: int, reason: str) -> None:
        await self._websocket.close(code, reason)
