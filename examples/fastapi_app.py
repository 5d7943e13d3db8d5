"""A chat inside a FastAPI application, and news from a plain route.

    uvicorn fastapi_app:app

Connect to ws://127.0.0.1:8000/ws/socket and join /news; whatever is posted to /news
arrives there.
"""

from fastapi import FastAPI
from pydantic import BaseModel

from pondsocket import ConnectionContext, JoinContext, PondSocket
from pondsocket_asgi import PondASGIApp, lifespan

pond = PondSocket()


async def connect(ctx: ConnectionContext) -> None:
    """Let everybody in."""
    ctx.accept()


async def join(ctx: JoinContext) -> None:
    """Let everybody read the news."""
    await ctx.accept()


# paths below the mount
endpoint = pond.create_endpoint("/socket", connect)
endpoint.create_channel("/news", join)

# a mounted application hears of no shutdown, so the outer one closes the pond
app = FastAPI(lifespan=lifespan(pond))
app.mount("/ws", PondASGIApp(pond))


class News(BaseModel):
    """What a client posts."""

    headline: str


@app.post("/news", status_code=202)
async def publish(news: News) -> None:
    """Tell everybody who reads the news."""
    await pond.broadcast("/socket", "/news", "published", news.model_dump())
