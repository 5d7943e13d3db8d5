"""Callables: ``receive`` and ``send`` of one ASGI WebSocket application."""

import asyncio
import logging
from collections.abc import Iterable
from enum import Enum, auto
from typing import Any, Final

from pondsocket.web import MAX_UNSENT
from pondsocket_asgi.scope import Message, Receive, Send
from pondsocket_asgi.ws_bridge.protocol import WSClosedError, WSProtocol
from pondsocket_asgi.ws_bridge.response import (
    render_acceptance,
    render_head,
    render_response,
)

__all__ = ["ClientDisconnected", "Sender", "create_ws_receive", "create_ws_send"]

logger: logging.Logger = logging.getLogger(__name__)

Headers = Iterable[tuple[bytes, bytes]]

_NORMAL: Final = 1000  # RFC 6455, 7.4.1
_FORBIDDEN: Final = 403


class ClientDisconnected(OSError):  # noqa: N818 - what other hosts call it
    """The client is gone; raised by ``send`` (ASGI WebSocket specification 2.4)."""


class _Stage(Enum):
    """How far an application has come."""

    UNDECIDED = auto()
    ACCEPTED = auto()
    DENYING = auto()  # the head of a denial response is out, its body is not
    CLOSED = auto()


def create_ws_receive(events: asyncio.Queue[dict[str, Any]]) -> Receive:
    """Return the ``receive`` of an application: it waits for the queue's next event.

    Args:
        events: ASGI events, ``{"type": "websocket.connect"}`` first and a
            ``websocket.disconnect`` last. With a bounded queue a slow application makes
            whoever fills it wait.

    Returns:
        A coroutine function. Asked for more after the ``websocket.disconnect`` it
        raises RuntimeError, since nothing would ever come. Those who wait for it at
        the same time all get it.
    """
    has_ended = False

    async def receive() -> Message:
        """Wait for the next event."""
        nonlocal has_ended
        if has_ended:
            raise RuntimeError("receive was called after websocket.disconnect")
        event = await events.get()
        if event["type"] == "websocket.disconnect":
            has_ended = True
            events.put_nowait(event)  # for whoever else waits
        return event

    return receive


def create_ws_send(
    writer: asyncio.StreamWriter,
    ws_protocol: WSProtocol,
    ws_key: bytes,
    *,
    accept_event: asyncio.Event,
    close_event: asyncio.Event,
) -> Send:
    """Return the ``send`` of an application; it writes to the client at once.

    It takes ``websocket.accept`` (``subprotocol``, ``headers``), ``websocket.send``,
    ``websocket.close`` (before the acceptance: a 403) and the denial response
    (``websocket.http.response.start`` and ``.body``). It waits while more is unsent
    than the high-water mark of ``writer`` allows, and never closes ``writer``: that is
    for whoever reads, who knows when the client has answered.

    Args:
        writer: To the client.
        ws_protocol: Makes the frames.
        ws_key: Sec-WebSocket-Key of the request.
        accept_event: Set once the acceptance is written.
        close_event: Set once a close frame, or all of a refusal, is written.

    Returns:
        A coroutine function. It raises ClientDisconnected if the client is gone (but
        not for ``websocket.close``), RuntimeError for a message out of order or without
        content, TypeError for content of another type, and ValueError for what must not
        be sent: a header, a subprotocol, a status or a close code.
    """
    sender = Sender(
        writer, ws_protocol, ws_key, accept_event=accept_event, close_event=close_event
    )
    return sender.send


class Sender:
    """What is behind ``create_ws_send``, whose arguments it has.

    Args:
        denial_timeout: Seconds that a piece of a denial response waits for a client,
            who gets no pings then; None for any time.
    """

    __slots__ = (
        "_accept_event", "_close_event", "_denial_timeout", "_is_cut", "_key",
        "_protocol", "_stage", "_transport", "_writer",
    )  # fmt: skip

    def __init__(
        self,
        writer: asyncio.StreamWriter,
        ws_protocol: WSProtocol,
        ws_key: bytes,
        *,
        accept_event: asyncio.Event,
        close_event: asyncio.Event,
        denial_timeout: float | None = None,
    ) -> None:
        self._writer = writer
        self._transport = writer.transport  # what the writer would ask each time
        self._protocol = ws_protocol
        self._key = ws_key
        self._accept_event = accept_event
        self._close_event = close_event
        self._stage = _Stage.UNDECIDED
        self._is_cut = False
        self._denial_timeout = denial_timeout

    @property
    def has_answered(self) -> bool:
        """Whether the client got a status already, of whatever kind."""
        return self._stage is not _Stage.UNDECIDED

    def cut(self) -> None:
        """Write nothing any more: for the application the client is gone."""
        self._is_cut = True

    def write_frames(self, frames: bytes) -> bool:
        """Write frames of the application; see :mod:`pondsocket_asgi.frames`."""
        transport = self._transport
        if (
            self._stage is not _Stage.ACCEPTED
            or self._protocol.close_sent
            or self._is_client_gone
            or transport.get_write_buffer_size() + len(frames) > MAX_UNSENT
        ):
            return False
        transport.write(frames)
        return True

    async def send(self, message: Message) -> None:
        """Take one message of the application; see ``create_ws_send``."""
        kind = message.get("type")
        if kind == "websocket.send" and self._stage is _Stage.ACCEPTED:
            self._write(self._frame(message))
        else:
            self._take(kind, message)
        if self._transport.get_write_buffer_size():
            await self._drain()

    async def _drain(self) -> None:
        is_denial = self._stage is not _Stage.ACCEPTED
        try:
            async with asyncio.timeout(self._denial_timeout if is_denial else None):
                await self._writer.drain()
        except OSError as error:  # TimeoutError is one
            raise ClientDisconnected("the client was lost") from error

    @property
    def _is_client_gone(self) -> bool:
        return self._is_cut or self._transport.is_closing()

    def _write(self, data: bytes) -> None:
        transport = self._transport
        if self._is_cut or transport.is_closing():
            raise ClientDisconnected("the client is gone")
        transport.write(data)

    def _frame(self, message: Message) -> bytes:
        data = message.get("bytes")
        if data is None:
            data = message.get("text")
            if data is None:
                raise RuntimeError("websocket.send needs text or bytes")
            if not isinstance(data, str):
                raise TypeError(f"text: expected str, got {type(data).__name__}")
        elif isinstance(data, str):
            raise TypeError("bytes: expected bytes, got str")
        try:
            return self._protocol.send(data)
        except WSClosedError as error:
            raise ClientDisconnected("the client has closed the connection") from error

    def _take(self, kind: object, message: Message) -> None:
        match self._stage, kind:
            case _Stage.UNDECIDED, "websocket.accept":
                self._accept(message)
            case _Stage.UNDECIDED, "websocket.close":
                self._refuse()
            case _Stage.UNDECIDED, "websocket.http.response.start":
                self._start_denial(message)
            case _Stage.DENYING, "websocket.http.response.body":
                self._continue_denial(message)
            case _Stage.ACCEPTED, "websocket.close":
                self._close(message)
            case _:
                expected = _EXPECTED[self._stage]
                raise RuntimeError(f"{kind!r} was sent, {expected}")

    def _accept(self, message: Message) -> None:
        subprotocol = message.get("subprotocol")
        asked = self._protocol.subprotocols
        if subprotocol is not None and subprotocol not in asked:
            raise ValueError(f"subprotocol {subprotocol!r} is none of {list(asked)}")
        self._write(
            render_acceptance(
                self._key,
                subprotocol=subprotocol,
                extensions=self._protocol.extensions,
                headers=_read_headers(message),
            )
        )
        self._stage = _Stage.ACCEPTED
        self._accept_event.set()

    def _refuse(self) -> None:
        if not self._is_client_gone:
            self._write(render_response(_FORBIDDEN, (), b""))
        self._end()

    def _start_denial(self, message: Message) -> None:
        status = message.get("status")
        if not isinstance(status, int):
            raise TypeError(f"status: expected int, got {type(status).__name__}")
        self._write(render_head(status, _read_headers(message)))
        self._stage = _Stage.DENYING

    def _continue_denial(self, message: Message) -> None:
        body = message.get("body") or b""
        if not isinstance(body, bytes | bytearray | memoryview):
            raise TypeError(f"body: expected bytes, got {type(body).__name__}")
        self._write(bytes(body))
        if not message.get("more_body"):
            self._end()

    def _close(self, message: Message) -> None:
        if not (self._is_client_gone or self._protocol.close_sent):
            code = message.get("code")
            reason = message.get("reason") or ""
            self._write(self._protocol.close(_NORMAL if code is None else code, reason))
        self._end()

    def _end(self) -> None:
        self._stage = _Stage.CLOSED
        self._close_event.set()


_EXPECTED: Final = {
    _Stage.UNDECIDED: "expected websocket.accept, websocket.close "
    "or websocket.http.response.start",
    _Stage.ACCEPTED: "expected websocket.send or websocket.close",
    _Stage.DENYING: "expected websocket.http.response.body",
    _Stage.CLOSED: "after the end of the connection",
}


def _read_headers(message: Message) -> Headers:
    found = []
    for name, value in message.get("headers") or ():
        if isinstance(name, str) or isinstance(value, str):
            raise TypeError(f"headers: expected bytes, got {name!r}: {value!r}")
        found.append((bytes(name), bytes(value)))
    return found
