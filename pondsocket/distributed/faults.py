"""Faults: what can be wrong with a message from another node, and how to say it.

No word here repeats what a message holds, beyond the name of an unknown type.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

__all__ = [
    "MalformedMessage",
    "UnknownType",
    "check_depth",
    "check_head",
    "data_to_text",
    "find_fault",
    "read_payload",
]

_QUOTED_CHARACTERS: Final = 40
_NESTING: Final = frozenset((dict, list))
_EXPECTED: Final = {"protocol": "'pondsocket.distributed'", "version": "1"}


class _Head(msgspec.Struct, gc=False):
    protocol: Literal["pondsocket.distributed"]
    version: Literal[1]


_decode_any = msgspec.json.Decoder(Any).decode
_decode_head = msgspec.json.Decoder(_Head).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


class MalformedMessage(ValueError):  # noqa: N818 - says what the message is
    """What arrived is no message of this protocol and version.

    Attributes:
        member: The member at fault, "" if it is the message as a whole.
    """

    def __init__(self, member: str, fault: str) -> None:
        super().__init__(f"{member}: {fault}" if member else fault)
        self.member: str = member


class UnknownType(MalformedMessage):
    """The message is of a type that a later node may know; to be ignored.

    Attributes:
        type: What it calls itself, of any length.
    """

    def __init__(self, type_name: str) -> None:
        more = "…" if len(type_name) > _QUOTED_CHARACTERS else ""
        super().__init__("type", f"unknown, {type_name[:_QUOTED_CHARACTERS]!r}{more}")
        self.type: str = type_name


def data_to_text(data: bytes | str, max_size: int) -> str:
    """Return a message as text.

    Raises:
        MalformedMessage: If it is longer than ``max_size`` bytes or not valid UTF-8.
    """
    size = len(data)
    if isinstance(data, str) and not data.isascii():
        size = len(data.encode("utf-8", "surrogatepass"))
    if size > max_size:
        raise MalformedMessage("", f"at most {max_size} bytes, got {size}")
    try:
        # Strictly and as a whole: msgspec takes invalid UTF-8 in what it skips over.
        return data if isinstance(data, str) else data.decode()
    except UnicodeDecodeError as exc:
        fault = f"not valid UTF-8 at byte {exc.start}"
        raise MalformedMessage("", fault) from exc


def check_head(text: str) -> None:
    """Make sure that the rest can be read: that the protocol and version are ours.

    Raises:
        ValueError: If not; :func:`find_fault` says why.
        RecursionError: If it is nested too deeply to tell.
    """
    _decode_head(text)


def read_payload(payload: msgspec.Raw) -> dict[str, Any]:
    """Return a payload that was skipped over, as clients and handlers will read it.

    Raises:
        MalformedMessage: If it is no object, or holds a lone surrogate or a number out
            of range, which skipping does not see.
    """
    # To build the objects once and drop them costs no more than to look for those.
    try:
        return _decode_object(payload)
    except (msgspec.DecodeError, RecursionError) as exc:
        fault = "expected an object without numbers out of range or lone surrogates"
        raise MalformedMessage("payload", fault) from exc


def check_depth(text: str, limit: int, content: object = None) -> None:
    """Hold the nesting of a message that can be decoded against ``limit``.

    Args:
        text: The message.
        limit: Objects and arrays in each other.
        content: What of it can be deep, if that is known.

    Raises:
        MalformedMessage: If objects and arrays lie deeper in each other.
    """
    # Each level opens and closes, so a short text needs no look, nor one with few.
    if len(text) < 2 * limit or text.count("{") + text.count("[") <= limit:
        return
    level: list[Any] = [_decode_any(text) if content is None else content]
    for _ in range(limit):
        # Level by level and not by recursion, which a sender could exhaust.
        level = [
            child
            for node in level
            for child in (node.values() if type(node) is dict else node)
            if type(child) in _NESTING
        ]
        if not level:
            return
    raise MalformedMessage("", f"nested deeper than {limit} levels")


def find_fault(
    text: str, types: Mapping[str, type[msgspec.Struct]], cause: Exception
) -> MalformedMessage:
    """Return what is wrong with ``text``.

    Args:
        text: A message that could not be decoded.
        types: What there is by the name of its type.
        cause: Why not, which is the answer if each member is right by itself.
    """
    try:
        members = _split(text)
        _check_head(members)
        _check_members(members, types)
    except MalformedMessage as fault:
        return fault
    return MalformedMessage("", str(cause))


def _split(text: str) -> dict[str, msgspec.Raw]:
    try:
        return _decode_members(text)
    except RecursionError as exc:
        raise MalformedMessage("", "nested too deeply") from exc
    except UnicodeEncodeError as exc:
        raise MalformedMessage("", "not valid Unicode: a lone surrogate") from exc
    except msgspec.ValidationError as exc:
        raise MalformedMessage("", "expected a JSON object") from exc
    except msgspec.DecodeError as exc:
        raise MalformedMessage("", f"not valid JSON: {exc}") from exc


def _check_head(members: dict[str, msgspec.Raw]) -> None:
    for field in msgspec.structs.fields(_Head):
        try:
            _read(members, field.name, field.type)
        except MalformedMessage as exc:
            if field.name not in members:
                raise
            fault = f"expected {_EXPECTED[field.name]}"
            raise MalformedMessage(field.name, fault) from exc


def _check_members(
    members: dict[str, msgspec.Raw], types: Mapping[str, type[msgspec.Struct]]
) -> None:
    type_name = _read(members, "type", str)
    if type_name not in types:
        raise UnknownType(type_name)
    for field in msgspec.structs.fields(types[type_name]):
        name = field.encode_name
        if field.required or name in members:
            _read(members, name, field.type)


def _read(members: dict[str, msgspec.Raw], name: str, kind: Any) -> Any:  # noqa: ANN401 - any member
    if name not in members:
        raise MalformedMessage(name, "missing")
    try:
        return msgspec.json.decode(members[name], type=kind)
    except RecursionError as exc:
        raise MalformedMessage(name, "nested too deeply") from exc
    except msgspec.DecodeError as exc:
        # The one text that quotes what it refuses is about a value of a closed list.
        words = str(exc)
        is_quoting = words.startswith("Invalid")
        raise MalformedMessage(name, "unknown value" if is_quoting else words) from exc
