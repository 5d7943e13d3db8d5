"""A room on python-socketio and uvicorn; ``ask`` is answered to who asked."""

import serving
import socketio
import uvicorn

ROOM = "room"

server = socketio.AsyncServer(async_mode="asgi")


@server.event
async def enter(sid: str) -> None:
    await server.enter_room(sid, ROOM)
    await server.emit("entered", to=sid)


@server.event
async def say(_: str, body: str) -> None:
    await server.emit("said", body, room=ROOM)


@server.event
async def ask(sid: str, body: str) -> None:
    await server.emit("told", body, to=sid)


if __name__ == "__main__":
    config = uvicorn.Config(
        socketio.ASGIApp(server), loop="asyncio", log_level="warning"
    )
    serving.run(lambda listener: uvicorn.Server(config).serve([listener]))
