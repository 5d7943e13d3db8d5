"""Conversation: one call of an ASGI application, with what goes in and comes out."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast
from urllib.parse import quote, unquote, urlencode

from pondsocket import Headers
from pondsocket_asgi.scope import ASGIApp, Message, Scope

__all__ = [
    "ASGI_VERSIONS",
    "Conversation",
    "HTTPAnswer",
    "HeaderFields",
    "QueryFields",
    "make_scope",
    "read_answer",
]

HeaderFields: TypeAlias = (
    Mapping[str, str] | Iterable[tuple[bytes | str, bytes | str]] | None
)
QueryFields: TypeAlias = Mapping[str, str] | str | bytes | None

ASGI_VERSIONS = {"version": "3.0", "spec_version": "2.4"}


class Conversation:
    """One call of the application, with a queue for either direction.

    Args:
        app: The application.
        scope: What it is called with.
        observe: Called with each message of the application as it is sent.
    """

    def __init__(
        self,
        app: ASGIApp,
        scope: Scope,
        observe: Callable[[Message], None] | None = None,
    ) -> None:
        self.scope = scope
        self._observe = observe
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message | None] = asyncio.Queue()
        self.app_task: asyncio.Task[None] = asyncio.create_task(
            self._run(app), name="pond-test-app"
        )

    async def _run(self, app: ASGIApp) -> None:
        try:
            await app(self.scope, self._to_app.get, self._take)
        finally:
            self._from_app.put_nowait(None)

    async def _take(self, message: Message) -> None:
        self._from_app.put_nowait(message)
        if self._observe is not None:
            self._observe(message)

    def tell(self, message: Message) -> None:
        """Hand a message to the application, for its next ``receive``."""
        self._to_app.put_nowait(message)

    async def hear(self, wait: float) -> Message:
        """Return the application's next message, within ``wait`` seconds.

        Raises:
            TimeoutError: If none came in time.
            EOFError: If the application has returned.
        """
        async with asyncio.timeout(wait):
            message = await self._from_app.get()
        if message is None:
            self._from_app.put_nowait(None)  # for the next one who asks
            await self.app_task  # raises what the application raised
            raise EOFError("the application returned, nothing more will come")
        return message

    async def finish(self, wait: float) -> None:
        """Wait until the application returns; after ``wait`` seconds cancel it.

        Raises:
            TimeoutError: If it did not return in time.
        """
        async with asyncio.timeout(wait):
            await self.app_task


@dataclass(frozen=True, slots=True)
class HTTPAnswer:
    """A whole HTTP answer."""

    status: int
    headers: Headers
    body: bytes


async def read_answer(
    conversation: Conversation, start: Message, wait: float
) -> HTTPAnswer:
    """Return the whole answer that begins with ``start``."""
    body = b""
    more = True
    while more:
        message = await conversation.hear(wait)
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return HTTPAnswer(start["status"], Headers(start.get("headers", ())), body)


def make_scope(
    kind: str, path: str, headers: HeaderFields, query: QueryFields
) -> dict[str, Any]:
    """Return a scope as a host makes it for a path that is URL-encoded."""
    if isinstance(headers, Mapping):
        headers = cast("Mapping[str, str]", headers).items()
    raw = Headers(headers or ()).raw
    if not any(name == b"host" for name, _ in raw):
        raw.append((b"host", b"testserver"))
    return {
        "type": kind,
        "asgi": ASGI_VERSIONS,
        "http_version": "1.1",
        "scheme": "http",
        "path": unquote(path),
        "raw_path": quote(path, safe="/%").encode(),
        "query_string": _to_query_string(query),
        "root_path": "",
        "headers": raw,
        "client": ("127.0.0.1", 12345),
        "server": ("testserver", 80),
        "state": {},
    }


def _to_query_string(query: QueryFields) -> bytes:
    if isinstance(query, Mapping):
        return urlencode(query).encode()
    return query.encode() if isinstance(query, str) else query or b""
