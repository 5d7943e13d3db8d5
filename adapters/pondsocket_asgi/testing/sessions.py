"""Sessions: the client's ends of what an ASGITestDriver opens."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from pondsocket import Headers, uuid
from pondsocket_asgi.scope import ASGIApp, Message, Scope
from pondsocket_asgi.testing.conversation import (
    Conversation,
    HTTPAnswer,
    read_answer,
)
from pondsocket_asgi.websocket import ConnectionClosed

__all__ = ["LifespanSession", "SSESession", "WebSocketSession"]


class WebSocketSession:
    """The client's end of one WebSocket; ``connect_websocket`` makes it.

    Attributes:
        accepted: Whether the application accepted the handshake.
        subprotocol: What it negotiated, None if nothing.
        close_code: The code with which the application closed or refused, None before.
        close_reason: The reason phrase that came with it.
        response: The HTTP answer to the handshake, where the driver offered one.
    """

    def __init__(self, app: ASGIApp, scope: Scope) -> None:
        self._conversation = Conversation(app, scope, self._observe)
        self._refusal: Message | None = None
        self._left = False
        self.accepted: bool = False
        self.subprotocol: str | None = None
        self.close_code: int | None = None
        self.close_reason: str = ""
        self.response: HTTPAnswer | None = None

    @property
    def scope(self) -> Scope:
        """The connection's scope."""
        return self._conversation.scope

    @property
    def app_task(self) -> "asyncio.Task[None]":
        """The task in which the application runs."""
        return self._conversation.app_task

    @property
    def closed(self) -> bool:
        """Whether either side closed the connection, or the application refused it."""
        return self._left or self.close_code is not None or self.response is not None

    def is_closed(self) -> bool:
        """Tell the same as :attr:`closed`."""
        return self.closed

    async def send_text(self, text: str) -> None:
        """Send a text frame."""
        self._conversation.tell({"type": "websocket.receive", "text": text})
        await asyncio.sleep(0)

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary frame."""
        self._conversation.tell({"type": "websocket.receive", "bytes": data})
        await asyncio.sleep(0)

    async def send_json(self, data: object) -> None:
        """Send ``data`` as JSON in a text frame."""
        await self.send_text(json.dumps(data))

    async def send_client_message(
        self,
        *,
        action: str,
        channel_name: str,
        event: str,
        payload: Mapping[str, Any] | None = None,
        request_id: str | None = None,
    ) -> str:
        """Send a message of the client protocol and return its request id."""
        request_id = request_id or uuid()
        await self.send_json(
            {
                "action": action,
                "event": event,
                "channelName": channel_name,
                "requestId": request_id,
                "payload": payload or {},
            }
        )
        return request_id

    async def receive_message(self, *, wait: float = 1.0) -> Message:
        """Return the application's next ASGI message, a close or refusal included.

        Args:
            wait: Seconds to wait for it.

        Raises:
            TimeoutError: If none came in time.
            EOFError: If the application has returned.
        """
        if self._refusal is not None:
            refusal, self._refusal = self._refusal, None
            return refusal
        return await self._conversation.hear(wait)

    async def receive_json(self, *, wait: float = 1.0) -> Any:  # noqa: ANN401 - any JSON
        """Return the next message from the server, decoded.

        Args:
            wait: Seconds to wait for it.

        Raises:
            TimeoutError: If none came in time.
            ConnectionClosed: If the server closed, with its code and reason.
        """
        message = await self.receive_message(wait=wait)
        if message["type"] != "websocket.send":
            raise ConnectionClosed(self.close_code or 1006, self.close_reason)
        text = message.get("text")
        return json.loads(message["bytes"] if text is None else text)

    async def disconnect(self, code: int = 1000, *, wait: float = 1.0) -> None:
        """Leave, and wait until the application has noticed and returned.

        Args:
            code: The close code that the client gives.
            wait: Seconds for the application.

        Raises:
            TimeoutError: If it did not return in time.
        """
        self._left = True
        self._conversation.tell({"type": "websocket.disconnect", "code": code})
        await self._conversation.finish(wait)

    async def shake_hands(self, wait: float) -> None:
        """Offer the connection to the application; called once, by the driver."""
        self._conversation.tell({"type": "websocket.connect"})
        message = await self._conversation.hear(wait)
        match message["type"]:
            case "websocket.accept":
                self.accepted = True
                self.subprotocol = message.get("subprotocol")
            case "websocket.close":
                self._refusal = message
            case "websocket.http.response.start":
                self._left = True
                self.response = await read_answer(self._conversation, message, wait)
            case other:
                raise AssertionError(f"expected an answer to connect, got {other!r}")

    def _observe(self, message: Message) -> None:
        if message["type"] == "websocket.close" and self.close_code is None:
            self.close_code = message.get("code", 1000)
            self.close_reason = message.get("reason") or ""
            # a host confirms what the application closed
            self._conversation.tell({**message, "type": "websocket.disconnect"})


class SSESession:
    """The client's end of one event stream; ``connect_sse`` makes it.

    Attributes:
        status: The HTTP status of the answer.
        headers: Its headers.
        connection_id: The secret that ``sse_push`` wants, "" if it was refused.
        body: The text of a refusal, b"" while it streams.
    """

    def __init__(self, conversation: Conversation, start: Message) -> None:
        self._conversation = conversation
        self._buffer = b""
        self._ended = False
        self.status: int = start["status"]
        self.headers: Headers = Headers(start.get("headers", ()))
        self.connection_id: str = self.headers.get("x-connection-id", "")
        self.body = b""

    @property
    def accepted(self) -> bool:
        """Whether the answer is an event stream."""
        return self.status == 200  # noqa: PLR2004 - the one status of a stream

    @property
    def scope(self) -> Scope:
        """The request's scope."""
        return self._conversation.scope

    @property
    def app_task(self) -> "asyncio.Task[None]":
        """The task in which the application runs."""
        return self._conversation.app_task

    async def receive_frame_bytes(self, *, wait: float = 1.0) -> bytes:
        """Return the next event as it stands in the stream, comments included.

        Args:
            wait: Seconds to wait for it.

        Raises:
            TimeoutError: If none came in time.
            EOFError: If the stream has ended.
        """
        async with asyncio.timeout(wait):
            while b"\n\n" not in self._buffer:
                if self._ended:
                    raise EOFError("the stream has ended")
                message = await self._conversation.hear(wait)
                self._buffer += message.get("body", b"")
                self._ended = not message.get("more_body", False)
        frame, _, self._buffer = self._buffer.partition(b"\n\n")
        return frame + b"\n\n"

    async def receive_event(self, *, wait: float = 1.0) -> Any:  # noqa: ANN401 - any JSON
        """Return the next message from the server, decoded; comments are left out.

        Args:
            wait: Seconds to wait for each frame.

        Raises:
            TimeoutError: If none came in time.
            EOFError: If the stream has ended.
        """
        while True:
            frame = await self.receive_frame_bytes(wait=wait)
            lines = frame.decode().splitlines()
            data = [line[6:] for line in lines if line.startswith("data: ")]
            if data:
                return json.loads("\n".join(data))

    async def receive_event_named(
        self, event_name: str, *, wait: float = 1.0, attempts: int = 10
    ) -> Any:  # noqa: ANN401 - any JSON
        """Return the next message whose event has a name, skipping others.

        Args:
            event_name: The name.
            wait: Seconds to wait for each message.
            attempts: Messages to look at.

        Raises:
            TimeoutError: If it was not among them, or one did not come in time.
            EOFError: If the stream has ended.
        """
        for _ in range(attempts):
            message = await self.receive_event(wait=wait)
            if message["event"] == event_name:
                return message
        raise TimeoutError(f"no {event_name!r} among {attempts} messages")

    async def disconnect(self, *, wait: float = 1.0) -> None:
        """Leave, and wait until the application has noticed and returned.

        Args:
            wait: Seconds for the application.

        Raises:
            TimeoutError: If it did not return in time.
        """
        self._conversation.tell({"type": "http.disconnect"})
        await self._conversation.finish(wait)


class LifespanSession:
    """A host's start and shutdown; ``open_lifespan`` makes it."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    @property
    def app_task(self) -> "asyncio.Task[None]":
        """The task in which the application runs."""
        return self._conversation.app_task

    async def startup(self, *, wait: float = 1.0) -> Message:
        """Say that the host starts and return the application's answer."""
        self._conversation.tell({"type": "lifespan.startup"})
        return await self._conversation.hear(wait)

    async def shutdown(self, *, wait: float = 5.0) -> Message:
        """Say that the host shuts down and return the application's answer."""
        self._conversation.tell({"type": "lifespan.shutdown"})
        message = await self._conversation.hear(wait)
        await self._conversation.finish(wait)
        return message
