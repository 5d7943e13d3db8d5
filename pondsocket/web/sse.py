"""SSE over HTTP: which request opens, feeds or ends an event stream, and which fails.

``GET`` with ``Accept: text/event-stream`` opens one at an endpoint's path. ``POST`` and
``DELETE`` find theirs by ``X-Connection-ID`` alone, whatever the path; ``OPTIONS`` is
the browser's question whether it may send them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias, runtime_checkable

from pondsocket.errors import Forbidden, NotFound, PondError, http_status_for
from pondsocket.server import PondSocket
from pondsocket.transport import PushableTransport, Transport
from pondsocket.types import Headers
from pondsocket.web.errors import BodyTooLarge
from pondsocket.web.event_stream import EventStream
from pondsocket.web.handshake import HTTPRequest, Refusal, admit

__all__ = ["HTTPAnswer", "HeaderFields", "SSEService", "StreamAnswer"]

HeaderFields: TypeAlias = Sequence[tuple[str, str]]
ReadBody: TypeAlias = Callable[[int], Awaitable[bytes]]

_CONNECTION_ID = "x-connection-id"
_LENGTH_DIGITS = 19  # of a content-length that are read; int() refuses thousands
_WITHOUT_BODY = frozenset({204, 205, 304})  # RFC 9110 15.3.5, 15.3.6, 15.4.5
_ALLOW: HeaderFields = [("allow", "GET, POST, DELETE, OPTIONS")]
_PREFLIGHT: HeaderFields = [
    ("access-control-allow-methods", "GET, POST, DELETE"),
    ("access-control-allow-headers", "content-type,x-connection-id"),
    ("access-control-max-age", "600"),
]
_STREAM: HeaderFields = [
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-cache, no-transform"),
    ("x-accel-buffering", "no"),  # nginx
]


@dataclass(frozen=True, slots=True)
class HTTPAnswer:
    """A whole answer; the adapter adds ``content-length`` where its host does not.

    Attributes:
        status: The status.
        headers: Names in lower case; the type of the body is among them.
        body: Empty where the status allows none.
    """

    status: int
    headers: HeaderFields = ()
    body: bytes = b""

    @classmethod
    def text(
        cls, status: int, text: str = "", headers: HeaderFields = ()
    ) -> "HTTPAnswer":
        """Return an answer in plain text; a status that allows no body gets none."""
        if not text or status in _WITHOUT_BODY:
            return cls(status, headers)
        kind = ("content-type", "text/plain; charset=utf-8")
        return cls(status, [*headers, kind], text.encode())


@dataclass(frozen=True, slots=True)
class StreamAnswer:
    """An event stream that was opened: status 200.

    Attributes:
        headers: Names in lower case.
        stream: The adapter calls its ``run`` with the response, at once.
    """

    headers: HeaderFields
    stream: EventStream


class SSEService:
    """Answers all HTTP requests below the mount.

    Args:
        pond: Whose endpoints these are.
        with_event_names: Whether each event begins with an ``event:`` line. False for
            clients that listen to unnamed events only.
    """

    def __init__(self, pond: PondSocket, *, with_event_names: bool = True) -> None:
        self._pond = pond
        self._with_event_names = with_event_names
        self._methods: dict[str, _Method] = {
            "GET": self._open,
            "POST": self._push,
            "DELETE": self._end,
            "OPTIONS": self._preflight,
        }

    async def answer(
        self, request: HTTPRequest, read_body: ReadBody
    ) -> HTTPAnswer | StreamAnswer:
        """Answer one request.

        Args:
            request: Its head.
            read_body: Returns its body; gets the number of bytes that it may have (0
                for any), and raises ``BodyTooLarge`` as soon as there are more. It is
                cancelled after ``Options.handshake_timeout`` seconds.

        Raises:
            ClientLeft: From ``read_body``, as all else that it raises.
        """
        cors = self._cors(request.headers)
        method = self._methods.get(request.method)
        try:
            if method is None:
                answer: _Answer = HTTPAnswer.text(405, "method not allowed", _ALLOW)
            else:
                answer = await method(request, read_body)
        except PondError as error:
            answer = HTTPAnswer.text(http_status_for(error.code), error.message)
        return replace(answer, headers=[*answer.headers, *cors])

    async def _open(self, request: HTTPRequest, _: ReadBody) -> "_Answer":
        if self._pond.match_endpoint(request.route_path) is None:
            raise NotFound("", "endpoint not found")
        if not _accepts_event_stream(request.headers):
            raise PondError("expected a WebSocket, or Accept: text/event-stream", 406)
        admission = await admit(self._pond, request)
        if isinstance(admission, Refusal):
            return HTTPAnswer.text(admission.status, admission.message)
        stream = EventStream(
            id=admission.user_id,
            options=self._pond.options,
            with_event_names=self._with_event_names,
        )
        try:
            await admission.endpoint.register_transport(stream, admission.context)
        except BaseException:  # a host that cancels its tasks at shutdown, too
            await stream.peer_gone()
            raise
        return StreamAnswer([*_STREAM, (_CONNECTION_ID, stream.connection_id)], stream)

    async def _push(self, request: HTTPRequest, read_body: ReadBody) -> HTTPAnswer:
        transport = await self._find(request)
        options = self._pond.options
        limit = options.max_message_size
        if limit and _declared_length(request.headers) > limit:
            raise _too_large(limit)
        try:
            async with asyncio.timeout(options.handshake_timeout or None):
                body = await read_body(limit)
        except BodyTooLarge:
            raise _too_large(limit) from None
        except TimeoutError:
            raise PondError("the message took too long", 408) from None
        if not transport.is_active():  # it ended while the message came in
            raise _no_connection()
        await transport.push_message(body)
        return HTTPAnswer(204)

    async def _end(self, request: HTTPRequest, _: ReadBody) -> HTTPAnswer:
        transport = await self._find(request)
        await transport.close()
        return HTTPAnswer(204)

    async def _preflight(self, request: HTTPRequest, _: ReadBody) -> HTTPAnswer:
        if self._cors(request.headers):
            return HTTPAnswer(204, _PREFLIGHT)
        if request.headers.get("origin") is None:
            return HTTPAnswer(204, _ALLOW)
        raise Forbidden("", "Origin not allowed")

    async def _find(self, request: HTTPRequest) -> "_SSETransport":
        """Return the connection that a request names by its secret id.

        Raises:
            Forbidden: If a foreign page asks.
            NotFound: If there is no such connection.
        """
        for endpoint in self._pond.endpoints[:1]:  # all have the same options
            endpoint.check_origin(request.headers)
        connection_id = request.headers.get(_CONNECTION_ID, "")
        transport = await self._pond.find_connection(connection_id)
        if not isinstance(transport, _SSETransport):
            raise _no_connection()
        return transport

    def _cors(self, headers: Headers) -> HeaderFields:
        origins = (each.cors_origin(headers) for each in self._pond.endpoints[:1])
        origin = next(origins, None)
        if origin is None:
            return []
        fields = [
            ("access-control-allow-origin", origin),
            ("access-control-expose-headers", _CONNECTION_ID),
            ("vary", "origin"),
        ]
        if "*" not in self._pond.options.allowed_origins:
            # where every page may talk to us, none may do so with our users' cookies
            fields.append(("access-control-allow-credentials", "true"))
        return fields


_Answer: TypeAlias = HTTPAnswer | StreamAnswer
_Method: TypeAlias = Callable[[HTTPRequest, ReadBody], Awaitable[_Answer]]


@runtime_checkable
class _SSETransport(Transport, PushableTransport, Protocol):
    """What a connection must have to be fed by POST."""


def _no_connection() -> NotFound:
    return NotFound("", "expected the X-Connection-ID of an open event stream")


def _too_large(limit: int) -> PondError:
    return PondError(f"message above {limit} bytes", 413)


def _accepts_event_stream(headers: Headers) -> bool:
    return any(
        part.partition(";")[0].strip().lower() == "text/event-stream"
        for line in headers.get_all("accept")
        for part in line.split(",")
    )


def _declared_length(headers: Headers) -> int:
    declared = headers.get("content-length", "")[:_LENGTH_DIGITS]
    return int(declared) if declared.isdecimal() else 0
