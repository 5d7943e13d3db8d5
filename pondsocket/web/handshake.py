"""Handshake: from what a host read of a request to a connection that may begin.

Every adapter goes this way, so that a path, a cookie or a refusal means the same under
each host::

    admission = await admit(pond, request)
    if isinstance(admission, Refusal):
        ...  # answer with its status, or close with its code
    transport = ...  # accept, and wrap what the host gives
    if await admission.register(transport):
        await transport.run()
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from pondsocket.base_transport import BaseTransport
from pondsocket.contexts.connection import ConnectionContext
from pondsocket.endpoint import Endpoint
from pondsocket.errors import (
    PondError,
    Unavailable,
    close_code_for,
    http_status_for,
    truncate_reason,
)
from pondsocket.ids import uuid
from pondsocket.server import PondSocket
from pondsocket.types import Headers, IncomingConnection, Route

__all__ = ["Admission", "HTTPRequest", "Refusal", "admit"]

_SERVICE_RESTART = 1012  # IANA WebSocket close codes
_TRY_AGAIN_LATER = 1013
_JOINS_MESSAGES = ("pond.frames", "batch")  # our protocol: query parameters


@dataclass(frozen=True, slots=True)
class HTTPRequest:
    """The head of a request, as a host read it.

    Attributes:
        path: Below the mount, percent-decoded once, without the query.
        headers: All of them.
        query_string: What follows the ``?``, as it came.
        address: The client's, "" if the host does not tell.
        method: In upper case.
    """

    path: str
    headers: Headers
    query_string: str = ""
    address: str = ""
    method: str = "GET"

    @property
    def route_path(self) -> str:
        """The path as ``PondSocket.match_endpoint`` wants it."""
        # it was decoded once; the matcher decodes once more and takes `?` for a query
        return self.path.replace("%", "%25").replace("?", "%3F")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no connection: for the client, who may see it.

    Attributes:
        code: As the application or a limit gave it: an HTTP status or a close code.
        message: Plain text.
    """

    code: int
    message: str

    @property
    def status(self) -> int:
        """The status of an HTTP answer."""
        return http_status_for(self.code)

    @property
    def close_code(self) -> int:
        """The close code, for a host that cannot answer a handshake with HTTP."""
        return close_code_for(self.code)

    @property
    def close_reason(self) -> str:
        """The message, cut to what a close frame holds."""
        return truncate_reason(self.message)


@dataclass(frozen=True, slots=True)
class Admission:
    """A handshake that the connection handler accepted.

    Attributes:
        endpoint: Where the connection will live.
        context: What the handler decided.
    """

    endpoint: Endpoint
    context: ConnectionContext

    @property
    def user_id(self) -> str:
        """The id for the transport."""
        return self.context.user_id

    @property
    def joins_messages(self) -> bool:
        """Whether the client takes several messages in one WebSocket frame."""
        name, value = _JOINS_MESSAGES
        return self.context.query.get(name) == value

    async def register(self, transport: BaseTransport) -> bool:
        """Make the connection live, greeting included.

        Returns:
            False if that cannot be any more: the transport was closed with the code
            that says why.
        """
        try:
            await self.endpoint.register_transport(transport, self.context)
        except Unavailable as error:
            is_restart = self.endpoint.is_draining
            code = _SERVICE_RESTART if is_restart else _TRY_AGAIN_LATER
            await transport.close_with(code, truncate_reason(error.message))
        except PondError as error:
            code = close_code_for(error.code)
            await transport.close_with(code, truncate_reason(error.message))
        else:
            return True
        return False


async def admit(pond: PondSocket, request: HTTPRequest) -> Admission | Refusal:
    """Decide about a request for a connection: the endpoint, its limits, its handler.

    Called by an adapter before it accepts; waits for the connection handler, at most
    ``Options.handshake_timeout`` seconds. Raises nothing.
    """
    found = pond.match_endpoint(request.route_path)
    if found is None:
        return Refusal(404, "endpoint not found")
    address = _find_address(request, trust_forwarded=pond.options.trust_forwarded)
    incoming = _read(request, found.route, address)
    context = await found.endpoint.request_connection(incoming)
    if context.decline_info is not None:
        return Refusal(*context.decline_info)
    return Admission(found.endpoint, context)


def _find_address(request: HTTPRequest, *, trust_forwarded: bool) -> str:
    """Return the client's address; of those forwarded the one that our proxy saw."""
    forwarded = request.headers.get_all("x-forwarded-for") if trust_forwarded else []
    if not forwarded:
        return request.address
    return forwarded[-1].rpartition(",")[2].strip() or request.address


def _read(request: HTTPRequest, route: Route, address: str) -> IncomingConnection:
    query = _read_query(request.query_string)
    return IncomingConnection(
        id=uuid(),
        address=address,
        headers=request.headers,
        cookies=_read_cookies(request.headers.get_all("cookie")),
        query={name: values[0] for name, values in query.items()},
        params=route.params,
        route=Route(route.params, query, route.wildcard),
    )


def _read_query(text: str) -> dict[str, list[str]]:
    query: dict[str, list[str]] = {}
    if not text:  # most have none
        return query
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
