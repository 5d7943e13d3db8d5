"""Exchange: one plain HTTP request of an ASGI host, its body read and answered."""

from typing import Any

from pondsocket.web import (
    BodyTooLarge,
    ClientLeft,
    HeaderFields,
    HTTPAnswer,
    StreamResponse,
)
from pondsocket_asgi.scope import Receive, Send

__all__ = ["ASGIStreamResponse", "encode_headers", "read_body", "send_answer"]


async def send_answer(send: Send, answer: HTTPAnswer) -> None:
    """Send a whole answer: its status, its headers, and its body if there is one."""
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": encode_headers(answer),
        }
    )
    await send({"type": "http.response.body", "body": answer.body})


def encode_headers(answer: HTTPAnswer) -> list[tuple[bytes, bytes]]:
    """Return the headers as ASGI wants them, with the length of a body."""
    fields = encode_fields(answer.headers)
    if answer.body:
        fields.append((b"content-length", str(len(answer.body)).encode()))
    return fields


def encode_fields(fields: HeaderFields) -> list[tuple[bytes, bytes]]:
    """Return header fields as ASGI wants them."""
    return [
        (name.encode("latin-1"), value.encode("latin-1", "replace"))
        for name, value in fields
    ]


async def read_body(receive: Receive, limit: int) -> bytes:
    """Return the request's body.

    Args:
        receive: The host's.
        limit: Bytes at most, 0 for any number.

    Raises:
        BodyTooLarge: As soon as more than ``limit`` bytes came.
        ClientLeft: If the client went away.
    """
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        body += message.get("body", b"")
        if limit and len(body) > limit:
            raise BodyTooLarge
        more = message.get("more_body", False)
    return bytes(body)


class ASGIStreamResponse(StreamResponse):
    """A response without end, over the callables of a host.

    uvicorn with httptools does not tell it of a client that left behind a second
    request; its ``send`` is asked for the connection then, unless middleware wraps it.
    """

    def __init__(self, receive: Receive, send: Send, headers: HeaderFields) -> None:
        self._receive = receive
        self._send = send
        self._headers = headers
        cycle = getattr(send, "__self__", None)
        self._wire: Any = getattr(cycle, "transport", None)

    async def begin(self) -> None:
        """Send status and headers."""
        headers = encode_fields(self._headers)
        await self._send(
            {"type": "http.response.start", "status": 200, "headers": headers}
        )

    async def write(self, data: bytes) -> None:
        """Send a part of the body.

        Raises:
            OSError: If the connection is closed and the host does not say so.
        """
        if self._wire is not None and self._wire.is_closing():
            raise OSError("the connection is closed")
        await self._send(
            {"type": "http.response.body", "body": data, "more_body": True}
        )

    async def end(self) -> None:
        """Complete the body."""
        await self._send(
            {"type": "http.response.body", "body": b"", "more_body": False}
        )

    async def wait_until_left(self) -> None:
        """Return when the host says that the client went away."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
