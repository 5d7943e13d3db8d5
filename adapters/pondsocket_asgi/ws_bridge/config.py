"""ServerConfig: every setting of the bridge, checked when they are made.

Sizes are in bytes, times in seconds.
"""

from dataclasses import dataclass
from ssl import SSLContext  # a field is called like its module
from typing import Annotated, Literal

from pondsocket.web import (
    Count,
    Deadline,
    Limit,
    Period,
    Rule,
    Switch,
    check_settings,
)

__all__ = ["ServerConfig"]


def _is_mount(value: object) -> bool:
    return isinstance(value, str) and (
        value == "" or (value.startswith("/") and not value.endswith("/"))
    )


_Mount = Annotated[
    str, Rule("'' or a path like '/ws', without a slash at its end", _is_mount)
]
_TLS = Annotated[
    SSLContext | None,
    Rule("an ssl.SSLContext or None", lambda x: x is None or isinstance(x, SSLContext)),
]
_Lifespan = Annotated[
    Literal["auto", "on", "off"],
    Rule("'auto', 'on' or 'off'", lambda x: x in {"auto", "on", "off"}),
]


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

    root_path: _Mount = ""
    ssl: _TLS = None
    max_message_size: Limit = 16 * 1024 * 1024
    max_header_bytes: Count = 16_384
    max_header_count: Count = 100
    handshake_timeout: Deadline = 10.0
    close_timeout: Deadline = 10.0
    ping_interval: Period = 20.0
    ping_timeout: Deadline = 20.0
    compression: Switch = False
    max_queue: Count = 32
    write_buffer: Count = 65_536
    max_connections: Limit = 0
    shutdown_timeout: Deadline = 10.0
    lifespan: _Lifespan = "auto"

    def __post_init__(self) -> None:
        check_settings(self)
