"""Listening: the sockets that `pondsocket serve` gives to a server."""

import asyncio
import os
import socket
import sys
from collections.abc import Iterable
from errno import EADDRNOTAVAIL

from pondsocket.options import Options

__all__ = ["BACKLOG", "close_sockets", "open_sockets"]

BACKLOG = 2048  # clients that come back at once after a restart


async def open_sockets(host: str, port: int, options: Options) -> list[socket.socket]:
    """Return bound sockets for all addresses of ``host``, with one port for all.

    They do not listen yet: that is the server's to start, with ``BACKLOG``. The kernel
    ends connections on them whose client vanished.

    Args:
        host: A name or an address, "" for all.
        port: 0 for any free one.
        options: ``send_timeout`` and ``pong_wait`` say when a client has vanished.

    Raises:
        OSError: If the address cannot be listened on; names the address.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            bound = _bind_one(
                socket.socket(family, kind, protocol), (address[0], port, *address[2:])
            )
            if bound is not None:
                sockets.append(bound)
                port = bound.getsockname()[1]
    except OSError as exc:
        close_sockets(sockets)
        raise _cannot_listen(host, port, exc.errno) from exc
    if not sockets:
        raise _cannot_listen(host, port, EADDRNOTAVAIL)
    for each in sockets:
        _end_what_nobody_acknowledges(each, options)
    return sockets


def _bind_one(
    unbound: socket.socket, address: tuple[object, ...]
) -> socket.socket | None:
    """Bind a socket; None if this machine has no such address (IPv6, mostly)."""
    if (
        sys.platform != "win32"
    ):  # pragma: no branch - there it would allow two servers on one port
        unbound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if unbound.family == socket.AF_INET6:  # 0.0.0.0 has a socket of its own
        unbound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        unbound.bind(address)
    except OSError as exc:
        unbound.close()
        if exc.errno == EADDRNOTAVAIL:
            return None
        raise
    return unbound


def _end_what_nobody_acknowledges(listening: socket.socket, options: Options) -> None:
    """Have the kernel end connections whose client vanished (RFC 5482).

    An event stream has no ping: what it sends now and then, nobody would acknowledge
    for a quarter of an hour.
    """
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # pragma: no branch - Linux
        milliseconds = round((options.send_timeout + options.pong_wait) * 1000)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


def _cannot_listen(host: str, port: int, number: int | None) -> OSError:
    reason = os.strerror(number or 0)
    return OSError(number, f"cannot listen on {host}:{port}: {reason}")


def close_sockets(sockets: Iterable[socket.socket]) -> None:
    """Close what :func:`open_sockets` returned."""
    for each in sockets:
        each.close()
