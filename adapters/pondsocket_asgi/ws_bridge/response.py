"""Response: the bytes that answer a handshake, whether with 101 or with HTTP. No I/O.

h11 checks every name and value, so no header of an application can begin a line of its
own.
"""

from collections.abc import Collection, Iterable
from http import HTTPStatus
from typing import Final

import h11
from wsproto.utilities import generate_accept_token

from pondsocket_asgi.ws_bridge.request import is_token

__all__ = ["render_acceptance", "render_head", "render_response"]

_HANDSHAKE_FIELDS: Final = frozenset(
    {
        b"connection",
        b"content-length",
        b"sec-websocket-accept",
        b"sec-websocket-extensions",
        b"sec-websocket-protocol",
        b"transfer-encoding",
        b"upgrade",
    }
)
_CONNECTION_FIELDS: Final = frozenset(  # RFC 9110 7.6.1: of one connection, so ours
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_LAST_STATUS = 599  # RFC 9110 15
_WITHOUT_BODY: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


def render_acceptance(
    ws_key: bytes,
    *,
    subprotocol: str | None,
    extensions: str | None,
    headers: Iterable[tuple[bytes, bytes]],
) -> bytes:
    """Return the 101 that ends the handshake (RFC 6455 4.2.2); frames follow it.

    Args:
        ws_key: The client's ``Sec-WebSocket-Key``.
        subprotocol: The one agreed on.
        extensions: The text of ``Sec-WebSocket-Extensions``.
        headers: The application's own.

    Raises:
        ValueError: If a header is malformed or one that the handshake sets itself;
            names it. If the subprotocol is no token.
    """
    fields = [
        (b"upgrade", b"websocket"),
        (b"connection", b"upgrade"),
        (b"sec-websocket-accept", generate_accept_token(ws_key)),
    ]
    if subprotocol is not None:
        if not is_token(subprotocol):
            raise ValueError(f"expected a token as subprotocol, got {subprotocol!r}")
        fields.append((b"sec-websocket-protocol", subprotocol.encode("ascii")))
    if extensions is not None:
        fields.append(_field(b"sec-websocket-extensions", extensions.encode("ascii")))
    for header in headers:
        name, value = _field(*header)
        if name in _HANDSHAKE_FIELDS:
            raise ValueError(f"header {name!r}: the handshake sets it itself")
        fields.append((name, value))
    return _render(HTTPStatus.SWITCHING_PROTOCOLS, fields)


def render_response(
    status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes | None
) -> bytes:
    """Return a whole response, after which the connection ends.

    Headers about the connection are dropped as in :func:`render_head`, and
    ``content-length`` is what ``body`` says.

    Raises:
        ValueError: If a header is malformed; names it. If the status is not 200 to 599,
            or is one that has no body (RFC 9110 15.3.5, 15.4.5) and comes with one.
    """
    fields = _kept(status, headers, _CONNECTION_FIELDS | {b"content-length"})
    if status not in _WITHOUT_BODY:
        fields.append((b"content-length", str(len(body or b"")).encode()))
    elif body:
        raise ValueError(f"expected no body with status {status}")
    return _render(status, fields) + (body or b"")


def render_head(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the head of a response whose body follows and ends with the connection.

    Headers about the connection are dropped; an application's ``content-length`` stays,
    and it is for the caller to see that the body keeps to it. ``upgrade`` stays with
    426, which must have it (RFC 9110 15.5.22).

    Raises:
        ValueError: If a header is malformed or a second ``content-length``; names it.
            If the status is not 200 to 599.
    """
    return _render(status, _kept(status, headers, _CONNECTION_FIELDS))


def _kept(
    status: int, headers: Iterable[tuple[bytes, bytes]], dropped: Collection[bytes]
) -> list[tuple[bytes, bytes]]:
    """Return what stays of an application's headers, and the end of the connection."""
    if not HTTPStatus.OK <= status <= _LAST_STATUS:
        raise ValueError(f"expected a status of 200 to {_LAST_STATUS}, got {status!r}")
    fields: list[tuple[bytes, bytes]] = []
    options = b"close"
    for name, value in headers:
        if name.lower() == b"upgrade" and status == HTTPStatus.UPGRADE_REQUIRED:
            options = b"close, upgrade"  # RFC 9110 7.8
        elif name.lower() in dropped:
            continue
        fields.append(_field(name, value))
    lengths = [value for name, value in fields if name == b"content-length"]
    if len(lengths) > 1:
        raise ValueError(f"header b'content-length': expected one, got {lengths!r}")
    return [*fields, (b"connection", options)]


def _field(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """Return a header checked, its name in lower case, no space around its value."""
    header = (name.lower(), value.strip(b" \t"))  # RFC 9110 5.5
    try:
        event = h11.InformationalResponse(status_code=101, headers=[header])
    except h11.LocalProtocolError as error:
        raise ValueError(f"header {name!r}: {error}") from error
    return event.headers[0]


def _render(status: int, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    lines = [f"HTTP/1.1 {status:d} {_phrase(status)}".encode("ascii")]
    lines += [b"%b: %b" % field for field in fields]
    return b"\r\n".join([*lines, b"", b""])


def _phrase(status: int) -> str:
    """Return what a status is called; RFC 9112 4 lets the name of others be empty."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
