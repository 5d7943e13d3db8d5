"""Real hosts of ASGI applications, in the test's own loop."""

import asyncio
import contextlib
import socket

import uvicorn

from tests.adapters.bridge.serving import Server

__all__ = ["HOSTS", "Uvicorn"]


class Uvicorn(uvicorn.Server):
    """uvicorn that owns no signals and says when it listens."""

    def __init__(self, config):
        super().__init__(config)
        self.is_listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self):
        yield

    async def startup(self, sockets=None):
        await super().startup(sockets)
        self.is_listening.set()


@contextlib.asynccontextmanager
async def under_uvicorn(app):
    """Serve an application; yields the port."""
    config = uvicorn.Config(
        app,
        log_config=None,
        lifespan="off",
        ws="websockets-sansio",
        timeout_graceful_shutdown=5,
    )
    server = Uvicorn(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve([listener]))
        try:
            async with asyncio.timeout(5):
                await server.is_listening.wait()
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await serving


@contextlib.asynccontextmanager
async def under_the_bridge(app):
    """Serve an application; yields the port."""
    server = await Server(app, shutdown_timeout=5.0).start()
    try:
        yield server.port
    finally:
        await server.end()


HOSTS = {"uvicorn": under_uvicorn, "bridge": under_the_bridge}
