"""Interest: what one client after the other is subscribed to at the server."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final

from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.errors import Error

from pondsocket_nats.intake import Sink
from pondsocket_nats.internals import abort_closing
from pondsocket_nats.subjects import to_subject

__all__ = ["Interest", "close_client", "unsubscribe"]

logger: logging.Logger = logging.getLogger(__name__)

_CLOSE_SECONDS: Final = 1.0  # for the library to close a client


class Interest:
    """The topics that a client is subscribed to, each once.

    The library renews them when it reconnects. A client that is away takes new ones
    too; none of these methods waits for the server.

    Args:
        sink_for: Makes what takes the messages of a topic.
    """

    def __init__(self, sink_for: Callable[[str], Sink]) -> None:
        self._sink_for = sink_for
        self._sinks: dict[str, Sink] = {}
        self._subscriptions: dict[str, Subscription] = {}

    async def add(self, client: Client, topic: str) -> None:
        """Subscribe to ``topic`` unless that is done.

        Raises:
            nats.errors.Error: If the client is closed or drains.
        """
        if topic in self._sinks:
            return
        sink = self._sinks[topic] = self._sink_for(topic)
        try:
            subscription = await client.subscribe(to_subject(topic), future=sink)
        except BaseException:
            if self._sinks.get(topic) is sink:
                del self._sinks[topic]
            raise
        if sink.cancelled():  # it was removed meanwhile
            await unsubscribe(subscription)
        else:
            self._subscriptions[topic] = subscription

    async def remove(self, topic: str) -> None:
        """Unsubscribe from ``topic``; what arrives from now on is dropped."""
        if sink := self._sinks.pop(topic, None):
            sink.cancel()
        if subscription := self._subscriptions.pop(topic, None):
            await unsubscribe(subscription)

    async def move(self, client: Client, topics: Iterable[str]) -> None:
        """Forget the client of before, which is closed, and subscribe to ``topics``.

        Raises:
            nats.errors.Error: If the client is closed too.
        """
        for sink in self._sinks.values():
            sink.cancel()
        self._sinks.clear()
        self._subscriptions.clear()
        for topic in topics:
            await self.add(client, topic)

    async def clear(self) -> None:
        """Unsubscribe from everything."""
        for topic in list(self._sinks):
            await self.remove(topic)


async def unsubscribe(subscription: Subscription) -> None:
    """End a subscription; at a client that is closed or drains it ends anyway."""
    try:
        await subscription.unsubscribe()
    except Error as error:
        logger.debug("unsubscribing from nats failed: %r", error)


async def close_client(client: Client) -> None:
    """Close a client, in a second at most; what it could not send is dropped."""
    abort_closing(client)
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await client.close()
    except (TimeoutError, OSError, Error) as error:
        logger.debug("closing the nats client failed: %r", error)
        abort_closing(client)
