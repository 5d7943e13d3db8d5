"""Session: one accepted connection = its transport + a bounded outbox + its channels.

Theory of operation. ``write`` hands frames straight to a transport that is a FrameSink,
as long as nothing waits before them. What the transport does not take now goes into the
outbox, which one writer task empties in order; that task exists only while there is
something in it. The outbox is the only buffer for a slow receiver: when it is full, the
policy decides, and whatever is not delivered is counted. ``write`` never waits and
never raises, since a channel calls it in a loop over its members.

A session ends once, whoever ends it: it leaves the channels that it knows, their leave
handlers run, and what still waits in the outbox is dropped and counted.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, cast

from pondsocket.burst import Burst
from pondsocket.callbacks import attempt_within, is_contained
from pondsocket.errors import DeadlineExceeded, truncate_reason
from pondsocket.frame import Frame
from pondsocket.frame_writer import NO_WRITER, BurstWriter, find_burst_writer
from pondsocket.intake import Intake
from pondsocket.metrics import Telemetry
from pondsocket.options import Options, SlowConsumerPolicy
from pondsocket.outbox import Outbox
from pondsocket.ports import Leaving
from pondsocket.transport import ClosesWithCode, FrameSink, Transport
from pondsocket.types import Event, LeaveReason
from pondsocket.wire import JSON_CODEC, Codec

__all__ = ["NOWHERE", "Deferred", "Intercept", "JoinedChannel", "Session"]

logger: logging.Logger = logging.getLogger(__name__)

TRY_AGAIN_LATER = 1013  # IANA WebSocket close codes; our protocol: a slow consumer
INTERNAL_ERROR = 1011
BATCH_FRAMES = 64  # what the writer hands over at a time
BATCH_BYTES = 65_536
NOWHERE: frozenset[str] = frozenset()  # one for all that join nothing just now


class JoinedChannel(Protocol):
    """What a session may ask of a channel that it joined."""

    def flush(self) -> None:
        """Write everything that is pending, now."""
        ...

    def send_frame(self, session: "Session", frame: Frame) -> None:
        """Queue a frame for one connection, behind what the channel sent before."""
        ...

    def remove(self, user_id: str, reason: LeaveReason) -> Leaving | None:
        """Remove a member, synchronously; None if it is no member."""
        ...


Intercept = Callable[[Frame, "Session"], Awaitable[Frame | None]]


class Deferred:
    """A frame that outgoing handlers look at, in the recipient's writer."""

    __slots__ = ("frame", "intercept", "size")

    def __init__(self, frame: Frame, intercept: Intercept) -> None:
        self.frame: Frame = frame
        self.intercept: Intercept = intercept
        self.size: int = frame.size


class Session:
    """One accepted connection; made, registered and dropped by its endpoint.

    Args:
        transport: The wire; its powers are detected here, once.
        options: Bounds and policy of the outbox, and its deadlines.
        telemetry: Where sends, drops and failures are counted.

    Attributes:
        direct: Writes bursts, or refuses them; who calls it calls :meth:`write` then.
    """

    __slots__ = (
        "_closer", "_direct", "_ending", "_measuring", "_options", "_outbox", "_sink",
        "_stall", "_telemetry", "_wake", "_writer", "channels", "codec",
        "connection_id", "direct", "id", "intake", "is_ended", "joining", "transport",
        "wants_presence_changes",
    )  # fmt: skip

    def __init__(
        self, transport: Transport, options: Options, telemetry: Telemetry
    ) -> None:
        self.transport: Transport = transport
        self.id: str = transport.get_id()
        self.connection_id: str = getattr(transport, "connection_id", self.id)
        self.codec: Codec = getattr(transport, "codec", JSON_CODEC)
        self.channels: dict[str, JoinedChannel] = {}
        self.intake: Intake | None = None
        self.joining: frozenset[str] = NOWHERE  # channel names
        self.wants_presence_changes: bool = False  # its endpoint may find that it does
        self.is_ended: bool = False
        self._options = options
        self._telemetry = telemetry
        self._measuring = telemetry.measuring
        self._outbox: Outbox[Frame | Deferred] = Outbox(
            options.outbound_max_messages, options.outbound_max_bytes
        )
        self._writer: asyncio.Task[None] | None = None
        self._wake: asyncio.Future[None] | None = None
        self._closer: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._sink: FrameSink | None = None
        # isinstance() looks up what a Protocol has, each time: for 25 us
        if hasattr(transport, "try_send") and hasattr(transport, "on_writable"):
            self._sink = cast("FrameSink", transport)
            self._sink.on_writable(self._on_writable)
        self._direct: BurstWriter = find_burst_writer(transport)
        if self._measuring or self.codec is not JSON_CODEC:  # which need write()
            self._direct = NO_WRITER
        self.direct: BurstWriter = self._direct

    @property
    def outbox_messages(self) -> int:
        """How many messages wait for this connection."""
        return len(self._outbox)

    @property
    def outbox_bytes(self) -> int:
        """How many bytes wait for this connection."""
        return self._outbox.size

    # Sending: plain functions that never wait and never raise.

    def send(self, event: Event) -> None:
        """Send an event to this connection alone, in its channel's order if joined."""
        frame = Frame(event, self.codec)
        channel = self.channels.get(event.channel_name)
        if channel is None:
            self.write(Burst((frame,)))
        else:
            channel.send_frame(self, frame)

    def write(self, frames: Sequence[Frame]) -> None:
        """Hand frames to the transport, or keep them in the outbox in order."""
        if self._sink is not None and self._writer is None and not self.is_ended:
            try:
                taken = self._sink.try_send(frames)
            except BaseException as error:  # _fail() logs it
                if not is_contained(error):
                    raise
                self._telemetry.count("outbound_dropped", len(frames))
                self._fail(error)
                return
            if taken:
                if self._measuring:
                    self._measure(frames)
                return
        self.enqueue(frames)

    def enqueue(self, items: Sequence[Frame | Deferred]) -> None:
        """Put items into the outbox; when it is full, the policy decides."""
        for index, item in enumerate(items):
            if self.is_ended:
                self._telemetry.count("outbound_dropped", len(items) - index)
                return
            if self._outbox.fits(item) or self._make_room(item):
                self._outbox.append(item)
        if self._measuring:
            self._telemetry.queue_depth("outbox", len(self._outbox))
        if self._outbox and self._writer is None:
            self.direct = NO_WRITER
            self._writer = asyncio.get_running_loop().create_task(
                self._write_outbox(), name=f"pond-writer-{self.id}"
            )

    def _make_room(self, item: Frame | Deferred) -> bool:
        match self._options.slow_consumer:
            case SlowConsumerPolicy.CLOSE:
                self._telemetry.count("outbound_dropped")
                self._give_up()
                return False
            case SlowConsumerPolicy.DROP_NEWEST:
                self._telemetry.count("outbound_dropped")
                return False
        while not self._outbox.fits(item):  # SlowConsumerPolicy.DROP_OLDEST
            self._outbox.pop()
            self._telemetry.count("outbound_dropped")
        return True

    # The writer: a task that exists only while the outbox holds something.

    async def _write_outbox(self) -> None:
        try:
            while self._outbox:
                first = next(iter(self._outbox))
                if isinstance(first, Deferred):
                    await self._write_deferred(first)
                elif self._sink is not None:
                    await self._write_batch(self._sink)
                else:
                    await self._write_one(first)
        except BaseException as error:
            if not is_contained(error):
                raise
            self._fail(error)
        finally:
            self._writer = None
            self.direct = NO_WRITER if self.is_ended else self._direct

    async def _write_deferred(self, item: Deferred) -> None:
        """Let the outgoing handlers see the frame, then put what they left first."""
        self._outbox.pop()
        try:
            frame = await item.intercept(item.frame, self)
        except BaseException:  # a cancelled writer too: what it held is lost
            self._telemetry.count("outbound_dropped")
            raise
        if frame is None:
            return
        if self.is_ended:
            self._telemetry.count("outbound_dropped")
            return
        self._outbox.put_back(frame)

    async def _write_batch(self, sink: FrameSink) -> None:
        batch: list[Frame] = []
        size = 0
        for item in self._outbox:
            if isinstance(item, Deferred) or len(batch) == BATCH_FRAMES:
                break
            size += item.size
            if batch and size > BATCH_BYTES:
                break
            batch.append(item)
        if sink.try_send(batch):
            for _ in batch:
                self._outbox.pop()
            if self._measuring:
                self._measure(batch)
        else:
            await self._until_writable()

    async def _write_one(self, frame: Frame) -> None:
        self._outbox.pop()
        self._expect_progress()
        try:
            await self.transport.send_event(frame.event)
        except BaseException:  # a cancelled writer too: what it held is lost
            self._telemetry.count("outbound_dropped")
            raise
        finally:
            self._stall.cancel()
        if self._measuring:
            self._measure((frame,))

    async def _until_writable(self) -> None:
        self._wake = asyncio.get_running_loop().create_future()
        self._expect_progress()
        try:
            await self._wake
        finally:
            self._stall.cancel()
            self._wake = None

    def _on_writable(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _expect_progress(self) -> None:
        loop = asyncio.get_running_loop()
        self._stall = loop.call_later(self._options.send_timeout, self._stalled)

    def _stalled(self) -> None:
        """A send took longer than ``send_timeout``: the connection is slow."""
        self._telemetry.count("send_timeout")
        if self._options.slow_consumer is SlowConsumerPolicy.CLOSE:
            self._give_up()
        else:  # a host may wait for ever for what it still holds to go out
            loop = asyncio.get_running_loop()
            self._stall = loop.call_later(self._options.pong_wait, self._give_up)

    def _measure(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            self._telemetry.message_sent(
                self.id, frame.channel_name, frame.name, frame.size
            )

    # The end.

    def _give_up(self) -> None:
        if self.is_ended:
            return
        logger.warning(
            "connection %r is a slow consumer: %d messages (%d bytes) wait; closing it",
            self.id,
            len(self._outbox),
            self._outbox.size,
        )
        self._telemetry.count("slow_consumer_closed")
        self.close_soon(TRY_AGAIN_LATER, "slow consumer")

    def _fail(self, error: BaseException) -> None:
        self._telemetry.count("send_failed")
        self._telemetry.connection_error(self.id, error)
        logger.warning("sending to %r failed", self.id, exc_info=error)
        self.close_soon(INTERNAL_ERROR, "send failed")

    def close_soon(self, code: int, reason: str) -> None:
        """Close from the loop's next turn: callers may be amid a fan-out."""
        self._drop_outbox()
        self.is_ended = True
        self.direct = NO_WRITER
        if self._closer is None:
            self._closer = asyncio.get_running_loop().create_task(
                self._close_transport(code, reason), name=f"pond-close-{self.id}"
            )

    def flush(self) -> None:
        """Write what the channels of this connection have pending, now."""
        for channel in tuple(self.channels.values()):
            channel.flush()

    async def close(self, code: int, reason: str, *, grace: float = 0.0) -> None:
        """Send what is pending, then close the transport, which ends the session.

        Never raises. Called from the session's own writer, it does not wait for it.

        Args:
            code: A WebSocket close code.
            reason: Cut to 123 bytes.
            grace: Seconds that the writer may take for what is in the outbox.
        """
        self.flush()
        writer = self._writer
        if grace > 0 and writer is not None and writer is not asyncio.current_task():
            await asyncio.wait({writer}, timeout=grace)
        await self._close_transport(code, reason)

    async def _close_transport(self, code: int, reason: str) -> None:
        transport, limit = self.transport, self._options.send_timeout
        if isinstance(transport, ClosesWithCode):
            reason = truncate_reason(reason)
            error = await attempt_within(limit, transport.close_with, code, reason)
        else:
            error = await attempt_within(limit, transport.close)
        is_late = isinstance(error, DeadlineExceeded) and self._ending is not None
        if error is not None and not is_late:  # leave handlers have their own limit
            self._telemetry.connection_error(self.id, error)
            logger.warning("closing %r failed", self.id, exc_info=error)
        await self.end()

    async def end(self, caller: asyncio.Task[Any] | None = None) -> None:
        """Detach, and wait until the leave handlers have run; called when it closed.

        Idempotent. All callers wait for the same work (but not the work for itself),
        which goes on when one is cancelled. ``caller``: whose task waits for this one.
        """
        self.detach(caller)
        current = caller or asyncio.current_task()
        if self._ending is not None and self._ending is not current:
            await asyncio.shield(self._ending)

    def detach(self, caller: asyncio.Task[Any] | None = None) -> None:
        """Leave all channels at once; the leave handlers run in a task."""
        self.is_ended = True
        self.direct = NO_WRITER
        self._drop_outbox()
        if self._ending is not None:
            return
        if self.intake is not None:
            self.intake.close()
        is_caller = self._writer is (caller or asyncio.current_task())
        writer = None if is_caller else self._writer
        if writer is not None:
            writer.cancel()
        leavings = [
            channel.remove(self.id, LeaveReason.CONNECTION_CLOSED)
            for channel in tuple(self.channels.values())
        ]
        self._ending = asyncio.get_running_loop().create_task(
            self._finish_leaving(leavings, writer), name=f"pond-end-{self.id}"
        )

    async def _finish_leaving(
        self, leavings: list[Leaving | None], writer: asyncio.Task[None] | None
    ) -> None:
        for leaving in filter(None, leavings):
            await leaving.finish()
        if writer is not None:
            await asyncio.wait({writer}, timeout=self._options.send_timeout)

    def _drop_outbox(self) -> None:
        if dropped := self._outbox.clear():
            self._telemetry.count("outbound_dropped", dropped)
