"""Node: what the links of this node share: its name, its clock, its way out."""

import asyncio
import itertools
import logging
import random
import secrets
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from pondsocket.callbacks import attempt, attempt_within
from pondsocket.distributed.liveness import NodeTable
from pondsocket.distributed.messages import (
    MAX_SIZE,
    MalformedMessage,
    Message,
    UnknownType,
    decode,
    encode,
)
from pondsocket.distributed.publisher import Publisher
from pondsocket.distributed.topics import Topics
from pondsocket.errors import EncodingError
from pondsocket.metrics import Telemetry
from pondsocket.options import Options
from pondsocket.pubsub import PubSub, PubSubHandler, end_subscription

__all__ = ["Node", "Timers"]

logger: logging.Logger = logging.getLogger(__name__)

_HEAD_BYTES: Final = 128
"""Of a message of ours: its protocol, version, type and id, before any foreign text."""

REMEMBERED: Final = 3600.0
"""Seconds for which dead nodes are. While the PubSub is away all others seem dead, and
what was lost meanwhile is counted when they are heard again."""

ROOM_ATTEMPTS: Final = 100  # each waits a fifth of a second at most
MAX_TASKS: Final = 10_000
"""What other nodes asked for and is under way; a flood of it must not fill memory."""

CLOSE_SECONDS: Final = 5.0
"""How long work that was cancelled is waited for."""


class Node:
    """This node, as its links and its cluster see it.

    Args:
        pubsub: Carries messages between the nodes.
        options: ``node_id``, which is not empty, and the other fields on nodes.
        telemetry: The framework's.
        clock: Returns the time of day in seconds, as ``time.time``.

    Attributes:
        id: This node's name among the others.
        others: The other nodes that are alive.
    """

    def __init__(
        self,
        pubsub: PubSub,
        options: Options,
        telemetry: Telemetry,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.id: str = options.node_id
        self.pubsub: PubSub = pubsub
        self.options: Options = options
        self.telemetry: Telemetry = telemetry
        self.topics: Topics = Topics(options.namespace, options.key_prefix)
        self.publisher: Publisher = Publisher(
            pubsub, telemetry, options.publish_timeout
        )
        self.others: NodeTable = NodeTable(
            options.heartbeat_timeout, max(REMEMBERED, options.heartbeat_timeout)
        )
        self._clock = clock
        self._latest = 0  # milliseconds
        self._has_namesake = False
        self._prefix = secrets.token_hex(6)
        self._own_mark = f'"messageId":"{self._prefix}-'.encode()
        self._numbers = itertools.count(1)
        self._epochs = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()

    def now_ms(self) -> int:
        """Return the time of day in milliseconds; it never goes back."""
        # Else a link opened after the clock was set back would be taken for an old one.
        self._latest = max(self._latest, int(self._clock() * 1000))
        return self._latest

    def new_epoch(self) -> str:
        """Return the name of a link's life: later ones sort later, none comes twice."""
        # The number tells apart those of one millisecond.
        number = next(self._epochs)
        return f"{self.now_ms()}-{number:08x}{secrets.token_hex(2)}"

    def new_id(self) -> str:
        """Return the id of one more message of this node."""
        return f"{self._prefix}-{next(self._numbers)}"

    def envelope(self, endpoint: str, channel: str) -> dict[str, Any]:
        """Return the members that every message has."""
        return {
            "message_id": self.new_id(),
            "source_node_id": self.id,
            "endpoint_name": endpoint,
            "channel_name": channel,
            "timestamp": self.now_ms(),
        }

    async def subscribe(self, topic: str, receive: PubSubHandler) -> None:
        """Begin to listen, for ``subscribe_timeout`` at most; never raises.

        What fails is logged and counted. It is kept even if it does not succeed in
        time: what comes later is welcome.
        """
        error = await attempt_within(
            self.options.subscribe_timeout, self.pubsub.subscribe, topic, receive
        )
        if error is not None:
            self.telemetry.count("subscribe_failed")
            self.telemetry.error("subscribe", error)
            logger.warning("%.200r does not hear other nodes yet: %s", topic, error)

    async def unsubscribe(self, topic: str, receive: PubSubHandler) -> None:
        """Listen no more; otherwise as :meth:`subscribe`."""
        error = await attempt_within(
            self.options.subscribe_timeout,
            end_subscription,
            self.pubsub,
            topic,
            receive,
        )
        if error is not None:
            self.telemetry.error("unsubscribe", error)
            logger.warning("unsubscribing %.200r failed: %s", topic, error)

    def read(self, topic: str, data: bytes) -> Message | None:
        """Return another node's message.

        None for one of this node, and for what is no message, which is counted; so is
        what another node says under this one's id.
        """
        if self._own_mark in data[:_HEAD_BYTES]:
            return None
        try:
            message = decode(data)
        except UnknownType:
            self.telemetry.count("bus_unknown")
            return None
        except MalformedMessage as fault:
            self.telemetry.count("bus_malformed")
            logger.debug("what came on %.200r is no message: %s", topic, fault)
            return None
        if message.source_node_id == self.id:
            self._count_same_node()
            return None
        return message

    def _count_same_node(self) -> None:
        if not self._has_namesake:
            self._has_namesake = True
            logger.warning("there is another node %.200r: its messages go by", self.id)
        self.telemetry.count("bus_same_node")

    def send(self, topic: str, message: Message) -> None:
        """Publish a message in the background, after those sent before; never waits.

        One that has no JSON form is logged and counted (``unshareable``).
        """
        try:
            data = encode(message)
        except EncodingError as error:
            self.telemetry.count("unshareable")
            logger.warning("a message stays on this node: %s", error)
        else:
            self.publish(topic, data)

    def send_all(self, topic: str, messages: Sequence[Message]) -> None:
        """Publish messages as there is room for them; never waits."""
        if len(messages) == 1:
            self.send(topic, messages[0])
        else:
            self.run(self._send_all(topic, messages), "send")

    async def _send_all(self, topic: str, messages: Sequence[Message]) -> None:
        for message in messages:
            for _ in range(ROOM_ATTEMPTS):
                if not self.publisher.is_crowded:
                    break
                await self.publisher.room()
            self.send(topic, message)

    def publish(self, topic: str, data: bytes) -> None:
        """Publish what was encoded in the background; never waits.

        What is above the size that nodes read is logged and counted.
        """
        if len(data) > MAX_SIZE:
            self.telemetry.count("publish_failed")
            logger.warning(
                "a message of %d bytes stays on this node, others read at most %d",
                len(data),
                MAX_SIZE,
            )
        else:
            self.publisher.offer(topic, data)

    def hear(self, node: str) -> None:
        """Note that another node is alive."""
        self.others.hear(node, asyncio.get_running_loop().time())

    def spread(self, seconds: float) -> float:
        """Return a random part of a span of time, so that nodes do not act as one."""
        return random.uniform(0, seconds)  # noqa: S311 - no secret

    def run(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Let something go on in the background; what it raises is logged.

        While very much goes on it is not begun, but counted.
        """
        if len(self._tasks) >= MAX_TASKS:
            work.close()
            self.telemetry.count("node_request_failed")
            return
        task = asyncio.get_running_loop().create_task(
            self._contain(work), name=f"pond-node-{name}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _contain(self, work: Coroutine[Any, Any, None]) -> None:
        error = await attempt(lambda: work)
        if error is not None:
            self.telemetry.count("node_request_failed")
            self.telemetry.error("node_request", error)
            logger.warning("a request of another node failed: %s", error)

    async def close(self) -> None:
        """Send what waits, end what goes on."""
        # A task that has not begun must begin: its work may be a coroutine.
        await asyncio.sleep(0)
        running = self._tasks - {asyncio.current_task()}
        for task in running:
            task.cancel()
        if running:
            _, stuck = await asyncio.wait(running, timeout=CLOSE_SECONDS)
            if stuck:
                logger.error("%d requests of nodes ignore their end", len(stuck))
        await self.publisher.close()


class Timers:
    """What is to be done later, by name."""

    def __init__(self) -> None:
        self._handles: dict[str, asyncio.TimerHandle] = {}

    def __contains__(self, name: object) -> bool:
        """Tell whether something of that name is to be done."""
        return name in self._handles

    def set(
        self, name: str, delay: float, work: Callable[..., None], *args: object
    ) -> None:
        """Call ``work`` after ``delay`` seconds, instead of what had that name."""

        def act() -> None:
            del self._handles[name]
            work(*args)

        self.cancel(name)
        self._handles[name] = asyncio.get_running_loop().call_later(delay, act)

    def cancel(self, name: str) -> None:
        """Do not do it."""
        handle = self._handles.pop(name, None)
        if handle is not None:
            handle.cancel()

    def cancel_all(self) -> None:
        """Do nothing of it."""
        for name in tuple(self._handles):
            self.cancel(name)
