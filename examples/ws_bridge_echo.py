"""An ASGI application for WebSockets, and its server: nothing but pondsocket.

    python ws_bridge_echo.py

Connect to ws://127.0.0.1:8000/ and hear what you said; who offers the subprotocol
`loud` hears it louder. Any other ASGI host serves `app` as well.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from pondsocket_asgi.websocket import ConnectionClosed, WebSocketASGI
from pondsocket_asgi.ws_bridge import ServerConfig, serve

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """Serve one connection, or the one lifespan around all of them."""
    if scope["type"] == "lifespan":
        await live(scope["state"], receive, send)
    else:
        await echo(scope, receive, send)


async def live(state: dict[str, Any], receive: Receive, send: Send) -> None:
    """Start and end with the server; what is put into `state` every scope has."""
    await receive()  # lifespan.startup
    state["greeting"] = "welcome"
    await send({"type": "lifespan.startup.complete"})
    await receive()  # lifespan.shutdown, after the last connection
    print("goodbye", flush=True)  # noqa: T201
    await send({"type": "lifespan.shutdown.complete"})


async def echo(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """Greet, then send back what comes until the client leaves."""
    ws = await WebSocketASGI.accept(scope, receive, send, subprotocols=["loud"])
    try:
        await ws.send(scope["state"]["greeting"])
        while True:
            message = await ws.receive()
            if ws.subprotocol == "loud" and isinstance(message, str):
                message = message.upper()
            await ws.send(message)
    except ConnectionClosed:
        pass  # the client left, or the server ends


def say_where(port: int) -> None:
    """Tell that clients can connect."""
    print(f"serving ws://127.0.0.1:{port}", flush=True)  # noqa: T201


if __name__ == "__main__":
    config = ServerConfig(lifespan="on", max_message_size=1_048_576)
    asked = int(os.environ.get("PORT", "8000"))
    # until Ctrl+C or SIGTERM
    asyncio.run(serve(app, "127.0.0.1", asked, config, on_ready=say_where))
