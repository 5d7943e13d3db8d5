"""A typed JSON API over WebSockets inside a Starlette application.

    uvicorn typed_endpoint_starlette:app

Connect to ws://127.0.0.1:8000/ada/counter and send {"type": "add", "number": 2}. Two
classes share a mixin, and errors are told in a form of the application's own.
"""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException, WebSocketException
from starlette.routing import WebSocketRoute

from pondsocket_asgi.endpoints import WebSocketHandlingEndpoint, on_event


class Greeting:
    """A mixin; what is marked is a handler in every endpoint that has it."""

    @on_event("hello")
    @staticmethod
    def say_hello(name: str = "you") -> dict[str, str]:
        """Greet."""
        return {"text": f"Hello {name}"}


class Counter(Greeting, WebSocketHandlingEndpoint):
    """Adds up what one client sends."""

    async def on_connect(self) -> None:
        """Refuse strangers, before they are connected."""
        if self.websocket.path_params["name"] != "ada":
            raise HTTPException(403, "who are you?")
        self.total = 0
        await self.websocket.accept()

    async def on_disconnect(self, close_code: int) -> None:
        """Hear of the end, once."""
        print(f"{self.total} until {close_code}", flush=True)  # noqa: T201

    @on_event
    async def add(self, number: int) -> dict[str, int]:
        """Add; more than 100 closes the connection."""
        self.total += number
        if self.total > 100:  # noqa: PLR2004
            raise WebSocketException(4000, "enough")
        return {"total": self.total}


class TerseCounter(Counter):
    """The same, but it tells of errors by their name only."""

    say_hello = None  # type: ignore[assignment]  # not here

    async def send_exception(self, exc: Exception) -> None:
        """Tell that there was one."""
        await self.send_json({"failed": type(exc).__name__})


app = Starlette(
    routes=[
        WebSocketRoute("/{name}/counter", Counter),
        WebSocketRoute("/{name}/terse", TerseCounter),
    ]
)
