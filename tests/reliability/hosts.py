"""Real uvicorns: in this process where a test looks inside, else in one of their own.

A process of its own is what memory is measured of.
"""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import uvicorn

from pondsocket import PondSocket
from pondsocket_asgi import PondASGIApp
from tests.reliability.clients import eventually, hang_up_all, tcp_socket

HERE = Path(__file__).parent
WEBSOCKETS = ("websockets", "websockets-sansio", "wsproto")  # uvicorn's own names
DEFAULT = "websockets-sansio"
PATIENCE = 30.0  # seconds for a process to start, to answer and to end


class Uvicorn(uvicorn.Server):
    """A uvicorn that says when it listens, and stops when it is told to, at once."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self.stopping = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self):
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.stopping.wait()

    async def stop(self) -> None:
        """Stop as soon as the sockets are closed whose clients hung up."""
        with contextlib.suppress(TimeoutError):
            await eventually(lambda: not self.server_state.connections, 1.0)
        self.stopping.set()


def listen(send_buffer: int | None = None) -> socket.socket:
    """Return a socket on a free port of loopback.

    Args:
        send_buffer: Bytes that the kernel may keep for each client (it doubles them);
            None lets it grow to some megabytes.
    """
    listener = tcp_socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if send_buffer is not None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    listener.bind(("127.0.0.1", 0))
    return listener


def configure(app: Any, ws: str, **settings: Any) -> uvicorn.Config:
    """Return uvicorn's configuration, loaded.

    Loading is where uvicorn warns that the first of its WebSocket implementations is
    deprecated; it is the default of many installations, so it is tested.
    """
    config = uvicorn.Config(
        app,
        ws=ws,  # type: ignore[arg-type]
        **{
            "lifespan": "on",
            "log_config": None,
            "access_log": False,
            "timeout_graceful_shutdown": 1,
            **settings,
        },
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config.load()
    return config


@contextlib.asynccontextmanager
async def serving(
    pond: PondSocket,
    ws: str = DEFAULT,
    *,
    send_buffer: int | None = None,
    **settings: Any,
) -> AsyncIterator[int]:
    """Serve in this event loop, yield the port; hang up all clients, and end."""
    server = Uvicorn(configure(PondASGIApp(pond), ws, **settings))
    listener = listen(send_buffer)
    task = asyncio.create_task(server.serve([listener]), name="uvicorn")
    await server.listening.wait()
    try:
        yield listener.getsockname()[1]
    finally:
        await hang_up_all()
        await server.stop()
        await task
        listener.close()


class ServerProcess:
    """``server.py`` beside this file, running."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.port = port
        self._process = process
        self._lock = asyncio.Lock()
        self._statistics = psutil.Process(process.pid)

    @property
    def resident(self) -> int:
        """Bytes of memory that it holds now."""
        return self._statistics.memory_info().rss

    async def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Let it do something outside of any connection, and return what it says."""
        async with self._lock, asyncio.timeout(PATIENCE):
            question = json.dumps({"do": do, **arguments})
            self._process.stdin.write(question.encode() + b"\n")
            await self._process.stdin.drain()
            return json.loads(await self._process.stdout.readline())


@contextlib.asynccontextmanager
async def server_process(
    ws: str = DEFAULT, *, send_buffer: int | None = None, **options: Any
) -> AsyncIterator[ServerProcess]:
    """Run ``server.py`` with uvicorn's ``ws`` and our ``options``; end as above."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / "server.py"),
        json.dumps({"ws": ws, "send_buffer": send_buffer, "options": options}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        async with asyncio.timeout(PATIENCE):
            port = int(await process.stdout.readline())
        yield ServerProcess(process, port)
    finally:
        await hang_up_all()
        process.stdin.close()
        try:
            async with asyncio.timeout(PATIENCE):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
