"""WebsocketsTransport: one connection of the library, as the core sees it."""

from collections.abc import Sequence
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, ProtocolError

from pondsocket import Options
from pondsocket.web import ClientLeft, SendPump, WebSocketTransport

__all__ = ["WebsocketsTransport"]

_POLICY_VIOLATION = 1008  # RFC 6455 7.4.1


class WebsocketsTransport(WebSocketTransport):
    """The transport of one accepted connection; made by ``PondHandler``.

    Args:
        id: The user's id, the connection's too.
        connection: The accepted connection.
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
        connection: ServerConnection,
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
        self._connection = connection

    async def _send_messages(self, messages: Sequence[str | bytes]) -> None:
        # each is handed over whole before it waits: a cancelled send breaks no frame
        for message in messages:
            await self._connection.send(message)

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
