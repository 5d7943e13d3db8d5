"""Lifespan: closing a PondSocket when its host shuts down."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

from pondsocket import PondSocket
from pondsocket_asgi.scope import Receive, Send

__all__ = ["Lifespan", "lifespan", "serve_lifespan"]

logger: logging.Logger = logging.getLogger(__name__)

Lifespan: TypeAlias = Callable[[Any], AbstractAsyncContextManager[Any]]


def lifespan(pond: PondSocket, inner: Lifespan | None = None) -> Lifespan:
    """Return a lifespan for the application that ``pond`` is mounted in.

    A mounted application hears nothing of start and shutdown, so the outer one closes
    ``pond``::

        app = FastAPI(lifespan=lifespan(pond))  # Starlette alike
        app = Litestar(lifespan=[lifespan(pond)])

    Args:
        pond: Closed at shutdown.
        inner: The application's own lifespan. What it opened is still there while the
            leave handlers of ``pond`` run, and its state is handed on.
    """

    @asynccontextmanager
    async def run(app: Any) -> AsyncIterator[Any]:  # noqa: ANN401 - the framework's own
        """Yield what ``inner`` yields, close ``pond`` before it ends."""
        if inner is None:
            try:
                yield None
            finally:
                await pond.close()
        else:
            async with inner(app) as state:
                try:
                    yield state
                finally:
                    await pond.close()

    return run


async def serve_lifespan(pond: PondSocket, receive: Receive, send: Send) -> None:
    """Answer the host's lifespan messages: nothing to start, ``pond`` to close."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            break
    try:
        await pond.close()
    except Exception as exc:  # the host logs the text and ends
        logger.exception("closing failed")
        await send({"type": "lifespan.shutdown.failed", "message": str(exc)})
    else:
        await send({"type": "lifespan.shutdown.complete"})
