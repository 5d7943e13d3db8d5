"""A room on Starlette and uvicorn: a loop over the members, or an echo on /echo."""

import serving
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

members: set[WebSocket] = set()


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(serving.HELLO)
    async for text in websocket.iter_text():
        await websocket.send_text(text)


async def room(websocket: WebSocket) -> None:
    await websocket.accept()
    members.add(websocket)
    try:
        await websocket.send_text(serving.HELLO)
        async for text in websocket.iter_text():
            for member in list(members):
                await member.send_text(text)
    finally:
        members.discard(websocket)


if __name__ == "__main__":
    application = Starlette(
        routes=[WebSocketRoute("/room", room), WebSocketRoute("/echo", echo)]
    )
    config = uvicorn.Config(application, loop="asyncio", log_level="warning")
    serving.run(lambda listener: uvicorn.Server(config).serve([listener]))
