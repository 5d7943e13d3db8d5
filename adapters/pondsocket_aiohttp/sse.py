"""SSE: the plain requests of aiohttp, answered by the core's SSEService."""

import asyncio
import logging
from functools import partial
from typing import Any, cast

from aiohttp import web
from multidict import CIMultiDict

from pondsocket.web import (
    ClientLeft,
    HeaderFields,
    HTTPAnswer,
    SSEService,
    StreamResponse,
)
from pondsocket_aiohttp.exchange import read_body, read_request, to_response

__all__ = ["serve_http"]

logger: logging.Logger = logging.getLogger(__name__)


async def serve_http(service: SSEService, request: web.Request) -> web.StreamResponse:
    """Answer one request; returns when the answer is known, or the stream is over."""
    try:
        answer = await service.answer(
            read_request(request), partial(read_body, request)
        )
    except ClientLeft:
        logger.debug("a body ended before its end", exc_info=True)
        return to_response(HTTPAnswer.text(400, "expected a whole body"))
    if isinstance(answer, HTTPAnswer):
        return to_response(answer)
    response = AiohttpStreamResponse(request, answer.headers)
    try:
        await answer.stream.run(response)
    finally:
        response.cut_off()
    return response.raw


class AiohttpStreamResponse(StreamResponse):
    """A response without end.

    Attributes:
        raw: aiohttp's own.
    """

    def __init__(self, request: web.Request, headers: HeaderFields) -> None:
        self.raw: web.StreamResponse = web.StreamResponse(headers=CIMultiDict(headers))
        self.raw.force_close()  # what the client sends from now on is not heard
        self._request = request
        self._wire = request.transport
        self._is_complete = False
        self._left = _Left()
        if self._wire is None:
            self._left.feed_eof()
        else:
            # the documented part of aiohttp tells a handler only when it writes
            request.protocol.set_parser(cast("Any", self._left))

    async def begin(self) -> None:
        """Send status and headers."""
        await self.raw.prepare(self._request)

    async def write(self, data: bytes) -> None:
        """Send a part of the body."""
        await self.raw.write(data)

    async def end(self) -> None:
        """Complete the body."""
        await self.raw.write_eof()
        self._is_complete = True

    async def wait_until_left(self) -> None:
        """Return when aiohttp has lost the connection."""
        await self._left.event.wait()

    def cut_off(self) -> None:
        """Drop the connection unless the body is complete; aiohttp would wait."""
        if not self._is_complete and self._wire is not None:
            self._wire.abort()


class _Left:
    """In place of a parser: aiohttp tells it what comes in, and the end of that."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def feed_data(self, _: bytes) -> tuple[bool, bytes]:
        return False, b""

    def feed_eof(self) -> None:
        self.event.set()
