"""LocalPubSub: a PubSub inside this process. Nothing of it reaches another one.

For tests, and for several PondSockets on one event loop. It is not thread-safe.
"""

import asyncio
from typing import Final
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from pondsocket.errors import PubSubClosedError
from pondsocket.pubsub import PubSubHandler
from pondsocket.subscriptions import Subscriptions

__all__ = ["LocalPubSub", "open_memory"]


class LocalPubSub:
    """A PubSub for objects of one process.

    Several PondSockets may share one object. Objects of the same ``name`` hear each
    other as if they were clients of one server; each is closed for itself and ends only
    its own subscriptions. A name lasts as long as an object that has it.

    How a message reaches a handler, and what happens to one that is too slow: see
    ``Subscriptions``.

    Args:
        buffer_size: Messages that wait in one subscription, at least 1.
        name: Which objects hear each other; without one only this object hears itself.

    Raises:
        ValueError: If ``buffer_size`` is below 1.
    """

    def __init__(self, *, buffer_size: int = 100, name: str | None = None) -> None:
        self._subscriptions = Subscriptions(buffer_size=buffer_size)
        self._hub = _Hub() if name is None else _NAMED.setdefault(name, _Hub())
        self._published = 0
        self._closed = False

    async def subscribe(self, pattern: str, handler: PubSubHandler) -> None:
        """Call ``handler(topic, data)`` for each message whose topic matches.

        The handler runs in the context (``contextvars``) of whoever subscribed.

        Raises:
            Conflict: If this very pair of pattern and handler is subscribed.
            PubSubClosedError: After :meth:`close`.
        """
        self._check_open()
        self._subscriptions.add(pattern, handler)
        self._hub.listeners[self._subscriptions] = None

    async def unsubscribe(
        self, pattern: str, handler: PubSubHandler | None = None
    ) -> None:
        """End one subscription, without a handler all of that pattern.

        What waits for it is dropped; a handler that runs may finish.

        Raises:
            NotFound: If there is no such subscription; after :meth:`close` always.
        """
        self._subscriptions.remove(pattern, handler)

    async def publish(self, topic: str, data: bytes) -> None:
        """Hand ``data`` to every subscription that matches.

        Never waits for a coroutine handler, but yields to the loop once while a buffer
        is half full or more: publishing in a loop does not starve those who listen.

        Raises:
            PubSubClosedError: After :meth:`close`.
        """
        self._check_open()
        self._published += 1
        is_crowded = False
        for each in tuple(self._hub.listeners):
            is_crowded |= each.dispatch(topic, data)
        if is_crowded:
            await asyncio.sleep(0)

    async def close(self) -> None:
        """End the subscriptions of this object; idempotent.

        What waits is dropped and counted. Handlers that run are cancelled and awaited;
        one that calls this itself is neither.
        """
        self._closed = True
        self._hub.listeners.pop(self._subscriptions, None)
        await self._subscriptions.close()

    def stats(self) -> dict[str, int]:
        """Return the counters of this object and its gauges.

        ``published`` here; ``delivered``, ``handler_failed`` and ``pubsub_dropped`` by
        its subscriptions; ``subscriptions`` and ``waiting`` are the state of now.
        """
        return {"published": self._published, **self._subscriptions.stats()}

    def _check_open(self) -> None:
        if self._closed:
            raise PubSubClosedError


def open_memory(url: str) -> LocalPubSub:
    """Open ``memory://<name>``: every URL with that name opens the same hub.

    Called by ``open_pubsub``, by entry point. ``memory://`` is a name like any other,
    the empty one. How objects of one name end: see ``LocalPubSub``.
    """
    parts = urlsplit(url)
    return LocalPubSub(name=parts.netloc + parts.path)


class _Hub:
    """All objects that hear each other."""

    __slots__ = ("__weakref__", "listeners")

    def __init__(self) -> None:
        # A dict keeps the order in which they began to listen.
        self.listeners: dict[Subscriptions, None] = {}


_NAMED: Final[WeakValueDictionary[str, _Hub]] = WeakValueDictionary()
