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


def read_request(connection: ServerConnection, request: Request) -> HTTPRequest:
    """Return the head of a request.

    Args:
        connection: Where it came.
        request: As the library gives it to ``process_request``.
    """
    path, _, query_string = request.path.partition("?")
    peer = connection.remote_address
    return HTTPRequest(
        path=unquote(path),
        headers=Headers(request.headers.raw_items()),
        query_string=query_string,
        address=str(peer[0]) if isinstance(peer, tuple) else "",  # of a Unix socket
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
