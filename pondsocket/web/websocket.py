"""WebSocketTransport: one WebSocket of a host that sends and receives by coroutines.

Theory of operation. A host's send may wait (while the client does not read), and the
core may not, so ``try_send`` hands what it is given to a ``SendPump`` and takes nothing
more until that was sent: one send is in flight at a time, in order. One that waits
longer than ``Options.send_timeout`` is a slow consumer; while the session waits too
(something was refused) that is the session's to say.

``run`` reads in the host's own task. Whoever else ends the connection interrupts the
reading by the deadline that it stands under, so that the host's handler returns and the
host can drop the socket. A socket that takes no close frame is the host's to drop.
"""

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from typing import Any

from pondsocket.base_transport import BaseTransport
from pondsocket.frame import Frame
from pondsocket.options import Options, SlowConsumerPolicy
from pondsocket.web.errors import ClientLeft
from pondsocket.web.send_pump import SendPump

__all__ = ["WebSocketTransport"]

logger: logging.Logger = logging.getLogger(__name__)

_TRY_AGAIN_LATER = 1013  # IANA WebSocket close codes
CLOSING_SHARE = 0.9  # of send_timeout; then the session stops waiting for us
_BACKLOG = 16  # messages after which the reader lets others run


class WebSocketTransport(BaseTransport):
    """The transport of one accepted WebSocket; an adapter adds three verbs of its host.

    Args:
        id: The user's id, the connection's too.
        pump: Runs the sends; one for all connections is best.
        options: ``send_timeout`` and ``slow_consumer`` are used.
        assigns: First assigns of the connection; copied.
        joins_messages: Whether the client takes several messages, separated by
            newlines, in one WebSocket frame.
    """

    def __init__(
        self,
        *,
        id: str,
        pump: SendPump | None = None,
        options: Options | None = None,
        assigns: dict[str, Any] | None = None,
        joins_messages: bool = False,
    ) -> None:
        super().__init__(id, assigns=assigns)
        options = options or Options()
        self._pump = pump or SendPump()
        self._context = copy_context()  # a host's middleware may rely on its own
        self._options = options
        self._joins_messages = joins_messages
        self._is_sending = False
        self._sender: asyncio.Task[Any] | None = None  # of a send that waits
        self._sent: asyncio.Future[None] | None = None  # while somebody waits for it
        self._sending_since = 0.0
        self._stall: asyncio.TimerHandle | None = None
        self._refused = False
        self._writable: Callable[[], None] = _nobody_waits
        self._is_over = False
        self._reading: asyncio.Timeout | None = None

    # What an adapter adds.

    @abstractmethod
    async def _send_messages(self, messages: Sequence[str | bytes]) -> None:
        """Send messages, one after the other: str as text frames, bytes as binary.

        May wait as long as the client does not read. What it raises means that the
        client is gone. Cancelled when the connection ends meanwhile.
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
        self._is_sending = True
        self._sender = self._pump.start(self._send(tuple(frames)), self._context)
        if self._sender is not None:  # it waits for the client
            self._expect_progress()
        return True

    def on_writable(self, callback: Callable[[], None]) -> None:
        """Set what to call when the send is over that caused a refusal."""
        self._writable = callback

    async def _send(self, frames: tuple[Frame, ...]) -> None:
        codec = self.codec
        messages = [frame.render(codec) for frame in frames]
        if self._joins_messages:
            messages = ["\n".join(frame.text for frame in frames)]
        try:
            await self._send_messages(messages)
        except Exception as error:  # whatever a host raises: the client is gone
            logger.debug("sending to %r failed", self._id, exc_info=True)
            if not self._closing:
                self._telemetry.count("send_failed")
                self._telemetry.connection_error(self._id, error)
                await asyncio.sleep(0)  # not amid the fan-out that called try_send
                self._sender = None  # it is this task, which is not to be cancelled
                await self.peer_gone()
        finally:
            self._is_sending = False
            self._sender = None
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
        reading = self._reading = asyncio.timeout(None)
        try:
            async with reading:
                since_turn = 0
                while not self._is_over:
                    self.receive(await self._receive_message())
                    since_turn += 1
                    if len(self.intake) > _BACKLOG or since_turn > _BACKLOG:
                        # a host with messages at hand never waits: give others a turn
                        since_turn = 0
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

    def _stop_reading(self) -> None:
        self._is_over = True
        if self._reading is not None:
            self._reading.reschedule(asyncio.get_running_loop().time())
            self._reading = None
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    # The end

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
