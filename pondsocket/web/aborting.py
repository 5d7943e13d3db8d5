"""Aborting: cutting a connection off at any time, even when it has just ended."""

import asyncio

__all__ = ["abort"]


def abort(wire: asyncio.WriteTransport) -> None:
    """Drop a connection and what waits for its client; never raises.

    asyncio's own transports raise AttributeError from ``abort`` once they have let go
    of their loop (or, over TLS, of their protocol), which nobody can see before.
    """
    try:
        wire.abort()
    except AttributeError:  # it is gone already
        return
