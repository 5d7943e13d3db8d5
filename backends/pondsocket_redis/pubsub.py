"""RedisPubSub: a PubSub over a Redis or Valkey server, cluster or Sentinel group."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Protocol, Self, cast
from urllib.parse import parse_qs, urlencode, urlsplit

from redis.asyncio import Redis, RedisCluster

from pondsocket import PubSubClosedError, PubSubHandler, Subscriptions, Unavailable
from pondsocket_redis.line import Line
from pondsocket_redis.names import SHARDED, WILDCARD, Name, is_wildcard, to_name
from pondsocket_redis.sharded import ShardedLines
from pondsocket_redis.shared import Settings, Shared
from pondsocket_redis.wire import Client, dial_client

__all__ = ["RedisPubSub", "open_redis"]

_EXPECTED: Final = (
    "expected redis://host[:port][/number][?option=value], rediss:// or unix://; what "
    "is special in a user or password must be percent-encoded"
)


class RedisPubSub:
    """A PubSub over Redis: at most once, in order per topic and publisher.

    It uses two connections of its own beside the client's pool, opened at the first
    call: the server may be down then. Lost connections come back by themselves, with
    all subscriptions; what was published meanwhile is lost. Nothing is ever sent twice.
    All of a client's settings count but its retries, its health checks, its
    ``socket_timeout`` and ``decode_responses``: this object keeps its own deadlines,
    and bytes stay bytes.

    Args:
        client: A ``redis.asyncio.Redis``, ``RedisCluster``, or what ``master_for()`` of
            a ``Sentinel`` returns.
        owns_client: Whether :meth:`close` closes the client too.
        sharded: Use sharded messages of a cluster (Redis 7): each goes only to the node
            of its slot instead of to all. Needs a ``RedisCluster``; wildcards do not
            exist there, and who is not sharded hears nothing.
        publish_timeout: Seconds that a published message waits for the server. If the
            loop stands still when they end, as long again as that took, twice the
            timeout at most, for what has arrived meanwhile.
        subscribe_timeout: Seconds that :meth:`subscribe` waits for it.
        connect_timeout: Seconds for one attempt to connect. On a cluster where messages
            go to all nodes an attempt may include learning of the whole cluster: there
            it has ``subscribe_timeout`` if that is longer.
        ping_interval: Seconds between two messages to oneself that show whether the
            connections are alive.
        ping_timeout: Seconds that such a message may take before the connection is
            given up.
        buffer_size: Messages that wait for one handler; more are dropped.

    Raises:
        TypeError: If ``sharded`` is set without a cluster.
        ValueError: If a number is not above 0.
    """

    def __init__(  # noqa: PLR0913 - options, all by keyword
        self,
        client: Client,
        *,
        owns_client: bool = False,
        sharded: bool = False,
        publish_timeout: float = 0.2,
        subscribe_timeout: float = 5.0,
        connect_timeout: float = 1.0,
        ping_interval: float = 1.0,
        ping_timeout: float = 2.0,
        buffer_size: int = 1000,
    ) -> None:
        self._client = client
        self._owns_client = owns_client
        self._is_sharded = sharded
        self._is_closed = False
        if isinstance(client, RedisCluster) and not sharded:
            # redis-py reads the table of all commands, too; cut short, it begins anew.
            connect_timeout = max(connect_timeout, subscribe_timeout)
        settings = Settings(
            publish_timeout=publish_timeout,
            subscribe_timeout=subscribe_timeout,
            connect_timeout=connect_timeout,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
        )
        self._subscriptions = Subscriptions(buffer_size=buffer_size)
        self._shared = Shared(self._subscriptions, settings)
        self._lines = self._make_lines()

    @classmethod
    def from_url(
        cls, url: str, *, publish_timeout: float = 0.2, ping_interval: float = 1.0
    ) -> Self:
        """Make an object with a client of its own, which it closes.

        Nothing is connected before the first use.

        Args:
            url: ``redis://``, ``rediss://`` (TLS) or ``unix://`` as redis-py takes
                them. ``?cluster=sharded`` is one node of a cluster whose sharded
                messages are used, ``?cluster=plain`` one of a cluster where all
                messages go to all nodes.
            publish_timeout: As of the class.
            ping_interval: As of the class.

        Raises:
            ValueError: If the URL is none of these. Its text, which may hold a
                password, is not repeated.
        """
        rest, cluster = _take_cluster(url)
        client = _open_client(rest, is_cluster=cluster is not None)
        return cls(
            client,
            owns_client=True,
            sharded=cluster == "sharded",
            publish_timeout=publish_timeout,
            ping_interval=ping_interval,
        )

    async def subscribe(self, pattern: str, handler: PubSubHandler) -> None:
        """Call ``handler(topic, data)`` for each message whose topic matches.

        Returns once the server has confirmed. Whatever else is raised than Conflict,
        ValueError and PubSubClosedError, the subscription is kept and takes effect when
        the server is back; so it is if the call is cancelled.

        Raises:
            Conflict: If this very pair of pattern and handler is subscribed.
            ValueError: If the pattern is a wildcard and messages are sharded.
            Unavailable: If the server is away (at once), goes away or refuses.
            DeadlineExceeded: If nothing came within ``subscribe_timeout``.
            PubSubClosedError: After :meth:`close`.
        """
        self._check_open()
        name = self._to_name(pattern)
        if self._subscriptions.add(pattern, handler):
            if name.kind == WILDCARD:
                self._shared.globs[name.text] = pattern
            self._lines.want(name)
        try:
            await self._lines.confirmed(name)
        except Unavailable:
            self._check_open()  # closed meanwhile: nothing is kept
            raise

    async def unsubscribe(
        self, pattern: str, handler: PubSubHandler | None = None
    ) -> None:
        """End one subscription, without a handler all of that pattern.

        Does not wait for the server. What waits for it is dropped; a handler that runs
        may finish.

        Raises:
            NotFound: If there is no such subscription; after :meth:`close` always.
        """
        if self._subscriptions.remove(pattern, handler):
            name = self._to_name(pattern)
            if name.kind == WILDCARD:  # the topic "a*" is written as the glob of "a.*"
                del self._shared.globs[name.text]
            self._lines.forget(name)

    async def publish(self, topic: str, data: bytes) -> None:
        """Send ``data`` and wait until the server has confirmed it.

        Messages of one turn of the loop leave together. What is raised, but
        PubSubClosedError, is counted as ``lost``; a message that was sent and not
        confirmed may have been delivered nevertheless.

        Raises:
            Unavailable: At once, if the server is away or too much waits; later, if the
                connection is lost or the server refuses.
            DeadlineExceeded: If nothing came within ``publish_timeout``.
            PubSubClosedError: After :meth:`close`.
        """
        self._check_open()
        await self._lines.publish(topic, data)

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> int:
        """Send (topic, data) pairs in order, together; return how many are lost.

        Waits ``publish_timeout`` at most. 0 means that the server has confirmed all.

        Raises:
            PubSubClosedError: After :meth:`close`.
        """
        self._check_open()
        return await self._lines.publish_many(messages)

    def on_reconnect(self, callback: Callable[[], object]) -> None:
        """Call ``callback()`` each time after a lost connection is back.

        All subscriptions are restored then. The callback must not block. A server that
        was down at the start and appears counts too.
        """
        self._shared.outage.on_end(callback)

    async def close(self) -> None:
        """End everything; idempotent.

        What is being published gets ``publish_timeout`` to leave. What waits for a
        handler is dropped; handlers that run are cancelled and awaited.
        """
        self._is_closed = True
        self._shared.outage.close()
        await self._lines.close()
        await self._subscriptions.close()
        if self._owns_client:
            await self._client.aclose()

    def stats(self) -> dict[str, int | float]:
        """Return counters and gauges.

        ``published`` (confirmed), ``lost`` (see below), ``received``, ``delivered``,
        ``handler_failed``, ``pubsub_dropped`` (a buffer was full), ``malformed`` (the
        topic was no UTF-8), ``reconnects``; of now: ``lag`` (seconds that the last
        message to oneself took), ``subscriptions``, ``waiting``, ``connected`` (0 or
        1).

        ``lost`` is a sender's view: messages that were refused or not confirmed in
        time. Some that were on their way when a connection broke may have arrived, and
        what others published while this object heard nothing is not among them. What
        receivers missed, exactly, is ``lost`` in ``PondSocket.stats()`` of each.
        """
        shared = self._shared
        return {
            "published": shared.tally.published,
            "lost": shared.tally.lost,
            "received": shared.received,
            "malformed": shared.malformed,
            "reconnects": shared.outage.reconnects,
            "lag": self._lines.lag,
            "connected": int(shared.outage.is_connected),
            **self._subscriptions.stats(),
        }

    def _make_lines(self) -> "_Lines":
        if not self._is_sharded:
            return Line("redis", partial(dial_client, self._client), self._shared)
        if not isinstance(self._client, RedisCluster):
            raise TypeError(
                f"sharded needs a RedisCluster, got {type(self._client).__name__}"
            )
        return ShardedLines(self._client, self._shared)

    def _check_open(self) -> None:
        if self._is_closed:
            raise PubSubClosedError

    def _to_name(self, pattern: str) -> Name:
        if not self._is_sharded:
            return to_name(pattern)
        if is_wildcard(pattern):
            raise ValueError(f"sharded messages know no wildcards, got {pattern!r}")
        return Name(SHARDED, pattern.encode())


class _Lines(Protocol):
    """What a server or a whole cluster looks like from here."""

    @property
    def lag(self) -> float: ...
    def want(self, name: Name) -> None: ...
    def forget(self, name: Name) -> None: ...
    async def confirmed(self, name: Name) -> None: ...
    async def publish(self, topic: str, data: bytes) -> None: ...
    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> int: ...
    async def close(self) -> None: ...


def open_redis(url: str) -> RedisPubSub:
    """Open ``redis://...`` or ``rediss://...``, see :meth:`RedisPubSub.from_url`.

    Called by ``open_pubsub``, by entry point.
    """
    return RedisPubSub.from_url(url)


def _take_cluster(url: str) -> tuple[str, str | None]:
    """Take ``cluster=...`` out of a URL's query; redis-py would refuse it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(_EXPECTED) from None  # its text may hold the password
    query = parse_qs(parts.query, keep_blank_values=True)
    values = query.pop("cluster", [])
    if not values:
        return url, None
    if values not in (["plain"], ["sharded"]):
        raise ValueError("cluster must be 'plain' or 'sharded'")
    rest = parts._replace(query=urlencode(query, doseq=True))
    return rest.geturl(), values[0]


def _open_client(url: str, *, is_cluster: bool) -> Client:
    try:
        if is_cluster:
            return RedisCluster.from_url(url)
        client = Redis.from_url(url)
        # An option that does not exist would else be told at each attempt to connect.
        cast("Any", client.connection_pool).make_connection()  # has no types here
    except (TypeError, ValueError):
        raise ValueError(_EXPECTED) from None  # its text may hold the password
    return client
