"""Handshake: from a request for a WebSocket to a registered transport."""

import logging
import re

from aiohttp import hdrs, web

from pondsocket import Options, PondSocket
from pondsocket.web import HTTPAnswer, Refusal, admit, size_limit_for
from pondsocket_aiohttp.exchange import read_request, to_response
from pondsocket_aiohttp.frames import FORGETS, find_frame_writer
from pondsocket_aiohttp.transport import AiohttpWebSocketTransport

__all__ = ["open_websocket"]

logger: logging.Logger = logging.getLogger(__name__)

_DEFLATE = re.compile(r"\bpermessage-deflate\b")
_GOODBYE_SHARE = 0.05  # of send_timeout, for the client's answer to a close frame


async def open_websocket(
    pond: PondSocket, request: web.Request
) -> AiohttpWebSocketTransport | web.Response:
    """Accept a WebSocket and make it live, or return the answer that refuses it.

    No subprotocol is ever negotiated: the client protocol has none. What the handshake
    was made of is not kept: the transport's ``run`` is for the caller.
    """
    request = _restrict(request, compression=pond.options.compression)
    websocket = _make_websocket(pond.options)
    if request.method != hdrs.METH_GET or not websocket.can_prepare(request):
        return to_response(HTTPAnswer.text(400, "expected a WebSocket handshake"))
    admission = await admit(pond, read_request(request))
    if isinstance(admission, Refusal):
        return to_response(HTTPAnswer.text(admission.status, admission.message))
    wire = request.transport
    try:
        await websocket.prepare(request)
    except ConnectionError:
        logger.debug("a client left during its handshake", exc_info=True)
        wire = None
    if wire is None:
        return web.Response()  # which nobody is there to read
    transport = AiohttpWebSocketTransport(
        id=admission.user_id,
        websocket=websocket,
        wire=wire,
        options=pond.options,
        joins_messages=admission.joins_messages,
        frame_writer=find_frame_writer(websocket, wire),
    )
    try:
        await admission.register(transport)
    except BaseException:  # a server that cancels its handlers, too
        await transport.peer_gone()
        raise
    return transport


def _restrict(request: web.Request, *, compression: bool) -> web.Request:
    """Return the same request with the offers that aiohttp is to see.

    Of subprotocols none: it logs one that it ignores. If it is to compress, then each
    message for itself, so that a broadcast is compressed once: a server may answer so
    whatever was offered (RFC 7692 7.1.1.1), but aiohttp does only if it was.
    """
    has_subprotocols = hdrs.SEC_WEBSOCKET_PROTOCOL in request.headers
    if not has_subprotocols and not compression:
        return request
    headers = request.headers.copy()
    headers.popall(hdrs.SEC_WEBSOCKET_PROTOCOL, None)
    offers = headers.popall(hdrs.SEC_WEBSOCKET_EXTENSIONS, None)
    if offers:
        forgetful = _DEFLATE.sub(rf"\g<0>; {FORGETS}", ", ".join(offers))
        headers[hdrs.SEC_WEBSOCKET_EXTENSIONS] = forgetful
    return request.clone(headers=headers)


def _make_websocket(options: Options) -> web.WebSocketResponse:
    return web.WebSocketResponse(
        timeout=options.send_timeout * _GOODBYE_SHARE,
        autoping=False,  # the transport wants to see them
        compress=options.compression,
        max_msg_size=size_limit_for(options) or 0,
        writer_limit=0,  # each send waits while the client does not read
    )
