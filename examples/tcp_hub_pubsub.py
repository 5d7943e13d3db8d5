"""A PubSub of your own: processes hear each other through a hub on plain TCP.

    python tcp_hub_pubsub.py

Then make PondSockets with ``PondSocket(pubsub=HubPubSub("127.0.0.1", 9100))``, in as
many processes as you like. The hub repeats every message to every process.
"""

import asyncio
import logging
import os
import random
import signal
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from pondsocket import (
    DeadlineExceeded,
    PubSubClosedError,
    PubSubHandler,
    Subscriptions,
    Unavailable,
)

PATIENCE = 2.0  # seconds for the hub to take something, or to say hello
RETRY = 0.3  # seconds between two attempts to connect, more or less
FULL = 16 * 1024 * 1024  # bytes that a process may leave unread before it is cut off
# Of a message: whether it comes back to its sender, the lengths of topic and data.
HEAD = struct.Struct("!?II")
HELLO = b"\n"  # what the hub says first: from here on the process hears everything

logger = logging.getLogger(__name__)


class HubPubSub:
    """What ``pondsocket.PubSub`` asks for: at most once, in order, one connection."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._subscriptions = Subscriptions()
        self._on_reconnect: list[Callable[[], object]] = []
        self._life: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._is_up = asyncio.Event()
        self._echoes: deque[asyncio.Future[None]] = deque()  # in the order of sending
        self._has_failed = False
        self._is_closed = False

    async def subscribe(self, pattern: str, handler: PubSubHandler) -> None:
        """Hear a pattern; if there is no hub in time, from when it is back."""
        self._check_open()
        self._subscriptions.add(pattern, handler)
        await self._reach()

    async def unsubscribe(
        self, pattern: str, handler: PubSubHandler | None = None
    ) -> None:
        """Hear it no more."""
        self._subscriptions.remove(pattern, handler)

    async def publish(self, topic: str, data: bytes) -> None:
        """Return when the hub has repeated it; fail at once while that is away."""
        self._check_open()
        if self._has_failed:
            raise Unavailable("", "the hub is away")
        writer = await self._reach()
        name = topic.encode()
        echo = asyncio.get_running_loop().create_future()
        self._echoes.append(echo)
        writer.write(HEAD.pack(True, len(name), len(data)) + name + data)
        try:
            async with asyncio.timeout(PATIENCE):
                await writer.drain()
                await echo
        except TimeoutError as error:
            raise DeadlineExceeded("", "the hub does not answer") from error
        except OSError as error:
            raise Unavailable("", f"the hub went away: {error}") from error
        finally:
            echo.cancel()  # if it has not come, nobody waits for it any more

    def on_reconnect(self, callback: Callable[[], object]) -> None:
        """Call it after each outage: what was sent meanwhile is lost."""
        self._on_reconnect.append(callback)

    async def close(self) -> None:
        """End the subscriptions and the connection."""
        self._is_closed = True
        life, self._life = self._life, None
        if life is not None:
            life.cancel()
            await asyncio.wait([life])
        await self._subscriptions.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise PubSubClosedError

    async def _reach(self) -> asyncio.StreamWriter:
        if self._life is None:
            self._life = asyncio.get_running_loop().create_task(self._live())
        try:
            async with asyncio.timeout(PATIENCE):
                await self._is_up.wait()
        except TimeoutError as error:
            raise DeadlineExceeded("", "the hub did not answer") from error
        if self._writer is None:  # it was there, and went away meanwhile
            raise Unavailable("", "the hub is away")
        return self._writer

    async def _live(self) -> None:
        while True:
            try:
                await self._talk()
            except (OSError, EOFError) as error:
                if not self._has_failed:
                    logger.warning("the hub is away: %s", error)
                self._has_failed = True
            await asyncio.sleep(RETRY * random.uniform(0.5, 1.5))  # noqa: S311 - no secret

    async def _talk(self) -> None:
        async with asyncio.timeout(PATIENCE):
            reader, self._writer = await asyncio.open_connection(*self._address)
        try:
            async with asyncio.timeout(PATIENCE):
                await reader.readexactly(len(HELLO))
            self._is_up.set()
            has_failed, self._has_failed = self._has_failed, False
            for callback in self._on_reconnect if has_failed else ():
                callback()
            while True:
                is_own, topic, data = await read_message(reader)
                is_crowded = self._subscriptions.dispatch(topic, data)
                if is_own and not (echo := self._echoes.popleft()).done():
                    echo.set_result(None)
                if is_crowded:
                    await asyncio.sleep(0)  # some handler is behind
        finally:
            self._is_up.clear()
            writer, self._writer = self._writer, None
            writer.transport.abort()
            for echo in self._echoes:
                if not echo.done():
                    echo.set_exception(ConnectionResetError("no echo"))
            self._echoes.clear()


async def read_message(reader: asyncio.StreamReader) -> tuple[bool, str, bytes]:
    """Return the next message: whether it is one's own, topic, data."""
    is_own, name_size, size = HEAD.unpack(await reader.readexactly(HEAD.size))
    name = await reader.readexactly(name_size)
    return is_own, name.decode(), await reader.readexactly(size)


# The hub; it knows no topics.


class Hub:
    """Repeats what each process says to all of them, itself included."""

    def __init__(self) -> None:
        self._served: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve one process until it hangs up."""
        self._served[writer] = asyncio.current_task()
        writer.write(HELLO)
        try:
            while True:
                _, topic, data = await read_message(reader)
                self._repeat(writer, topic.encode(), data)
        except (OSError, EOFError):
            pass  # it hung up, or was cut off: both are an end like any other
        finally:
            del self._served[writer]
            writer.transport.abort()

    def _repeat(self, sender: asyncio.StreamWriter, name: bytes, data: bytes) -> None:
        for writer in self._served:
            if writer.transport.get_write_buffer_size() > FULL:
                logger.warning("a process does not read, it is cut off")
                writer.transport.abort()
            else:
                head = HEAD.pack(writer is sender, len(name), len(data))
                writer.write(head + name + data)

    async def cut_off(self) -> None:
        """Hang up on everybody; return when that is done."""
        tasks = [task for task in self._served.values() if task is not None]
        for writer in self._served:
            writer.transport.abort()
        if tasks:
            await asyncio.wait(tasks, timeout=PATIENCE)


@asynccontextmanager
async def serve_hub(host: str = "127.0.0.1", port: int = 9100) -> AsyncIterator[int]:
    """Run a hub and yield its port."""
    hub = Hub()
    server = await asyncio.start_server(hub.serve, host, port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await hub.cut_off()
        await server.wait_closed()


async def main() -> None:
    """Serve until the process is interrupted or terminated."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with serve_hub(port=int(os.environ.get("PORT", "9100"))) as port:
        print(f"the hub listens on 127.0.0.1:{port}", flush=True)  # noqa: T201
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(main())
