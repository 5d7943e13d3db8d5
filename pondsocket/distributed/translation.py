"""Translation: a channel's changes as messages between nodes, and back. Pure."""

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias, cast

import msgspec

from pondsocket.changes import (
    AssignsReplaced,
    AssignsSet,
    Change,
    Command,
    Evicted,
    Joined,
    Left,
    PresenceGone,
    PresenceSet,
    RemoteChange,
    Removed,
    Sent,
)
from pondsocket.distributed.faults import check_depth
from pondsocket.distributed.messages import (
    MAX_DEPTH,
    AssignsUpdate,
    EvictUser,
    Message,
    PresenceRemoved,
    PresenceUpdate,
    StateUser,
    UserGetResponse,
    UserJoined,
    UserLeft,
    UserMessage,
    UserRemove,
    descriptor_of,
    recipients_of,
    sender_of,
)
from pondsocket.frame import Frame
from pondsocket.ids import uuid
from pondsocket.types import Event, LeaveReason, PondAssigns, ServerActions, User
from pondsocket.wire import to_plain

__all__ = [
    "Fact",
    "Ordered",
    "divide_state",
    "shareable",
    "to_answer",
    "to_change",
    "to_commands",
    "to_joined",
    "to_messages",
    "to_order",
    "to_state_user",
]

Fact: TypeAlias = (
    UserMessage
    | PresenceUpdate
    | PresenceRemoved
    | AssignsUpdate
    | UserJoined
    | UserLeft
)
"""What a node says of its own users, and what it broadcasts."""

Ordered: TypeAlias = (
    EvictUser | UserRemove | PresenceUpdate | PresenceRemoved | AssignsUpdate
)
"""What may ask for a change to a user of another node."""

STATE_BYTES: Final = 400_000  # of a part; the envelope and what the bus adds need more
ENVELOPE_DEPTH: Final = 8  # levels that a message has around an assign, and to spare

_Envelope: TypeAlias = dict[str, Any]

_encode = msgspec.json.Encoder(enc_hook=to_plain).encode


def shareable(assigns: PondAssigns) -> PondAssigns:
    """Return the assigns that have a JSON form; the others stay on their node."""
    return {key: value for key, value in assigns.items() if is_shareable(key, value)}


def is_shareable(key: str, value: object) -> bool:
    """Tell whether another node can be told of an assign."""
    try:
        text = _encode({key: value}).decode()
        check_depth(text, MAX_DEPTH - ENVELOPE_DEPTH)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return False
    return True


def to_messages(change: Change, envelope: _Envelope) -> Iterator[Message]:
    """Return what the other nodes are told of a change; nothing for what has no JSON.

    Args:
        change: To a user of this node.
        envelope: The members of the first message; the caller renews what differs.
    """
    match change:
        case Sent():
            yield _to_user_message(change, envelope)
        case PresenceSet(user_id=user_id, presence=presence):
            yield PresenceUpdate(**envelope, user_id=user_id, presence=presence)
        case PresenceGone(user_id=user_id):
            yield PresenceRemoved(**envelope, user_id=user_id)
        case AssignsSet(user_id=user_id, key=key, value=value) if is_shareable(
            key, value
        ):
            yield AssignsUpdate(**envelope, user_id=user_id, key=key, value=value)
        case Joined(user=user):
            yield UserJoined(
                **envelope,
                user_id=user.id,
                presence=user.presence or {},
                assigns=shareable(user.assigns),
            )
        case Left(user=user):
            # Published nodes show their clients only the removal of the presence.
            if user.presence is not None:
                yield PresenceRemoved(**envelope, user_id=user.id)
            yield UserLeft(**envelope, user_id=user.id)


def _to_user_message(sent: Sent, envelope: _Envelope) -> UserMessage:
    frame, recipients = sent.frame, sent.recipients
    return UserMessage(
        **envelope,
        from_user_id=sender_of(recipients),
        event=frame.name,
        payload=msgspec.Raw(frame.payload),
        request_id=frame.request_id,
        recipient_descriptor=descriptor_of(recipients),
    )


def to_order(command: Command, envelope: _Envelope) -> Message | None:
    """Return how another node is asked for a change to its user."""
    match command:
        case Evicted(user_id=user_id, reason=reason):
            return EvictUser(**envelope, user_id=user_id, reason=reason)
        case Removed(user_id=user_id):
            return UserRemove(**envelope, user_id=user_id)
    return next(to_messages(command, envelope), None)


def to_change(message: Fact) -> RemoteChange:
    """Return what a message says happened on its node."""
    return _CHANGES[type(message)](message)


def _to_sent(message: UserMessage) -> Sent:
    event = Event(
        ServerActions.BROADCAST,
        message.channel_name,
        message.request_id or uuid(),
        message.event,
        node_id=message.source_node_id,
        recipient_descriptor=message.recipient_descriptor,
        from_user_id=message.from_user_id,
    )
    payload = bytes(message.payload).decode()
    return Sent(Frame.relayed(event, payload), recipients_of(message))


def _to_presence_set(message: PresenceUpdate) -> PresenceSet:
    return PresenceSet(message.user_id, message.presence or {}, message.source_node_id)


def _to_presence_gone(message: PresenceRemoved) -> PresenceGone:
    return PresenceGone(message.user_id, message.source_node_id)


def _to_assigns(message: AssignsUpdate) -> AssignsSet | AssignsReplaced:
    user_id, node = message.user_id, message.source_node_id
    if isinstance(message.key, str):
        return AssignsSet(user_id, message.key, message.value, node)
    return AssignsReplaced(user_id, cast("PondAssigns", message.assigns), node)


def _to_joined(message: UserJoined) -> Joined:
    user = StateUser(message.user_id, message.assigns, message.presence)
    return to_joined(user, message.source_node_id)


def _to_left(message: UserLeft) -> Left:
    user = User(message.user_id)
    return Left(user, LeaveReason.CONNECTION_CLOSED, message.source_node_id)


_CHANGES: Final[dict[type, Callable[[Any], RemoteChange]]] = {
    UserMessage: _to_sent,
    PresenceUpdate: _to_presence_set,
    PresenceRemoved: _to_presence_gone,
    AssignsUpdate: _to_assigns,
    UserJoined: _to_joined,
    UserLeft: _to_left,
}


def to_commands(message: Ordered) -> list[Command]:
    """Return what a message asks of the node that its user lives on."""
    user_id = message.user_id
    commands: list[Command] = []
    match message:
        case EvictUser(reason=reason):
            commands = [Evicted(user_id, reason)]
        case UserRemove():
            commands = [Removed(user_id)]
        case PresenceUpdate(presence=presence):
            commands = [PresenceSet(user_id, presence or {})]
        case PresenceRemoved():
            commands = [PresenceGone(user_id)]
        case AssignsUpdate(key=str(key), value=value):
            commands = [AssignsSet(user_id, key, value)]
        case AssignsUpdate(assigns=dict(assigns)):
            commands = [AssignsSet(user_id, k, v) for k, v in assigns.items()]
    return commands


def to_joined(user: StateUser, node: str) -> Joined:
    """Return a user in another node's state as a member; ``{}`` is no presence."""
    return Joined(User(user.id, user.assigns or {}, user.presence or None), node)


def to_state_user(user: User) -> StateUser:
    """Return how a user of this node is told to others."""
    return StateUser(user.id, shareable(user.assigns), user.presence or {})


def divide_state(users: list[StateUser]) -> list[list[StateUser]]:
    """Divide a state into parts that fit; there is at least one."""
    parts: list[list[StateUser]] = [[]]
    size = 0
    for user in users:
        length = len(_encode(user)) + 1
        if parts[-1] and size + length > STATE_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(user)
        size += length
    return parts


def to_answer(user: User, request_id: str, envelope: _Envelope) -> UserGetResponse:
    """Return the answer to a node that asked for a user of this one."""
    told = to_state_user(user)
    return UserGetResponse(
        **envelope,
        user_id=user.id,
        request_id=request_id,
        assigns=told.assigns,
        presence=told.presence,
    )
