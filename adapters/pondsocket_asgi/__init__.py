"""The ASGI adapter: a PondSocket under any ASGI host or framework."""

from pondsocket_asgi.app import PondASGIApp
from pondsocket_asgi.lifespan import lifespan
from pondsocket_asgi.transport import ASGIWebSocketTransport
from pondsocket_asgi.websocket import WebSocketASGI

__all__ = ["ASGIWebSocketTransport", "PondASGIApp", "WebSocketASGI", "lifespan"]
