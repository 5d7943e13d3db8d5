"""Sharded: one line to each node of a cluster, each topic over that of its slot."""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from redis.asyncio import RedisCluster
from redis.exceptions import RedisClusterException, RedisError

from pondsocket import DeadlineExceeded, Unavailable
from pondsocket_redis.line import Line
from pondsocket_redis.names import Name
from pondsocket_redis.shared import Shared
from pondsocket_redis.supervisor import end_task
from pondsocket_redis.wire import dial_node

__all__ = ["ShardedLines"]

logger: logging.Logger = logging.getLogger(__name__)


class ShardedLines:
    """Follows the slots of a cluster: it knows which node serves a topic now.

    The map is read anew whenever a node refuses a topic or drops it, and every
    ``ping_interval`` while something is away or has no place.
    """

    def __init__(self, client: RedisCluster, shared: Shared) -> None:
        self._client = client
        self._shared = shared
        self._lines: dict[str, Line] = {}
        self._places: dict[Name, str | None] = {}
        self._task: asyncio.Task[None] | None = None
        self._is_stale = asyncio.Event()
        self._is_known = asyncio.Event()
        self._has_failed = False

    @property
    def lag(self) -> float:
        """Seconds that the slowest canary took to come back."""
        return max((line.lag for line in self._lines.values()), default=0.0)

    def want(self, name: Name) -> None:
        """Have a name subscribed as soon as its node is known and there."""
        self._places[name] = None
        if self._is_known.is_set():
            self._place(name)
        self._start()

    def forget(self, name: Name) -> None:
        """Have a name subscribed no more."""
        place = self._places.pop(name, None)
        if place in self._lines:
            self._lines[place].forget(name)

    async def confirmed(self, name: Name) -> None:
        """Wait until the server has confirmed a wanted name; raises as Subscriber."""
        await self._know(self._shared.settings.subscribe_timeout)
        place = self._places.get(name)
        if place is None:
            raise Unavailable("", "no node of the cluster serves this topic now")
        await self._lines[place].confirmed(name)

    async def publish(self, topic: str, data: bytes) -> None:
        """Send one message; raises as Publisher."""
        self._start()
        try:
            await self._know(self._shared.settings.publish_timeout)
            line = self._line_of(topic)
        except (Unavailable, DeadlineExceeded):
            self._shared.tally.lost += 1
            raise
        try:
            await line.publish(topic, data)
        except Unavailable:
            self._is_stale.set()
            raise

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> int:
        """Send messages, those of one topic in order; return the unconfirmed."""
        self._start()
        parts: dict[int, tuple[Line, list[tuple[str, bytes]]]] = {}
        unplaced = 0
        try:
            await self._know(self._shared.settings.publish_timeout)
        except (Unavailable, DeadlineExceeded):
            self._shared.tally.lost += len(messages)
            return len(messages)
        for topic, data in messages:
            try:
                line = self._line_of(topic)
            except Unavailable:
                unplaced += 1
                continue
            parts.setdefault(id(line), (line, []))[1].append((topic, data))
        self._shared.tally.lost += unplaced
        lost = unplaced + sum(
            await asyncio.gather(
                *(line.publish_many(part) for line, part in parts.values())
            )
        )
        if lost:
            self._is_stale.set()
        return lost

    async def close(self) -> None:
        """End all connections and tasks; idempotent."""
        if self._task is not None:
            await end_task(self._task)
        await asyncio.gather(*(line.close() for line in self._lines.values()))

    def _start(self) -> None:
        if self._task is None:
            self._is_stale.set()
            self._task = asyncio.create_task(self._follow(), name="pond-redis-slots")

    async def _know(self, seconds: float) -> None:
        """Wait for the first map."""
        if self._is_known.is_set():
            return
        if self._has_failed:
            raise Unavailable("", "the cluster is away")
        loop = asyncio.get_running_loop()
        patience = seconds
        # A deadline that comes late says that the loop stood still: what has arrived
        # till then is read first, once.
        for _ in range(2):
            deadline = loop.time() + patience
            try:
                async with asyncio.timeout_at(deadline):
                    await self._is_known.wait()
                    return
            except TimeoutError:
                patience = min(loop.time() - deadline, seconds)
        raise DeadlineExceeded("", f"the cluster told no slots within {seconds} s")

    def _line_of(self, topic: str) -> Line:
        node = self._node_of(topic)
        if node is None:
            self._is_stale.set()
            raise Unavailable("", "no node of the cluster serves this topic now")
        return self._line_to(node)

    def _line_to(self, node: str) -> Line:
        line = self._lines.get(node)
        if line is None:
            line = self._lines[node] = Line(
                node,
                partial(dial_node, self._client, node),
                self._shared,
                is_sharded=True,
                moved=lambda _: self._is_stale.set(),
                fits=lambda topic: self._node_of(topic) == node,
            )
        return line

    def _node_of(self, topic: str | bytes) -> str | None:
        """Return ``host:port`` of the primary that serves a topic by the last map."""
        slots = self._client.nodes_manager.slots_cache
        nodes = slots.get(self._client.keyslot(topic))
        return nodes[0].name if nodes else None

    def _place(self, name: Name) -> None:
        """Have a wanted name subscribed where its slot is now, and only there."""
        old, new = self._places[name], self._node_of(name.text)
        if old is not None and old != new:
            self._lines[old].forget(name)
        self._places[name] = new
        if new is not None:
            self._line_to(new).want(name)

    # The map.

    async def _follow(self) -> None:
        settings = self._shared.settings
        while True:
            await self._wait_for_news(settings.ping_interval)
            self._is_stale.clear()
            try:
                async with asyncio.timeout(settings.subscribe_timeout):
                    await self._read_slots()
            except (RedisError, RedisClusterException, OSError, TimeoutError) as error:
                self._has_failed = True
                self._shared.outage.lost("map of the cluster", error)
            else:
                self._has_failed = False
                self._shared.outage.back("map of the cluster")
                self._is_known.set()
                await self._rearrange()
            # However stale, the map is not asked for all the time.
            await asyncio.sleep(min(0.2, settings.ping_interval))

    async def _wait_for_news(self, seconds: float) -> None:
        """Wait until the map may be wrong; while all is well that may be for ever."""
        while not self._is_stale.is_set():
            done = asyncio.create_task(self._is_stale.wait(), name="pond-redis-stale")
            try:
                await asyncio.wait([done], timeout=seconds)
            finally:
                await end_task(done)
            has_homeless = None in self._places.values()
            if has_homeless or self._has_failed or not self._shared.outage.is_connected:
                return

    async def _read_slots(self) -> None:
        if self._is_known.is_set():
            await self._client.nodes_manager.initialize()
        else:
            _ = await self._client.initialize()

    async def _rearrange(self) -> None:
        """Move every name to where its slot is; end the lines of nodes that left."""
        for name in list(self._places):
            self._place(name)
        primaries = {node.name for node in self._client.get_primaries()}
        for node in [node for node in self._lines if node not in primaries]:
            await self._lines.pop(node).close()
        for line in self._lines.values():
            line.check_canary()
