"""A load of echoes that costs its client next to nothing.

The frames are made before; of what comes back only the number of bytes is looked at,
and the very first answer as a whole. It speaks just what it needs of RFC 6455, on
loopback.
"""

import base64
import os
import select
import socket
import time

__all__ = ["WrongEchoError", "load"]

MASK = os.urandom(4)
WHOLE_TEXT = 0x81
SHORT = 125  # the longest payload whose length is in the second byte
MASKED, MEDIUM = 0x80, 126
DEADLINE = 10.0  # seconds without any answer


class WrongEchoError(Exception):
    """What came back is not what was sent."""


def frame(payload: bytes, mask: bytes = b"") -> bytes:
    """Return a text frame of at most 65,535 bytes, masked if there is a mask."""
    size = len(payload)
    bit = MASKED if mask else 0
    if size <= SHORT:
        head = bytes((WHOLE_TEXT, bit | size))
    else:
        head = bytes((WHOLE_TEXT, bit | MEDIUM)) + size.to_bytes(2, "big")
    if mask:
        keys = (mask * (size // 4 + 1))[:size]
        payload = bytes(a ^ b for a, b in zip(payload, keys, strict=True))
    return head + mask + payload


def connect(port: int) -> socket.socket:
    """Return an open WebSocket."""
    dialled = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
    dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = base64.b64encode(os.urandom(16)).decode()
    dialled.sendall(
        f"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        data = dialled.recv(4096)
        if not data:
            raise WrongEchoError(f"the handshake was answered with {answer!r}")
        answer += data
    if b" 101 " not in answer:
        raise WrongEchoError(f"the handshake was answered with {answer!r}")
    return dialled


def check(opened: socket.socket, payload: bytes) -> None:
    """Send one message and compare its echo.

    Raises:
        WrongEchoError: If it is another.
    """
    opened.sendall(frame(payload, MASK))
    wanted, answer = frame(payload), b""
    while len(answer) < len(wanted) and (data := opened.recv(65_536)):
        answer += data
    if answer != wanted:
        raise WrongEchoError(f"expected {wanted[:80]!r}, got {answer[:80]!r}")


def load(
    port: int, *, connections: int, size: int, at_once: int, seconds: float
) -> tuple[int, float]:
    """Let clients send as soon as they have all their echoes.

    Args:
        port: The server's.
        connections: How many clients.
        size: Bytes of a message.
        at_once: Messages that a client sends in one write.
        seconds: How long; blocks for so long.

    Returns:
        How many echoes came, and in how many seconds.

    Raises:
        WrongEchoError: If an echo is wrong, or none comes for ten seconds.
    """
    payload = bytes(ord("a") + number % 26 for number in range(size))
    clients = [connect(port) for _ in range(connections)]
    try:
        for each in clients:
            check(each, payload)
        return _rally(clients, payload, at_once, seconds)
    finally:
        for each in clients:
            each.close()


def _rally(
    clients: list[socket.socket], payload: bytes, at_once: int, seconds: float
) -> tuple[int, float]:
    batch = frame(payload, MASK) * at_once
    whole = len(frame(payload)) * at_once
    by_number = {each.fileno(): each for each in clients}
    missing = dict.fromkeys(by_number, whole)
    answered = 0
    with select.epoll() as poll:
        for number in by_number:
            poll.register(number, select.EPOLLIN)
        began = time.perf_counter()
        until = began + seconds
        for each in clients:
            each.sendall(batch)
        while (now := time.perf_counter()) < until:
            ready = poll.poll(DEADLINE)
            if not ready:
                raise WrongEchoError(f"no echo for {DEADLINE} seconds")
            for number, _ in ready:
                client = by_number[number]
                got = len(client.recv(262_144))
                missing[number] -= got
                if not got or missing[number] < 0:
                    raise WrongEchoError("a client was cut off, or got too much")
                if not missing[number]:
                    missing[number] = whole
                    answered += at_once
                    client.sendall(batch)
    return answered, now - began
