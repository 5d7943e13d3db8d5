"""The websockets adapter: a PondSocket on the server of the library ``websockets``.

It serves WebSockets and nothing else: the library answers no request in parts, so there
are no event streams here. Whoever asks for one is told so (426, 405 or 400).
"""

from pondsocket_websockets.handler import PondHandler
from pondsocket_websockets.server import PondServer, serve
from pondsocket_websockets.transport import WebsocketsTransport

__all__ = ["PondHandler", "PondServer", "WebsocketsTransport", "serve"]
