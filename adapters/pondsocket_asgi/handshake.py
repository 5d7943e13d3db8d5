"""Handshake: from a WebSocket that a host offers to a registered transport."""

import logging

from pondsocket import (
    ConnectionContext,
    Endpoint,
    PondError,
    PondSocket,
    Unavailable,
    close_code_for,
    http_status_for,
    truncate_reason,
)
from pondsocket_asgi.exchange import describe_body
from pondsocket_asgi.pump import SendPump
from pondsocket_asgi.scope import (
    Receive,
    Scope,
    Send,
    find_path,
    read_connection,
    read_headers,
)
from pondsocket_asgi.transport import ASGIWebSocketTransport
from pondsocket_asgi.websocket import WebSocketASGI

__all__ = ["serve_websocket"]

logger: logging.Logger = logging.getLogger(__name__)

_SERVICE_RESTART = 1012  # IANA WebSocket close codes
_TRY_AGAIN_LATER = 1013


async def serve_websocket(
    pond: PondSocket, pump: SendPump, scope: Scope, receive: Receive, send: Send
) -> None:
    """Carry one WebSocket from its handshake to its end.

    No subprotocol is ever negotiated: the client protocol has none.
    """
    websocket = WebSocketASGI(scope, receive, send)
    try:
        await websocket.wait_for_connect()
    except ValueError:  # it left before it was there
        logger.debug("a client left before its handshake", exc_info=True)
        return
    found = pond.match_endpoint(find_path(scope))
    if found is None:
        await _refuse(scope, send, 404, "endpoint not found")
        return
    incoming = read_connection(scope, read_headers(scope), found.route)
    context = await found.endpoint.request_connection(incoming)
    if context.decline_info is not None:
        await _refuse(scope, send, *context.decline_info)
        return
    try:
        await websocket.confirm()
    except Exception:  # whatever a host raises when the client left meanwhile
        logger.debug("a client left during its handshake", exc_info=True)
    else:
        transport = ASGIWebSocketTransport(
            id=context.user_id,
            websocket=websocket,
            pump=pump,
            options=pond.options,
            joins_messages=context.query.get("pond.frames") == "batch",
        )
        await _run(transport, found.endpoint, context)


async def _run(
    transport: ASGIWebSocketTransport, endpoint: Endpoint, context: ConnectionContext
) -> None:
    try:
        await endpoint.register_transport(transport, context)
        await transport.run()
    except Unavailable as error:
        code = _SERVICE_RESTART if endpoint.is_draining else _TRY_AGAIN_LATER
        await transport.close_with(code, truncate_reason(error.message))
    except PondError as error:
        code = close_code_for(error.code)
        await transport.close_with(code, truncate_reason(error.message))
    finally:  # a host that cancels its tasks at shutdown, too
        await transport.peer_gone()


async def _refuse(scope: Scope, send: Send, code: int, message: str) -> None:
    """Answer with HTTP where the host can, else with a close code (seen by nobody)."""
    status = http_status_for(code)
    body, fields = describe_body(status, "text/plain; charset=utf-8", message.encode())
    answers: list[dict[str, object]] = [
        {
            "type": "websocket.close",
            "code": close_code_for(code),
            "reason": truncate_reason(message),
        }
    ]
    if "websocket.http.response" in (scope.get("extensions") or {}):
        answers = [
            {
                "type": "websocket.http.response.start",
                "status": status,
                "headers": fields,
            },
            {"type": "websocket.http.response.body", "body": body},
        ]
    try:
        for answer in answers:
            await send(answer)
    except Exception:  # whatever a host raises when the client left meanwhile
        logger.debug("a client left before it was refused", exc_info=True)
