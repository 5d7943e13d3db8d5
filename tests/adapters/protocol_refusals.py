"""What a host is told when a handshake is refused and no client can see it."""

from typing import Any

Refusal = tuple[int, str]  # code and reason


def noting_refusals(app: Any, refusals: list[Refusal]) -> Any:
    """Note each ``websocket.close`` that comes before an acceptance."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        accepted = False

        async def note(message: Any) -> None:
            nonlocal accepted
            accepted = accepted or message["type"] == "websocket.accept"
            if message["type"] == "websocket.close" and not accepted:
                refusals.append((message["code"], message["reason"]))
            await send(message)

        is_websocket = scope["type"] == "websocket"
        await app(scope, receive, note if is_websocket else send)

    return wrapped


def without_denial_response(app: Any) -> Any:
    """Be a host that lacks ``websocket.http.response``."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            scope = {**scope, "extensions": {}}
        await app(scope, receive, send)

    return wrapped
