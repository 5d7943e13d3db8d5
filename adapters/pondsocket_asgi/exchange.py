"""Exchange: one plain HTTP request, its body read and its answer sent."""

import asyncio
from collections.abc import Iterable

from pondsocket_asgi.scope import Receive, Send

__all__ = [
    "BodyTooLarge",
    "ClientLeft",
    "answer",
    "answer_text",
    "describe_body",
    "read_body",
]

Fields = Iterable[tuple[bytes, bytes]]

_WITHOUT_BODY = frozenset({204, 205, 304})  # RFC 9110 15.3.5, 15.3.6, 15.4.5


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
    """Send a whole answer: a status, headers, and a body if there is one.

    A status that allows no body gets none.
    """
    body, fields = describe_body(status, content_type, body)
    start = {"type": "http.response.start", "status": status}
    await send({**start, "headers": [*headers, *fields]})
    await send({"type": "http.response.body", "body": body})


def describe_body(
    status: int, content_type: str, body: bytes
) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """Return the body that an answer with this status may have, and its headers."""
    if not body or status in _WITHOUT_BODY:
        return b"", []
    return body, [
        (b"content-type", content_type.encode()),
        (b"content-length", str(len(body)).encode()),
    ]


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
