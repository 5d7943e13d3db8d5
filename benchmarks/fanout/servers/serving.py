"""What all the servers have in common: a port, and an end.

Only the standard library is imported: each server runs in an environment of its own.
"""

import asyncio
import os
import resource
import socket
import sys
from collections.abc import Callable

__all__ = ["HELLO", "announce", "listen", "raise_limits", "run"]

HELLO = "hello"  # to a client of the bare servers, once it is a member
BACKLOG = 1024


def listen() -> socket.socket:
    """Return a listening socket on a free port of loopback."""
    # with its protocol named: to others asyncio does not give TCP_NODELAY
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def announce(port: int) -> None:
    """Tell who started this process where it listens."""
    print(port, flush=True)


def raise_limits() -> None:
    """Allow as many open files as may be had."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def run(serve: Callable[[socket.socket], object]) -> None:
    """Run ``await serve(listener)`` on asyncio's loop until standard input ends.

    The process then ends at once: nobody measures how.
    """
    raise_limits()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(sys.stdin, os._exit, 0)
        listener = listen()
        announce(listener.getsockname()[1])
        await serve(listener)

    asyncio.run(main())
