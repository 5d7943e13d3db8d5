"""WebSockets of Starlette, as its users write them."""

from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.exceptions import HTTPException, WebSocketException
from starlette.routing import Mount, WebSocketRoute

from tests.adapters.bridge.framework_routes import ROUTES, echo_text

__all__ = ["make_app"]


async def tell_path(socket):
    await socket.accept()
    color = socket.query_params.get("color")
    await socket.send_json([socket.path_params["name"], color])
    await socket.close()


async def iterate(socket):
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text.upper())
    socket.app.state.left.append("iterate")


async def choose_subprotocol(socket):
    await socket.accept(subprotocol="news")
    await socket.send_json(socket.scope["subprotocols"])
    await socket.close()


async def deny(socket):
    raise HTTPException(401, "who are you?", headers={"x-why": "unknown"})


async def deny_with_code(socket):
    raise WebSocketException(4003, "not you")


async def close_by_exception(socket):
    await socket.accept()
    raise WebSocketException(4003, "not you")


class Shout(WebSocketEndpoint):
    encoding = "text"

    async def on_receive(self, websocket, data):
        await websocket.send_text(data.upper())

    async def on_disconnect(self, websocket, close_code):
        websocket.app.state.left.append(close_code)


def make_app():
    """Return an application; what ends is noted in ``state.left``."""
    app = Starlette(
        routes=[
            *(WebSocketRoute(path, each) for path, each in ROUTES.items()),
            WebSocketRoute("/iterate", iterate),
            WebSocketRoute("/subprotocol", choose_subprotocol),
            WebSocketRoute("/deny", deny),
            WebSocketRoute("/deny-with-code", deny_with_code),
            WebSocketRoute("/close-by-exception", close_by_exception),
            WebSocketRoute("/shout", Shout),
            WebSocketRoute("/rooms/{name}", tell_path),
            Mount("/mounted", routes=[WebSocketRoute("/text", echo_text)]),
        ]
    )
    app.state.left = []
    return app
