"""Transports without a host of their own: in memory, and the server's side of SSE."""

from pondsocket.transports.memory import InMemoryTransport
from pondsocket.transports.sse import SSEServerTransport

__all__ = ["InMemoryTransport", "SSEServerTransport"]
