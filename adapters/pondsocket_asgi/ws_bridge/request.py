"""RequestReceived: the head of a client's handshake, read and checked. No I/O.

Reading ends with the head: a WebSocket handshake has no body, and what follows it are
frames already::

    reader = RequestReader(config)
    request = reader.receive(data)  # None until the head is complete
    key = check_handshake(request)
    ...  # and `reader.trailing` are the first frames
"""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import h11

from pondsocket_asgi.ws_bridge.config import ServerConfig

__all__ = [
    "HandshakeError",
    "RequestReader",
    "RequestReceived",
    "check_handshake",
    "find_extension_offers",
    "find_subprotocols",
    "is_token",
]

_BAD_REQUEST = 400  # RFC 9110 15.5
_UPGRADE_REQUIRED = 426
_HEAD_TOO_LARGE = 431  # RFC 6585 5
_KEY_BYTES = 16  # RFC 6455 4.1
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 5.6.2
# RFC 9112 3.2.2: a proxy's client names scheme and host; a path may be missing
_ABSOLUTE_FORM: Final = re.compile(
    rb"(?:https?|wss?)://[^/?#]+(?P<rest>.*)", re.IGNORECASE | re.DOTALL
)
# a comma inside quotes divides nothing (RFC 9110 5.6.4); quotes left open take the rest
_ELEMENT: Final = re.compile(r'(?:"(?:\\.|[^"\\])*"?|[^,])+')


class HandshakeError(Exception):
    """A request that is no WebSocket handshake: what the client gets to read.

    Attributes:
        status: Of the HTTP answer, 400 to 499.
        message: Plain text, without anything that the client sent.
        headers: What the answer must carry, names in lower case.
    """

    status: int
    message: str
    headers: tuple[tuple[bytes, bytes], ...]

    def __init__(
        self, status: int, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers


@dataclass(frozen=True, slots=True)
class RequestReceived:
    """The head of a request, as it came.

    Attributes:
        target: What stands between method and version.
        headers: All of them in their order, names in lower case.
        method: As it came; methods are case-sensitive.
        http_version: As ``"1.1"``.
    """

    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    method: bytes = b"GET"
    http_version: str = "1.1"

    def get_all(self, name: bytes) -> list[bytes]:
        """Return the values of the headers with this name, given in lower case."""
        return [value for each, value in self.headers if each == name]

    @property
    def raw_path(self) -> bytes:
        """The path of the target: not decoded, without scheme, host and query."""
        return self._split_target()[0]

    @property
    def query_string(self) -> bytes:
        """What follows the first ``?`` of the target, not decoded."""
        return self._split_target()[1]

    def _split_target(self) -> tuple[bytes, bytes]:
        absolute = _ABSOLUTE_FORM.fullmatch(self.target)
        relative = absolute["rest"] if absolute else self.target
        path, _, query = relative.partition(b"?")
        return path or b"/", query


class RequestReader:
    """Reads one request head out of the bytes of a client."""

    def __init__(self, config: ServerConfig) -> None:
        self._max_bytes = config.max_header_bytes
        self._max_count = config.max_header_count
        self._received = 0
        self._parser = h11.Connection(
            h11.SERVER, max_incomplete_event_size=config.max_header_bytes
        )

    @property
    def trailing(self) -> bytes:
        """What came behind the head, once that is complete."""
        return self._parser.trailing_data[0]

    def receive(self, data: bytes) -> RequestReceived | None:
        """Take what the client sent next; return the request once its head is complete.

        Not to be called again after it returned a request or raised.

        Args:
            data: Any piece; an empty one changes nothing.

        Raises:
            HandshakeError: With 431 for a head beyond the limits, with 400 for one that
                is malformed.
        """
        if not data:
            return None
        self._received += len(data)
        self._parser.receive_data(data)
        try:
            event = self._parser.next_event()
        except h11.RemoteProtocolError as error:
            raise _explain(error) from error
        if not isinstance(event, h11.Request):
            return None
        self._check_size(event)
        return RequestReceived(
            target=event.target,
            headers=tuple(event.headers),
            method=event.method,
            http_version=event.http_version.decode("ascii"),
        )

    def _check_size(self, event: h11.Request) -> None:
        """Hold a head that came in one piece against the limits, too."""
        if self._received - len(self.trailing) > self._max_bytes:
            raise HandshakeError(_HEAD_TOO_LARGE, "the request head is too long")
        if len(event.headers) > self._max_count:
            raise HandshakeError(_HEAD_TOO_LARGE, "too many headers")


def check_handshake(request: RequestReceived) -> bytes:
    """Return the key of a WebSocket handshake (RFC 6455 4.2.1).

    Raises:
        HandshakeError: With 426 for a plain HTTP request and for another version of the
            WebSocket protocol, else with 400.
    """
    if not request.get_all(b"upgrade"):
        raise HandshakeError(
            _UPGRADE_REQUIRED,
            "expected a WebSocket handshake",
            ((b"upgrade", b"websocket"),),  # RFC 9110 15.5.22
        )
    _check_framing(request)
    _check_upgrade(request)
    _check_version(request)
    _check_subprotocols(request)
    return _read_key(request)


def find_subprotocols(request: RequestReceived) -> list[str]:
    """Return the subprotocols that the client asked for, in its order."""
    return list(_elements(request, b"sec-websocket-protocol"))


def find_extension_offers(request: RequestReceived) -> list[str]:
    """Return the client's extension offers with their parameters, in its order."""
    return list(_elements(request, b"sec-websocket-extensions"))


def is_token(text: str) -> bool:
    """Tell whether a text is a token of HTTP: ASCII, no space, no separator."""
    return _TOKEN.fullmatch(text) is not None


def _elements(request: RequestReceived, name: bytes) -> Iterator[str]:
    """Yield the elements of a list header over all its lines.

    Empty ones are passed over (RFC 9110 5.6.1.2).
    """
    for value in request.get_all(name):
        for element in _ELEMENT.findall(value.decode("latin-1")):
            if stripped := element.strip(" \t"):
                yield stripped


def _explain(error: h11.RemoteProtocolError) -> HandshakeError:
    if error.error_status_hint == _HEAD_TOO_LARGE:
        return HandshakeError(_HEAD_TOO_LARGE, "the request head is too long")
    return HandshakeError(_BAD_REQUEST, "the request is malformed")


def _check_framing(request: RequestReceived) -> None:
    if request.http_version != "1.1":
        raise HandshakeError(_BAD_REQUEST, "expected HTTP/1.1")
    lengths = request.get_all(b"content-length")
    if request.get_all(b"transfer-encoding") or any(each != b"0" for each in lengths):
        raise HandshakeError(_BAD_REQUEST, "expected a request without a body")
    if len(request.get_all(b"host")) != 1:  # RFC 9112 3.2
        raise HandshakeError(_BAD_REQUEST, "expected one Host header")


def _check_upgrade(request: RequestReceived) -> None:
    if request.method != b"GET":
        raise HandshakeError(_BAD_REQUEST, "expected the method GET")
    if not (request.target.startswith(b"/") or _ABSOLUTE_FORM.match(request.target)):
        raise HandshakeError(_BAD_REQUEST, "expected a path")  # RFC 9112 3.2
    if len(request.get_all(b"upgrade")) > 1 or not _has_option(
        request, b"upgrade", "websocket"
    ):
        raise HandshakeError(_BAD_REQUEST, "expected 'Upgrade: websocket'")
    if not _has_option(request, b"connection", "upgrade"):
        raise HandshakeError(_BAD_REQUEST, "expected 'Connection: Upgrade'")


def _has_option(request: RequestReceived, name: bytes, option: str) -> bool:
    return option in (element.lower() for element in _elements(request, name))


def _check_version(request: RequestReceived) -> None:
    versions = request.get_all(b"sec-websocket-version")
    if len(versions) > 1:
        raise HandshakeError(_BAD_REQUEST, "expected one Sec-WebSocket-Version header")
    if versions != [b"13"]:  # none at all: a draft from before there were versions
        raise HandshakeError(
            _UPGRADE_REQUIRED,
            "expected version 13 of the WebSocket protocol",
            # RFC 6455 4.4, RFC 9110 15.5.22
            ((b"upgrade", b"websocket"), (b"sec-websocket-version", b"13")),
        )


def _check_subprotocols(request: RequestReceived) -> None:
    asked = find_subprotocols(request)
    if not all(map(is_token, asked)):
        raise HandshakeError(_BAD_REQUEST, "expected a token for each subprotocol")
    if len(set(asked)) < len(asked):  # RFC 6455 4.1
        raise HandshakeError(_BAD_REQUEST, "expected each subprotocol once")


def _read_key(request: RequestReceived) -> bytes:
    keys = request.get_all(b"sec-websocket-key")
    if len(keys) != 1:
        raise HandshakeError(_BAD_REQUEST, "expected one Sec-WebSocket-Key header")
    try:
        nonce = base64.b64decode(keys[0], validate=True)
    except binascii.Error:
        nonce = b""
    if len(nonce) != _KEY_BYTES:
        raise HandshakeError(
            _BAD_REQUEST, "expected a Sec-WebSocket-Key of 16 bytes in base64"
        )
    return keys[0]
