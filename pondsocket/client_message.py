"""What a client sends: reading it into an Event, and holding it against the limits.

One message::

    {"action":"BROADCAST","event":"message","channelName":"/chat/42",
     "requestId":"f81d4fae-7dec-11d0-a765-00a0c91e6bf6","payload":{"text":"hi"}}

A good message goes through one typed decoder. What that one refuses is read a second
time, member by member, to tell the client which one is wrong.
"""

from collections.abc import Mapping
from types import NoneType
from typing import Annotated, Any, Final, Literal

import msgspec

from pondsocket.errors import ValidationError
from pondsocket.types import ClientActions, Event, Limits

__all__ = ["check_limits", "read_message", "read_within", "wire_to_event"]

# The first byte of a JSON text is TAB at the least; what is below is kept for binary
# formats to come.
_FIRST_JSON_BYTE: Final = 0x09
# How much of what a client wrote may come back in an error or go into a log.
_QUOTED_CHARACTERS: Final = 100
_ECHOED_ID_BYTES: Final = 256
_ACTIONS: Final = frozenset(ClientActions)
_NAMES: Final = ("event", "channelName", "requestId")
_NESTING: Final = frozenset((dict, list))
_KINDS: Final[dict[type, str]] = {
    NoneType: "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
}
_KINDS_BY_START: Final = {
    "[": "an array",
    '"': "a string",
    "t": "a boolean",
    "f": "a boolean",
    "n": "null",
}

_Name = Annotated[str, msgspec.Meta(min_length=1)]
_Unread = msgspec.Raw | msgspec.UnsetType


class _ClientMessage(msgspec.Struct, rename="camel", gc=False):
    action: Literal["JOIN_CHANNEL", "LEAVE_CHANNEL", "BROADCAST"]
    event: _Name
    channel_name: _Name
    request_id: _Name
    payload: dict[str, Any]


class _Members(msgspec.Struct, rename="camel"):
    """A message of which only the extent of each member is known."""

    # The id comes first, for the answer to whatever is wrong after it.
    request_id: _Unread = msgspec.UNSET
    action: _Unread = msgspec.UNSET
    event: _Unread = msgspec.UNSET
    channel_name: _Unread = msgspec.UNSET
    payload: _Unread = msgspec.UNSET


_MEMBERS: Final = _Members.__struct_encode_fields__
_decode_message = msgspec.json.Decoder(_ClientMessage).decode
_decode_members = msgspec.json.Decoder(_Members).decode
_decode_any = msgspec.json.Decoder(Any).decode
_new_event = Event.__new__


def read_message(data: str | bytes) -> list[Event]:
    """Return the one event in ``data``, [] for a keep-alive ping.

    Members that are not known are ignored.

    Raises:
        ValidationError: With the member at fault, and the request's id if it could be
            read; whatever ``data`` is, nothing else is raised.
    """
    text = data if isinstance(data, str) else _to_text(data)
    try:
        message = _decode_message(text)
    except (ValueError, RecursionError):  # msgspec's errors and Unicode's are the first
        return _read_slowly(text)
    return [_to_event(message)]


def read_within(data: str | bytes, limits: Limits) -> list[Event]:
    """Do what :func:`read_message` and then :func:`check_limits` do, in less time.

    Raises:
        ValidationError: As those two.
    """
    text = data if isinstance(data, str) else _to_text(data)
    try:
        message = _decode_message(text)
    except (ValueError, RecursionError):  # as in read_message()
        events = _read_slowly(text)
        for event in events:
            check_limits(event, limits)
        return events
    event = _to_event(message)
    # A character takes four bytes at most, and each level begins with a bracket: what
    # is this small needs no closer look.
    if (
        len(event.event) * 4 > limits.max_event_name_length
        or len(event.channel_name) * 4 > limits.max_channel_name_length
        or len(event.request_id) * 4 > limits.max_request_id_length
        or text.count("{") + text.count("[") > limits.max_nesting_depth
    ):
        check_limits(event, limits)
    return [event]


def wire_to_event(wire: Mapping[str, Any]) -> Event:
    """Return the event that a message stands for, once its JSON is parsed.

    Raises:
        ValidationError: If a member is missing or of the wrong kind.
    """
    if not isinstance(wire, Mapping):
        raise ValidationError(f"expected an object, got {_kind_of(wire)}")
    try:
        _check_action(wire)
        for name in _NAMES:
            _check_name(wire, name)
        _check_payload(wire)
    except ValidationError as error:
        error.request_id = _echoed_id(wire.get("requestId"))
        raise
    return Event(
        wire["action"],
        wire["channelName"],
        wire["requestId"],
        wire["event"],
        wire["payload"],
    )


def check_limits(event: Event, limits: Limits) -> None:
    """Hold a client's event against ``limits``; called for each one that comes in.

    The channel name of a ``JOIN_CHANNEL`` is left to the endpoint, which answers it as
    a declined join.

    Raises:
        ValidationError: If a name is too long or the payload too deep.
    """
    try:
        _check_length(event.event, "event", limits.max_event_name_length)
        if event.action != ClientActions.JOIN_CHANNEL:
            limit = limits.max_channel_name_length
            _check_length(event.channel_name, "channelName", limit)
        _check_length(event.request_id, "requestId", limits.max_request_id_length)
        if limits.max_nesting_depth:
            _check_depth(event.payload, limits.max_nesting_depth)
    except ValidationError as error:
        error.request_id = _echoed_id(event.request_id)
        raise


def _to_event(message: _ClientMessage) -> Event:
    # By hand, since the decoder has checked what the constructor would check again: it
    # takes three times as long.
    event = _new_event(Event)
    event.action = message.action
    event.channel_name = message.channel_name
    event.request_id = message.request_id
    event.event = message.event
    event.payload = message.payload
    event.node_id = event.user_id = ""
    event.recipients = []
    event.recipient_descriptor = "ALL_USERS"
    event.from_user_id = "CHANNEL"
    event.meta = None
    return event


def _to_text(data: bytes) -> str:
    # Strictly and as a whole: msgspec takes invalid UTF-8 in members that it skips.
    if data and data[0] < _FIRST_JSON_BYTE:
        raise ValidationError("binary messages of this kind are reserved")
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise ValidationError(f"not valid UTF-8 at byte {exc.start}") from exc


def _read_slowly(text: str) -> list[Event]:
    """Find out what the typed decoder did not like: a ping, or which member it is."""
    try:
        wire = _read_members(_split(text))
    except RecursionError as exc:
        raise ValidationError("nested too deeply") from exc
    if wire.get("action") == "ping" and "event" not in wire:
        return []
    return [wire_to_event(wire)]


def _split(text: str) -> _Members:
    try:
        return _decode_members(text)
    except UnicodeEncodeError as exc:
        raise ValidationError("not valid Unicode: a lone surrogate") from exc
    except msgspec.ValidationError as exc:
        raise ValidationError(f"expected an object, got {_kind_in(text)}") from exc
    except msgspec.DecodeError as exc:
        raise ValidationError(f"not valid JSON: {exc}") from exc


def _read_members(members: _Members) -> dict[str, Any]:
    wire: dict[str, Any] = {}
    for name, raw in zip(_MEMBERS, msgspec.structs.astuple(members), strict=True):
        if raw is msgspec.UNSET:
            continue
        try:
            wire[name] = _decode_any(raw)
        except msgspec.DecodeError as exc:  # the syntax is known to be right
            request_id = _echoed_id(wire.get("requestId"))
            raise ValidationError(
                "holds a number out of range", name, request_id=request_id
            ) from exc
    return wire


def _check_action(wire: Mapping[str, Any]) -> None:
    _check_name(wire, "action")
    action = wire["action"]
    if action not in _ACTIONS:
        expected = "JOIN_CHANNEL, LEAVE_CHANNEL or BROADCAST"
        raise ValidationError(f"expected {expected}, got {_quoted(action)}", "action")


def _check_name(wire: Mapping[str, Any], name: str) -> None:
    if name not in wire:
        raise ValidationError("missing", name)
    value = wire[name]
    if not isinstance(value, str):
        raise ValidationError(f"expected a string, got {_kind_of(value)}", name)
    if not value:
        raise ValidationError("must not be empty", name)


def _check_payload(wire: Mapping[str, Any]) -> None:
    if "payload" not in wire:
        raise ValidationError("missing", "payload")
    payload = wire["payload"]
    if not isinstance(payload, Mapping):
        kind = _kind_of(payload)
        raise ValidationError(f"expected an object, got {kind}", "payload")


def _check_length(text: str, name: str, limit: int) -> None:
    # A character takes four bytes at most, so the usual short name is not measured.
    if not limit or len(text) * 4 <= limit:
        return
    size = _size_of(text)
    if size > limit:
        raise ValidationError(f"at most {limit} bytes, got {size}", name)


def _check_depth(payload: object, limit: int) -> None:
    level: list[Any] = [payload] if type(payload) in _NESTING else []
    for _ in range(limit):
        # Level by level and not by recursion, which a client could exhaust.
        level = [
            child
            for node in level
            for child in (node.values() if type(node) is dict else node)
            if type(child) in _NESTING
        ]
        if not level:
            return
    raise ValidationError(f"nested deeper than {limit} levels", "payload")


def _echoed_id(request_id: object) -> str | None:
    """Return the id if an answer can carry it."""
    if not isinstance(request_id, str) or not request_id:
        return None
    return request_id if _size_of(request_id) <= _ECHOED_ID_BYTES else None


def _size_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _quoted(text: str) -> str:
    more = "…" if len(text) > _QUOTED_CHARACTERS else ""
    return f"{text[:_QUOTED_CHARACTERS]!r}{more}"


def _kind_of(value: object) -> str:
    """Name the kind of a value as JSON does."""
    return _KINDS.get(type(value), type(value).__name__)


def _kind_in(text: str) -> str:
    """Name the kind of a JSON text that is not an object, by how it begins."""
    return _KINDS_BY_START.get(text.lstrip()[0], "a number")
