"""BaseTransport: what every wire needs, for our transports and for custom ones.

Assigns, callbacks, limits and the bounded inbox. A subclass adds the wire itself; what
a slow receiver costs is decided by the session that holds the transport.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from pondsocket.callbacks import attempt, invoke
from pondsocket.errors import Unavailable
from pondsocket.frame import Frame
from pondsocket.frame_writer import NO_WRITER, FrameWriter
from pondsocket.intake import Intake
from pondsocket.metrics import Telemetry
from pondsocket.transport import FrameSink, OnCloseCallback, OnMessageHandler
from pondsocket.types import Event, Limits, TransportType
from pondsocket.wire import JSON_CODEC, Codec

__all__ = ["BaseTransport"]

logger: logging.Logger = logging.getLogger(__name__)

_LIMITS = Limits()  # until the endpoint binds a transport to its own
_TELEMETRY = Telemetry()
CLOSED_NORMALLY = 1000  # RFC 6455 7.4.1


class BaseTransport:
    """What the transports of this project and most custom ones build on.

    A subclass overrides :meth:`send_event` or, as a ``FrameSink``, ``try_send``; it
    overrides :meth:`_close_wire`, and calls :meth:`receive` for each message that its
    host delivers and :meth:`close` (or :meth:`peer_gone`) when the host says that the
    client left. The endpoint calls :meth:`bind` before anything is received.

    Args:
        id: The user's id.
        assigns: First assigns of the connection; copied.
        connection_id: Id of the connection, by default the user's id.
        codec: How this connection's messages are encoded.

    Attributes:
        frame_writer: A way past the host for frames that are ready.
    """

    # With more than 30 attributes Python keeps them in a dict, of a kilobyte for each
    # connection. It is there for those who add their own, and empty.
    __slots__ = (
        "__dict__", "__weakref__", "_assigns", "_closer", "_closing", "_connection_id",
        "_flush", "_handler", "_id", "_intake", "_on_close", "_telemetry", "codec",
    )  # fmt: skip

    frame_writer: FrameWriter = NO_WRITER

    def __init__(
        self,
        id: str,
        *,
        assigns: dict[str, Any] | None = None,
        connection_id: str | None = None,
        codec: Codec = JSON_CODEC,
    ) -> None:
        self._id = id
        self._connection_id = connection_id or id
        self._assigns = dict(assigns or {})
        self._on_close: tuple[OnCloseCallback, ...] = ()
        self._closing = False
        self._closer: asyncio.Task[None] | None = None
        self._handler: OnMessageHandler | None = None
        self.codec: Codec = codec
        self._telemetry = _TELEMETRY
        self._flush = _flush_nothing
        self._intake: Intake | None = None  # made by bind()

    # Transport: identity, assigns, callbacks.

    def get_id(self) -> str:
        """Return the user's id."""
        return self._id

    @property
    def connection_id(self) -> str:
        """The connection's own id; the user's id where the wire needs no other."""
        return self._connection_id

    def get_assign(self, key: str) -> Any:  # noqa: ANN401 - the application's own value
        """Return one assign of the connection, None if it is not set."""
        return self._assigns.get(key)

    def set_assign(self, key: str, value: Any) -> None:  # noqa: ANN401 - as above
        """Set one assign of the connection."""
        self._assigns[key] = value

    def clone_assigns(self) -> dict[str, Any]:
        """Return a copy of the connection's assigns."""
        return dict(self._assigns)

    def is_active(self) -> bool:
        """Tell whether the connection can still be sent to."""
        return not self._closing

    def transport_type(self) -> TransportType:
        """Return the kind of wire; a subclass that is not a WebSocket overrides it."""
        return TransportType.WEBSOCKET

    def on_close(self, callback: OnCloseCallback) -> None:
        """Register a callback for the end of the connection."""
        self._on_close += (callback,)

    def on_message(self, handler: OnMessageHandler) -> None:
        """Set what is called with each message, one at a time per channel."""
        self._handler = handler

    async def handle_messages(self) -> None:
        """Start reading; a transport whose host calls :meth:`receive` needs nothing."""

    async def send_event(self, event: Event) -> None:
        """Send one event.

        Raises:
            Unavailable: If the connection is closed.
            NotImplementedError: If the subclass gives no way to send.
        """
        if self._closing:
            raise Unavailable("", f"connection of {self._id!r} is closed")
        if not isinstance(self, FrameSink):
            raise NotImplementedError("override send_event() or give try_send()")
        if not self.try_send((Frame(event, self.codec),)):
            raise Unavailable("", f"connection of {self._id!r} takes nothing now")

    # What comes in.

    def bind(
        self,
        limits: Limits,
        telemetry: Telemetry,
        answer: Callable[[Event], None],
        flush: Callable[[], None] | None = None,
    ) -> None:
        """Set limits, counting and the way of answers; called once by the endpoint.

        Args:
            limits: What a client may send.
            telemetry: Where drops and refusals are counted.
            answer: Queues an event to this client; never waits.
            flush: Hands over what is queued for this client; never waits.
        """
        self._flush = flush or _flush_nothing
        self._telemetry = telemetry
        self._intake = Intake(
            self._id,
            limits=limits,
            telemetry=telemetry,
            codec=self.codec,
            handle=self._dispatch,
            answer=answer,
            end=self._end,
        )

    @property
    def intake(self) -> Intake:
        """The way in for the client's messages."""
        if self._intake is None:
            self.bind(_LIMITS, _TELEMETRY, self._answer_directly)
            return self.intake
        return self._intake

    def receive(self, data: str | bytes) -> bool:
        """Take one message of the client; called by the host's reader, never waits.

        Whatever is wrong with it is answered to the client; too big a message (above
        ``max_message_size`` bytes) closes the connection with 1009, a lasting flood
        with 1008.

        Returns:
            False if the inbox is full and the message was not taken.
        """
        intake = self.intake if self._intake is None else self._intake
        return self._closing or intake.receive(data)

    def _dispatch(self, event: Event) -> Awaitable[object]:
        return invoke(self._handler or self._miss, event, self)

    def _miss(self, *_: object) -> None:
        logger.warning("a message of %r came before on_message()", self._id)

    def _answer_directly(self, event: Event) -> None:
        """Before registration there is no session to answer through."""
        if isinstance(self, FrameSink) and self.try_send((Frame(event, self.codec),)):
            return
        logger.warning("an answer to the unregistered %r was dropped", self._id)

    # The end.

    async def close(self) -> None:
        """Close the wire normally (1000) and leave all channels; idempotent."""
        await self.close_with(CLOSED_NORMALLY, "")

    async def close_with(self, code: int, reason: str) -> None:
        """Close with a code and a reason; idempotent, never raises.

        Leaving the channels and closing the wire happen side by side, so that neither a
        stuck wire nor a slow leave handler delays the other; both go on when the caller
        is cancelled.
        """
        if not self._closing:
            self._flush()
            await asyncio.shield(self._start_closing(self._shut(code, reason)))

    async def peer_gone(self) -> None:
        """Note that the client left: as :meth:`close`, with nothing left to tell it."""
        if not self._closing:
            await asyncio.shield(self._start_closing())

    async def _close_wire(self, code: int, reason: str) -> None:
        """Close the host's side; a subclass overrides it. Bounded by the host."""

    def _start_closing(self, *wire: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self._closing = True
        if self._intake is not None:
            self._intake.close()
        self._closer = asyncio.get_running_loop().create_task(
            self._finish_closing(*wire), name=f"pond-close-{self._id}"
        )
        return self._closer

    async def _finish_closing(self, *wire: Coroutine[Any, Any, None]) -> None:
        callbacks, self._on_close = self._on_close, ()
        await asyncio.gather(self._run(callbacks), *wire)

    async def _run(self, callbacks: tuple[OnCloseCallback, ...]) -> None:
        for callback in callbacks:
            error = await attempt(callback, self)
            if error is not None:  # one callback must not cost the others
                self._telemetry.error("on_close", error)
                logger.error("close callback %r failed", callback, exc_info=error)

    async def _shut(self, code: int, reason: str) -> None:
        error = await attempt(self._close_wire, code, reason)
        if error is not None:  # whatever a host raises while closing
            self._telemetry.connection_error(self._id, error)
            logger.info("closing the wire of %r failed: %r", self._id, error)

    def _end(self, code: int, reason: str) -> None:
        """Start closing from a place that cannot wait."""
        if not self._closing:
            self._closer = self._start_closing(self._shut(code, reason))


def _flush_nothing() -> None:
    """Stand in for the session until the transport is bound."""
