"""Messages: what nodes tell each other, as values and as the bytes that travel.

A message says nothing about what to do with it. One of them::

    {"protocol":"pondsocket.distributed","version":1,"type":"USER_LEFT",
     "messageId":"9f1c","sourceNodeId":"node-1","endpointName":"chat",
     "channelName":"/room/1","timestamp":1767225600000,"userId":"ann",
     "sourceEpoch":"1767225000000-k3","sourceSeq":12}

What version 1 knows is always written. What this project adds (``sourceEpoch``,
``sourceSeq``, ``toNode``, ``part``, ``parts``) is written only where it is set;
published nodes ignore it, and ``NODE_DIGEST`` too.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar, get_args

import msgspec

from pondsocket.distributed.faults import (
    MalformedMessage,
    UnknownType,
    check_depth,
    check_head,
    data_to_text,
    find_fault,
    read_payload,
)
from pondsocket.errors import EncodingError
from pondsocket.types import (
    AllExceptSender,
    AllUsers,
    ChannelReceiver,
    PondAssigns,
    PondPresence,
    RecipientSpec,
    SystemEntity,
    ToUsers,
)
from pondsocket.wire import to_plain

__all__ = [
    "MAX_DEPTH",
    "MAX_SIZE",
    "PROTOCOL",
    "VERSION",
    "AssignsUpdate",
    "Descriptor",
    "EvictUser",
    "MalformedMessage",
    "Message",
    "NodeDigest",
    "NodeHeartbeat",
    "PresenceRemoved",
    "PresenceUpdate",
    "StateRequest",
    "StateResponse",
    "StateUser",
    "UnknownType",
    "UserGetRequest",
    "UserGetResponse",
    "UserJoined",
    "UserLeft",
    "UserMessage",
    "UserRemove",
    "decode",
    "descriptor_of",
    "encode",
    "is_addressed_to",
    "recipients_of",
    "sender_of",
]

PROTOCOL: Final = "pondsocket.distributed"
VERSION: Final = 1
# Bytes of one message; a part of a state or of a digest stays well below it.
MAX_SIZE: Final = 4 * 1_048_576
# Objects and arrays in each other. Half of what a Python client's parser takes, which
# counts the calls that lead to it too.
MAX_DEPTH: Final = 500

_T = TypeVar("_T")

_Id = Annotated[str, msgspec.Meta(min_length=1)]
# Up to what every parser of JSON keeps exact.
_Natural = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
_Ordinal = Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
_Optional: TypeAlias = _T | msgspec.UnsetType
_UNSET: Final = msgspec.UNSET

Descriptor: TypeAlias = Literal["ALL_USERS", "ALL_EXCEPT_SENDER"] | list[str]
"""Who receives a broadcast, as it is written: a named group, or user ids."""


class _Envelope(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    gc=False,
    rename="camel",
    tag_field="type",
):
    """What every message carries.

    Attributes:
        message_id: Unique.
        source_node_id: Who sent it.
        endpoint_name: The endpoint's path without its leading slash.
        channel_name: The channel's full name.
        timestamp: When it was sent, in milliseconds since the epoch, by the sender's
            clock.
        source_epoch: Which life of the sender's link to the channel numbered it.
        source_seq: Its number in that life, from 1; of a state the last one used when
            it was taken, 0 if none was.
        to_node: The only node of this project that it is for.
    """

    message_id: _Id
    source_node_id: _Id
    endpoint_name: str
    channel_name: str
    timestamp: _Natural
    source_epoch: _Optional[_Id] = _UNSET
    source_seq: _Optional[_Natural] = _UNSET
    to_node: _Optional[_Id] = _UNSET


class UserMessage(_Envelope, tag="USER_MESSAGE", frozen=True, kw_only=True):
    """A broadcast, for the members that a node has.

    Attributes:
        from_user_id: Who sent it, ``CHANNEL`` if it is nobody's.
        event: Its name.
        payload: The JSON text of an object, which is relayed as it is. Made from str,
            never from bytes; what was decoded is known to be well-formed.
        request_id: Correlates it for clients; "" from a node that gave none.
        recipient_descriptor: Who receives it; see :func:`recipients_of`.
    """

    from_user_id: str
    event: _Id
    payload: msgspec.Raw
    request_id: str = ""
    recipient_descriptor: Descriptor


class PresenceUpdate(_Envelope, tag="PRESENCE_UPDATE", frozen=True, kw_only=True):
    """A user's presence appeared or was replaced."""

    user_id: _Id
    presence: PondPresence | None = None


class PresenceRemoved(_Envelope, tag="PRESENCE_REMOVED", frozen=True, kw_only=True):
    """A user's presence was removed."""

    user_id: _Id


class AssignsUpdate(_Envelope, tag="ASSIGNS_UPDATE", frozen=True, kw_only=True):
    """A user's assigns were replaced, or one of them was set if ``key`` is there.

    Raises:
        ValueError: If neither ``assigns`` nor ``key`` and ``value`` are given.
    """

    user_id: _Id
    assigns: _Optional[PondAssigns] = _UNSET
    key: _Optional[str] = _UNSET
    value: Any = _UNSET

    def __post_init__(self) -> None:
        if self.key is _UNSET:
            if self.assigns is _UNSET:
                raise ValueError("has neither assigns nor a key")
        elif self.value is _UNSET:
            raise ValueError("has a key without a value")


class UserJoined(_Envelope, tag="USER_JOINED", frozen=True, kw_only=True):
    """A user became a member on the sender's node; ``{}`` for one without presence."""

    user_id: _Id
    presence: PondPresence | None = None
    assigns: PondAssigns | None = None


class UserLeft(_Envelope, tag="USER_LEFT", frozen=True, kw_only=True):
    """A user is a member on the sender's node no longer."""

    user_id: _Id


class EvictUser(_Envelope, tag="EVICT_USER", frozen=True, kw_only=True):
    """The node that has the user is to evict it."""

    user_id: _Id
    reason: str = ""


class UserRemove(_Envelope, tag="USER_REMOVE", frozen=True, kw_only=True):
    """The node that has the user is to remove it, without a word to its client."""

    user_id: _Id


class UserGetRequest(_Envelope, tag="USER_GET_REQUEST", frozen=True, kw_only=True):
    """The node that has the user is to answer under ``request_id``."""

    user_id: _Id
    request_id: _Id
    from_node: _Id


class UserGetResponse(_Envelope, tag="USER_GET_RESPONSE", frozen=True, kw_only=True):
    """The answer of the node that has the user."""

    user_id: _Id
    request_id: _Id
    assigns: PondAssigns | None = None
    presence: PondPresence | None = None


class StateRequest(_Envelope, tag="STATE_REQUEST", frozen=True, kw_only=True):
    """Whoever has users in the channel is to tell them all."""

    from_node: _Id


class StateUser(msgspec.Struct, frozen=True, gc=False):
    """One user in a state: ``{"id": "ann", "assigns": {}, "presence": {}}``."""

    id: _Id
    assigns: PondAssigns | None = None
    presence: PondPresence | None = None


class _Part(_Envelope, frozen=True, kw_only=True):
    """A message that may be one of several; without numbers it is the only one."""

    part: _Optional[_Ordinal] = _UNSET
    parts: _Optional[_Ordinal] = _UNSET

    def __post_init__(self) -> None:
        if (self.part or 1) > (self.parts or 1):
            raise ValueError("has a part beyond its parts")


class StateResponse(_Part, tag="STATE_RESPONSE", frozen=True, kw_only=True):
    """All users that the sender has in the channel, or part of them."""

    users: list[StateUser]


class NodeHeartbeat(_Envelope, tag="NODE_HEARTBEAT", frozen=True, kw_only=True):
    """A node is alive."""

    node_id: _Id


class NodeDigest(_Part, tag="NODE_DIGEST", frozen=True, kw_only=True):
    """How far the sender's links have counted, in every channel where it has users.

    Attributes:
        digest: Rises with each digest; parts of one share it.
        channels: Endpoint, channel, epoch and the last number used.
    """

    digest: _Natural
    channels: list[tuple[str, str, _Id, _Natural]]


Message: TypeAlias = (
    UserMessage
    | PresenceUpdate
    | PresenceRemoved
    | AssignsUpdate
    | UserJoined
    | UserLeft
    | EvictUser
    | UserRemove
    | UserGetRequest
    | UserGetResponse
    | StateRequest
    | StateResponse
    | NodeHeartbeat
    | NodeDigest
)


_BEGIN: Final = f'{{"protocol":"{PROTOCOL}","version":{VERSION},'
_PREFIX: Final = _BEGIN.encode()
_TYPES: Final[dict[str, type[_Envelope]]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(Message)
}
_decode_message: Callable[[str], Message] = msgspec.json.Decoder(Message).decode
_encode = msgspec.json.Encoder(enc_hook=to_plain).encode


def encode(message: Message) -> bytes:
    """Return the message as it travels: compact JSON.

    Raises:
        EncodingError: If a value in it has no JSON form.
    """
    try:
        return _PREFIX + _encode(message)[1:]
    except (TypeError, ValueError, OverflowError, RecursionError) as exc:
        # Nothing but the kind: the texts of some of these quote what they refuse.
        raise EncodingError(
            message.channel_name, f"no JSON form for a node: {type(exc).__name__}"
        ) from exc


def decode(data: bytes | str, *, max_size: int = MAX_SIZE) -> Message:
    """Return the message in ``data``; members that are not known are ignored.

    Args:
        data: What another node published, or anything else.
        max_size: Bytes; nothing of a longer one is read.

    Raises:
        UnknownType: If it is well-formed but of a type that is not known here.
        MalformedMessage: If it is anything else than a message of version 1, longer, or
            deeper than ``MAX_DEPTH``; whatever ``data`` is, nothing else is raised.
    """
    text = data_to_text(data, max_size)
    try:
        if not text.startswith(_BEGIN):
            check_head(text)
        message = _decode_message(text)
    except (ValueError, RecursionError) as exc:
        raise find_fault(text, _TYPES, exc) from exc
    content = None
    if isinstance(message, UserMessage):
        content = read_payload(message.payload)
    check_depth(text, MAX_DEPTH, content)
    return message


def recipients_of(message: UserMessage) -> RecipientSpec:
    """Return who receives a broadcast."""
    match message.recipient_descriptor:
        case ChannelReceiver.ALL_USERS:
            return AllUsers()
        case ChannelReceiver.ALL_EXCEPT_SENDER:
            return AllExceptSender(message.from_user_id)
        case user_ids:
            return ToUsers(tuple(user_ids))


def descriptor_of(recipients: RecipientSpec) -> Descriptor:
    """Return how recipients are written; :func:`sender_of` names the one left out."""
    if isinstance(recipients, ToUsers):
        return list(recipients.user_ids)
    return "ALL_USERS" if isinstance(recipients, AllUsers) else "ALL_EXCEPT_SENDER"


def sender_of(recipients: RecipientSpec) -> str:
    """Return whose broadcast it is: the user it leaves out, else the channel's own."""
    if isinstance(recipients, AllExceptSender):
        return recipients.sender_id
    return SystemEntity.CHANNEL.value


def is_addressed_to(message: Message, node_id: str) -> bool:
    """Tell whether a node is to act on it: it names that node, or none."""
    return message.to_node is _UNSET or message.to_node == node_id
