"""Draining: a server of a PondSocket, ended in the right order.

The clients are drained and the PondSocket is closed while the server still runs: one
that ended first would cut its clients off without a word.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from pondsocket import PondSocket

__all__ = ["serve_and_drain"]


async def serve_and_drain(
    pond: PondSocket,
    serving: Coroutine[Any, Any, object],
    *,
    grace: float,
    stop: asyncio.Event,
    end: Callable[[], None],
) -> None:
    """Run a server until ``stop`` is set, then drain and close ``pond`` and end it.

    If the server ends by itself, ``pond`` is closed, and what it raised is raised.

    Args:
        pond: What it serves.
        serving: The server.
        grace: Seconds for ``pond.drain``.
        stop: Wants the end.
        end: Tells the server to end.
    """
    server = asyncio.create_task(serving, name="pond-server")
    stopping = asyncio.create_task(stop.wait(), name="pond-stop")
    try:
        await asyncio.wait({server, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not server.done():
            await pond.drain(grace)
    finally:
        stopping.cancel()
        await pond.close()
        end()
        await server
