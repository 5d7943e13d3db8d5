"""Line: all there is between one object and one server."""

import logging
from collections.abc import Callable, Sequence

from pondsocket_redis.canary import Canary
from pondsocket_redis.names import EXACT, SHARDED, Name
from pondsocket_redis.publisher import Publisher
from pondsocket_redis.shared import Shared
from pondsocket_redis.subscriber import Moved, Subscriber
from pondsocket_redis.wire import Dial

__all__ = ["Line"]

logger: logging.Logger = logging.getLogger(__name__)


class Line:
    """A publisher, a subscriber and a canary that watches both.

    Each connects when it is first needed: who only publishes never subscribes.

    Args:
        label: Of the server, in logs.
        dial: Opens a connection.
        shared: Of the object.
        is_sharded: Whether to use the commands of sharded messages.
        moved: Gets the names that the server refuses as those of another one.
        fits: Whether the server serves a topic.
    """

    def __init__(
        self,
        label: str,
        dial: Dial,
        shared: Shared,
        *,
        is_sharded: bool = False,
        moved: Moved = lambda _: None,
        fits: Callable[[str], bool] = lambda _: True,
    ) -> None:
        settings = shared.settings
        self._shared = shared
        self._fits = fits
        self._publisher = Publisher(
            f"publisher of {label}",
            dial,
            command=b"SPUBLISH" if is_sharded else b"PUBLISH",
            shared=shared,
        )
        self._subscriber = Subscriber(
            f"subscriber of {label}",
            dial,
            self._deliver,
            moved=moved,
            shared=shared,
        )
        self._canary = Canary(
            self._publisher,
            self._subscriber,
            kind=SHARDED if is_sharded else EXACT,
            interval=settings.ping_interval,
            patience=settings.ping_timeout,
        )

    @property
    def lag(self) -> float:
        """Seconds that the last canary took to come back."""
        return self._canary.lag

    def want(self, name: Name) -> None:
        """Have a name subscribed as soon as there is a connection."""
        self._subscriber.want(name)
        self._canary.start(self._fits)
        self._publisher.start()
        self._subscriber.start()

    def forget(self, name: Name) -> None:
        """Have a name subscribed no more."""
        self._subscriber.forget(name)

    async def confirmed(self, name: Name) -> None:
        """Wait until the server has confirmed a wanted name; raises as Subscriber."""
        await self._subscriber.confirmed(name)

    async def publish(self, topic: str, data: bytes) -> None:
        """Send one message; raises as Publisher."""
        self._canary.start(self._fits)
        await self._publisher.publish(topic, data)

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> int:
        """Send messages as one; raises as Publisher."""
        self._canary.start(self._fits)
        return await self._publisher.publish_many(messages)

    def check_canary(self) -> None:
        """Let the canary move on if its topic is not served here any more."""
        self._canary.move(self._fits)

    async def close(self) -> None:
        """End all connections and tasks; idempotent."""
        await self._canary.close()
        await self._publisher.close()
        await self._subscriber.close()

    def _deliver(self, glob: bytes | None, topic: bytes, data: bytes) -> bool:
        if topic == self._canary.topic:
            self._canary.hear(data)
            return False
        shared = self._shared
        shared.received += 1
        try:
            text = topic.decode()
        except UnicodeDecodeError:
            # Only a stranger's, and only a wildcard can match it.
            shared.malformed += 1
            logger.warning("dropped a message whose topic is no UTF-8: %.200r", topic)
            return False
        pattern = text if glob is None else shared.globs.get(glob)
        if pattern is None:  # unsubscribed meanwhile
            return False
        return shared.subscriptions.dispatch_to(pattern, text, data)
