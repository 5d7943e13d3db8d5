"""Handshake: from a WebSocket that a host offers to a registered transport."""

import logging
from typing import Any

from pondsocket import PondSocket
from pondsocket.web import Admission, HTTPAnswer, Refusal, admit
from pondsocket_asgi.exchange import encode_headers
from pondsocket_asgi.frames import find_frame_writer
from pondsocket_asgi.scope import Receive, Scope, Send, read_request
from pondsocket_asgi.transport import ASGIWebSocketTransport
from pondsocket_asgi.websocket import WebSocketASGI

__all__ = ["serve_websocket"]

logger: logging.Logger = logging.getLogger(__name__)


async def serve_websocket(
    pond: PondSocket, scope: Scope, receive: Receive, send: Send
) -> None:
    """Carry one WebSocket from its handshake to its end.

    No subprotocol is ever negotiated: the client protocol has none.
    """
    websocket = WebSocketASGI(scope, receive, send)
    admission = await _admit(pond, websocket, scope, send)
    if admission is None:
        return
    transport = ASGIWebSocketTransport(
        id=admission.user_id,
        websocket=websocket,
        options=pond.options,
        joins_messages=admission.joins_messages,
        frame_writer=find_frame_writer(scope),
    )
    try:
        is_live = await admission.register(transport)
        del admission  # and so the request, for as long as the connection lasts
        if is_live:
            await transport.run()
    finally:  # a host that cancels its tasks at shutdown, too
        await transport.peer_gone()


async def _admit(
    pond: PondSocket, websocket: WebSocketASGI, scope: Scope, send: Send
) -> Admission | None:
    try:
        await websocket.wait_for_connect()
    except ValueError:  # it left before it was there
        logger.debug("a client left before its handshake", exc_info=True)
        return None
    admission = await admit(pond, read_request(scope))
    if isinstance(admission, Refusal):
        await _refuse(scope, send, admission)
        return None
    try:
        await websocket.confirm()
    except Exception:  # whatever a host raises when the client left meanwhile
        logger.debug("a client left during its handshake", exc_info=True)
        return None
    return admission


async def _refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    """Answer with HTTP where the host can, else with a close code (seen by nobody)."""
    try:
        for message in _refusal_messages(scope, refusal):
            await send(message)
    except Exception:  # whatever a host raises when the client left meanwhile
        logger.debug("a client left before it was refused", exc_info=True)


def _refusal_messages(scope: Scope, refusal: Refusal) -> list[dict[str, Any]]:
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        close = {"type": "websocket.close", "code": refusal.close_code}
        return [{**close, "reason": refusal.close_reason}]
    answer = HTTPAnswer.text(refusal.status, refusal.message)
    return [
        {
            "type": "websocket.http.response.start",
            "status": answer.status,
            "headers": encode_headers(answer),
        },
        {"type": "websocket.http.response.body", "body": answer.body},
    ]
