"""Granian: closing a WebSocket whose ``receive`` is waiting.

granian takes ``websocket.close`` only while nobody waits in ``receive``; until then
``send`` waits, which may be for ever. So whoever is in ``receive`` is made to let go
first, and is told of the disconnection when the close frame is out, as by other hosts.

Text that is no UTF-8 ends the connection without a code. It is the only end without one
at which granian still takes a close frame, so 1007 (RFC 6455 8.1) is sent at each.
"""

import asyncio
import logging
import sys
from collections.abc import Awaitable

from pondsocket_asgi.scope import ASGIApp, Message, Receive, Scope, Send

__all__ = ["is_running", "serve"]

logger: logging.Logger = logging.getLogger(__name__)

_NO_STATUS = 1005  # RFC 6455 7.4.1
_INVALID_DATA = 1007


def is_running() -> bool:
    """Tell whether granian is in this process."""
    return "granian.asgi" in sys.modules


def serve(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
    """Run an application that may close a WebSocket while it waits in ``receive``."""
    if scope["type"] == "websocket":
        turns = _Turns(receive, send)
        receive, send = turns.receive, turns.send
    return app(scope, receive, send)


class _Turns:
    """One connection's ``receive`` and ``send``, which step aside for each other."""

    __slots__ = ("_closing", "_let_go", "_receive", "_send", "_waiting")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._waiting: asyncio.Timeout | None = None
        self._let_go: asyncio.Future[None] | None = None  # while a close waits for it
        self._closing: asyncio.Future[int] | None = None  # the code, once it is sent

    async def receive(self) -> Message:
        """Return the host's next message, or the end that the application made."""
        if self._closing is None:
            try:
                async with asyncio.timeout(None) as self._waiting:
                    message = await self._receive()
                if message.get("code") == _NO_STATUS:
                    await self._tell_invalid_data()
            except TimeoutError:
                if self._closing is None:
                    raise
            else:
                return message
            finally:
                self._waiting = None
                if self._let_go is not None and not self._let_go.done():
                    self._let_go.set_result(None)
        await asyncio.wait({self._closing})
        return {"type": "websocket.disconnect", "code": self._closing.result()}

    async def _tell_invalid_data(self) -> None:
        try:
            await self._send({"type": "websocket.close", "code": _INVALID_DATA})
        except Exception:  # whatever granian raises when it was the client's own end
            logger.debug("granian took no close frame", exc_info=True)

    async def send(self, message: Message) -> None:
        """Send a message; a close only when nobody waits in ``receive``."""
        if message["type"] != "websocket.close" or self._closing is not None:
            await self._send(message)
            return
        loop = asyncio.get_running_loop()
        self._closing = loop.create_future()
        try:
            if self._waiting is not None:
                self._let_go = loop.create_future()
                self._waiting.reschedule(loop.time())
                await self._let_go
            await self._send(message)
        finally:
            self._closing.set_result(message.get("code", 1000))
