"""Subscriber: hears what others publish, over a connection of its own.

Theory of operation. ``want`` and ``forget`` change a table; a task that exists only
while something changed brings the connection in line with it, so the changes of one
turn of the loop leave in a few commands. A new connection asks for the whole table. One
reader takes everything that arrives, and hands messages on without waiting: many that
arrived together are handed over in one turn of the loop.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, NoReturn

from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from pondsocket import DeadlineExceeded, Unavailable
from pondsocket_redis.names import Name
from pondsocket_redis.orders import Orders
from pondsocket_redis.shared import Shared
from pondsocket_redis.supervisor import Supervisor, end_task
from pondsocket_redis.wire import Dial, Wire

__all__ = ["Deliver", "Moved", "Subscriber"]

logger: logging.Logger = logging.getLogger(__name__)

# Another node serves the topic, or will in a moment.
_MOVES: Final = (AskError, ClusterDownError, MovedError, TryAgainError)

Deliver = Callable[[bytes | None, bytes, bytes], bool]
"""Called with glob (None for an exact topic), topic and data of each message; returns
whether the reader should let others run."""

Moved = Callable[[Name], object]
"""Called with a name that this server does not serve any more."""


class Subscriber:
    """Keeps what is wanted subscribed on one connection, through all losses.

    Args:
        name: Of the connection, in logs.
        dial: Opens a connection.
        deliver: Gets the messages, must not block.
        moved: Gets the names that the server refuses as those of another one.
        shared: The deadlines.
    """

    def __init__(
        self,
        name: str,
        dial: Dial,
        deliver: Deliver,
        *,
        moved: Moved,
        shared: Shared,
    ) -> None:
        self._deliver = deliver
        self._moved = moved
        self._subscribe_timeout = shared.settings.subscribe_timeout
        self._supervisor = Supervisor(
            name,
            dial,
            self._serve,
            lost=self._fail,
            outage=shared.outage,
            connect_timeout=shared.settings.connect_timeout,
        )
        self._wanted: dict[Name, None] = {}
        self._changed: dict[Name, None] = {}
        self._orders = Orders()
        # Of what was wanted when the connection was made: what is neither subscribed
        # nor refused nor forgotten yet. What came later must not delay the return.
        self._missing: set[Name] = set()
        self._waiters: dict[Name, asyncio.Future[Exception | None]] = {}
        self._wire: Wire | None = None
        self._writer: asyncio.Task[None] | None = None
        self.signs: int = 0

    @property
    def is_ready(self) -> bool:
        """Whether there is a connection and everything is subscribed on it."""
        return self._supervisor.is_ready

    def start(self) -> None:
        """Begin to connect, unless that was done."""
        self._supervisor.start()

    def cut(self) -> None:
        """Give the present connection up."""
        self._supervisor.cut()

    def want(self, name: Name) -> None:
        """Have a name subscribed from now on, as soon as there is a connection."""
        self._wanted[name] = None
        self._change(name)

    def forget(self, name: Name) -> None:
        """Have a name subscribed no more; unknown ones are ignored."""
        self._wanted.pop(name, None)
        self._tell(name, None)
        self._change(name)

    async def confirmed(self, name: Name) -> None:
        """Wait until the server has confirmed a wanted name.

        Whatever is raised here, the name stays wanted.

        Raises:
            Unavailable: At once, if the server is away; later, if it goes away or
                refuses.
            DeadlineExceeded: If nothing came within ``subscribe_timeout``.
        """
        if self._orders.is_settled(name):
            return
        if self._supervisor.is_away:
            raise _kept("the server is away")
        future = self._waiters.get(name)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            self._waiters[name] = future
        done, _ = await asyncio.wait([future], timeout=self._subscribe_timeout)
        if not done:
            raise DeadlineExceeded(
                "", f"subscription not confirmed within {self._subscribe_timeout} s"
            )
        error = future.result()
        if error is not None:
            raise _kept(str(error) or repr(error)) from error

    async def close(self) -> None:
        """End the connection and its task; idempotent."""
        await self._supervisor.close()
        self._fail(EOFError("closed"))

    async def _serve(self, wire: Wire) -> NoReturn:
        self._orders = Orders()
        self._wire = wire
        self._changed.clear()
        self._missing = set(self._wanted)
        try:
            async with asyncio.timeout(self._subscribe_timeout):
                await wire.send(self._orders.order(self._wanted, self._wanted))
                while self._missing:
                    await self._read_one(wire)
            self._supervisor.ready()
            while True:
                await self._read_one(wire)
        finally:
            self._wire = None
            self._orders = Orders()
            if self._writer is not None:
                await end_task(self._writer)
                self._writer = None  # one that never began cannot do so itself

    async def _read_one(self, wire: Wire) -> None:
        try:
            push = await wire.read()
            self.signs += 1
        except ResponseError as error:
            self._refused(error)
            return
        if self._take(push):
            await asyncio.sleep(0)

    def _take(self, push: object) -> bool:
        """Take whatever arrived; tell whether others should run before the next."""
        match push:
            case [b"message" | b"smessage", bytes(topic), bytes(data)]:
                return self._deliver(None, topic, data)
            case [b"pmessage", bytes(glob), bytes(topic), bytes(data)]:
                return self._deliver(glob, topic, data)
            case [bytes(verb), bytes(text), int()] if verb.endswith(b"subscribe"):
                self._confirmed(verb, text)
        return False  # anything else is news for the client library

    def _confirmed(self, verb: bytes, text: bytes) -> None:
        name = self._orders.confirm(verb, text)
        if name is not None:
            self._tell(name, None)
        elif verb == b"sunsubscribe":
            gone = Name(b"S", text)
            if gone in self._wanted and not self._orders.is_settled(gone):
                self._missing.discard(gone)
                self._moved(gone)

    def _refused(self, error: ResponseError) -> None:
        names = self._orders.refuse()
        if len(names) > 1:
            self._orders.suspect(names)
            for name in names:
                self._change(name)
            return
        is_move = isinstance(error, _MOVES)
        for name in names:
            self._tell(name, error)
            if is_move:
                self._moved(name)
                continue
            logger.warning(
                "the server refuses to subscribe us to %.200r: %s", name.text, error
            )

    def _change(self, name: Name) -> None:
        if self._wire is not None:  # a new connection asks for the whole table
            self._changed[name] = None
            self._write_soon()

    def _write_soon(self) -> None:
        if self._changed and self._writer is None:
            self._writer = asyncio.create_task(self._write(), name="pond-redis-order")

    async def _write(self) -> None:
        try:
            while self._changed and (wire := self._wire) is not None:
                changed, self._changed = self._changed, {}
                commands = self._orders.order(changed, self._wanted)
                if commands:
                    await wire.send(commands)
        except (RedisError, OSError):
            # The reader tells what was lost, once it sees the end.
            self.cut()
        finally:
            self._writer = None

    def _tell(self, name: Name, error: Exception | None) -> None:
        self._missing.discard(name)
        future = self._waiters.pop(name, None)
        if future is not None and not future.done():
            future.set_result(error)

    def _fail(self, error: Exception) -> None:
        for name in list(self._waiters):
            self._tell(name, error)


def _kept(reason: str) -> Unavailable:
    return Unavailable("", f"subscribed once the server is back: {reason}"[:300])
