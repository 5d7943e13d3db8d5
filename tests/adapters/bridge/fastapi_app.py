"""WebSockets of FastAPI, as its users write them."""

from typing import Annotated

from fastapi import (
    APIRouter,
    Depends,
    FastAPI,
    HTTPException,
    WebSocket,
    WebSocketDisconnect,
    WebSocketException,
)

from tests.adapters.bridge.framework_routes import ROUTES, echo_text

__all__ = ["make_app"]

router = APIRouter()


def check_token(token: str = ""):
    if token == "forbidden":
        raise HTTPException(403, "no entry")
    if token == "wrong":
        raise WebSocketException(4003, "not you")
    return token


@router.websocket("/token")
async def with_token(socket: WebSocket, token: Annotated[str, Depends(check_token)]):
    await socket.accept()
    await socket.send_text(token)
    await socket.close()


@router.websocket("/rooms/{name}")
async def rooms(socket: WebSocket, name: str, color: str | None = None):
    await socket.accept()
    await socket.send_json([name, color])
    await socket.close()


@router.websocket("/iterate")
async def iterate(socket: WebSocket):
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text.upper())
    socket.app.state.left.append("iterate")


@router.websocket("/subprotocol")
async def choose_subprotocol(socket: WebSocket):
    await socket.accept(subprotocol="news")
    await socket.send_json(socket.scope["subprotocols"])
    await socket.close()


@router.websocket("/deny")
async def deny(socket: WebSocket):
    raise HTTPException(401, "who are you?", headers={"x-why": "unknown"})


@router.websocket("/deny-with-code")
async def deny_with_code(socket: WebSocket):
    raise WebSocketException(4003, "not you")


@router.websocket("/close-by-exception")
async def close_by_exception(socket: WebSocket):
    await socket.accept()
    raise WebSocketException(4003, "not you")


@router.websocket("/shout")
async def shout(socket: WebSocket):
    await socket.accept()
    try:
        while True:
            await socket.send_text((await socket.receive_text()).upper())
    except WebSocketDisconnect as error:
        socket.app.state.left.append(error.code)


def typed(function):
    """Return what FastAPI takes: it reads the annotations of the parameters."""

    async def handle(socket: WebSocket):
        await function(socket)

    return handle


def make_app():
    """Return an application; what ends is noted in ``state.left``."""
    app, inner = FastAPI(), FastAPI()
    app.include_router(router)
    for path, each in ROUTES.items():
        app.websocket(path)(typed(each))
    inner.websocket("/text")(typed(echo_text))
    app.mount("/mounted", inner)
    app.state.left = []
    return app
