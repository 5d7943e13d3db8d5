"""Origins: whether the web page behind a request may talk to this server.

A browser names a page's origin in each handshake and cross-site request, and a page
cannot change that. Who sends no ``Origin`` is no browser, and free to lie anyway.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from pondsocket.types import Headers

__all__ = ["cors_origin", "is_origin_allowed", "is_origin_rule"]

_ANY: Final = "*"
_NULL: Final = "null"
_DEFAULT_PORTS: Final = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_HOST_PORT: Final = (
    r"(?P<host>[a-z0-9._~%*-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{0,5}))?"
)
# ASCII only: by Unicode's rules the Kelvin sign is a "k" in another case.
_FLAGS: Final = re.ASCII | re.IGNORECASE
_AUTHORITY: Final = re.compile(_HOST_PORT, _FLAGS)
_ORIGIN: Final = re.compile(rf"(?P<scheme>[a-z][a-z0-9+.-]*)://{_HOST_PORT}", _FLAGS)


class _Origin(NamedTuple):
    scheme: str
    host: str
    port: int | None


def is_origin_allowed(
    headers: Headers, *, allowed_origins: Sequence[str], trust_forwarded: bool
) -> bool:
    """Tell whether a request may go on.

    It may without an ``Origin``, with the request's own origin, or with one that is
    listed. Own means the host and port that the request was sent to, whatever the
    scheme, since a proxy may have taken off the TLS.

    Args:
        headers: The request's headers.
        allowed_origins: Exact origins, ``https://*.example.com`` for any one label in
            place of the star, ``"null"``, or ``"*"`` for all.
        trust_forwarded: Whether ``X-Forwarded-Host`` stands for ``Host``.
    """
    origins = headers.get_all("origin")
    if not origins:
        return True
    if len(origins) > 1:  # RFC 6454, 7.3: never more than one
        return False
    if any(_is_listed(origins[0], rule) for rule in allowed_origins):
        return True
    return _is_own(origins[0], _asked_host(headers, trust_forwarded=trust_forwarded))


def cors_origin(
    headers: Headers, *, allowed_origins: Sequence[str], trust_forwarded: bool
) -> str | None:
    """Return the value for ``access-control-allow-origin``, None for no such header.

    The arguments are those of :func:`is_origin_allowed`. The answer varies with the
    request, so ``vary: origin`` belongs beside it.
    """
    origin = headers.get("origin")
    if origin is None or not is_origin_allowed(
        headers, allowed_origins=allowed_origins, trust_forwarded=trust_forwarded
    ):
        return None
    return origin


def is_origin_rule(rule: str) -> bool:
    """Tell whether ``rule`` can match at all; ``Options`` refuses one that cannot."""
    if rule in {_ANY, _NULL}:
        return True
    origin = _parse(rule)
    if origin is None:
        return False
    host = origin.host.removeprefix("*.")
    return host != "" and "*" not in host


def _is_listed(origin: str, rule: str) -> bool:
    if rule == _ANY or rule == origin == _NULL:
        return True
    found, listed = _parse(origin), _parse(rule)
    if found is None or listed is None:
        return False
    if listed.host.startswith("*."):
        label, dot, parent = found.host.partition(".")
        if not label:
            return False
        found = found._replace(host=f"*{dot}{parent}")
    return found == listed


def _is_own(origin: str, host: str | None) -> bool:
    found = _parse(origin)
    asked = _AUTHORITY.fullmatch(host or "")
    if found is None or found.port is None or asked is None:
        return False
    port = int(asked["port"] or _DEFAULT_PORTS.get(found.scheme, -1))
    return found.host == asked["host"].lower() and found.port == port


def _asked_host(headers: Headers, *, trust_forwarded: bool) -> str | None:
    if trust_forwarded:
        forwarded = headers.get("x-forwarded-host")
        if forwarded is not None:
            # Each proxy appends; the first is what the browser was told.
            return forwarded.partition(",")[0].strip()
    hosts = headers.get_all("host")
    return hosts[0] if len(hosts) == 1 else None


def _parse(text: str) -> _Origin | None:
    found = _ORIGIN.fullmatch(text)
    if found is None:
        return None
    scheme = found["scheme"].lower()
    port = int(found["port"]) if found["port"] else _DEFAULT_PORTS.get(scheme)
    return _Origin(scheme, found["host"].lower(), port)
