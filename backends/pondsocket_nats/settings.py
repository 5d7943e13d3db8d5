"""Settings: how a client must be connected, one of ours or a user's. No I/O."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

from nats.aio.client import Client

__all__ = ["Dial", "check_client", "connect_options"]

logger: logging.Logger = logging.getLogger(__name__)

_SCHEMES: Final = ("nats", "tls")

# Seconds, and counts. A dead server is noticed after three to four pings.
_OPTIONS: Final[dict[str, Any]] = {
    "name": "pondsocket",
    "allow_reconnect": True,
    "max_reconnect_attempts": -1,
    "reconnect_time_wait": 0.25,
    "connect_timeout": 1,
    "ping_interval": 1,
    "max_outstanding_pings": 2,
    "pending_size": -1,  # publishing while away fails instead of being buffered
}


@dataclass(frozen=True, slots=True)
class Dial:
    """Stands for clients that are still to be made: how they are connected.

    Attributes:
        options: Keywords of ``Client.connect``, callbacks apart.
    """

    options: Mapping[str, Any]


def connect_options(url: str) -> dict[str, Any]:
    """Return the keywords of ``Client.connect`` for a URL.

    ``nats://[user:password@ | token@]host[:port][,host[:port]...]``; ``tls://`` refuses
    a server without TLS. Name and password are percent-decoded and hold for all the
    servers, and no message here repeats them.

    Raises:
        ValueError: If it is not such a URL.
    """
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower() if separator else ""
    if scheme not in _SCHEMES:
        raise ValueError(f"expected nats://host or tls://host, got scheme {scheme!r}")
    parts = [_split(scheme, server) for server in rest.split(",")]
    credentials = {part.netloc.rpartition("@")[0] for part in parts} - {""}
    if len(credentials) > 1:
        raise ValueError("a URL of several servers can hold one user, not several")
    hosts = [part.netloc.rpartition("@")[2] for part in parts]
    servers = [f"{scheme}://{host}" for host in hosts]
    return {**_OPTIONS, "servers": servers, **_login(credentials)}


def check_client(client: Client) -> None:
    """Refuse a client that cannot serve, and warn of settings that weaken it.

    Raises:
        ValueError: If it was never connected, is closed, hears nothing of its own
            (``no_echo``) or gives up its first lost connection (``allow_reconnect``).
    """
    if not (client.is_connected or client.is_reconnecting or client.is_connecting):
        raise ValueError(
            "the client must be connected: await client.connect(...) comes first"
        )
    if client.options["no_echo"]:
        raise ValueError(
            "the client must be connected without no_echo: "
            "a node hears what it published itself"
        )
    if not client.options["allow_reconnect"]:
        raise ValueError("the client must be connected with allow_reconnect=True")
    weak = [
        f"{name}={client.options[name]!r} (better {_OPTIONS[name]!r})"
        for name in ("max_reconnect_attempts", "reconnect_time_wait")
        if not _is_good(name, client.options[name])
    ]
    if weak:
        logger.warning("the nats client may stay away for long: %s", ", ".join(weak))


def _is_good(name: str, value: float) -> bool:
    return value < 0 if name == "max_reconnect_attempts" else value <= 1


def _split(scheme: str, server: str) -> SplitResult:
    # "nats://a,nats://b" is how other clients write it
    text = f"{scheme}://{server.strip().removeprefix(f'{scheme}://')}"
    with suppress(ValueError):  # its text would repeat the password
        part = urlsplit(text)
        has_more = part.path.strip("/") or part.query or part.fragment
        if part.hostname and part.port != 0 and not has_more:
            return part
    raise ValueError(
        f"expected {scheme}://host[:port][,host[:port]...]; what is special in a user "
        "or password must be percent-encoded"
    )


def _login(credentials: set[str]) -> dict[str, str]:
    if not credentials:
        return {}
    user, separator, password = credentials.pop().partition(":")
    if not separator:
        return {"token": unquote(user)}
    return {"user": unquote(user), "password": unquote(password)}
