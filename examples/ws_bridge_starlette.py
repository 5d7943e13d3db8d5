"""A Starlette application for WebSockets under pondsocket's own server.

    python ws_bridge_starlette.py

Connect to ws://127.0.0.1:8000/rooms/anything and hear yourself with the room's name.
The server speaks WebSocket alone: a plain request is answered with 426 and never gets
to the application.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from pondsocket_asgi.ws_bridge import serve


class State(TypedDict):
    """What the lifespan opens, for each connection."""

    rooms: dict[str, int]  # name -> who is there


async def room(websocket: WebSocket) -> None:
    """Repeat each text, until the client leaves."""
    name, rooms = websocket.path_params["name"], websocket.state.rooms
    await websocket.accept()
    rooms[name] = rooms.get(name, 0) + 1
    try:
        while True:
            text = await websocket.receive_text()
            await websocket.send_text(f"{name} ({rooms[name]} here): {text}")
    except WebSocketDisconnect:
        pass  # it left, or the server ends
    finally:
        rooms[name] -= 1


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[State]:
    """Stand for what the application opens."""
    yield {"rooms": {}}


app = Starlette(routes=[WebSocketRoute("/rooms/{name}", room)], lifespan=lifespan)


def say_where(port: int) -> None:
    """Tell that clients can connect."""
    print(f"serving ws://127.0.0.1:{port}", flush=True)  # noqa: T201


if __name__ == "__main__":
    asked = int(os.environ.get("PORT", "8000"))
    # until Ctrl+C or SIGTERM
    asyncio.run(serve(app, "127.0.0.1", asked, on_ready=say_where))
