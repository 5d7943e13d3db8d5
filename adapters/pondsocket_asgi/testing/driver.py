"""ASGITestDriver: an ASGI host in memory."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pondsocket_asgi.scope import ASGIApp, Scope
from pondsocket_asgi.testing.conversation import (
    ASGI_VERSIONS,
    Conversation,
    HeaderFields,
    HTTPAnswer,
    QueryFields,
    make_scope,
    read_answer,
)
from pondsocket_asgi.testing.sessions import (
    LifespanSession,
    SSESession,
    WebSocketSession,
)

__all__ = ["ASGITestDriver"]


class ASGITestDriver:
    """An ASGI host in memory.

    Args:
        app: The application, ours or one that ours is mounted in.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._sse_paths: dict[str, str] = {}

    async def connect_websocket(  # noqa: PLR0913 - all of it by keyword, all optional
        self,
        path: str,
        *,
        headers: HeaderFields = None,
        query: QueryFields = None,
        query_string: bytes = b"",
        client: tuple[str, int] | None = ("127.0.0.1", 12345),
        subprotocols: Iterable[str] | None = None,
        http_response: bool = False,
        wait: float = 1.0,
    ) -> WebSocketSession:
        """Open a WebSocket and return it, accepted or refused.

        A refusal shows in ``accepted``, ``close_code`` and ``close_reason``.

        Args:
            path: The path, without a query.
            headers: The handshake's headers; ``host`` is added if it is missing.
            query: The query parameters, or the query as it stands in the URL.
            query_string: The same, as bytes.
            client: Address and port of the client.
            subprotocols: What the client offers.
            http_response: Whether to offer the extension by which an application
                refuses with an HTTP answer; it is in ``response`` then.
            wait: Seconds for the answer.

        Raises:
            TimeoutError: If the application did not answer in time.
        """
        scope = make_scope("websocket", path, headers, query or query_string)
        scope |= {
            "scheme": "ws",
            "client": client,
            "subprotocols": list(subprotocols or ()),
        }
        if http_response:
            scope["extensions"] = {"websocket.http.response": {}}
        session = WebSocketSession(self._app, scope)
        await session.shake_hands(wait)
        return session

    async def connect_sse(
        self,
        path: str,
        *,
        headers: HeaderFields = None,
        query: QueryFields = None,
        query_string: bytes = b"",
        wait: float = 1.0,
    ) -> SSESession:
        """Open an event stream and return it, accepted or refused.

        A refusal shows in ``status`` and ``body``. The arguments are those of
        :meth:`connect_websocket`; ``accept`` is added to the headers.

        Raises:
            TimeoutError: If the application did not answer in time.
        """
        scope = make_scope("http", path, headers, query or query_string)
        if not any(name == b"accept" for name, _ in scope["headers"]):
            scope["headers"].append((b"accept", b"text/event-stream"))
        conversation = Conversation(self._app, scope | {"method": "GET"})
        conversation.tell({"type": "http.request", "body": b"", "more_body": False})
        start = await conversation.hear(wait)
        session = SSESession(conversation, start)
        if session.accepted:
            self._sse_paths[session.connection_id] = path
        else:
            session.body = (await read_answer(conversation, start, wait)).body
        return session

    async def sse_push(
        self, connection_id: str, payload: Mapping[str, Any]
    ) -> tuple[int, bytes]:
        """Send one client message to an event stream; return status and body."""
        answer = await self.request(
            "POST",
            self._sse_paths.get(connection_id, "/"),
            headers={
                "x-connection-id": connection_id,
                "content-type": "application/json",
            },
            body=json.dumps(payload).encode(),
        )
        return answer.status, answer.body

    async def sse_disconnect(self, connection_id: str) -> tuple[int, bytes]:
        """End an event stream by DELETE; return status and body."""
        answer = await self.request(
            "DELETE",
            self._sse_paths.get(connection_id, "/"),
            headers={"x-connection-id": connection_id},
        )
        return answer.status, answer.body

    async def call_http(
        self,
        path: str,
        *,
        method: str = "GET",
        headers: HeaderFields = None,
        body: bytes = b"",
    ) -> tuple[int, bytes]:
        """Send one HTTP request; return status and body of the answer."""
        answer = await self.request(method, path, headers=headers, body=body)
        return answer.status, answer.body

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: HeaderFields = None,
        query: QueryFields = None,
        body: bytes = b"",
        wait: float = 5.0,
    ) -> HTTPAnswer:
        """Send one HTTP request and return the whole answer.

        Raises:
            TimeoutError: If the application did not answer in time.
        """
        scope = make_scope("http", path, headers, query)
        conversation = Conversation(self._app, scope | {"method": method})
        conversation.tell({"type": "http.request", "body": body, "more_body": False})
        start = await conversation.hear(wait)
        answer = await read_answer(conversation, start, wait)
        conversation.tell({"type": "http.disconnect"})
        await conversation.finish(wait)
        return answer

    async def open_lifespan(self) -> LifespanSession:
        """Open the conversation in which a host tells of its start and shutdown."""
        scope: Scope = {"type": "lifespan", "asgi": ASGI_VERSIONS, "state": {}}
        return LifespanSession(Conversation(self._app, scope))
