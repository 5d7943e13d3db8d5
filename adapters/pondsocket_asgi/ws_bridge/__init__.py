"""ws_bridge: the server's side of ASGI WebSockets.

Any ASGI WebSocket application runs with this package alone::

    asyncio.run(serve(app, "127.0.0.1", 8000))

``serve`` is made of pieces that a server of another make can use by themselves: the
scope of a request (``build_ws_scope``), the two callables of an application
(``create_ws_receive``, ``create_ws_send``) and the protocol (``WSProtocol``). It needs
the extra ``bridge``: h11 reads the handshake, wsproto the frames.
"""

from pondsocket_asgi.ws_bridge.callables import (
    ClientDisconnected,
    create_ws_receive,
    create_ws_send,
)
from pondsocket_asgi.ws_bridge.config import ServerConfig
from pondsocket_asgi.ws_bridge.protocol import WSProtocol
from pondsocket_asgi.ws_bridge.request import RequestReceived
from pondsocket_asgi.ws_bridge.scope import build_ws_scope
from pondsocket_asgi.ws_bridge.server import serve

__all__ = [
    "ClientDisconnected",
    "RequestReceived",
    "ServerConfig",
    "WSProtocol",
    "build_ws_scope",
    "create_ws_receive",
    "create_ws_send",
    "serve",
]
