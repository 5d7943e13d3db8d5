"""ServerConfig: every setting of the bridge, checked when they are made.

Sizes are in bytes, times in seconds.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from ssl import SSLContext  # a field is called like its module
from typing import Any, Final, Literal

__all__ = ["ServerConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """The settings of one server; frozen, so that any number of servers can share it.

    Attributes:
        root_path: Where the application is mounted, as ``"/ws"``; "" for the root. The
            proxy in front cuts it off, ``path`` of each scope begins with it.
        ssl: What speaks TLS with the clients; None for plain TCP.
        max_message_size: Bytes of one client message after decompression, 0 for no
            limit; a longer one closes with 1009.
        max_header_bytes: Bytes of the whole head of a request.
        max_header_count: Header lines of a request.
        handshake_timeout: Seconds for the whole head of a request; as many before it
            for the handshake of TLS.
        close_timeout: Seconds for the closing handshake, and for a client to take the
            last bytes it is sent.
        ping_interval: Seconds between two pings, 0 for none.
        ping_timeout: Seconds that a client has to answer a ping.
        compression: Whether permessage-deflate is agreed to where a client offers it.
        max_queue: Messages that wait for the application; of their bytes about
            ``max_message_size`` at most. Beyond it the socket is not read.
        write_buffer: Bytes that may wait for a client before ``send`` waits.
        max_connections: Connections at a time, 0 for any number. An application that
            outlives its client counts.
        shutdown_timeout: Seconds for the applications to end at shutdown.
        lifespan: Whether the application is told of start and shutdown: "auto" if it
            takes part, "on" if it has to, "off" never.

    Raises:
        ValueError: If a value is none that its field allows; names field and values.
    """

    root_path: str = ""
    ssl: SSLContext | None = None
    max_message_size: int = 16 * 1024 * 1024
    max_header_bytes: int = 16_384
    max_header_count: int = 100
    handshake_timeout: float = 10.0
    close_timeout: float = 10.0
    ping_interval: float = 20.0
    ping_timeout: float = 20.0
    compression: bool = False
    max_queue: int = 32
    write_buffer: int = 65_536
    max_connections: int = 0
    shutdown_timeout: float = 10.0
    lifespan: Literal["auto", "on", "off"] = "auto"

    def __post_init__(self) -> None:
        for name, rule in _RULES.items():
            value = getattr(self, name)
            if not rule.admits(value):
                raise ValueError(
                    f"ServerConfig.{name} must be {rule.allowed}, got {value!r}"
                )


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a field may hold: how an error says it, and the test."""

    allowed: str
    admits: Callable[[Any], bool]


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    # the comparison is False for NaN too
    return _is_whole(value) or (isinstance(value, float) and abs(value) < math.inf)


def _is_mount(value: object) -> bool:
    return isinstance(value, str) and (
        value == "" or (value.startswith("/") and not value.endswith("/"))
    )


_LIMIT: Final = _Rule(
    "a whole number of at least 0 (0: unlimited)", lambda x: _is_whole(x) and x >= 0
)
_COUNT: Final = _Rule("a whole number of at least 1", lambda x: _is_whole(x) and x >= 1)
_PERIOD: Final = _Rule(
    "a number of seconds of at least 0 (0: never)",
    lambda x: _is_number(x) and x >= 0,
)
_DEADLINE: Final = _Rule(
    "a number of seconds above 0", lambda x: _is_number(x) and x > 0
)
_RULES: Final[dict[str, _Rule]] = {
    "root_path": _Rule(
        "'' or a path like '/ws', without a slash at its end", _is_mount
    ),
    "ssl": _Rule(
        "an ssl.SSLContext or None",
        lambda x: x is None or isinstance(x, SSLContext),
    ),
    "max_message_size": _LIMIT,
    "max_header_bytes": _COUNT,
    "max_header_count": _COUNT,
    "handshake_timeout": _DEADLINE,
    "close_timeout": _DEADLINE,
    "ping_interval": _PERIOD,
    "ping_timeout": _DEADLINE,
    "compression": _Rule("True or False", lambda x: isinstance(x, bool)),
    "max_queue": _COUNT,
    "write_buffer": _COUNT,
    "max_connections": _LIMIT,
    "shutdown_timeout": _DEADLINE,
    "lifespan": _Rule("'auto', 'on' or 'off'", lambda x: x in {"auto", "on", "off"}),
}
