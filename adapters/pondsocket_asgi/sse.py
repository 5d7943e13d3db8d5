"""SSE over HTTP: which request opens, feeds or ends an event stream, and which fails.

``GET`` with ``Accept: text/event-stream`` opens one at an endpoint's path. ``POST`` and
``DELETE`` find theirs by ``X-Connection-ID`` alone, whatever the path; ``OPTIONS`` is
the browser's question whether it may send them.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from pondsocket import (
    Forbidden,
    Headers,
    NotFound,
    PondError,
    PondSocket,
    PushableTransport,
    Transport,
    http_status_for,
)
from pondsocket_asgi.exchange import BodyTooLarge, ClientLeft, answer_text, read_body
from pondsocket_asgi.scope import (
    Receive,
    Scope,
    Send,
    find_path,
    read_connection,
    read_headers,
)
from pondsocket_asgi.stream import EventStream

__all__ = ["SSEService"]

logger: logging.Logger = logging.getLogger(__name__)

Fields: TypeAlias = Sequence[tuple[bytes, bytes]]

_CONNECTION_ID = "x-connection-id"
_LENGTH_DIGITS = 19  # of a content-length that are read; int() refuses thousands
_ALLOW: Fields = [(b"allow", b"GET, POST, DELETE, OPTIONS")]
_PREFLIGHT: Fields = [
    (b"access-control-allow-methods", b"GET, POST, DELETE"),
    (b"access-control-allow-headers", b"content-type,x-connection-id"),
    (b"access-control-max-age", b"600"),
]
_STREAM: Fields = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),  # nginx
]


@dataclass(frozen=True, slots=True)
class _Request:
    """One HTTP request; every answer to it carries the same CORS headers."""

    scope: Scope
    headers: Headers
    receive: Receive
    send: Send
    cors: Fields

    async def answer(self, status: int, text: str = "", more: Fields = ()) -> None:
        await answer_text(self.send, status, text, [*self.cors, *more])


class SSEService:
    """Answers all HTTP requests below the mount.

    Args:
        pond: Whose endpoints these are.
        with_event_names: Whether each event begins with an ``event:`` line.
    """

    def __init__(self, pond: PondSocket, *, with_event_names: bool) -> None:
        self._pond = pond
        self._with_event_names = with_event_names
        self._methods = {
            "GET": self._open,
            "POST": self._push,
            "DELETE": self._end,
            "OPTIONS": self._preflight,
        }

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; returns when the answer, or the stream, is over."""
        headers = read_headers(scope)
        request = _Request(scope, headers, receive, send, self._cors(headers))
        try:
            await self._answer(request)
        except (ClientLeft, OSError):
            logger.debug("a client left before its answer", exc_info=True)

    async def _answer(self, request: _Request) -> None:
        method = self._methods.get(request.scope["method"])
        try:
            if method is None:
                await request.answer(405, "method not allowed", _ALLOW)
            else:
                await method(request)
        except PondError as error:
            await request.answer(http_status_for(error.code), error.message)

    async def _open(self, request: _Request) -> None:
        found = self._pond.match_endpoint(find_path(request.scope))
        if found is None:
            raise NotFound("", "endpoint not found")
        if not _accepts_event_stream(request.headers):
            raise PondError("expected a WebSocket, or Accept: text/event-stream", 406)
        incoming = read_connection(request.scope, request.headers, found.route)
        context = await found.endpoint.request_connection(incoming)
        if context.decline_info is not None:
            code, message = context.decline_info
            raise PondError(message, code)
        stream = EventStream(
            id=context.user_id,
            options=self._pond.options,
            with_event_names=self._with_event_names,
        )
        try:
            await found.endpoint.register_transport(stream, context)
            secret = (b"x-connection-id", stream.connection_id.encode())
            headers = [*_STREAM, secret, *request.cors]
            await stream.run(request.receive, request.send, headers)
        finally:  # a host that cancels its tasks at shutdown, too
            await stream.peer_gone()

    async def _push(self, request: _Request) -> None:
        transport = await self._find(request)
        options = self._pond.options
        limit, within = options.max_message_size, options.handshake_timeout
        if limit and _declared_length(request.headers) > limit:
            raise _too_large(limit)
        try:
            body = await read_body(request.receive, limit=limit, within=within)
        except BodyTooLarge:
            raise _too_large(limit) from None
        except TimeoutError:
            raise PondError("the message took too long", 408) from None
        if not transport.is_active():  # it ended while the message came in
            raise _no_connection()
        await transport.push_message(body)
        await request.answer(204)

    async def _end(self, request: _Request) -> None:
        transport = await self._find(request)
        await transport.close()
        await request.answer(204)

    async def _preflight(self, request: _Request) -> None:
        if request.cors:
            await request.answer(204, more=_PREFLIGHT)
        elif request.headers.get("origin") is None:
            await request.answer(204, more=_ALLOW)
        else:
            raise Forbidden("", "Origin not allowed")

    async def _find(self, request: _Request) -> "_SSETransport":
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

    def _cors(self, headers: Headers) -> Fields:
        origins = (each.cors_origin(headers) for each in self._pond.endpoints[:1])
        origin = next(origins, None)
        if origin is None:
            return []
        fields = [
            (b"access-control-allow-origin", origin.encode("latin-1", "replace")),
            (b"access-control-expose-headers", b"x-connection-id"),
            (b"vary", b"origin"),
        ]
        if "*" not in self._pond.options.allowed_origins:
            # where every page may talk to us, none may do so with our users' cookies
            fields.append((b"access-control-allow-credentials", b"true"))
        return fields


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
