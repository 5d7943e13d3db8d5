"""Transport: the wire of one connection, as the core sees it.

``Transport`` is all that a custom transport must have. The optional Protocols beside it
are powers that are detected once, when a transport is registered. None of them knows
channels; buffering for slow receivers is the session's.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from pondsocket.frame import Frame
from pondsocket.types import Event, TransportType

__all__ = [
    "ClosesWithCode",
    "FrameSink",
    "HasConnectionId",
    "OnCloseCallback",
    "OnMessageHandler",
    "PushableTransport",
    "Transport",
]

OnCloseCallback = Callable[["Transport"], object]
OnMessageHandler = Callable[[Event, "Transport"], object]


@runtime_checkable
class Transport(Protocol):
    """The wire of one accepted connection.

    The core calls every method from the event loop's thread. A class that has just
    these methods works: it costs one task while it has something to send, and nothing
    that it does (hang, raise, close) disturbs another connection.
    """

    def get_id(self) -> str:
        """Return the user's id, unique within its endpoint and never changing."""
        ...

    async def send_event(self, event: Event) -> None:
        """Send one event; return once the next one may be given.

        Called for one event at a time, in order. It may wait; after
        ``Options.send_timeout`` seconds the connection counts as a slow consumer. What
        it raises ends the connection.
        """
        ...

    def get_assign(self, key: str) -> Any:  # noqa: ANN401 - the application's own value
        """Return one assign of the connection, None if it is not set."""
        ...

    def set_assign(self, key: str, value: Any) -> None:  # noqa: ANN401 - as above
        """Set one assign of the connection."""
        ...

    def clone_assigns(self) -> dict[str, Any]:
        """Return a copy of the connection's assigns."""
        ...

    def is_active(self) -> bool:
        """Tell whether the connection can still be sent to."""
        ...

    async def close(self) -> None:
        """Close the wire, call the close callbacks once; idempotent, never raises."""
        ...

    def on_close(self, callback: OnCloseCallback) -> None:
        """Register a callback for the end of the connection, whoever ends it."""
        ...

    def on_message(self, handler: OnMessageHandler) -> None:
        """Set what is called with each decoded message; called once, on registration.

        The transport calls it with one message after the other, not awaiting is fine.
        """
        ...

    async def handle_messages(self) -> None:
        """Start reading and return at once; called once, after registration."""
        ...

    def transport_type(self) -> TransportType:
        """Return the kind of wire."""
        ...


@runtime_checkable
class FrameSink(Protocol):
    """A transport that takes ready frames without waiting: the fast path."""

    def try_send(self, frames: Sequence[Frame]) -> bool:
        """Take all frames, in order, or none.

        False means: above the transport's mark, nothing was taken, ask again after the
        callback of :meth:`on_writable`. Must not block; called many times per second.
        """
        ...

    def on_writable(self, callback: Callable[[], None]) -> None:
        """Set what to call each time after a refusal once frames are taken again."""
        ...


@runtime_checkable
class ClosesWithCode(Protocol):
    """A transport whose wire carries a close code and a reason."""

    async def close_with(self, code: int, reason: str) -> None:
        """Close as ``Transport.close`` does, telling the client why.

        Args:
            code: A WebSocket close code (RFC 6455 7.4), 1000-4999.
            reason: At most 123 bytes of UTF-8.
        """
        ...


@runtime_checkable
class HasConnectionId(Protocol):
    """A transport whose connection has an id of its own beside the user's."""

    @property
    def connection_id(self) -> str:
        """Return the id by which the connection's own client addresses it (secret)."""
        ...


@runtime_checkable
class PushableTransport(Protocol):
    """A transport that is handed its client's messages from outside (SSE's POST)."""

    async def push_message(self, data: bytes) -> None:
        """Take one message of the client.

        Raises:
            TooManyRequests: If the connection's inbox is full.
        """
        ...
