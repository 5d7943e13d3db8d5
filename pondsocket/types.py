"""The values and enums that everything speaks of; no behaviour but their own shape."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias, overload

__all__ = [
    "AllExceptSender",
    "AllUsers",
    "ChannelReceiver",
    "ClientActions",
    "DistributedMessageType",
    "ErrorTypes",
    "Event",
    "Headers",
    "IncomingConnection",
    "InternalActions",
    "JoinParams",
    "LeaveReason",
    "Limits",
    "MessageEvent",
    "PondAssigns",
    "PondMessage",
    "PondPresence",
    "PresenceEventTypes",
    "RecipientSpec",
    "Route",
    "ServerActions",
    "SystemEntity",
    "SystemEvents",
    "ToUsers",
    "TransportType",
    "User",
    "UserData",
]

PondMessage: TypeAlias = dict[str, Any]
PondPresence: TypeAlias = dict[str, Any]
PondAssigns: TypeAlias = dict[str, Any]
JoinParams: TypeAlias = dict[str, Any]


class ClientActions(StrEnum):
    """What a client can ask for."""

    JOIN_CHANNEL = "JOIN_CHANNEL"
    LEAVE_CHANNEL = "LEAVE_CHANNEL"
    BROADCAST = "BROADCAST"


class ServerActions(StrEnum):
    """The kinds of messages that the server sends."""

    PRESENCE = "PRESENCE"
    SYSTEM = "SYSTEM"
    BROADCAST = "BROADCAST"
    ERROR = "ERROR"
    CONNECT = "CONNECT"


class SystemEvents(StrEnum):
    """Event names of the server's own messages."""

    ACKNOWLEDGE = "ACKNOWLEDGE"
    EXIT_ACKNOWLEDGE = "EXIT_ACKNOWLEDGE"
    CONNECTION = "CONNECTION"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    NOT_FOUND = "NOT_FOUND"
    UNAUTHORIZED = "UNAUTHORIZED"
    EVICTED = "EVICTED"


class SystemEntity(StrEnum):
    """Who speaks when no user does."""

    GATEWAY = "GATEWAY"
    CHANNEL = "CHANNEL"


class ErrorTypes(StrEnum):
    """Event names of ``ERROR`` messages; the server sends the first two."""

    HANDLER_NOT_FOUND = "HANDLER_NOT_FOUND"
    INVALID_MESSAGE = "INVALID_MESSAGE"
    UNAUTHORIZED_CONNECTION = "UNAUTHORIZED_CONNECTION"
    UNAUTHORIZED_JOIN_REQUEST = "UNAUTHORIZED_JOIN_REQUEST"
    UNAUTHORIZED_BROADCAST = "UNAUTHORIZED_BROADCAST"
    PRESENCE_ERROR = "PRESENCE_ERROR"
    CHANNEL_ERROR = "CHANNEL_ERROR"
    ENDPOINT_ERROR = "ENDPOINT_ERROR"
    INTERNAL_SERVER_ERROR = "INTERNAL_SERVER_ERROR"


class InternalActions(StrEnum):
    """Actions that never reach a client."""

    ASSIGNS = "ASSIGNS"
    USER_COMMAND = "USER_COMMAND"


class PresenceEventTypes(StrEnum):
    """Event names of ``PRESENCE`` messages."""

    JOIN = "JOIN"
    LEAVE = "LEAVE"
    UPDATE = "UPDATE"


class ChannelReceiver(StrEnum):
    """Named groups of recipients, as they stand in a recipient descriptor."""

    ALL_USERS = "ALL_USERS"
    ALL_EXCEPT_SENDER = "ALL_EXCEPT_SENDER"


class TransportType(StrEnum):
    """How a connection travels."""

    WEBSOCKET = "websocket"
    SSE = "sse"


class LeaveReason(StrEnum):
    """Why a user is no longer in a channel."""

    EXPLICIT_LEAVE = "explicit_leave"
    CONNECTION_CLOSED = "connection_closed"
    EVICTED = "evicted"


class DistributedMessageType(StrEnum):
    """The types of version 1 messages between nodes."""

    STATE_REQUEST = "STATE_REQUEST"
    STATE_RESPONSE = "STATE_RESPONSE"
    USER_JOINED = "USER_JOINED"
    USER_LEFT = "USER_LEFT"
    USER_MESSAGE = "USER_MESSAGE"
    PRESENCE_UPDATE = "PRESENCE_UPDATE"
    PRESENCE_REMOVED = "PRESENCE_REMOVED"
    ASSIGNS_UPDATE = "ASSIGNS_UPDATE"
    EVICT_USER = "EVICT_USER"
    USER_REMOVE = "USER_REMOVE"
    USER_GET_REQUEST = "USER_GET_REQUEST"
    USER_GET_RESPONSE = "USER_GET_RESPONSE"
    NODE_HEARTBEAT = "NODE_HEARTBEAT"


@dataclass(slots=True)
class Event:
    """One message, to or from a client or another node.

    Attributes:
        action: What kind of message, of :class:`ClientActions` or
            :class:`ServerActions`.
        channel_name: The channel's full name, or ``GATEWAY``.
        request_id: Correlates an answer with its request.
        event: The event's name.
        payload: A mapping that JSON can hold; None stands for an empty one.
        node_id: The node that it comes from, "" for this one.
        recipients: Ids of the users that it is for, when it is not for all.
        recipient_descriptor: ``"ALL_USERS"``, ``"ALL_EXCEPT_SENDER"`` or user ids.
        from_user_id: Who sent it, ``CHANNEL`` for the server.
        user_id: The user that it is about.
        meta: Members of the wire that are reserved for the library.

    Raises:
        ValueError: If one of the first four is not a string or is empty.
    """

    action: str
    channel_name: str
    request_id: str
    event: str
    payload: Any = None
    node_id: str = ""
    recipients: list[str] = field(default_factory=list)
    recipient_descriptor: object = "ALL_USERS"
    from_user_id: str = "CHANNEL"
    user_id: str = ""
    meta: PondMessage | None = None

    def __post_init__(self) -> None:
        # Written out, since every message of every client comes by here.
        if not (
            _is_name(self.action)
            and _is_name(self.channel_name)
            and _is_name(self.request_id)
            and _is_name(self.event)
        ):
            raise ValueError(_fault_of(self))


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _fault_of(event: Event) -> str:
    required = ("action", "channel_name", "request_id", "event")
    name = next(name for name in required if not _is_name(getattr(event, name)))
    value = getattr(event, name)
    if value == "":
        return f"Event.{name} must not be empty"
    return f"Event.{name} must be a str, got {type(value).__name__}"


@dataclass(slots=True)
class UserData:
    """A snapshot of a user for others to keep: nothing in it is shared."""

    id: str
    assigns: PondAssigns = field(default_factory=dict)
    presence: PondPresence = field(default_factory=dict)


@dataclass(slots=True)
class User:
    """A user as a handler sees it; ``presence`` is None while untracked."""

    id: str
    assigns: PondAssigns = field(default_factory=dict)
    presence: PondPresence | None = None

    def to_user_data(self) -> UserData:
        """Return a copy whose presence is {} when there is none."""
        return UserData(self.id, dict(self.assigns), dict(self.presence or {}))


@dataclass(slots=True)
class MessageEvent:
    """A client's message together with its sender."""

    event: Event
    user: User


class Headers:
    """HTTP headers: names in any case, several values for one name.

    Built once from what a host hands over, in its order; never changed afterwards.
    ``repr()`` shows names only, since values hold cookies and tokens.
    """

    __slots__ = ("_items",)

    def __init__(self, raw: Iterable[tuple[bytes | str, bytes | str]] = ()) -> None:
        self._items = tuple(
            [(_to_text(name).lower(), _to_text(value)) for name, value in raw]
        )

    @overload
    def get(self, name: str) -> str | None: ...
    @overload
    def get(self, name: str, default: str) -> str: ...
    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of ``name``, or ``default``."""
        wanted = name.lower()
        return next((value for key, value in self._items if key == wanted), default)

    def get_all(self, name: str) -> list[str]:
        """Return every value of ``name`` in order, [] if there is none."""
        wanted = name.lower()
        return [value for key, value in self._items if key == wanted]

    def items(self) -> list[tuple[str, str]]:
        """Return every (lower-case name, value) pair in order."""
        return list(self._items)

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:
        """Return every pair as bytes, the names in lower case, as ASGI wants them."""
        return [(_to_bytes(name), _to_bytes(value)) for name, value in self._items]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return self._items == other._items

    def __hash__(self) -> int:
        return hash(self._items)

    def __repr__(self) -> str:
        return f"<Headers {', '.join(name for name, _ in self._items)}>"


def _to_text(part: bytes | str) -> str:
    # ISO 8859-1 maps every byte to a character and back (RFC 9110, 5.5).
    return part.decode("latin-1") if isinstance(part, bytes) else part


def _to_bytes(part: str) -> bytes:
    try:
        return part.encode("latin-1")
    except UnicodeEncodeError:
        return part.encode("utf-8", "replace")


@dataclass(slots=True)
class Route:
    """What a pattern took from a path.

    Attributes:
        params: Values by name, URL-decoded.
        query: Every value of each parameter after ``?``.
        wildcard: What ``*`` stands for, None if the pattern has none.
    """

    params: dict[str, str] = field(default_factory=dict)
    query: dict[str, list[str]] = field(default_factory=dict)
    wildcard: str | None = None

    def param(self, name: str) -> str:
        """Return the value of ``name``, "" if the pattern has no such name."""
        return self.params.get(name, "")

    def query_param(self, name: str) -> list[str]:
        """Return the values of ``name``, [] if the query has no such parameter."""
        return self.query.get(name, [])


@dataclass(slots=True)
class IncomingConnection:
    """A handshake as an adapter read it, before anything is decided.

    Attributes:
        id: The id of the connection to be, which is its user id too unless
            ``request_connection`` is given one.
        address: Where the client is, as the host tells it.
        headers: The request's headers.
        cookies: Its cookies by name.
        query: Its query parameters, the first value of each.
        params: What the endpoint's pattern took from the path.
        route: The same with the wildcard and every value of each query parameter; by
            default made of ``params`` and ``query``.
    """

    id: str
    address: str
    headers: Headers = field(default_factory=Headers)
    cookies: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    route: Route | None = None


@dataclass(frozen=True, slots=True)
class AllUsers:
    """Everyone in the channel."""


@dataclass(frozen=True, slots=True)
class AllExceptSender:
    """Everyone in the channel but ``sender_id``."""

    sender_id: str


@dataclass(frozen=True, slots=True)
class ToUsers:
    """Those of ``user_ids`` who are in the channel."""

    user_ids: tuple[str, ...]


RecipientSpec: TypeAlias = AllUsers | AllExceptSender | ToUsers


@dataclass(frozen=True, slots=True)
class Limits:
    """What a transport holds against its client; made by ``Options``.

    0 means unlimited, except for the last two.

    Attributes:
        max_message_size: Bytes of one message.
        max_channel_name_length: Bytes of UTF-8.
        max_event_name_length: Bytes of UTF-8.
        max_request_id_length: Bytes of UTF-8.
        max_nesting_depth: Objects and arrays in each other, the payload included.
        max_messages_per_second: Per connection, on average.
        flood_tolerance: Seconds that a flood may go on before the connection is closed.
        inbound_max_messages: Messages that wait in a connection's inbox.
        inbound_max_bytes: Bytes of them.
        max_concurrent_handlers: Handlers of one connection that run at a time.
    """

    max_message_size: int = 1_048_576
    max_channel_name_length: int = 512
    max_event_name_length: int = 256
    max_request_id_length: int = 256
    max_nesting_depth: int = 64
    max_messages_per_second: float = 1000.0
    flood_tolerance: float = 10.0
    inbound_max_messages: int = 256
    inbound_max_bytes: int = 1_048_576
    max_concurrent_handlers: int = 10
