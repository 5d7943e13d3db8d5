"""ASGIWebSocketTransport: one WebSocket of an ASGI host, as the core sees it."""

from collections.abc import Awaitable, Coroutine
from types import CoroutineType
from typing import Any

from pondsocket import Options
from pondsocket.web import FrameWriter, WebSocketTransport
from pondsocket_asgi.websocket import WebSocketASGI

__all__ = ["ASGIWebSocketTransport"]


class ASGIWebSocketTransport(WebSocketTransport):
    """The transport of one accepted WebSocket; made by ``PondASGIApp``.

    Args:
        id: The user's id, the connection's too.
        websocket: The accepted connection.
        options: ``send_timeout`` and ``slow_consumer`` are used.
        assigns: First assigns of the connection; copied.
        joins_messages: Whether the client takes several messages, separated by
            newlines, in one WebSocket frame.
        frame_writer: The way past the host, None if it offers none.
    """

    __slots__ = ("_host_send", "_websocket")

    def __init__(
        self,
        *,
        id: str,
        websocket: WebSocketASGI,
        options: Options | None = None,
        assigns: dict[str, Any] | None = None,
        joins_messages: bool = False,
        frame_writer: FrameWriter | None = None,
    ) -> None:
        super().__init__(
            id=id,
            options=options,
            assigns=assigns,
            joins_messages=joins_messages,
            frame_writer=frame_writer,
        )
        self._websocket = websocket
        self._host_send = websocket.host_send

    def _send_message(self, message: str | bytes) -> Coroutine[Any, Any, None]:
        kind = "text" if isinstance(message, str) else "bytes"
        sending = self._host_send({"type": "websocket.send", kind: message})
        return sending if isinstance(sending, CoroutineType) else _wait_for(sending)

    def _receive_message(self) -> Awaitable[str | bytes]:
        return self._websocket.receive()  # raises ConnectionClosed, which is ClientLeft

    async def _send_close(self, code: int, reason: str) -> None:
        await self._websocket.close(code, reason)


async def _wait_for(sending: Awaitable[None]) -> None:
    """Make a coroutine of whatever a middleware's ``send`` returns."""
    await sending
