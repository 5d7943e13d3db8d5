"""Opening: the first bytes of a client, read up to its handshake or its refusal."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pondsocket.web import abort
from pondsocket_asgi.ws_bridge.config import ServerConfig
from pondsocket_asgi.ws_bridge.lingering import linger
from pondsocket_asgi.ws_bridge.request import (
    HandshakeError,
    RequestReader,
    RequestReceived,
    check_handshake,
)
from pondsocket_asgi.ws_bridge.response import render_response

__all__ = ["AnswerHTTP", "Handshake", "read_handshake", "refuse"]

logger: logging.Logger = logging.getLogger(__name__)

_READ_SIZE: Final = 65_536  # bytes
_REQUEST_TIMEOUT: Final = 408

AnswerHTTP = Callable[[RequestReceived], bytes | None]
"""Gets a request that is no handshake; returns a whole response, or None for a 426."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a client asked for, in a way that can be answered.

    Attributes:
        request: As it was sent.
        key: Its Sec-WebSocket-Key.
        trailing: What came after it in the same bytes: frames.
    """

    request: RequestReceived
    key: bytes
    trailing: bytes


async def read_handshake(
    reader: asyncio.StreamReader, config: ServerConfig, answer_http: AnswerHTTP
) -> Handshake | bytes:
    """Read a handshake; return the response to send instead if there is none.

    That response is empty for a client that left without a request. Waits at most
    ``config.handshake_timeout`` seconds.

    Raises:
        OSError: If the connection was lost.
    """
    head = RequestReader(config)
    request: RequestReceived | None = None
    deadline = asyncio.timeout(config.handshake_timeout)
    try:
        async with deadline:
            while request is None:
                data = await reader.read(_READ_SIZE)
                if not data:
                    return b""
                request = head.receive(data)
        return Handshake(request, check_handshake(request), head.trailing)
    except TimeoutError:
        if not deadline.expired():  # the socket's, not ours
            raise
        return render_response(_REQUEST_TIMEOUT, (), b"the request takes too long\n")
    except HandshakeError as error:
        logger.debug("refused a handshake: %s", error)
        answer: bytes | None = None
        if request is not None and not request.get_all(b"upgrade"):
            answer = answer_http(request)
        return answer or _render(error, with_body=not _is_head(request))


def _is_head(request: RequestReceived | None) -> bool:
    return request is not None and request.method == b"HEAD"


def _render(error: HandshakeError, *, with_body: bool) -> bytes:
    body = error.message.encode() + b"\n" if with_body else b""
    return render_response(error.status, error.headers, body)


async def refuse(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    response: bytes,
    config: ServerConfig,
) -> None:
    """Send a response and close; waits at most ``config.close_timeout`` seconds."""
    if not response or writer.is_closing():
        abort(writer.transport)
        return
    try:
        async with asyncio.timeout(config.close_timeout):
            writer.write(response)
            await linger(reader, writer)
            writer.close()
            await writer.wait_closed()
    except OSError as error:  # TimeoutError is one
        logger.debug("a refused client was lost: %r", error)
    finally:
        abort(writer.transport)
