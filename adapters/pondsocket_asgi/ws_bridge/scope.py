"""Scope: what an ASGI application is told of a handshake."""

from typing import Any
from urllib.parse import unquote_to_bytes

from pondsocket_asgi.ws_bridge.config import ServerConfig
from pondsocket_asgi.ws_bridge.request import RequestReceived, find_subprotocols

__all__ = ["build_ws_scope"]


def build_ws_scope(
    request: RequestReceived,
    config: ServerConfig,
    client: tuple[str, int],
    server: tuple[str, int],
) -> dict[str, Any]:
    """Return the scope of a handshake, of type ``websocket`` (ASGI, WebSocket 2.4).

    ``raw_path`` is the path as the client sent it. ``path`` is the same decoded, with
    ``root_path`` before it; what is no UTF-8 in it reads as U+FFFD, so that an
    application can always encode it.

    Args:
        request: One that ``check_handshake`` took.
        config: For the mount, and whether the connection is encrypted.
        client: Address and port of the client.
        server: Address and port that it connected to.
    """
    path = unquote_to_bytes(request.raw_path).decode(errors="replace")
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": request.http_version,
        "scheme": "ws" if config.ssl is None else "wss",
        "path": config.root_path + path,
        "raw_path": request.raw_path,
        "query_string": request.query_string,
        "root_path": config.root_path,
        "headers": list(request.headers),
        "subprotocols": find_subprotocols(request),
        "client": client,
        "server": server,
        "extensions": {"websocket.http.response": {}},
    }
