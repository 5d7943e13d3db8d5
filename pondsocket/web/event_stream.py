"""EventStream: the transport of one Server-Sent Events response.

It writes what the session hands it, one write for all that is there; what a slow
client does not take stays in the session's outbox, which is bounded. That the client
left is learnt beside the writing, since a quiet stream writes nothing for a while.
"""

import asyncio
import logging
from typing import Any, Protocol

from pondsocket.options import Options, SlowConsumerPolicy
from pondsocket.transports.sse import SSEServerTransport
from pondsocket.web.websocket import CLOSING_SHARE

__all__ = ["EventStream", "StreamResponse"]

logger: logging.Logger = logging.getLogger(__name__)

_KEEP_ALIVE = b": keep-alive\n\n"  # a comment, WHATWG HTML 9.2.6


class StreamResponse(Protocol):
    """A host's response without end; an adapter gives one to ``EventStream.run``.

    Each method may raise whatever the host raises: the client is gone then.
    """

    async def begin(self) -> None:
        """Send status and headers; called once, first."""
        ...

    async def write(self, data: bytes) -> None:
        """Send a part of the body; waits as long as the client does not read."""
        ...

    async def end(self) -> None:
        """Complete the body; called at most once, last."""
        ...

    async def wait_until_left(self) -> None:
        """Return when the client has gone away; runs beside the others."""
        ...


class EventStream(SSEServerTransport):
    """An SSE connection; made by ``SSEService`` for a GET that was accepted.

    Args:
        id: The user's id; the connection's id is another, and secret.
        options: ``ping_interval``, ``send_timeout`` and ``slow_consumer`` are used.
        assigns: First assigns of the connection; copied.
        with_event_names: Whether each event begins with an ``event:`` line.
    """

    def __init__(
        self,
        *,
        id: str,
        options: Options,
        assigns: dict[str, Any] | None = None,
        with_event_names: bool = True,
    ) -> None:
        super().__init__(id=id, assigns=assigns)
        self._ping_interval = options.ping_interval
        self._send_timeout = options.send_timeout
        self._closes_slow = options.slow_consumer is SlowConsumerPolicy.CLOSE
        self._with_event_names = with_event_names
        self._writing: asyncio.Timeout | None = None
        self._written = asyncio.Event()

    async def run(self, response: StreamResponse) -> None:
        """Write the response until the connection ends, by either side.

        Called once by the adapter, after registration. Raises nothing that the
        response raises.
        """
        listener = asyncio.get_running_loop().create_task(
            self._listen(response), name=f"pond-listen-{self._id}"
        )
        writing = self._writing = asyncio.timeout(
            self._send_timeout if self._closing else None
        )
        try:
            async with writing:
                await response.begin()
                await self._write(response)
        except Exception as error:  # whatever a host raises, and the end of `writing`
            logger.debug("the stream of %r was cut off", self._id, exc_info=True)
            if not writing.expired():
                self._count_failure(error)
        finally:
            self._writing = None
            self._written.set()
            listener.cancel()
            await self.peer_gone()
            await asyncio.wait({listener})

    async def _listen(self, response: StreamResponse) -> None:
        try:
            await response.wait_until_left()
        except Exception:  # a task root: a host that cannot say is as good as gone
            logger.debug("listening to %r failed", self._id, exc_info=True)
        self._end_writing_within(0.0)

    async def _write(self, response: StreamResponse) -> None:
        while True:
            try:
                async with asyncio.timeout(self._ping_interval or None):
                    frames = await self.next_frames()
            except TimeoutError:
                data = _KEEP_ALIVE
            else:
                data = b"".join(frame.sse(self._with_event_names) for frame in frames)
            async with asyncio.timeout(
                self._send_timeout if self._closes_slow else None
            ):
                if not data:
                    await response.end()
                    return
                await response.write(data)

    def _count_failure(self, error: Exception) -> None:
        if isinstance(error, TimeoutError):
            self._telemetry.count("send_timeout")
            self._telemetry.count("slow_consumer_closed")
            logger.warning("connection of %r is a slow consumer; closing it", self._id)
        else:
            self._telemetry.count("send_failed")
            self._telemetry.connection_error(self._id, error)

    def _end_writing_within(self, seconds: float) -> None:
        if self._writing is not None:
            deadline = asyncio.get_running_loop().time() + seconds
            self._writing.reschedule(deadline)

    async def _close_wire(self, code: int, reason: str) -> None:
        """Let the writer finish what is queued; an event stream carries no code."""
        if self._writing is not None:
            self._end_writing_within(self._send_timeout * CLOSING_SHARE)
            await self._written.wait()
