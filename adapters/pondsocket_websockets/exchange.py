"""Exchange: one request as the library read it, and an answer as it sends it."""

from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import unquote

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers as LibraryHeaders
from websockets.http11 import Request, Response

from pondsocket import Headers
from pondsocket.web import HTTPAnswer, HTTPRequest

__all__ = ["make_response", "read_request"]


def read_request(
    connection: ServerConnection, request: Request, *, trust_forwarded: bool = False
) -> HTTPRequest:
    """Return the head of a request.

    Args:
        connection: Where it came.
        request: As the library gives it to ``process_request``.
        trust_forwarded: Whether the last ``X-Forwarded-For`` is the client's address;
            it is what the nearest proxy saw.
    """
    path, _, query_string = request.path.partition("?")
    headers = Headers(request.headers.raw_items())
    peer = connection.remote_address
    address = str(peer[0]) if isinstance(peer, tuple) else ""  # of a Unix socket: ""
    forwarded = headers.get_all("x-forwarded-for") if trust_forwarded else []
    if forwarded:
        address = forwarded[-1].rpartition(",")[2].strip()
    return HTTPRequest(
        path=unquote(path),
        headers=headers,
        query_string=query_string,
        address=address,
        method=getattr(request, "method", "GET"),  # since 17; before, there is GET only
    )


def make_response(answer: HTTPAnswer, *, with_body: bool = True) -> Response:
    """Return an answer as the library sends it; the connection ends with it.

    Args:
        answer: With any status, those that Python has no name for too.
        with_body: False for HEAD.
    """
    headers = LibraryHeaders(answer.headers)
    headers["date"] = formatdate(usegmt=True)
    headers["connection"] = "close"
    if answer.body:
        headers["content-length"] = str(len(answer.body))
    body = answer.body if with_body else b""
    return Response(answer.status, _find_phrase(answer.status), headers, body)


def _find_phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
