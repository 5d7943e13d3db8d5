"""The wire: Events as the bytes that travel, and what comes in as Events again.

Everything that turns bytes into Events or back goes through a :class:`Codec`. There is
one, :data:`JSON_CODEC`, the JSON of the stock clients::

    {"action":"BROADCAST","event":"message","channelName":"/chat/42",
     "requestId":"f81d4fae-7dec-11d0-a765-00a0c91e6bf6","payload":{"text":"hi"}}
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Final, Protocol, overload

import msgspec

from pondsocket.client_message import check_limits, read_message, wire_to_event
from pondsocket.errors import (
    BadRequest,
    EncodingError,
    InternalError,
    PondError,
    ValidationError,
)
from pondsocket.ids import uuid
from pondsocket.types import (
    Event,
    PondMessage,
    ServerActions,
    SystemEntity,
    SystemEvents,
)

__all__ = [
    "JSON_CODEC",
    "Codec",
    "JsonCodec",
    "check_limits",
    "error_event",
    "event_to_json",
    "event_to_pubsub_bytes",
    "event_to_wire",
    "parse_inbound_text",
    "payload_in",
    "pubsub_bytes_to_event",
    "to_plain",
    "wire_to_event",
]


class Codec(Protocol):
    """How one client protocol is written; a connection has exactly one.

    Both directions are called on the event loop for every message: they compute, and
    never block or wait.
    """

    @property
    def name(self) -> str:
        """The name under which a frame keeps what this codec rendered."""
        ...

    def decode(self, data: str | bytes) -> list[Event]:
        """Return the events in one message of a client, [] if it needs no answer.

        Raises:
            ValidationError: If it is malformed, in whatever way; nothing else.
        """
        ...

    def encode(self, event: Event) -> str | bytes:
        """Return what goes to a client: str as a text frame, bytes as a binary one.

        Raises:
            BadRequest: If the event holds what the protocol cannot express.
        """
        ...


_Name = Annotated[str, msgspec.Meta(min_length=1)]


class _ServerMessage(msgspec.Struct, rename="camel", gc=False):
    action: str
    event: str
    channel_name: str
    request_id: str
    payload: PondMessage


class _NodeMessage(msgspec.Struct, rename="camel", omit_defaults=True):
    action: _Name
    event: _Name
    channel_name: _Name
    request_id: _Name
    payload: PondMessage
    node_id: str | msgspec.UnsetType = msgspec.UNSET
    recipients: list[str] = []
    recipient_descriptor: str | list[str] = "ALL_USERS"
    from_user_id: str = "CHANNEL"
    user_id: str = ""


def to_plain(value: object) -> object:
    """Turn what msgspec does not know into what JSON has; called by encoders.

    Raises:
        TypeError: If there is no such form.
    """
    match value:
        case str():  # a subclass, as are the next two: numpy.float64 is a float
            return str.__str__(value)
        case int():
            return int.__int__(value)
        case float():
            return float.__float__(value)
        case Mapping():
            return dict(value)
    raise TypeError(f"objects of type {type(value).__name__} have no JSON form")


_decode_server_message = msgspec.json.Decoder(_ServerMessage).decode
_decode_node_message = msgspec.json.Decoder(_NodeMessage).decode
_encode = msgspec.json.Encoder(enc_hook=to_plain).encode
_ENCODE_ERRORS: Final = (TypeError, ValueError, OverflowError, RecursionError)


class JsonCodec:
    """The protocol of the stock clients: one JSON object in one text message.

    Going out, NaN and the infinities become null, as in JavaScript; dataclasses, dates,
    UUIDs, sets and bytes take the forms that msgspec gives them.
    """

    __slots__ = ()

    @property
    def name(self) -> str:
        """The name under which a frame keeps what this codec rendered."""
        return "json"

    def decode(self, data: str | bytes) -> list[Event]:
        """Return the one event in ``data``, [] for a keep-alive ping.

        Raises:
            ValidationError: With the member at fault, and the request's id if it could
                be read; whatever ``data`` is, nothing else is raised.
        """
        return read_message(data)

    def encode(self, event: Event) -> str:
        """Return the event as compact JSON, a payload of None as {}.

        Raises:
            BadRequest: If the payload is not a mapping or holds what JSON cannot.
        """
        message = _ServerMessage(
            event.action,
            event.event,
            event.channel_name,
            event.request_id,
            _payload_of(event),
        )
        try:
            return _encode(message).decode()
        except _ENCODE_ERRORS as exc:
            raise _unencodable(event, exc) from exc


JSON_CODEC: Final = JsonCodec()


def parse_inbound_text(text: str | bytes) -> Event:
    """Return the event in a client's message.

    Raises:
        ValidationError: If it is malformed, or a keep-alive ping, which is no event.
    """
    events = read_message(text)
    if not events:
        raise ValidationError("missing", "event")
    return events[0]


def event_to_wire(event: Event) -> PondMessage:
    """Return the five members that a client sees; a dict as payload is not copied.

    Raises:
        BadRequest: If the payload is not a mapping.
    """
    return {
        "action": event.action,
        "event": event.event,
        "channelName": event.channel_name,
        "requestId": event.request_id,
        "payload": _payload_of(event),
    }


def event_to_json(event: Event) -> str:
    """Return what a client gets: compact JSON, members in the order of the protocol.

    Raises:
        BadRequest: If the payload is not a mapping or holds what JSON cannot.
    """
    return JSON_CODEC.encode(event)


def payload_in(text: str) -> PondMessage:
    """Return the payload in what :func:`event_to_json` wrote, as new objects."""
    return _decode_server_message(text).payload


def event_to_pubsub_bytes(event: Event) -> bytes:
    """Return the event for another process: what a client gets, and where it is from.

    Recipients, descriptor and users are there only where they are not the default.

    Raises:
        BadRequest: If the payload is not a mapping or holds what JSON cannot.
    """
    message = _NodeMessage(
        event.action,
        event.event,
        event.channel_name,
        event.request_id,
        _payload_of(event),
        event.node_id,
        event.recipients,
        _descriptor_of(event),
        event.from_user_id,
        event.user_id,
    )
    try:
        return _encode(message)
    except _ENCODE_ERRORS as exc:
        raise _unencodable(event, exc) from exc


def pubsub_bytes_to_event(data: bytes) -> Event | None:
    """Return the event that :func:`event_to_pubsub_bytes` wrote, None if it is none."""
    try:
        # As str, since msgspec takes invalid UTF-8 in what it skips over.
        message = _decode_node_message(data.decode())
    except (ValueError, RecursionError):
        return None
    return Event(
        message.action,
        message.channel_name,
        message.request_id,
        message.event,
        message.payload,
        message.node_id or "",
        message.recipients,
        message.recipient_descriptor,
        message.from_user_id,
        message.user_id,
    )


@overload
def error_event(err: BaseException) -> Event: ...
@overload
def error_event(err: BaseException | None) -> Event | None: ...
def error_event(err: BaseException | None) -> Event | None:
    """Return what a client is told about ``err``, None for None.

    Of an exception that is not a :class:`PondError` nothing shows but that there was
    one.
    """
    if err is None:
        return None
    if not isinstance(err, PondError) or isinstance(err, EncodingError):
        err = InternalError("", "Internal server error")
    request_id, message = None, err.message
    if isinstance(err, ValidationError):
        request_id, message = err.request_id, str(err)
    return Event(
        ServerActions.SYSTEM,
        err.channel_name or SystemEntity.GATEWAY,
        request_id or uuid(),
        SystemEvents.INTERNAL_ERROR,
        {
            "code": err.code,
            "message": message,
            "details": err.details,
            "temporary": err.temporary,
        },
    )


def _payload_of(event: Event) -> PondMessage:
    payload = event.payload
    if isinstance(payload, dict):
        return payload
    if payload is None:
        return {}
    if isinstance(payload, Mapping):
        return dict(payload)
    kind = type(payload).__name__
    raise EncodingError(event.channel_name, f"payload must be a mapping, got {kind}")


def _descriptor_of(event: Event) -> str | list[str]:
    descriptor = event.recipient_descriptor
    if isinstance(descriptor, str):
        return descriptor
    if isinstance(descriptor, Iterable):
        return list(descriptor)
    kind = type(descriptor).__name__
    raise BadRequest(event.channel_name, f"{kind} is no recipient descriptor")


def _unencodable(event: Event, exc: Exception) -> EncodingError:
    match exc:
        case RecursionError():
            reason = "it holds itself or is nested too deeply"
        case UnicodeEncodeError():
            reason = "a string in it holds a lone surrogate"
        case _:
            reason = str(exc)
    return EncodingError(event.channel_name, f"message has no JSON form: {reason}")
