"""Exchange: one request of aiohttp read into the core's values, and its answer."""

from urllib.parse import unquote

from aiohttp import web
from multidict import CIMultiDict

from pondsocket import Headers
from pondsocket.web import BodyTooLarge, ClientLeft, HTTPAnswer, HTTPRequest

__all__ = ["TAIL", "read_body", "read_request", "to_response"]

TAIL = "pond_path"  # the variable part of our routes


def read_request(request: web.Request) -> HTTPRequest:
    """Return the head of a request; its path is the one below the prefix.

    aiohttp decodes what is UTF-8 and leaves the rest as it is, so it is decoded here as
    by the others: from as many last segments as aiohttp found below the prefix.
    """
    below = request.match_info.get(TAIL)
    count = 0 if below is None else below.count("/") + 1
    segments = request.rel_url.raw_path.split("/")[-count:] if count else []
    return HTTPRequest(
        path="/" + unquote("/".join(segments), errors="replace"),
        headers=Headers(request.raw_headers),
        query_string=request.rel_url.raw_query_string,
        address=request.remote or "",
        method=request.method,
    )


async def read_body(request: web.Request, limit: int) -> bytes:
    """Return a request's body.

    Args:
        request: Whose; nothing of it was read yet.
        limit: Bytes at most, 0 for any number.

    Raises:
        BodyTooLarge: As soon as more than ``limit`` bytes came.
        ClientLeft: If the client went away, or what it sends is no body.
    """
    body = bytearray()
    try:
        async for chunk in request.content.iter_any():
            body += chunk
            if limit and len(body) > limit:
                raise BodyTooLarge
    except (web.RequestPayloadError, OSError) as exc:
        raise ClientLeft from exc
    return bytes(body)


def to_response(answer: HTTPAnswer) -> web.Response:
    """Return a whole answer as aiohttp wants it."""
    headers = CIMultiDict(answer.headers)
    return web.Response(status=answer.status, headers=headers, body=answer.body or None)
