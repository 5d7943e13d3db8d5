"""Cluster: this node among the others; its links to their channels, and who is alive.

It speaks on the heartbeat topic: that this node lives (``NODE_HEARTBEAT``), and how far
each of its links has counted (``NODE_DIGEST``), from which others see what they missed.
It begins with the first link or broadcast and lasts until it is closed.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from pondsocket.changes import Sent
from pondsocket.distributed.digests import DigestParts, to_parts
from pondsocket.distributed.link import ChannelLink
from pondsocket.distributed.messages import (
    Message,
    NodeDigest,
    NodeHeartbeat,
)
from pondsocket.distributed.node import CLOSE_SECONDS, Node
from pondsocket.distributed.topics import is_safe_channel_name
from pondsocket.distributed.translation import to_messages
from pondsocket.errors import BadRequest
from pondsocket.ports import LinkedChannel
from pondsocket.pubsub import HANDLED, ReconnectAware

__all__ = ["Cluster", "LoneCluster"]

logger: logging.Logger = logging.getLogger(__name__)

EVERYWHERE: Final = "__heartbeat__"
"""What stands for endpoint and channel in a message about a node (our protocol)."""

STALL: Final = 1.0
"""Seconds by which a wake-up may be late before it counts as this node's own pause."""


class Cluster:
    """The other nodes, as a PondSocket knows them.

    Args:
        node: This node.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._topic = node.topics.heartbeat()
        self._links: dict[tuple[str, str], ChannelLink] = {}
        self._digests: dict[str, DigestParts] = {}
        self._digest_number = 0
        self._beating: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def node_count(self) -> int:
        """How many other nodes are alive, as far as this one has heard."""
        return len(self._node.others)

    # What endpoints do.

    def check_channel_name(self, name: str) -> None:
        """Raise BadRequest for a name whose topic would be a wildcard or no text."""
        if not is_safe_channel_name(name):
            raise BadRequest(
                name,
                "channelName must not end in '.*' nor hold a lone surrogate when there "
                "are several nodes",
            )

    def peers(
        self, endpoint_path: str, channel_name: str, channel: LinkedChannel
    ) -> ChannelLink:
        """Return the link of a channel that comes into being here."""
        link = self._new_link(endpoint_path, channel_name, channel)
        self._links[link.endpoint, link.name] = link
        self._start()
        return link

    def _new_link(
        self, endpoint_path: str, channel_name: str, channel: LinkedChannel
    ) -> ChannelLink:
        return ChannelLink(
            self._node, endpoint_path, channel_name, channel, self._forget
        )

    def _forget(self, link: ChannelLink) -> None:
        if self._links.get((link.endpoint, link.name)) is link:
            del self._links[link.endpoint, link.name]

    async def emit(self, endpoint_path: str, channel_name: str, sent: Sent) -> None:
        """Announce a broadcast to a channel that has no member here; never raises."""
        self._start()
        endpoint = endpoint_path.removeprefix("/")
        topic = self._node.topics.channel(endpoint, channel_name)
        for message in to_messages(sent, self._node.envelope(endpoint, channel_name)):
            self._node.send(topic, message)
        if self._node.publisher.is_crowded:
            await self._node.publisher.room()

    async def close(self) -> None:
        """Send what waits and fall silent; idempotent. Links are closed before."""
        self._is_closed = True
        beating, self._beating = self._beating, None
        if beating is not None:
            beating.cancel()
            await asyncio.wait([beating], timeout=CLOSE_SECONDS)
            self._send_digest()
        await self._node.close()
        if beating is not None:
            await self._node.unsubscribe(self._topic, self.receive)

    # Signs of life.

    def _start(self) -> None:
        if self._beating is not None or self._is_closed:
            return
        if isinstance(self._node.pubsub, ReconnectAware):
            self._node.pubsub.on_reconnect(self._on_reconnect)
        self._beating = asyncio.get_running_loop().create_task(
            self._beat(), name="pond-heartbeat"
        )

    async def _beat(self) -> None:
        node, options = self._node, self._node.options
        await node.subscribe(self._topic, self.receive)
        loop = asyncio.get_running_loop()
        next_heartbeat = loop.time()
        next_digest = next_heartbeat + node.spread(options.anti_entropy_interval)
        while True:
            now = loop.time()
            acts: list[Callable[[], None]] = []
            if now >= next_heartbeat:
                acts.append(self._send_heartbeat)
                next_heartbeat = now + options.heartbeat_interval
            if now >= next_digest:
                acts.append(self._send_digest)
                next_digest = now + options.anti_entropy_interval
            self._act(*acts, partial(self._bury, now))
            wake_up = min(next_heartbeat, next_digest, node.others.next_death())
            await asyncio.sleep(max(0.0, wake_up - now))
            late = loop.time() - wake_up
            if late > STALL:
                logger.warning("this node paused for %.1f seconds", late)
                node.others.excuse(late)

    def _act(self, *acts: Callable[[], None]) -> None:
        for act in acts:
            try:
                act()
            except Exception:  # the root of the task, which must go on
                logger.exception("a part of the heartbeat failed")

    def _send_heartbeat(self) -> None:
        envelope = self._node.envelope(EVERYWHERE, EVERYWHERE)
        beat = NodeHeartbeat(**envelope, node_id=self._node.id)
        self._node.send(self._topic, beat)

    def _send_digest(self) -> None:
        self._digest_number = max(self._digest_number + 1, self._node.now_ms())
        parts = to_parts(
            (link.endpoint, link.name, link.epoch, link.sent)
            for link in self._links.values()
        )
        for number, channels in enumerate(parts, 1):
            digest = NodeDigest(
                **self._node.envelope(EVERYWHERE, EVERYWHERE),
                digest=self._digest_number,
                part=number,
                parts=len(parts),
                channels=channels,
            )
            self._node.send(self._topic, digest)

    def _bury(self, now: float) -> None:
        for dead in self._node.others.bury(now):
            logger.warning("node %.200r is silent, its users leave", dead)
            self._node.telemetry.count("node_died")
            self._digests.pop(dead, None)
            for link in tuple(self._links.values()):
                link.drop(dead)
        for dead in self._node.others.forget(now):
            for link in tuple(self._links.values()):
                link.forget(dead)

    # What other nodes say.

    def receive(self, topic: str, data: bytes) -> Awaitable[None]:
        """Take in what was published to the heartbeat topic; never blocks."""
        message = self._node.read(topic, data)
        if message is not None:
            self._take(message)
        return HANDLED

    def _take(self, message: Message) -> None:
        node = self._node
        match message:
            case NodeHeartbeat(node_id=other):
                node.hear(other)
                for link in tuple(self._links.values()):
                    link.greet(other)
            case NodeDigest():
                node.hear(message.source_node_id)
                self._take_digest(message)
            case _:
                node.telemetry.count("bus_misaddressed")

    def _take_digest(self, message: NodeDigest) -> None:
        source = message.source_node_id
        for endpoint, channel, epoch, number in message.channels:
            link = self._links.get((endpoint, channel))
            if link is not None:
                link.expect(source, epoch, number, message.digest)
        parts = self._digests.setdefault(source, DigestParts())
        named = parts.add(
            message.digest, message.part or 1, message.parts or 1, message.channels
        )
        if named is not None:
            for key, link in tuple(self._links.items()):
                if key not in named:
                    link.drop_absent(source, message.timestamp)

    def _on_reconnect(self) -> None:
        """Let every channel catch up; not all at once, other nodes do the same."""
        half = self._node.options.anti_entropy_interval / 2
        for link in self._links.values():
            link.resync(self._node.spread(half))


class LoneCluster(Cluster):
    """The other nodes, as one channel knows them that is made by hand; ends with it."""

    def _new_link(
        self, endpoint_path: str, channel_name: str, channel: LinkedChannel
    ) -> ChannelLink:
        return _LastLink(
            self._node, endpoint_path, channel_name, channel, self._forget, self.close
        )


class _LastLink(ChannelLink):
    def __init__(
        self,
        node: Node,
        endpoint_path: str,
        channel_name: str,
        channel: LinkedChannel,
        on_close: Callable[[ChannelLink], None],
        close_cluster: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(node, endpoint_path, channel_name, channel, on_close)
        self._close_cluster = close_cluster

    async def close(self) -> None:
        await super().close()
        await self._close_cluster()
