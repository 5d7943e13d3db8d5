"""SSE: the plain HTTP requests of an ASGI host, answered by the core's SSEService."""

import logging
from functools import partial

from pondsocket.web import ClientLeft, HTTPAnswer, SSEService
from pondsocket_asgi.exchange import ASGIStreamResponse, read_body, send_answer
from pondsocket_asgi.scope import Receive, Scope, Send, read_request

__all__ = ["serve_http"]

logger: logging.Logger = logging.getLogger(__name__)


async def serve_http(
    service: SSEService, scope: Scope, receive: Receive, send: Send
) -> None:
    """Answer one request; returns when the answer, or the stream, is over."""
    try:
        answer = await service.answer(read_request(scope), partial(read_body, receive))
        if isinstance(answer, HTTPAnswer):
            await send_answer(send, answer)
        else:
            response = ASGIStreamResponse(receive, send, answer.headers)
            await answer.stream.run(response)
    except (ClientLeft, OSError):
        logger.debug("a client left before its answer", exc_info=True)
