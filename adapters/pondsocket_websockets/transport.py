"""WebsocketsTransport: one connection of the library, as the core sees it."""

from collections.abc import Coroutine
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, ProtocolError

from pondsocket import Options
from pondsocket.web import ClientLeft, FrameWriter, WebSocketTransport

__all__ = ["WebsocketsTransport"]

_POLICY_VIOLATION = 1008  # RFC 6455 7.4.1


class WebsocketsTransport(WebSocketTransport):
    """The transport of one accepted connection; made by ``PondHandler``.

    Args:
        id: The user's id, the connection's too.
        connection: The accepted connection.
        options: ``send_timeout`` and ``slow_consumer`` are used.
        assigns: First assigns of the connection; copied.
        joins_messages: Whether the client takes several messages, separated by
            newlines, in one WebSocket frame.
        frame_writer: The way past the library, None for none.
    """

    __slots__ = ("_connection",)

    def __init__(
        self,
        *,
        id: str,
        connection: ServerConnection,
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
        self._connection = connection

    def _send_message(self, message: str | bytes) -> Coroutine[Any, Any, None]:
        # it is handed over whole before this waits: a cancelled send breaks no frame
        return self._connection.send(message)

    async def _receive_message(self) -> str | bytes:
        try:
            return await self._connection.recv()
        except ConnectionClosed as exc:
            raise ClientLeft from exc

    async def _send_close(self, code: int, reason: str) -> None:
        """Close, as far as the client plays along; the library drops the rest."""
        try:
            await self._connection.close(code, reason)
        except ProtocolError:  # of 1004 to 2999 it takes what has a meaning
            await self._connection.close(_POLICY_VIOLATION, reason)
