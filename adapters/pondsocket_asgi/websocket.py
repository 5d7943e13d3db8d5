"""WebSocketASGI: a thin object over the ASGI WebSocket callables.

It knows nothing of channels. The module stands in for ``simple_websocket`` wherever
only its ASGI side is used::

    import pondsocket_asgi.websocket as simple_websocket

    ws = await simple_websocket.WebSocketASGI.accept(scope, receive, send)
    try:
        while True:
            await ws.send(await ws.receive())
    except simple_websocket.ConnectionClosed:
        pass

``receive`` and ``send`` may be the host's own or those of a framework's WebSocket
object (FastAPI, Starlette, Litestar). A consumer of Django Channels has no such pair
inside its callbacks: its ``receive`` is what Channels calls with each message. There,
put a plain ASGI application like the one above into the router.
"""

import logging
from collections.abc import Iterable, Sequence

from pondsocket import truncate_reason
from pondsocket.web import ClientLeft
from pondsocket_asgi.disconnects import is_disconnect
from pondsocket_asgi.scope import Receive, Scope, Send

__all__ = ["ConnectionClosed", "WebSocketASGI"]

logger: logging.Logger = logging.getLogger(__name__)

# RFC 6455, 7.4.1
_NORMAL = 1000
_NO_STATUS = 1005
_ABNORMAL = 1006


class ConnectionClosed(ClientLeft):
    """The connection is closed, by whichever side.

    Attributes:
        reason: The close code (RFC 6455, 7.4), 1006 if the client vanished.
        message: The reason phrase that came with it, "" if none.
    """

    def __init__(self, reason: int = _NO_STATUS, message: str | None = None) -> None:
        self.reason = reason
        self.message: str = message or ""
        super().__init__(f"Connection closed: {reason} {self.message}".rstrip())


class WebSocketASGI:
    """One WebSocket connection of an ASGI host.

    Args:
        scope: The connection's scope.
        receive: Hands out the host's messages.
        send: Takes messages to the host; may wait for a slow client.
        subprotocols: What the server supports, in no particular order.

    Attributes:
        subprotocol: The negotiated subprotocol, None if there is none.
        connected: True from the acceptance until either side closes.
    """

    __slots__ = (
        "_closed", "_offered", "_receive", "_send", "_supported", "connected",
        "subprotocol",
    )  # fmt: skip

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        subprotocols: Sequence[str] | None = None,
    ) -> None:
        self._receive = receive
        self._send = send
        self._offered: Sequence[str] = scope.get("subprotocols") or ()
        self._supported = (
            (subprotocols,) if isinstance(subprotocols, str) else subprotocols or ()
        )
        self._closed: ConnectionClosed | None = None
        self.subprotocol: str | None = None
        self.connected: bool = False

    @classmethod
    async def accept(
        cls,
        scope: Scope,
        receive: Receive,
        send: Send,
        subprotocols: Sequence[str] | None = None,
    ) -> "WebSocketASGI":
        """Accept a connection and return the object to use it with.

        The subprotocol is the first of the client's that the server supports.

        Raises:
            ValueError: If the host's next message is not ``websocket.connect``.
            ConnectionClosed: If the client is already gone.
        """
        websocket = cls(scope, receive, send, subprotocols)
        await websocket.wait_for_connect()
        await websocket.confirm()
        return websocket

    async def wait_for_connect(self) -> None:
        """Wait for the host to offer the connection: the first half of ``accept``.

        Raises:
            ValueError: If the host says anything else.
        """
        message = await self._receive()
        if message["type"] != "websocket.connect":
            raise ValueError(f"expected websocket.connect, got {message['type']!r}")

    async def confirm(self) -> None:
        """Tell the host to accept: the second half of ``accept``.

        Raises:
            ConnectionClosed: If the client is already gone.
        """
        supported = self._supported
        self.subprotocol = next((x for x in self._offered if x in supported), None)
        try:
            await self._send(
                {"type": "websocket.accept", "subprotocol": self.subprotocol}
            )
        except Exception as exc:
            if not _tells_that_client_left(exc):
                raise
            raise self._end(ConnectionClosed(_ABNORMAL, "client left")) from exc
        self.connected = True

    async def receive(self) -> str | bytes:
        """Return the client's next message: str for a text frame, else bytes.

        Raises:
            ConnectionClosed: If the connection is closed.
            OSError: If the host sent something that is neither.
        """
        if self._closed is not None:
            raise self._again(self._closed)
        try:
            message = await self._receive()
        except Exception as exc:
            if not is_disconnect(exc):
                raise
            raise self._end(ConnectionClosed(_ABNORMAL, "client left")) from exc
        match message["type"]:
            case "websocket.receive":
                text: str | None = message.get("text")
                data: bytes | None = message.get("bytes")
                if text is not None:
                    return text
                if data is not None:
                    return data
                raise OSError("websocket.receive holds neither text nor bytes")
            case "websocket.disconnect":
                code: int = message.get("code") or _NO_STATUS
                raise self._end(ConnectionClosed(code, message.get("reason")))
            case unknown:
                raise OSError(f"message type {unknown!r} is not supported")

    async def send(self, data: str | bytes) -> None:
        """Send one message: str as a text frame, bytes as a binary one.

        It may wait as long as the client does not read.

        Raises:
            ConnectionClosed: If the connection is closed.
        """
        await self.send_all((data,))

    @property
    def host_send(self) -> Send:
        """The host's own ``send``, for whoever makes its messages himself.

        What goes out by it is neither checked nor noted here.
        """
        return self._send

    async def send_all(self, messages: Iterable[str | bytes]) -> None:
        """Send several messages, one after the other; as :meth:`send`.

        Raises:
            ConnectionClosed: If the connection is closed.
        """
        if self._closed is not None:
            raise self._again(self._closed)
        send = self._send  # many connections times many messages come by here
        try:
            for data in messages:
                kind = "text" if isinstance(data, str) else "bytes"
                await send({"type": "websocket.send", kind: data})
        except Exception as exc:
            if not _tells_that_client_left(exc):
                raise
            raise self._end(ConnectionClosed(_ABNORMAL, "client left")) from exc

    async def close(
        self, reason: int | None = None, message: str | None = None
    ) -> None:
        """Close the connection; idempotent, never raises.

        A host that refuses the code (daphne: all but 1000 and 3000 to 4999) closes with
        1000, and a warning says so: better than a client that is kept.

        Args:
            reason: The close code, 1000 if none.
            message: For the client; cut to the 123 bytes that a close frame has room
                for (RFC 6455, 5.5).
        """
        if self._closed is not None:
            return
        phrase = truncate_reason(message or "")
        closed = self._end(ConnectionClosed(reason or _NORMAL, phrase))
        fault = await self._try_close(closed.reason, phrase)
        if fault is None or closed.reason == _NORMAL or _tells_that_client_left(fault):
            return
        if await self._try_close(_NORMAL, phrase) is None:
            logger.warning(
                "the host refused close code %d (%r), 1000 was sent", reason, fault
            )

    async def _try_close(self, code: int, reason: str) -> Exception | None:
        try:
            await self._send(
                {"type": "websocket.close", "code": code, "reason": reason}
            )
        except Exception as exc:  # closing what is gone already, mostly
            logger.debug("the host did not take a close frame", exc_info=True)
            return exc
        return None

    def _end(self, closed: ConnectionClosed) -> ConnectionClosed:
        self.connected = False
        self._closed = closed
        return closed

    @staticmethod
    def _again(closed: ConnectionClosed) -> ConnectionClosed:
        """Return a fresh exception: one that is raised twice grows its traceback."""
        return ConnectionClosed(closed.reason, closed.message)


def _tells_that_client_left(exc: Exception) -> bool:
    return isinstance(exc, OSError) or is_disconnect(exc)
