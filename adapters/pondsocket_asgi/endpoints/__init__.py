"""Typed event endpoints: a class that is a JSON API over one WebSocket.

A message is an object, ``{"type": "greet", "name": "Ada"}``; its type names the method
that handles it, the method's signature says which fields it may have. Starlette and
FastAPI take the class as a route's endpoint. It needs the extra ``endpoints``.
"""

from pondsocket_asgi.endpoints.endpoint import (
    HandlingEndpointMeta,
    WebSocketHandlingEndpoint,
)
from pondsocket_asgi.endpoints.handler import Handler
from pondsocket_asgi.endpoints.marks import on_event
from pondsocket_asgi.endpoints.messages import WebSocketEventMessage

__all__ = [
    "Handler",
    "HandlingEndpointMeta",
    "WebSocketEventMessage",
    "WebSocketHandlingEndpoint",
    "on_event",
]
