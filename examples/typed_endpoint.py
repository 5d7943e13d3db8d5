"""A typed JSON API over WebSockets inside a FastAPI application.

    uvicorn typed_endpoint:app

Connect to ws://127.0.0.1:8000/shop and send
{"type": "order", "item": {"name": "tea", "grams": 250}}. What a message may hold is in
the signatures; whatever does not fit is answered with {"errors": [...]}.
"""

from typing import Annotated

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field
from starlette.routing import WebSocketRoute

from pondsocket_asgi.endpoints import WebSocketHandlingEndpoint, on_event

PRICES = {"tea": 4, "coffee": 2}  # cents per gram


class Item(BaseModel):
    """What a client asks for."""

    name: str
    grams: Annotated[int, Field(gt=0, le=10_000)] = 100


class Price(BaseModel):
    """What an order costs; all that a client hears."""

    type: str = "price"
    cents: int


class Shop(WebSocketHandlingEndpoint):
    """Takes orders; each client has a basket of its own."""

    async def on_connect(self) -> None:
        """Open the shop for one client."""
        self.basket: list[Item] = []
        await self.websocket.accept()

    @on_event(response_model=Price)
    async def order(self, item: Item) -> dict[str, int]:
        """Put an item into the basket."""
        if item.name not in PRICES:
            raise HTTPException(404, f"no {item.name} today")
        self.basket.append(item)
        return {"cents": PRICES[item.name] * item.grams}

    @on_event
    def receipt(self, tip: Annotated[int, Field(ge=0)] = 0) -> dict[str, object]:
        """Add up; a plain function has a thread, and may block."""
        prices = [PRICES[item.name] * item.grams for item in self.basket]
        return {"items": self.basket, "cents": sum(prices) + tip}

    @on_event
    async def leave(self) -> None:
        """Empty the basket; who returns nothing answers nothing."""
        self.basket.clear()


app = FastAPI(routes=[WebSocketRoute("/shop", Shop)])


@Shop.on_event("menu")
async def tell_prices() -> dict[str, object]:
    """Come later: attached to the class, and without an endpoint."""
    return {"prices": PRICES}
