"""The aiohttp adapter: a PondSocket inside an aiohttp application."""

from pondsocket_aiohttp.app import routes, setup
from pondsocket_aiohttp.transport import AiohttpWebSocketTransport

__all__ = ["AiohttpWebSocketTransport", "routes", "setup"]
