"""AiohttpWebSocketTransport: one WebSocket of aiohttp, as the core sees it."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from aiohttp import WSMessage, WSMsgType, web

from pondsocket import Options
from pondsocket.web import (
    ClientLeft,
    FrameBudget,
    FrameWriter,
    WebSocketTransport,
    abort,
    start_eagerly,
)
from pondsocket_aiohttp.flood_gate import FloodGate
from pondsocket_aiohttp.heartbeat import Heartbeat

__all__ = ["AiohttpWebSocketTransport"]

logger: logging.Logger = logging.getLogger(__name__)

_POLICY_VIOLATION = 1008  # RFC 6455 7.4.1
_CONTROL_HEAD = 6  # bytes of a client's ping or pong before its payload
# Characters. Beyond 16 KiB, of which they may have four each, aiohttp compresses in a
# thread.
_COMPRESSED_AT_ONCE = 4096


class AiohttpWebSocketTransport(WebSocketTransport):
    """The transport of one prepared WebSocket; made by the routes of ``setup``.

    Args:
        id: The user's id, the connection's too.
        websocket: Prepared, with ``autoping=False``.
        wire: What carries it: dropped if its client takes nothing any more, watched
            for parts of a message that never becomes one.
        options: ``send_timeout``, ``slow_consumer``, ``max_message_size``,
            ``ping_interval`` and ``pong_wait`` are used.
        joins_messages: Whether the client takes several messages, separated by
            newlines, in one WebSocket frame.
        frame_writer: The way past the host, None for none.

    Attributes:
        websocket: As above.
    """

    __slots__ = ("_budget", "_gate", "_heartbeat", "_pinging", "_wire", "websocket")

    def __init__(
        self,
        *,
        id: str,
        websocket: web.WebSocketResponse,
        wire: asyncio.Transport,
        options: Options | None = None,
        joins_messages: bool = False,
        frame_writer: FrameWriter | None = None,
    ) -> None:
        options = options or Options()
        super().__init__(
            id=id,
            options=options,
            joins_messages=joins_messages,
            frame_writer=frame_writer,
        )
        self.websocket: web.WebSocketResponse = websocket
        self._wire = wire
        self._budget = FrameBudget()
        self._gate = FloodGate(
            wire,
            message_size=options.max_message_size,
            on_flood=self._end_flood,
        )
        self._heartbeat: Heartbeat | None = None
        if options.ping_interval:
            self._heartbeat = Heartbeat(
                asyncio.get_running_loop(),
                interval=options.ping_interval,
                patience=options.pong_wait,
                owner=self,
            )

    def _send_message(self, message: str | bytes) -> Coroutine[Any, Any, None]:
        if self.websocket.closed:  # aiohttp itself would send behind its close frame
            raise ClientLeft
        if isinstance(message, str):
            sending = self.websocket.send_str(message)
        else:
            sending = self.websocket.send_bytes(message)
        if self.websocket.compress and len(message) > _COMPRESSED_AT_ONCE:
            return _see_through(sending)
        return sending

    async def _receive_message(self) -> str | bytes:
        while not self._closing:
            message = await self.websocket.receive()
            if self._heartbeat is not None:
                self._heartbeat.hear()
            match message.type:
                case WSMsgType.TEXT | WSMsgType.BINARY:
                    self._gate.note_message()
                    data: str | bytes = message.data
                    return data
                case WSMsgType.PING | WSMsgType.PONG:
                    await self._take_control_frame(message)
                case _ if not self._closing:
                    raise ClientLeft
        # aiohttp reads on for the close frame of the client, as long as the handler
        # does not return; who closes interrupts this when that is over
        over: asyncio.Future[str | bytes] = asyncio.get_running_loop().create_future()
        return await over

    async def _take_control_frame(self, message: WSMessage) -> None:
        """Answer a ping, unless there are too many; no limit on messages sees them."""
        self._gate.note_bytes(_CONTROL_HEAD + len(message.data))
        now = asyncio.get_running_loop().time()
        unsent = self._count_unsent()
        if not self._budget.admits(now, unsent=unsent):
            self._end_flood()
        elif message.type is WSMsgType.PING:
            try:
                await self.websocket.pong(message.data)
            except ConnectionError as exc:
                raise ClientLeft from exc

    def _end_flood(self) -> None:
        self._end(_POLICY_VIOLATION, "too many frames")

    def ask(self) -> None:
        """Send a ping; called by the heartbeat."""
        # kept: the loop itself holds no reference
        self._pinging = start_eagerly(self._ping(), self._context, may_share=True)

    def give_up(self) -> None:
        """Drop the connection of a client that does not answer; called as above."""
        abort(self._wire)

    async def _ping(self) -> None:
        try:
            await self.websocket.ping()
        except ConnectionError:  # the reader hears of it as well
            logger.debug("no ping for %r, which left", self._id, exc_info=True)

    def _stop_reading(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.stop()
        super()._stop_reading()
        if self._count_unsent():
            # aiohttp would wait for a client that says goodbye and does not read
            loop = asyncio.get_running_loop()
            loop.call_later(self._options.send_timeout, abort, self._wire)

    async def _send_close(self, code: int, reason: str) -> None:
        """Send a close frame and wait for the client's, for a while.

        aiohttp does not always wait: what is still unsent then has ``send_timeout``.
        """
        try:
            await self.websocket.close(code=code, message=reason.encode())
        except asyncio.CancelledError:  # all of its time is over
            if self._count_unsent():
                abort(self._wire)
            raise

    def _count_unsent(self) -> int:
        try:
            return self._wire.get_write_buffer_size()
        except AttributeError:  # asyncio's own over TLS, when it was closed twice
            return 0


async def _see_through(sending: Coroutine[Any, Any, None]) -> None:
    """Send in a task that goes on if this is cancelled, and take its error then.

    aiohttp shields what it compresses in a thread. Cancelled itself, it would leave
    behind a task that fails where the client left meanwhile, and whose error nobody
    asks for: asyncio would log it with a traceback.
    """
    task = asyncio.create_task(sending, name="pond-aiohttp-send")
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        # aiohttp holds what the task waits for, and that holds the task
        task.add_done_callback(_note_error)
        raise
    task.result()


def _note_error(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.debug("a message was given up: %s", error)
