"""Scope: what an ASGI host tells of a request, read into the core's values.

Hosts differ in what they leave out and frameworks in what they strip, so nothing here
raises: what is missing or odd is read as empty.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from pondsocket import Headers
from pondsocket.web import HTTPRequest

__all__ = [
    "ASGIApp",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "read_request",
]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


def read_request(scope: Scope) -> HTTPRequest:
    """Return the head of the request behind a scope of type websocket or http."""
    client = scope.get("client")
    query_string: bytes = scope.get("query_string") or b""
    return HTTPRequest(
        path=_find_path(scope),
        headers=Headers(scope.get("headers") or ()),
        query_string=query_string.decode(errors="replace"),
        address=str(client[0]) if client else "",
        method=scope.get("method") or "GET",
    )


def _find_path(scope: Scope) -> str:
    """Return the path below the mount.

    FastAPI and Starlette leave the mount's prefix in ``path`` and name it in
    ``root_path``, Litestar strips it: it is cut off where it is there, at a segment's
    end only.
    """
    path: str = scope.get("path") or "/"
    root: str = (scope.get("root_path") or "").rstrip("/")
    if root and path.startswith(root) and path[len(root) :][:1] in {"", "/"}:
        path = path[len(root) :] or "/"
    return path
