"""Options: every setting of a PondSocket, checked when they are made. No behaviour.

Sizes are in bytes, times in seconds. 0 means unlimited (or never) where a field's
bounds allow it.
"""

import warnings
from collections.abc import Collection, Sequence
from dataclasses import InitVar, dataclass, fields
from enum import StrEnum
from typing import Annotated, Final

from pondsocket.hooks import Hooks
from pondsocket.origin import is_origin_rule
from pondsocket.rules import (
    Count,
    Deadline,
    Limit,
    Period,
    Rate,
    Rule,
    Switch,
    check_settings,
)
from pondsocket.types import Limits

__all__ = ["Options", "SlowConsumerPolicy"]


class SlowConsumerPolicy(StrEnum):
    """What happens to a connection whose outbound buffer is full."""

    CLOSE = "close"
    """The connection is closed with 1013, its client can come back later."""
    DROP_OLDEST = "drop_oldest"
    """The connection stays and loses what has waited longest."""
    DROP_NEWEST = "drop_newest"
    """The connection stays and loses what came last."""


def _are_origins(value: object) -> bool:
    return (
        isinstance(value, Collection)
        and not isinstance(value, str)
        and all(isinstance(each, str) and is_origin_rule(each) for each in value)
    )


_Policy = Annotated[
    SlowConsumerPolicy,
    Rule(
        "one of " + ", ".join(repr(policy.value) for policy in SlowConsumerPolicy),
        lambda x: x in list(SlowConsumerPolicy),
    ),
]
_Origins = Annotated[
    Sequence[str],
    Rule(
        "a list of '*', 'null', 'https://example.com', 'https://*.example.com'",
        _are_origins,
    ),
]
_Name = Annotated[
    str,
    Rule("a string", lambda x: isinstance(x, str)),
]
_Word = Annotated[
    str,
    Rule("a string that is not empty", lambda x: isinstance(x, str) and x != ""),
]
_Hooks = Annotated[
    Hooks | None,
    Rule("Hooks or None", lambda x: x is None or isinstance(x, Hooks)),
]

_REPLACEMENTS: Final = {  # in the order of the fields of Options
    "write_wait": "send_timeout",
    "internal_queue_timeout": "slow_consumer",
    "internal_queue_buffer": "inbound_max_messages",
    "dispatch_concurrency": "max_concurrent_handlers",
    "send_channel_buffer": "outbound_max_messages",
    "receive_channel_buffer": "inbound_max_messages",
}


@dataclass(kw_only=True)
class Options:
    """The settings of a PondSocket and of everything in it.

    Attributes:
        max_message_size: Bytes of one client message; a longer one closes with 1009.
        max_connections: Connections of one endpoint on this node.
        max_channels_per_connection: Channels that one connection is in at a time.
        max_channel_name_length: Bytes of UTF-8.
        max_event_name_length: Bytes of UTF-8.
        max_request_id_length: Bytes of UTF-8.
        max_nesting_depth: Objects and arrays of a client message in each other.
        max_messages_per_second: Client messages per connection, on average.
        flood_tolerance: Seconds that a flood may last before it closes with 1008.
        inbound_max_messages: Client messages that wait for one connection's handlers.
        inbound_max_bytes: Bytes of them; one message may wait whatever its size.
        max_concurrent_handlers: Handlers of one connection that run at a time.
        handshake_timeout: Seconds for a handshake, the connection handler included.
        outbound_max_messages: Messages that wait for one slow connection.
        outbound_max_bytes: Bytes that wait for one slow connection.
        slow_consumer: What happens when either of the two is reached; a policy's value
            does as well.
        send_timeout: Seconds until a send that does not return makes a slow consumer.
        handler_timeout: Seconds for an outgoing handler, a leave handler or a hook.
        ping_interval: Seconds between two signs of life from the server.
        pong_wait: Seconds of silence after which a client counts as gone.
        max_presence_bytes: Bytes of one user's presence.
        presence_budget: Bytes of presence messages per second and connection, above
            which a channel joins several into one.
        compression: Whether WebSocket compression is negotiated; a broadcast is then
            compressed once for all.
        direct_writes: Whether frames that are ready are written past the server's own
            send, where a connection's state allows it. The messages are the same either
            way; off, every one goes through the server (and ASGI middleware).
        allowed_origins: Foreign origins that may connect: ``"https://example.com"``,
            ``"https://*.example.com"`` for one left-most label, ``"null"``, or ``"*"``.
        trust_forwarded: Whether ``X-Forwarded-Host`` tells the own origin, and the last
            of ``X-Forwarded-For`` the client's address.
        node_id: Name of this node among others; "" for a random one where it matters.
        namespace: Separates applications that share one PubSub server.
        key_prefix: Separates them too: what every topic begins with.
        heartbeat_interval: Seconds between two signs of life to the other nodes.
        heartbeat_timeout: Seconds of silence after which another node's users are
            dropped; above ``heartbeat_interval``.
        anti_entropy_interval: Seconds between two comparisons with the other nodes;
            what was lost is made up for within it and a second.
        user_get_timeout: Seconds to wait for a user that another node may have.
        publish_timeout: Seconds after which a message to other nodes has failed; no
            handler waits for it.
        subscribe_timeout: Seconds that a channel's first join waits for the PubSub.
        hooks: What the application listens in with.
        write_wait: Deprecated, see ``send_timeout``.
        internal_queue_timeout: Deprecated, see ``slow_consumer``.
        internal_queue_buffer: Deprecated, see ``inbound_max_messages``.
        dispatch_concurrency: Deprecated, see ``max_concurrent_handlers``.
        send_channel_buffer: Deprecated, see ``outbound_max_messages``.
        receive_channel_buffer: Deprecated, see ``inbound_max_messages``.

    Raises:
        ValueError: If a value is none that its field allows; names field and values.
    """

    max_message_size: Limit = 1_048_576
    max_connections: Limit = 0
    max_channels_per_connection: Limit = 256
    max_channel_name_length: Limit = 512
    max_event_name_length: Limit = 256
    max_request_id_length: Limit = 256
    max_nesting_depth: Limit = 64
    max_messages_per_second: Rate = 1000.0
    flood_tolerance: Period = 10.0
    inbound_max_messages: Count = 256
    inbound_max_bytes: Limit = 1_048_576
    max_concurrent_handlers: Count = 10
    handshake_timeout: Period = 10.0

    outbound_max_messages: Count = 1000
    outbound_max_bytes: Limit = 1_048_576
    slow_consumer: _Policy = SlowConsumerPolicy.CLOSE
    send_timeout: Deadline = 10.0
    handler_timeout: Period = 30.0
    ping_interval: Period = 30.0
    pong_wait: Deadline = 60.0
    max_presence_bytes: Limit = 16_384
    presence_budget: Limit = 65_536
    compression: Switch = False
    direct_writes: Switch = True

    allowed_origins: _Origins = ()
    trust_forwarded: Switch = False

    node_id: _Name = ""
    namespace: _Word = "default"
    key_prefix: _Word = "pondsocket"
    heartbeat_interval: Deadline = 30.0
    heartbeat_timeout: Deadline = 90.0
    anti_entropy_interval: Deadline = 10.0
    user_get_timeout: Deadline = 2.0
    publish_timeout: Deadline = 1.0
    subscribe_timeout: Deadline = 2.0

    hooks: _Hooks = None

    write_wait: InitVar[object] = None
    internal_queue_timeout: InitVar[object] = None
    internal_queue_buffer: InitVar[object] = None
    dispatch_concurrency: InitVar[object] = None
    send_channel_buffer: InitVar[object] = None
    receive_channel_buffer: InitVar[object] = None

    def __post_init__(self, *deprecated: object) -> None:
        for (name, replacement), value in zip(
            _REPLACEMENTS.items(), deprecated, strict=True
        ):
            if value is not None:
                warnings.warn(
                    f"Options.{name} has no effect any more, use {replacement}",
                    DeprecationWarning,
                    stacklevel=3,
                )
        check_settings(self)
        if self.heartbeat_timeout <= self.heartbeat_interval:
            raise ValueError(
                f"Options.heartbeat_timeout must be above heartbeat_interval "
                f"({self.heartbeat_interval!r}), got {self.heartbeat_timeout!r}"
            )
        self.slow_consumer = SlowConsumerPolicy(self.slow_consumer)
        self.allowed_origins = tuple(self.allowed_origins)

    @property
    def limits(self) -> Limits:
        """What a transport holds against its client, as a frozen value."""
        return Limits(
            **{each.name: getattr(self, each.name) for each in fields(Limits)}
        )
