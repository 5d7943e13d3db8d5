"""Exchange: one plain HTTP request, its body read and its answer sent."""

import asyncio
from collections.abc import Iterable

from pondsocket_asgi.scope import Receive, Send

__all__ = ["BodyTooLarge", "ClientLeft", "answer", "answer_text", "read_body"]

Fields = Iterable[tuple[bytes, bytes]]


class BodyTooLarge(Exception):  # noqa: N818 - it is the client's, not ours
    """The request's body is above the limit."""


class ClientLeft(Exception):  # noqa: N818 - as above
    """The client went away before its request was complete."""


async def answer(
    send: Send,
    status: int,
    content_type: str = "",
    body: bytes = b"",
    headers: Fields = (),
) -> None:
    """Send a whole answer: a status, headers, and a body if there is one."""
    fields = list(headers)
    if body:
        fields.append((b"content-type", content_type.encode()))
        fields.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


async def answer_text(
    send: Send, status: int, text: str = "", headers: Fields = ()
) -> None:
    """Send a whole answer whose body is plain text."""
    await answer(send, status, "text/plain; charset=utf-8", text.encode(), headers)


async def read_body(receive: Receive, *, limit: int, within: float) -> bytes:
    """Return the request's body.

    Args:
        receive: The host's.
        limit: Bytes at most, 0 for any number.
        within: Seconds for all of it, 0 for any time.

    Raises:
        BodyTooLarge: As soon as more than ``limit`` bytes came.
        ClientLeft: If the client went away.
        TimeoutError: If it did not come in time.
    """
    body = bytearray()
    more = True
    async with asyncio.timeout(within or None):
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft
            body += message.get("body", b"")
            if limit and len(body) > limit:
                raise BodyTooLarge
            more = message.get("more_body", False)
    return bytes(body)
