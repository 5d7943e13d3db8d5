"""Serve an application with the bridge; print the port.

Usage: server.py echo|deaf '{"setting of ServerConfig": value}'
"""

import asyncio
import json
import sys

from pondsocket_asgi.ws_bridge import ServerConfig, serve
from tests.adapters.bridge.serving import echo


async def deaf(scope, receive, send):
    """Accept everybody and receive nothing."""
    await receive()
    await send({"type": "websocket.accept"})
    await asyncio.Event().wait()


APPS = {"echo": echo, "deaf": deaf}


def tell(port):
    print(port, flush=True)


if __name__ == "__main__":
    _, name, settings = sys.argv
    config = ServerConfig(lifespan="off", **json.loads(settings))
    asyncio.run(serve(APPS[name], "127.0.0.1", 0, config, on_ready=tell))
