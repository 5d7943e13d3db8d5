"""Connection: one client, from its first byte to its last.

Theory of operation. ``run`` is the only reader. It starts the application and waits
until that has accepted or refused. From then on it reads frames into the queue behind
``receive``; while that is full it does not read. The application writes by itself,
through ``send``.

However a connection ends, ``run`` ends it: the application gets its
``websocket.disconnect``, the last bytes go out, the socket is closed. As soon as
somebody wants the end (application, keep-alive, server) the reading has a deadline of
``close_timeout``; before, it has none. An application that goes on after its client has
left is its own master until the server stops.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from pondsocket.web import abort
from pondsocket_asgi.disconnects import is_disconnect
from pondsocket_asgi.frames import FRAMES, describe_frame_writer
from pondsocket_asgi.scope import ASGIApp
from pondsocket_asgi.ws_bridge.callables import (
    ClientDisconnected,
    Sender,
    create_ws_receive,
)
from pondsocket_asgi.ws_bridge.config import ServerConfig
from pondsocket_asgi.ws_bridge.events import Event, EventQueue
from pondsocket_asgi.ws_bridge.keepalive import KeepAlive
from pondsocket_asgi.ws_bridge.lingering import linger
from pondsocket_asgi.ws_bridge.opening import Handshake
from pondsocket_asgi.ws_bridge.protocol import Closed, WSProtocol
from pondsocket_asgi.ws_bridge.request import RequestReceived
from pondsocket_asgi.ws_bridge.response import render_response
from pondsocket_asgi.ws_bridge.scope import build_ws_scope

__all__ = ["Connection"]

logger: logging.Logger = logging.getLogger(__name__)

_READ_SIZE: Final = 65_536  # bytes
_EARLY_SIZE: Final = 131_072  # bytes that a client may send before it is accepted
_LAST_PATIENCE: Final = 1.0  # seconds for an application that was cancelled

_NORMAL: Final = 1000  # RFC 6455, 7.4.1
_ABNORMAL: Final = 1006
_INTERNAL_ERROR: Final = 1011
_SERVICE_RESTART: Final = 1012  # IANA WebSocket close codes

_SERVER_ERROR: Final = 500  # HTTP
_UNAVAILABLE: Final = 503


class Connection:
    """One client whose handshake is read.

    Args:
        reader: From the client.
        writer: To the client; this object closes it.
        handshake: What the client asked for.
        app: The ASGI application.
        config: Limits and deadlines.
        state: Of the lifespan, for the scope; None without one.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        handshake: Handshake,
        *,
        app: ASGIApp,
        config: ServerConfig,
        state: dict[str, Any] | None,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._app = app
        self._close_timeout = config.close_timeout
        self._loop = asyncio.get_running_loop()
        self._unread = handshake.trailing
        self._events = EventQueue(config.max_queue, config.max_message_size)
        self._decision: asyncio.Future[bool] = self._loop.create_future()
        self._accepted = _CallingEvent(self._on_accepted)
        self._closed = _CallingEvent(self._on_closed)
        self._deadline: asyncio.Timeout | None = None
        self._is_application_done = False
        self._protocol = WSProtocol.for_request(handshake.request, config)
        writer.transport.set_write_buffer_limits(high=config.write_buffer)
        self._sender = Sender(
            writer,
            self._protocol,
            handshake.key,
            accept_event=self._accepted,
            close_event=self._closed,
            denial_timeout=config.close_timeout,
        )
        self._keepalive = KeepAlive(
            config.ping_interval,
            config.ping_timeout,
            ping=self._ping,
            give_up=self._give_up,
        )
        self._scope = self._build_scope(handshake.request, config, state)

    def _build_scope(
        self,
        request: RequestReceived,
        config: ServerConfig,
        state: dict[str, Any] | None,
    ) -> dict[str, Any]:
        scope = build_ws_scope(
            request,
            config,
            _address(self._writer.get_extra_info("peername")),
            _address(self._writer.get_extra_info("sockname")),
        )
        if state is not None:
            scope["state"] = state.copy()
        if (is_deflating := self._protocol.shared_deflate) is not None:
            scope["extensions"][FRAMES] = describe_frame_writer(
                self._sender.write_frames, deflate=is_deflating
            )
        return scope

    async def run(self) -> None:
        """Serve the client until it is gone and its application has ended.

        Called once, in a task of its own. If that is cancelled the client is cut off
        and the application cancelled.
        """
        self._events.put_nowait({"type": "websocket.connect"})
        application = asyncio.create_task(self._run_application(), name="pond-ws-app")
        try:
            is_accepted = await self._wait_for_decision()
            if is_accepted:
                await self._converse()
            await self._close(is_refused=not is_accepted)
            await asyncio.wait({application})
        finally:
            abort(self._writer.transport)
            application.cancel()
            _, late = await asyncio.wait({application}, timeout=_LAST_PATIENCE)
            if late:
                logger.error("an application ignores that it was cancelled")

    @property
    def is_application_done(self) -> bool:
        """Whether all that is left is to see the client off."""
        return self._is_application_done

    def stop(self) -> None:
        """Tell client and application that the server ends; waits for nobody."""
        self._finish(_SERVICE_RESTART, _UNAVAILABLE)
        self._tell_of_end(_SERVICE_RESTART)

    # The application's side.

    async def _run_application(self) -> None:
        code = _INTERNAL_ERROR
        try:
            receive = create_ws_receive(self._events)
            await self._app(self._scope, receive, self._sender.send)
            if not (self._sender.has_answered or self._is_client_gone):
                logger.error("the application ended without an answer to the handshake")
            code = _NORMAL
        except Exception as error:  # the rim: the application's
            if isinstance(error, ClientDisconnected) or is_disconnect(error):
                logger.debug("the application ended with its client", exc_info=True)
                code = _NORMAL
            else:
                logger.exception("the application failed")
        finally:
            self._is_application_done = True
            self._finish(code, _SERVER_ERROR)

    @property
    def _is_client_gone(self) -> bool:
        return self._events.has_ended or self._writer.is_closing()

    def _finish(self, code: int, status: int) -> None:
        """End what the application has not ended itself, at whatever point it is."""
        if self._closed.is_set():
            return
        if self._accepted.is_set():
            self._write(self._protocol.close(code))
        elif not self._sender.has_answered:
            self._write(render_response(status, (), b""))
        self._sender.cut()
        self._closed.set()

    def _on_accepted(self) -> None:
        self._decision.set_result(True)

    def _on_closed(self) -> None:
        self._events.discard()
        if not self._decision.done():
            self._decision.set_result(False)
        self._hurry()

    def _hurry(self) -> None:
        """Give the client ``close_timeout`` for its part of the closing handshake."""
        self._keepalive.stop()
        if self._deadline is not None and self._deadline.when() is None:
            self._deadline.reschedule(self._loop.time() + self._close_timeout)

    def _tell_of_end(self, code: int, reason: str = "") -> None:
        self._events.end(
            {"type": "websocket.disconnect", "code": code, "reason": reason}
        )

    # The client's side.

    async def _wait_for_decision(self) -> bool:
        """Return whether the application accepts; notice if the client leaves first."""
        reading = asyncio.create_task(self._read_early(), name="pond-ws-early")
        try:
            return await self._decision
        finally:
            reading.cancel()
            await asyncio.wait({reading})

    async def _read_early(self) -> None:
        """Keep what comes before the acceptance; a client should send nothing then."""
        try:
            while len(self._unread) < _EARLY_SIZE:
                data = await self._reader.read(_READ_SIZE)
                if not data:
                    break
                self._unread += data
            else:
                return  # the rest waits for the decision
        except OSError as error:
            logger.debug("a client was lost before it was accepted: %r", error)
        self._tell_of_end(_ABNORMAL)
        self._sender.cut()

    async def _converse(self) -> None:
        self._keepalive.start()
        try:
            async with asyncio.timeout(None) as self._deadline:
                if self._closed.is_set():
                    self._hurry()
                await self._read_frames()
        except OSError as error:  # TimeoutError is one
            logger.debug("a client was lost, or did not close in time: %r", error)
        finally:
            self._deadline = None
            self._keepalive.stop()

    async def _read_frames(self) -> None:
        # Each message comes by here: looked up once, and nothing is called in between.
        protocol, events, keepalive = self._protocol, self._events, self._keepalive
        read, clock = self._reader.read, self._loop.time
        unsent = self._writer.transport.get_write_buffer_size
        data = self._unread or await read(_READ_SIZE)
        self._unread = b""
        while data or protocol.has_more:
            keepalive.last_heard = now = clock()
            received = protocol.receive(data, now=now, unsent=unsent())
            if output := protocol.take_output():
                self._write(output)
            for each in received:
                if isinstance(each, (str, bytes)):
                    kind = "text" if isinstance(each, str) else "bytes"
                    event = {"type": "websocket.receive", kind: each}
                    try:
                        events.put_nowait(event)
                    except asyncio.QueueFull:
                        await self._wait_for_room(event)
                elif isinstance(each, Closed):
                    await self._take_close(each)
                    return
            if protocol.has_more:
                data = b""
                await asyncio.sleep(0)  # others' turn
            else:
                data = await read(_READ_SIZE)

    async def _wait_for_room(self, event: Event) -> None:
        """Hand over a message when the application has taken another."""
        self._keepalive.is_deaf = True
        await self._events.put(event)
        self._keepalive.is_deaf = False
        self._keepalive.last_heard = self._loop.time()

    async def _take_close(self, closed: Closed) -> None:
        self._tell_of_end(closed.code, closed.reason)
        if not closed.by_client:
            self._hurry()
            await linger(self._reader, self._writer)

    async def _close(self, *, is_refused: bool) -> None:
        """Let the last bytes out and close the socket."""
        self._tell_of_end(_ABNORMAL)
        try:
            async with asyncio.timeout(self._close_timeout):
                if is_refused:
                    await linger(self._reader, self._writer)
                self._writer.close()
                await self._writer.wait_closed()
        except OSError as error:  # TimeoutError is one
            logger.debug("a client did not take its last bytes: %r", error)
            abort(self._writer.transport)

    def _write(self, data: bytes) -> None:
        if data and not self._writer.is_closing():
            self._writer.write(data)

    # Called by the keep-alive.

    def _ping(self) -> None:
        if not self._protocol.close_sent:
            self._write(self._protocol.ping())

    def _give_up(self) -> None:
        logger.debug("a client did not answer pings")
        self._tell_of_end(_ABNORMAL, "keep-alive timeout")
        self._write(self._protocol.close(_INTERNAL_ERROR, "keep-alive timeout"))
        abort(self._writer.transport)


class _CallingEvent(asyncio.Event):
    """An event that also calls somebody, the first time."""

    def __init__(self, callback: Callable[[], None]) -> None:
        super().__init__()
        self._callback = callback

    def set(self) -> None:
        if not self.is_set():
            super().set()
            self._callback()


def _address(found: tuple[Any, ...] | None) -> tuple[str, int]:
    # Of IPv6 there is more, of a client that has gone already there may be nothing.
    return (found[0], found[1]) if found else ("", 0)
