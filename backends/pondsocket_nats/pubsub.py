"""NatsPubSub: a PubSub over a NATS server, or several that form one.

Core NATS: at most once, nothing is stored, and a publish is not acknowledged. Exact
topics only.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, Self

from nats.aio.client import Client
from nats.errors import Error, MaxPayloadError

from pondsocket import (
    BadRequest,
    DeadlineExceeded,
    OnReconnect,
    PubSubClosedError,
    PubSubHandler,
    Subscriptions,
    Unavailable,
)
from pondsocket_nats.intake import Intake
from pondsocket_nats.interest import Interest
from pondsocket_nats.ledger import Ledger
from pondsocket_nats.link import Link
from pondsocket_nats.settings import Dial, check_client, connect_options
from pondsocket_nats.subjects import to_subject

__all__ = ["NatsPubSub", "open_nats"]

logger: logging.Logger = logging.getLogger(__name__)

_BACKLOG: Final = 64 * 1024 * 1024  # bytes that arrived and wait for handlers
_CROWDED: Final = 64 * 1024  # bytes to send, from which on publishing yields
_FULL: Final = 8 * 1024 * 1024  # bytes to send, above which nothing more is taken
_ROOM_CHECK: Final = 0.005  # seconds between looks; the library tells nobody
_DRAIN_SECONDS: Final = 1.0  # at close, for the server to take what was published


class NatsPubSub:
    """A PubSub over NATS.

    ``publish`` returns when a message is handed to the connection, for core NATS
    confirms nothing; what turns out not to have reached the server is counted as
    ``lost``. While the server is away, publishing fails at once, subscriptions are
    kept, and they are renewed when it is back. A server that is stopped or cut off is
    noticed within four ``ping_interval``.

    Topics become subjects one to one (``to_subject``). Wildcards are refused: subjects
    have other ones than topics.

    A client that is handed in should be connected with ``max_reconnect_attempts=-1``
    and a ``reconnect_time_wait`` below a second, without ``no_echo``, and be allowed to
    publish and subscribe below its ``inbox_prefix``. Its own callbacks keep being
    called. What it held unsent when a connection broke it sends afterwards, although
    that was counted as lost. If it gets closed, nothing works any more.

    Args:
        client: A ``nats.aio.client.Client`` that is connected. :meth:`from_url` makes
            its own.
        owns_client: Close the client in :meth:`close`.
        publish_timeout: Seconds that a publish may wait for room or for the first
            connection. If the loop stands still when they end, as long again as that
            took, twice the timeout at most, for what has arrived meanwhile.
        subscribe_timeout: Seconds that the server may take to confirm a subscription.
        ping_interval: Seconds between messages to oneself that prove the connection.
        buffer_size: Messages that wait in one subscription, at least 1.

    Raises:
        ValueError: If a number makes no sense, or the client cannot serve; says why.
    """

    def __init__(
        self,
        client: Client | Dial,
        *,
        owns_client: bool = False,
        publish_timeout: float = 0.2,
        subscribe_timeout: float = 5.0,
        ping_interval: float = 1.0,
        buffer_size: int = 1000,
    ) -> None:
        if isinstance(client, Client):
            check_client(client)
        for name, seconds in (
            ("publish_timeout", publish_timeout),
            ("subscribe_timeout", subscribe_timeout),
            ("ping_interval", ping_interval),
        ):
            if seconds <= 0:
                raise ValueError(f"{name} must be above 0 seconds, got {seconds!r}")
        self._publish_timeout = publish_timeout
        self._subscribe_timeout = subscribe_timeout
        self._on_reconnect: list[OnReconnect] = []
        self._is_closed = False
        self._subscriptions = Subscriptions(buffer_size=buffer_size)
        self._intake = Intake(self._subscriptions, _BACKLOG)
        self._interest = Interest(self._intake.sink)
        self._ledger = Ledger()
        self._link = Link(
            client,
            owns_client=owns_client,
            ledger=self._ledger,
            ping_interval=ping_interval,
            restore=self._restore,
            came_back=self._came_back,
        )

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        publish_timeout: float = 0.2,
        subscribe_timeout: float = 5.0,
        ping_interval: float = 1.0,
        buffer_size: int = 1000,
    ) -> Self:
        """Return a PubSub that connects when it is first used, and keeps trying.

        Args:
            url: ``nats://[user:password@ | token@]host[:port][,host[:port]...]``, or
                with ``tls://``. Several hosts are servers of one cluster.
            publish_timeout: As above; so are the others.
            subscribe_timeout: See there.
            ping_interval: See there.
            buffer_size: See there.

        Raises:
            ValueError: If the URL or a number makes no sense.
        """
        return cls(
            Dial(connect_options(url)),
            publish_timeout=publish_timeout,
            subscribe_timeout=subscribe_timeout,
            ping_interval=ping_interval,
            buffer_size=buffer_size,
        )

    async def subscribe(self, pattern: str, handler: PubSubHandler) -> None:
        """Call ``handler(topic, data)`` for each message to the topic ``pattern``.

        Returns once the server has the subscription. If the server is away or does not
        confirm, and also if the call is cancelled, the subscription is kept and takes
        effect when the server is back.

        Raises:
            BadRequest: If the topic is too long for a subject, see ``to_subject``.
            Conflict: If this very pair of pattern and handler is subscribed.
            DeadlineExceeded: If the server did not confirm within
                ``subscribe_timeout``.
            PubSubClosedError: After :meth:`close`, also if that was called meanwhile.
            Unavailable: If the server is away (at once) or goes away; if the client
                that was handed in was closed or drains, and then nothing is kept.
            ValueError: If ``pattern`` is a wildcard.
        """
        self._check_open()
        _check_topic(pattern)
        self._link.check_usable()
        self._subscriptions.add(pattern, handler)
        self._link.start()
        try:
            async with asyncio.timeout(self._subscribe_timeout):
                await self._join(pattern, handler)
        except TimeoutError as error:
            raise DeadlineExceeded(
                "",
                f"nats did not confirm a subscription within subscribe_timeout, "
                f"{self._subscribe_timeout} s",
            ) from error

    async def unsubscribe(
        self, pattern: str, handler: PubSubHandler | None = None
    ) -> None:
        """End one subscription, without a handler all of that pattern.

        What waits for it is dropped; a handler that runs may finish. Does not wait for
        the server.

        Raises:
            NotFound: If there is no such subscription; after :meth:`close` always.
        """
        if self._subscriptions.remove(pattern, handler):
            await self._interest.remove(pattern)

    async def publish(self, topic: str, data: bytes) -> None:
        """Hand ``data`` to the connection for whoever subscribed ``topic``.

        Raises:
            BadRequest: If the server takes no message of that size, or the topic is too
                long for a subject.
            DeadlineExceeded: If more than 8 MiB wait to be sent, or the first
                connection is not made, for ``publish_timeout``.
            PubSubClosedError: After :meth:`close`.
            Unavailable: At once, while the server is away.
        """
        self._check_open()
        try:
            await self._hand_over(topic, data)
        except (Unavailable, DeadlineExceeded):
            self._ledger.lost += 1
            raise

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> int:
        """Hand messages to the connection, in order.

        Waits ``publish_timeout`` at most where there is no room. Once one message could
        not be handed over the rest is not tried; one that the server would not take is
        logged and left out.

        Returns:
            How many were not handed over: 0 is all. They count as lost.

        Raises:
            PubSubClosedError: After :meth:`close`.
        """
        self._check_open()
        left_out = 0
        for done, (topic, data) in enumerate(messages):
            try:
                await self._hand_over(topic, data)
            except BadRequest as error:
                # No traceback: a client can bring this about as often as it likes.
                logger.warning("a message cannot be published: %s", error)
                left_out += 1
            except (Unavailable, DeadlineExceeded):
                # The link logs that the server is away, once.
                left_out += len(messages) - done
                break
        self._ledger.lost += left_out
        return left_out

    def on_reconnect(self, callback: OnReconnect) -> None:
        """Call ``callback()`` each time after a lost connection is back.

        By then the subscriptions are renewed. A server that was down when this object
        was first used counts as lost. What the callback raises is logged.
        """
        self._on_reconnect.append(callback)

    def stats(self) -> dict[str, int | float]:
        """Return the counters of this object and its gauges.

        ``published``, ``lost`` (see below), ``received``, ``delivered``,
        ``handler_failed``, ``pubsub_dropped`` (their handlers were too slow) and
        ``reconnects`` since the beginning; ``subscriptions``, ``waiting``,
        ``connected`` (0 or 1) and ``lag``, the seconds that the last message to oneself
        took, are the state of now.

        ``lost`` is a sender's view: messages that were refused, or not confirmed when
        the connection broke. Some of the latter may have arrived, and what others
        published while this object heard nothing is not among them. What receivers
        missed, exactly, is ``lost`` in ``PondSocket.stats()`` of each.
        """
        subscriptions = self._subscriptions.stats()
        return subscriptions | {
            "published": self._ledger.published,
            "lost": self._ledger.lost,
            "received": self._intake.received,
            "pubsub_dropped": subscriptions["pubsub_dropped"] + self._intake.dropped,
            "reconnects": self._link.reconnects,
            "waiting": subscriptions["waiting"] + self._intake.waiting,
            "connected": int(self._link.is_up),
            "lag": self._link.lag,
        }

    async def close(self) -> None:
        """End all subscriptions and free everything; idempotent.

        The server gets a second to take what was published, and the client another one
        to close. What waits for handlers is dropped and counted; handlers that run are
        cancelled and awaited, except one that calls this.
        """
        if self._is_closed:
            return
        self._is_closed = True
        if self._ledger.unconfirmed and self._link.client is not None:
            await self._drain()
        await self._interest.clear()
        await self._link.close()
        self._ledger.write_off()
        await self._intake.close()
        await self._subscriptions.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise PubSubClosedError

    async def _join(self, pattern: str, handler: PubSubHandler) -> None:
        if client := self._link.any_client:
            try:
                await self._interest.add(client, pattern)
            except Error as error:
                self._subscriptions.remove(pattern, handler)
                raise Unavailable(
                    "", f"nats refused a subscription: {error}"
                ) from error
        try:
            await self._link.settle()
        except Unavailable as error:
            self._check_open()  # closed meanwhile: nothing is kept
            raise Unavailable(
                "", f"subscribed once the server is back: {error.message}"
            ) from error

    async def _hand_over(self, topic: str, data: bytes) -> None:
        subject = to_subject(topic)
        client = self._link.client
        if client is None or client.pending_data_size + len(data) > _CROWDED:
            client = await self._wait_for_room()
        try:
            await client.publish(subject, data)
        except MaxPayloadError as error:
            raise BadRequest(
                "",
                f"the server takes messages up to {client.max_payload} bytes, "
                f"got {len(data)}",
            ) from error
        except Error as error:
            raise Unavailable("", f"nats cannot be reached: {error}") from error
        self._ledger.published += 1
        self._link.note_publish()

    async def _wait_for_room(self) -> Client:
        loop = asyncio.get_running_loop()
        seconds = self._publish_timeout
        # A deadline that comes late says that the loop stood still. What has arrived
        # till then is read first, once: it gets as long as the deadline was late.
        for _ in range(2):
            deadline = loop.time() + seconds
            try:
                async with asyncio.timeout_at(deadline):
                    return await self._find_room()
            except TimeoutError:
                seconds = min(loop.time() - deadline, self._publish_timeout)
        raise DeadlineExceeded(
            "", f"nats took nothing for publish_timeout, {self._publish_timeout} s"
        )

    async def _find_room(self) -> Client:
        client = await self._link.reach()
        await asyncio.sleep(0)  # to the library's task that writes
        while client.pending_data_size > _FULL:
            await asyncio.sleep(_ROOM_CHECK)
            client = await self._link.reach()
        return client

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                await self._link.settle()
        except Unavailable as error:
            logger.warning("closed while messages were on their way: %s", error)
        except TimeoutError:
            logger.warning(
                "closed with %d messages that nats did not confirm",
                self._ledger.unconfirmed,
            )

    async def _restore(self, client: Client) -> None:
        await self._interest.move(client, self._subscriptions.patterns())

    def _came_back(self) -> None:
        for callback in self._on_reconnect:
            try:
                callback()
            except Exception:  # the application's
                logger.exception("on_reconnect callback %r failed", callback)


def open_nats(url: str) -> NatsPubSub:
    """Open ``nats://...`` or ``tls://...``; called by ``open_pubsub``, by entry point.

    Raises:
        ValueError: If it is not such a URL.
    """
    return NatsPubSub.from_url(url)


def _check_topic(pattern: str) -> None:
    if pattern.endswith(".*") and len(pattern) > len(".*"):
        raise ValueError(
            f"NATS subscribes to exact topics only, got the wildcard {pattern[:60]!r}"
        )
    to_subject(pattern)
