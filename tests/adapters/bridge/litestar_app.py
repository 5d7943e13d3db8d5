"""WebSockets of Litestar, as its users write them."""

from litestar import Litestar, Router, WebSocket, websocket, websocket_listener
from litestar.datastructures import State
from litestar.exceptions import HTTPException, WebSocketException
from litestar.params import FromPath, FromQuery

from tests.adapters.bridge.framework_routes import ROUTES, echo_text

__all__ = ["make_app"]


@websocket("/iterate")
async def iterate(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_data():
        await socket.send_text(text.upper())
    socket.app.state.left.append("iterate")


@websocket("/subprotocol")
async def choose_subprotocol(socket: WebSocket) -> None:
    await socket.accept(subprotocols="news")
    await socket.send_json(socket.scope["subprotocols"])
    await socket.close()


@websocket("/deny")
async def deny(socket: WebSocket) -> None:
    raise HTTPException("who are you?", status_code=401)


@websocket("/close-by-exception")
async def close_by_exception(socket: WebSocket) -> None:
    await socket.accept()
    raise WebSocketException(detail="not you", code=4003)


@websocket_listener("/shout")
async def shout(data: str) -> str:
    return data.upper()


@websocket("/rooms/{name:str}")
async def rooms(
    socket: WebSocket, name: FromPath[str], color: FromQuery[str | None] = None
) -> None:
    await socket.accept()
    await socket.send_json([name, color])
    await socket.close()


def typed(path, function):
    """Return what Litestar takes: it reads the annotations of the parameters."""

    @websocket(path)
    async def handle(socket: WebSocket) -> None:
        await function(socket)

    return handle


def make_app():
    """Return an application; what ends is noted in ``state.left``."""
    handlers = [iterate, choose_subprotocol, deny, close_by_exception, shout, rooms]
    return Litestar(
        [
            *handlers,
            *(typed(path, each) for path, each in ROUTES.items()),
            Router("/mounted", route_handlers=[typed("/text", echo_text)]),
        ],
        state=State({"left": []}),
    )
