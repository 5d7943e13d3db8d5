"""WebSocketTransport: one WebSocket of a host that sends and receives by coroutines.

Theory of operation. Where the adapter has a ``FrameWriter``, ready frames are written
past the host, as long as that takes them. Otherwise they go by the host's send, which
may wait (while the client does not read), and the core may not: so ``try_send`` starts
that send and takes nothing more until it is over. One send is in flight at a time, and
nothing is written past it: all that a client gets is in order. A send that waits longer
than ``Options.send_timeout`` is a slow consumer; while the session waits too (something
was refused) that is the session's to say.

``run`` reads in the host's own task. Whoever else ends the connection interrupts the
reading by the deadline that it stands under, so that the host's handler returns and the
host can drop the socket. A socket that takes no close frame is the host's to drop.
"""

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import copy_context
from typing import Any

from pondsocket.base_transport import BaseTransport
from pondsocket.burst import Burst
from pondsocket.eager import start_eagerly
from pondsocket.frame import Frame
from pondsocket.frame_writer import NO_WRITER, FrameWriter
from pondsocket.options import Options, SlowConsumerPolicy
from pondsocket.web.errors import ClientLeft
from pondsocket.wire import JSON_CODEC

__all__ = ["WebSocketTransport"]

logger: logging.Logger = logging.getLogger(__name__)

_TRY_AGAIN_LATER = 1013  # IANA WebSocket close codes
CLOSING_SHARE = 0.9  # of send_timeout; then the session stops waiting for us
_BACKLOG = 16  # messages in one turn of the loop after which the reader lets others run
_LARGE = 16_384  # of a message: each takes its time to decode, so each gives a turn
_MANY = 8  # messages after which it wants to know of the next turn


class WebSocketTransport(BaseTransport):
    """The transport of one accepted WebSocket; an adapter adds three verbs of its host.

    Args:
        id: The user's id, the connection's too.
        options: ``send_timeout`` and ``slow_consumer`` are used.
        assigns: First assigns of the connection; copied.
        joins_messages: Whether the client takes several messages, separated by
            newlines, in one WebSocket frame.
        frame_writer: The way past the host, None if there is none; not used if
            ``Options.direct_writes`` is off.
    """

    __slots__ = (
        "_context", "_is_over", "_is_sending", "_joins_messages", "_loop", "_options",
        "_reading", "_received_in_turn", "_refused", "_sender", "_sending_since",
        "_sent", "_stall", "_writable", "frame_writer", "is_held",
    )  # fmt: skip

    def __init__(
        self,
        *,
        id: str,
        options: Options | None = None,
        assigns: dict[str, Any] | None = None,
        joins_messages: bool = False,
        frame_writer: FrameWriter | None = None,
    ) -> None:
        super().__init__(id, assigns=assigns)
        options = options or Options()
        self._context = copy_context()  # a host's middleware may rely on its own
        self._options = options
        self._joins_messages = joins_messages
        self.frame_writer: FrameWriter = NO_WRITER
        if frame_writer is not None and options.direct_writes:
            self.frame_writer = frame_writer
            if joins_messages:
                frame_writer.join_messages()
        self.is_held: bool = False
        self._loop: asyncio.AbstractEventLoop | None = None  # once something is sent
        self._is_sending = False
        self._sender: asyncio.Task[Any] | None = None  # of a send that waits
        self._sent: asyncio.Future[None] | None = None  # while somebody waits for it
        self._sending_since = 0.0
        self._stall: asyncio.TimerHandle | None = None
        self._refused = False
        self._writable: Callable[[], None] = _nobody_waits
        self._is_over = False
        self._reading: asyncio.Timeout | None = None
        self._received_in_turn = 0

    # What an adapter adds.

    @abstractmethod
    def _send_message(self, message: str | bytes) -> Coroutine[Any, Any, None]:
        """Return what sends one message: str as a text frame, bytes as a binary one.

        It may wait as long as the client does not read. What it raises means that the
        client is gone. Cancelled when the connection ends meanwhile. Many connections
        times many messages come by here: the host's own coroutine is best.
        """

    @abstractmethod
    def _receive_message(self) -> Awaitable[str | bytes]:
        """Return the client's next message: str for a text frame, else bytes.

        Raises:
            ClientLeft: When there is no more.
        """

    @abstractmethod
    async def _send_close(self, code: int, reason: str) -> None:
        """Send a close frame, and let the host close; called at most once.

        It may wait for the client; after some time it is cancelled.
        """

    # FrameSink

    def try_send(self, frames: Sequence[Frame]) -> bool:
        """Send all frames, or take none while an earlier send is in flight."""
        if self._closing:
            return False
        if self._is_sending:
            self._refused = True
            return False
        burst = frames if isinstance(frames, Burst) else Burst(frames)
        writer, is_json = self.frame_writer, self.codec is JSON_CODEC
        if is_json and not writer.is_held and writer.try_write(burst):
            return True
        return self.try_write(burst)

    # BurstWriter, for a session whose host has no way past its send

    def try_write(self, burst: Burst) -> bool:
        """Do what ``try_send`` does, by the host's send."""
        if self._is_sending or self._closing:
            return False
        self._is_sending = True
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        is_plain = self.codec is JSON_CODEC and not self._joins_messages
        messages = burst.messages if is_plain else self._messages_of(burst)
        try:
            sender = start_eagerly(
                self._send_message(messages[0])
                if len(messages) == 1
                else self._send_each(messages),
                self._context,
                self._loop,
                may_share=True,
            )
        except Exception as error:  # noqa: BLE001 - whatever a host raises: gone
            sender = None
            self._note_loss(error)
        if sender is not None:  # it waits for the client
            self._sender = sender
            self._hold_frames(True)
            sender.add_done_callback(self._on_sent)
            self._expect_progress()
        elif self._refused or self._sent is not None:
            self._finish_sending()
        else:
            self._is_sending = False
        return True

    def on_writable(self, callback: Callable[[], None]) -> None:
        """Set what to call when the send is over that caused a refusal."""
        self._writable = callback

    def _messages_of(self, burst: Burst) -> Sequence[str | bytes]:
        if self.codec is not JSON_CODEC:
            return [frame.render(self.codec) for frame in burst]
        return (burst.text,)

    async def _send_each(self, messages: Sequence[str | bytes]) -> None:
        for message in messages:
            await self._send_message(message)

    def _on_sent(self, sender: asyncio.Task[None]) -> None:
        error = None if sender.cancelled() else sender.exception()
        if error is not None:
            self._note_loss(error)
        self._finish_sending()

    def _note_loss(self, error: BaseException) -> None:
        """Note that a send failed, maybe amid a fan-out; what follows has its task."""
        logger.debug("sending to %r failed", self._id, exc_info=error)
        if not self._closing:
            self._telemetry.count("send_failed")
            self._telemetry.connection_error(self._id, error)
            self._stop_reading()
            self._closer = self._start_closing()

    def _hold_frames(self, is_held: bool) -> None:
        self.is_held = is_held
        if self.frame_writer is not NO_WRITER:
            self.frame_writer.is_held = is_held

    def _finish_sending(self) -> None:
        self._is_sending = False
        self._sender = None
        self._hold_frames(self._closing)
        if self._sent is not None:
            self._sent.set_result(None)
            self._sent = None
        if self._refused:
            self._refused = False
            asyncio.get_running_loop().call_soon(self._writable)

    def _expect_progress(self) -> None:
        """Arm the timer; it is left to run out, since most sends are over at once."""
        loop = asyncio.get_running_loop()
        self._sending_since = loop.time()
        if self._stall is None:
            self._stall = loop.call_later(
                self._options.send_timeout, self._check_progress
            )

    def _check_progress(self) -> None:
        self._stall = None
        if not self._is_sending or self._closing:
            return
        loop = asyncio.get_running_loop()
        due = self._sending_since + self._options.send_timeout
        if self._refused or due > loop.time():
            later = max(due, loop.time() + self._options.send_timeout / 2)
            self._stall = loop.call_at(later, self._check_progress)
            return
        self._telemetry.count("send_timeout")
        if self._options.slow_consumer is SlowConsumerPolicy.CLOSE:
            self._telemetry.count("slow_consumer_closed")
            logger.warning("connection %r is a slow consumer; closing it", self._id)
            self._end(_TRY_AGAIN_LATER, "slow consumer")

    # Reading

    async def run(self) -> None:
        """Hand in what the client sends until the connection ends, by either side.

        Called once by the host's handler, after registration; when it returns, so may
        the handler. The close callbacks have run if the client left; if the server
        closed, whoever did waits for them.
        """
        loop, intake = asyncio.get_running_loop(), self.intake
        reading = self._reading = asyncio.timeout(None)
        try:
            async with reading:
                while not self._is_over:
                    message = await self._receive_message()
                    self.receive(message)
                    self._received_in_turn += 1
                    if self._received_in_turn == _MANY:
                        loop.call_soon(self._note_turn)
                    if (
                        self._received_in_turn > _BACKLOG
                        or len(intake) > _BACKLOG
                        or len(message) > _LARGE
                    ):
                        # a host with messages at hand never waits: give others a turn
                        await asyncio.sleep(0)
        except ClientLeft:
            self._reading = None  # it has ended, and cannot be moved any more
            logger.debug("connection %r was closed by its client", self._id)
            await asyncio.sleep(0)  # let the handler of its last message begin
        except TimeoutError:
            if not reading.expired():
                raise
        finally:
            self._reading = None
            await self.peer_gone()

    def _note_turn(self) -> None:
        self._received_in_turn = 0

    def _stop_reading(self) -> None:
        self._is_over = True
        if self._reading is not None:
            self._reading.reschedule(asyncio.get_running_loop().time())
            self._reading = None
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    # The end

    def _start_closing(self, *wire: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self._hold_frames(True)
        return super()._start_closing(*wire)

    async def peer_gone(self) -> None:
        """Note that the client left; a send in flight is given up."""
        self._stop_reading()
        if self._sender is not None:
            self._sender.cancel()
        await super().peer_gone()

    async def _close_wire(self, code: int, reason: str) -> None:
        """Send a close frame behind what is in flight, within ``send_timeout``."""
        deadline = self._options.send_timeout * CLOSING_SHARE
        try:
            async with asyncio.timeout(deadline):
                await self._give_up_sending_within(deadline / 2)
                await self._send_close(code, reason)
        except TimeoutError:
            self._telemetry.count("send_timeout")
            logger.info("connection %r took no close frame, dropping it", self._id)
        finally:
            self._stop_reading()

    async def _give_up_sending_within(self, seconds: float) -> None:
        if self._is_sending:
            self._sent = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._sent}, timeout=seconds)
        if self._sender is not None:
            self._sender.cancel()


def _nobody_waits() -> None:
    """Stand in for the session until the transport is registered."""
