"""Publisher: sends messages over a connection of its own; it subscribes to nothing.

Theory of operation. What is published goes into a queue, as finished commands. A task
that exists only while the queue holds something writes all of it at once, so the
messages of one turn of the loop leave together. The server answers each command in
order; a reader matches the answers with what was sent. Nothing is ever sent twice: when
a connection is lost, what was sent and not answered is lost, and so is what waits.
"""

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from typing import Final, NoReturn

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from pondsocket import DeadlineExceeded, PubSubClosedError, Unavailable
from pondsocket_redis.batch import Batch, Tally
from pondsocket_redis.shared import Shared
from pondsocket_redis.supervisor import Supervisor, end_task
from pondsocket_redis.wire import Dial, Wire, encode_command

__all__ = ["Publisher"]

# What may wait for its answer: more than a server takes in `publish_timeout`.
_MAX_MESSAGES: Final = 100_000
_MAX_BYTES: Final = 64 * 1024 * 1024
_AWAY: Final = "the server is away"
_FULL: Final = "too many messages wait for the server"


class Publisher:
    """Publishes over one connection, each message at most once.

    Args:
        name: Of the connection, in logs.
        dial: Opens a connection.
        command: ``PUBLISH`` or ``SPUBLISH``.
        shared: The counters and deadlines.
    """

    def __init__(
        self,
        name: str,
        dial: Dial,
        *,
        command: bytes,
        shared: Shared,
    ) -> None:
        self._command = command
        self._tally = shared.tally
        self._publish_timeout = shared.settings.publish_timeout
        self._supervisor = Supervisor(
            name,
            dial,
            self._serve,
            lost=self._fail,
            outage=shared.outage,
            connect_timeout=shared.settings.connect_timeout,
        )
        self._wire: Wire | None = None
        self._queue: deque[Batch] = deque()
        self._sent: deque[Batch] = deque()
        # In order, since all wait equally long; canaries are not among them.
        self._timed: deque[Batch] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._writer: asyncio.Task[None] | None = None
        self._messages = 0
        self._bytes = 0
        self._is_closed = False
        self.signs: int = 0

    @property
    def is_ready(self) -> bool:
        """Whether there is a connection."""
        return self._supervisor.is_ready

    def start(self) -> None:
        """Begin to connect, unless that was done."""
        self._supervisor.start()

    def cut(self) -> None:
        """Give the present connection up."""
        self._supervisor.cut()

    async def publish(self, topic: str, data: bytes) -> None:
        """Send one message and wait until the server has it.

        Raises:
            Unavailable: At once, if the server is away or too much waits; later, if the
                connection was lost meanwhile or the server refused.
            DeadlineExceeded: If nothing came within ``publish_timeout``.
            PubSubClosedError: After :meth:`close`.
        """
        batch = self._enqueue([self._encode(topic, data)], self._publish_timeout)
        if not await batch.done:
            return
        if isinstance(batch.reason, TimeoutError):
            raise DeadlineExceeded(
                "", f"not confirmed within {self._publish_timeout} s"
            ) from batch.reason
        raise Unavailable("", f"not published: {batch.reason}") from batch.reason

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> int:
        """Send messages as one, in order; return how many were not confirmed.

        Raises:
            PubSubClosedError: After :meth:`close`.
        """
        if not messages:
            return 0
        commands = [self._encode(topic, data) for topic, data in messages]
        try:
            batch = self._enqueue(commands, self._publish_timeout)
        except Unavailable:  # counted
            return len(messages)
        return await batch.done

    async def probe(self, topic: str, data: bytes) -> bool:
        """Send one message that is not counted, and wait as long as it takes.

        Returns:
            Whether the server confirmed it; False if the connection is lost.
        """
        if not self.is_ready:
            return False
        commands = [self._encode(topic, data)]
        return not await self._put(commands, math.inf, Tally()).done

    async def close(self) -> None:
        """Wait ``publish_timeout`` for what is on its way, then end; idempotent."""
        self._is_closed = True
        under_way = [each.done for each in (*self._sent, *self._queue)]
        if under_way and self.is_ready:
            await asyncio.wait(under_way, timeout=self._publish_timeout)
        await self._supervisor.close()
        self._fail(PubSubClosedError())
        if self._timer is not None:
            self._timer.cancel()

    def _encode(self, topic: str, data: bytes) -> bytes:
        return encode_command(self._command, topic.encode(), data)

    def _enqueue(self, commands: Sequence[bytes], seconds: float) -> Batch:
        if self._is_closed:
            raise PubSubClosedError
        is_full = self._messages >= _MAX_MESSAGES or self._bytes >= _MAX_BYTES
        if self._supervisor.is_away or is_full:
            self._tally.lost += len(commands)
            raise Unavailable("", _FULL if is_full else _AWAY)
        self.start()
        batch = self._put(commands, seconds, self._tally)
        self._timed.append(batch)
        if self._timer is None:
            self._arm(batch.deadline)
        return batch

    def _put(self, commands: Sequence[bytes], seconds: float, tally: Tally) -> Batch:
        loop = asyncio.get_running_loop()
        size = sum(map(len, commands))
        deadline = loop.time() + seconds
        batch = Batch(commands, loop.create_future(), deadline, size, tally)
        self._messages += len(commands)
        self._bytes += size
        self._queue.append(batch)
        self._write_soon()
        return batch

    # The connection.

    async def _serve(self, wire: Wire) -> NoReturn:
        self._wire = wire
        self.signs += 1
        self._supervisor.ready()
        self._write_soon()
        try:
            while True:
                refusal: ResponseError | None = None
                try:
                    await wire.read_answer()
                except ResponseError as error:
                    refusal = error
                self._take_answer(refusal)
        finally:
            self._wire = None
            if self._writer is not None:
                await end_task(self._writer)
                self._writer = None  # one that never began cannot do so itself

    def _take_answer(self, refusal: ResponseError | None) -> None:
        if not self._sent:
            raise RedisConnectionError("an answer to nothing that was asked")
        self.signs += 1
        if self._sent[0].answer(refusal):
            self._release(self._sent.popleft())

    def _write_soon(self) -> None:
        if self._wire is not None and self._queue and self._writer is None:
            self._writer = asyncio.create_task(self._write(), name="pond-redis-write")

    async def _write(self) -> None:
        try:
            while self._queue and (wire := self._wire) is not None:
                commands = self._take_queue()
                if commands:
                    await wire.send(commands)
        except (RedisError, OSError):
            # The reader tells what was lost, once it sees the end.
            self.cut()
        finally:
            self._writer = None

    def _take_queue(self) -> list[bytes]:
        commands: list[bytes] = []
        for batch in self._queue:
            if batch.is_over:  # its time was over before it could leave
                self._release(batch)
                continue
            commands += batch.commands
            self._sent.append(batch)
        self._queue.clear()
        return commands

    def _release(self, batch: Batch) -> None:
        self._messages -= len(batch.commands)
        self._bytes -= batch.size

    def _fail(self, reason: Exception) -> None:
        for batch in (*self._sent, *self._queue):
            batch.finish(reason)
            self._release(batch)
        self._sent.clear()
        self._queue.clear()

    # Deadlines: one timer for all, since they come in order.

    def _arm(self, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(deadline, self._expire)

    def _expire(self) -> None:
        """Let what has arrived be read first: the loop may have stood still till now.

        It gets as long as the timer came late, one turn at least.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._drop_over()
        self._timer = None
        if not self._timed:
            return
        late = now - self._timed[0].deadline
        if late < 0:
            self._arm(self._timed[0].deadline)
            return
        seconds = min(late, self._publish_timeout)
        self._timer = loop.call_later(seconds, self._judge, now)

    def _judge(self, due: float) -> None:
        """Give up what was due then and has no answer yet."""
        for batch in self._timed:
            if batch.deadline > due:
                break
            batch.finish(TimeoutError("no answer in time"))
        self._drop_over()
        self._timer = None
        if self._timed:
            self._arm(self._timed[0].deadline)

    def _drop_over(self) -> None:
        while self._timed and self._timed[0].is_over:
            self._timed.popleft()
