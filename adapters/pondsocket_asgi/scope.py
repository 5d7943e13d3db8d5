"""Scope: what an ASGI host tells of a request, read into the core's values.

Hosts differ in what they leave out and frameworks in what they strip, so nothing here
raises: what is missing or odd is read as empty.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from pondsocket import Headers, IncomingConnection, Route, uuid

__all__ = [
    "ASGIApp",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "find_path",
    "read_connection",
    "read_headers",
]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


def find_path(scope: Scope) -> str:
    """Return the path below the mount, as a route pattern wants it.

    FastAPI and Starlette leave the mount's prefix in ``path`` and name it in
    ``root_path``, Litestar strips it: it is cut off where it is there, at a segment's
    end only.
    """
    path: str = scope.get("path") or "/"
    root: str = (scope.get("root_path") or "").rstrip("/")
    if root and path.startswith(root) and path[len(root) :][:1] in {"", "/"}:
        path = path[len(root) :] or "/"
    # the host decoded it; the matcher decodes once more and takes `?` for a query
    return path.replace("%", "%25").replace("?", "%3F")


def read_headers(scope: Scope) -> Headers:
    """Return the request's headers."""
    return Headers(scope.get("headers") or ())


def read_connection(scope: Scope, headers: Headers, route: Route) -> IncomingConnection:
    """Return the handshake as the core wants to see it, with a fresh id.

    Args:
        scope: Of the type ``websocket`` or ``http``.
        headers: As :func:`read_headers` returned them.
        route: What the endpoint's pattern took from the path.
    """
    client = scope.get("client")
    query = _read_query(scope.get("query_string") or b"")
    return IncomingConnection(
        id=uuid(),
        address=str(client[0]) if client else "",
        headers=headers,
        cookies=_read_cookies(headers.get_all("cookie")),
        query={name: values[0] for name, values in query.items()},
        params=route.params,
        route=Route(route.params, query, route.wildcard),
    )


def _read_query(query_string: bytes) -> dict[str, list[str]]:
    query: dict[str, list[str]] = {}
    if query_string:
        text = query_string.decode(errors="replace")
        for name, value in parse_qsl(text, keep_blank_values=True):
            query.setdefault(name, []).append(value)
    return query


def _read_cookies(lines: Iterable[str]) -> dict[str, str]:
    """Read ``a=1; b="2"``; of two with one name the first, which is more specific."""
    cookies: dict[str, str] = {}
    for line in lines:
        for pair in line.split(";"):
            name, equals, value = pair.partition("=")
            if equals and (name := name.strip()):
                cookies.setdefault(name, _unquote(value.strip()))
    return cookies


def _unquote(value: str) -> str:
    """Take the quotes and escapes off a cookie's value.

    As :mod:`http.cookies`, whose own takes time by the square of the value's length in
    Python before 3.11.10 and 3.12.6: minutes for one header (CVE-2024-7592).
    """
    if len(value) < len('""') or value[0] != '"' or value[-1] != '"':
        return value
    return _ESCAPE.sub(_unescape, value[1:-1])


def _unescape(escape: re.Match[str]) -> str:
    octal: str | None = escape[1]
    return chr(int(octal, 8)) if octal else escape[2]


_ESCAPE: re.Pattern[str] = re.compile(r"\\(?:([0-3][0-7]{2})|(.))")
