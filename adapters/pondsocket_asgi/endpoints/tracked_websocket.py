"""TrackedWebSocket: Starlette's WebSocket, which also knows how it ended."""

import asyncio
import logging

from starlette.exceptions import WebSocketException
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from pondsocket import truncate_reason

__all__ = ["TrackedWebSocket"]

logger: logging.Logger = logging.getLogger(__name__)

# RFC 6455, 7.4.1
_NORMAL = 1000
_NO_STATUS = 1005
_ABNORMAL = 1006
_NEVER_SENT = frozenset({_NO_STATUS, _ABNORMAL, 1015})

_PATIENCE = 1.0  # seconds for a host to say how the client left


class TrackedWebSocket(WebSocket):
    """One WebSocket of an ASGI host."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(scope, receive, send)
        self._close_code: int | None = None  # None: nobody said

    @property
    def is_pending(self) -> bool:
        """Whether it is neither accepted nor refused."""
        states = WebSocketState.CONNECTING, WebSocketState.RESPONSE
        return self.application_state in states

    @property
    def is_open(self) -> bool:
        """Whether it is accepted, and closed by neither side."""
        connected = WebSocketState.CONNECTED
        return self.application_state is connected and self.client_state is connected

    async def receive(self) -> Message:
        """Return the host's next message; see Starlette's own."""
        message = await super().receive()
        if message["type"] == "websocket.disconnect":
            self._close_code = int(message.get("code") or _NO_STATUS)
        return message

    async def send(self, message: Message) -> None:
        """Take a message to the host; see Starlette's own."""
        await super().send(message)
        if message["type"] == "websocket.close":
            self._close_code = int(message["code"])
        elif message["type"] == "websocket.http.response.start":
            self._close_code = _ABNORMAL  # refused, and not with a code

    async def next_frame(self) -> str | bytes | None:
        """Return the client's next message, None if the connection is closed."""
        if not self.is_open:
            return None
        message = await self.receive()
        if message["type"] == "websocket.disconnect":
            return None
        text: str | None = message.get("text")
        return message.get("bytes") or b"" if text is None else text

    async def end(self, exc: WebSocketDisconnect | WebSocketException) -> None:
        """Close it, or refuse it, as an exception says; harmless if it is closed.

        The reason may hold what the client sent, so it is cut to what a close frame
        takes (RFC 6455 5.5).
        """
        ended = WebSocketState.DISCONNECTED
        if self.application_state is ended or self.client_state is ended:
            return
        code = _NORMAL if exc.code in _NEVER_SENT else exc.code
        try:
            await self.close(code, truncate_reason(exc.reason))
        except WebSocketDisconnect:
            logger.debug("a client left before it was told to", exc_info=True)

    async def find_close_code(self) -> int:
        """Return how the connection ended, 1006 if nobody said.

        Called after the end. Where it showed in a message that could not be sent, the
        host is asked for the client's code; what else the client sent before it left
        is dropped. This waits for a second at most.
        """
        try:
            async with asyncio.timeout(_PATIENCE):
                while self._close_code is None:
                    await self.receive()
        except TimeoutError:
            logger.debug("the host did not say how a client left")
        return _ABNORMAL if self._close_code is None else self._close_code
