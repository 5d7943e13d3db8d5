"""What serves in a task of the test, until it is told to stop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Self

from pondsocket import PondSocket
from pondsocket.cli import Adapter

__all__ = ["Running", "ServingTask", "served"]

PAGES = {"/": ("text/html", b"<h1>hi</h1>"), "/app.js": ("text/javascript", b"x=1")}


class ServingTask:
    """A coroutine that serves; it is given ``stop``, and tells :meth:`note` the port.

    Attributes:
        stop: Ends it.
        ready: Set once clients can connect.
        port: Where, by then; 0 before.
        task: The serving.
    """

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.ready = asyncio.Event()
        self.port = 0
        self.task: asyncio.Task[None] | None = None

    async def run(self, serving: Coroutine[Any, Any, None]) -> None:
        """Return once it is ready, or has ended instead."""
        self.task = asyncio.create_task(serving, name="serve")
        ready = asyncio.create_task(self.ready.wait())
        await asyncio.wait(
            {ready, self.task}, timeout=5, return_when=asyncio.FIRST_COMPLETED
        )
        ready.cancel()

    def note(self, port: int) -> None:
        self.port = port
        self.ready.set()

    async def end(self) -> None:
        """Stop the serving; raise what it ended with."""
        self.stop.set()
        async with asyncio.timeout(10):
            await self.task


class Running(ServingTask):
    """An adapter's ``serve`` for ``pondsocket serve``."""

    def __init__(self, serve: Adapter, pond: PondSocket) -> None:
        super().__init__()
        self._serve = serve
        self._pond = pond

    async def start(self, **changes: Any) -> Self:
        """Return once it is ready, or has ended instead."""
        settings = {
            "host": "127.0.0.1",
            "port": 0,
            "pages": PAGES,
            "grace": 0.0,
            "stop": self.stop,
            "on_ready": self.note,
        }
        await self.run(self._serve(self._pond, **settings | changes))
        return self

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/socket"


@contextlib.asynccontextmanager
async def served(
    serve: Adapter, pond: PondSocket, **changes: Any
) -> AsyncIterator[int]:
    """Serve as ``pondsocket serve`` does; yields the port."""
    running = await Running(serve, pond).start(**changes)
    try:
        assert running.ready.is_set()
        yield running.port
    finally:
        await running.end()
