"""Metrics: what the framework tells about itself. Where the figures go is the user's.

``MetricsCollector`` is what an application may supply, ``Telemetry`` what the framework
calls: it counts what was dropped or lost, also without a collector, and it keeps a
collector that raises away from everybody else.
"""

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol, runtime_checkable

from pondsocket.callbacks import is_contained

__all__ = [
    "COUNTERS",
    "CountsEvents",
    "MetricsCollector",
    "NoopMetrics",
    "Telemetry",
]

logger: logging.Logger = logging.getLogger(__name__)

COUNTERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "outbound_dropped": "frames that a slow member never got",
        "slow_consumer_closed": "connections closed because they read too slowly",
        "presence_coalesced": "presence messages joined into a later one",
        "inbound_dropped": "client messages dropped before a handler saw them",
        "not_member": "client messages to a channel that their sender is not in",
        "flood": "client messages refused because they came too fast",
        "flood_closed": "connections closed because a flood went on",
        "malformed": "client messages that could not be read",
        "oversized": "client messages above the size limit",
        "handler_failed": "handlers that raised anything but a refusal",
        "hook_failed": "hooks that raised or took too long",
        "metrics_failed": "calls of the metrics collector that raised",
        "outgoing_failed": "outgoing handlers that raised; each blocked one delivery",
        "leave_failed": "leave handlers that raised",
        "publish_failed": "messages to other nodes that could not be published",
        "pubsub_dropped": "messages that a full subscription buffer dropped",
        "send_failed": "transports that raised while sending",
        "send_timeout": "transports that took too long to send",
        "refused": "connections, joins, messages refused by limit or a code below 500",
        "lost": "messages of other nodes that never came; one that comes late after "
        "all is counted off again, with an amount of -1",
        "duplicate": "messages of other nodes that came twice",
        "stale": "messages of other nodes from an earlier life of their link",
        "bus_malformed": "what came from the PubSub and could not be read",
        "bus_misaddressed": "messages of other nodes that were for another channel",
        "bus_unknown": "messages of other nodes of a type that is not known here",
        "bus_same_node": "messages of a node that has this one's id, which are ignored",
        "node_died": "other nodes that fell silent, whose users were dropped",
        "node_request_failed": "what another node asked of a user here and failed",
        "subscribe_failed": "subscriptions that the PubSub did not confirm in time",
        "unshareable": "assigns that have no JSON form, so other nodes lack them",
    }
)
"""Every counter there is, and what it counts."""

_MARK = "_pondsocket_reported"


@runtime_checkable
class MetricsCollector(Protocol):
    """Receives figures from the framework while things happen.

    The framework calls these methods on the event loop, between two writes: they must
    return at once. One that raises is logged once and counted (``metrics_failed``).
    """

    def connection_opened(self, conn_id: str, endpoint: str) -> None:
        """Note a connection that was registered at the endpoint's path."""
        ...

    def connection_closed(self, conn_id: str, duration_seconds: float) -> None:
        """Note the end of a connection; once for each that was opened."""
        ...

    def connection_error(self, conn_id: str, err: BaseException) -> None:
        """Note that the transport of a connection failed."""
        ...

    def message_received(
        self, conn_id: str, channel: str, event: str, size: int
    ) -> None:
        """Note a well-formed client message of ``size`` bytes."""
        ...

    def message_sent(self, conn_id: str, channel: str, event: str, size: int) -> None:
        """Note a message of ``size`` bytes that was handed to one transport."""
        ...

    def message_broadcast(self, channel: str, event: str, recipient_count: int) -> None:
        """Note a broadcast and for how many members of this node it was meant."""
        ...

    def channel_joined(self, user_id: str, channel: str) -> None:
        """Note that a user of this node became a member."""
        ...

    def channel_left(self, user_id: str, channel: str) -> None:
        """Note that a user of this node is no member any more."""
        ...

    def channel_created(self, channel: str) -> None:
        """Note a channel that came to life on this node."""
        ...

    def channel_destroyed(self, channel: str) -> None:
        """Note a channel that ended on this node."""
        ...

    def handler_duration(self, handler: str, duration_seconds: float) -> None:
        """Note how long a message handler ran; ``handler`` is the event's name."""
        ...

    def queue_depth(self, queue: str, depth: int) -> None:
        """Note how many entries wait in a queue."""
        ...

    def error(self, component: str, err: BaseException) -> None:
        """Note an exception; once for each exception, however far it travels."""
        ...


@runtime_checkable
class CountsEvents(Protocol):
    """The optional second half of a collector: it counts what was dropped or lost."""

    def count(self, name: str, amount: int = 1, **labels: str) -> None:
        """Add ``amount`` to a counter; ``name`` is one of ``COUNTERS``."""
        ...


class NoopMetrics:
    """A MetricsCollector that does nothing; with it nothing is measured at all.

    A subclass that overrides a few methods is measured for like any other collector.
    """

    def connection_opened(self, conn_id: str, endpoint: str) -> None:
        """Do nothing."""

    def connection_closed(self, conn_id: str, duration_seconds: float) -> None:
        """Do nothing."""

    def connection_error(self, conn_id: str, err: BaseException) -> None:
        """Do nothing."""

    def message_received(
        self, conn_id: str, channel: str, event: str, size: int
    ) -> None:
        """Do nothing."""

    def message_sent(self, conn_id: str, channel: str, event: str, size: int) -> None:
        """Do nothing."""

    def message_broadcast(self, channel: str, event: str, recipient_count: int) -> None:
        """Do nothing."""

    def channel_joined(self, user_id: str, channel: str) -> None:
        """Do nothing."""

    def channel_left(self, user_id: str, channel: str) -> None:
        """Do nothing."""

    def channel_created(self, channel: str) -> None:
        """Do nothing."""

    def channel_destroyed(self, channel: str) -> None:
        """Do nothing."""

    def handler_duration(self, handler: str, duration_seconds: float) -> None:
        """Do nothing."""

    def queue_depth(self, queue: str, depth: int) -> None:
        """Do nothing."""

    def error(self, component: str, err: BaseException) -> None:
        """Do nothing."""


class Telemetry:
    """The framework's own side of a collector: it never raises, and it counts.

    A MetricsCollector itself, so that callers need not care whether there is one. On a
    hot path they ask ``measuring`` first and save the call.

    Args:
        collector: The application's collector, or None.
    """

    def __init__(self, collector: MetricsCollector | None = None) -> None:
        self._collector: MetricsCollector = (
            NoopMetrics() if collector is None else collector
        )
        self._measuring = type(self._collector) is not NoopMetrics
        self._forwards_counts = self._measuring and isinstance(collector, CountsEvents)
        self._counts = dict.fromkeys(COUNTERS, 0)
        self._failed: set[str] = set()
        self._mark = object()

    @property
    def collector(self) -> MetricsCollector:
        """The application's own object, or a ``NoopMetrics``."""
        return self._collector

    @property
    def measuring(self) -> bool:
        """Whether anybody looks at the figures; the counters count in any case."""
        return self._measuring

    def counts(self) -> dict[str, int]:
        """Return a snapshot of every counter, those at 0 too."""
        return self._counts.copy()

    def count(self, name: str, amount: int = 1, **labels: str) -> None:
        """Add ``amount`` to a counter and pass it on to a collector that counts.

        Raises:
            KeyError: If ``name`` is not one of ``COUNTERS``.
        """
        self._counts[name] += amount
        if self._forwards_counts:
            self._tell("count", name, amount, **labels)

    def connection_opened(self, conn_id: str, endpoint: str) -> None:
        """Pass on that a connection was registered."""
        self._tell("connection_opened", conn_id, endpoint)

    def connection_closed(self, conn_id: str, duration_seconds: float) -> None:
        """Pass on that a connection ended."""
        self._tell("connection_closed", conn_id, duration_seconds)

    def connection_error(self, conn_id: str, err: BaseException) -> None:
        """Pass on that a transport failed."""
        self._tell("connection_error", conn_id, err)

    def message_received(
        self, conn_id: str, channel: str, event: str, size: int
    ) -> None:
        """Pass on a client message."""
        self._tell("message_received", conn_id, channel, event, size)

    def message_sent(self, conn_id: str, channel: str, event: str, size: int) -> None:
        """Pass on a message that went to one transport."""
        self._tell("message_sent", conn_id, channel, event, size)

    def message_broadcast(self, channel: str, event: str, recipient_count: int) -> None:
        """Pass on a broadcast."""
        self._tell("message_broadcast", channel, event, recipient_count)

    def channel_joined(self, user_id: str, channel: str) -> None:
        """Pass on that a user became a member."""
        self._tell("channel_joined", user_id, channel)

    def channel_left(self, user_id: str, channel: str) -> None:
        """Pass on that a user left."""
        self._tell("channel_left", user_id, channel)

    def channel_created(self, channel: str) -> None:
        """Pass on that a channel came to life."""
        self._tell("channel_created", channel)

    def channel_destroyed(self, channel: str) -> None:
        """Pass on that a channel ended."""
        self._tell("channel_destroyed", channel)

    def handler_duration(self, handler: str, duration_seconds: float) -> None:
        """Pass on how long a message handler ran."""
        self._tell("handler_duration", handler, duration_seconds)

    def queue_depth(self, queue: str, depth: int) -> None:
        """Pass on how many entries wait in a queue."""
        self._tell("queue_depth", queue, depth)

    def error(self, component: str, err: BaseException) -> None:
        """Pass on an exception, unless this very object was passed on before.

        The exception carries the mark itself: nothing here grows, and a mark goes away
        together with what it marks.
        """
        marks = err.__dict__  # setattr() may be the application's own
        known_to = marks.get(_MARK, ())
        if self._mark not in known_to:
            marks[_MARK] = (*known_to, self._mark)
            self._tell("error", component, err)

    def _tell(self, method: str, *args: object, **labels: str) -> None:
        try:
            getattr(self._collector, method)(*args, **labels)
        except BaseException as error:  # application code, it may raise anything
            if not is_contained(error):
                raise
            # Only counted here: telling the collector could fail for ever.
            self._counts["metrics_failed"] += 1
            if method not in self._failed:
                self._failed.add(method)
                logger.exception(
                    "metrics collector failed in %s(); further failures of this "
                    "method are only counted",
                    method,
                )
