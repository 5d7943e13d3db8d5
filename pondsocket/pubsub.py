"""PubSub: the contract of what carries bytes between nodes, and its topics.

No implementation is here: ``LocalPubSub`` serves one process, backends for servers come
in by entry point (``open_pubsub``).
"""

from collections.abc import Awaitable, Callable, Generator, Sequence
from importlib.metadata import entry_points
from inspect import signature
from typing import Final, Protocol, cast, runtime_checkable

__all__ = [
    "HANDLED",
    "OnReconnect",
    "PubSub",
    "PubSubHandler",
    "PublishesBatches",
    "ReconnectAware",
    "end_subscription",
    "find_backend",
    "format_heartbeat_topic",
    "format_message_topic",
    "format_presence_topic",
    "format_system_topic",
    "format_topic",
    "match_topic",
    "open_pubsub",
]

PubSubHandler = Callable[[str, bytes], object]
OnReconnect = Callable[[], object]

_ENTRY_POINTS: Final = "pondsocket.pubsub"
# Scheme of a URL -> the extra that brings its backend. The library that the extra
# installs is imported by the same name.
_EXTRAS: Final = {"redis": "redis", "rediss": "redis", "nats": "nats", "tls": "nats"}


@runtime_checkable
class PubSub(Protocol):
    """Carries bytes between nodes: at most once, in order per topic and publisher.

    Subscriptions are per (pattern, handler), so several nodes can share one object. A
    backend keeps its subscriptions through outages and restores them by itself.
    """

    async def subscribe(self, pattern: str, handler: PubSubHandler) -> None:
        """Call ``handler(topic, data)`` for each message whose topic matches.

        Called once per open channel and for heartbeats. Returns once messages arrive.
        The handler is called with one message at a time; what it raises is logged and
        does not end the subscription.

        Args:
            pattern: A topic, or what ``match_topic`` takes as a wildcard.
            handler: A coroutine function, or a plain one that does not block.

        Raises:
            Conflict: If this very pair of pattern and handler is subscribed.
            PubSubClosedError: After :meth:`close`.
        """
        ...

    async def unsubscribe(
        self, pattern: str, handler: PubSubHandler | None = None
    ) -> None:
        """End one subscription, without a handler all of that pattern.

        The handler is not called any more once this returns, but a call that runs may
        go on. A backend whose ``unsubscribe`` takes only the pattern works too.

        Raises:
            NotFound: If there is no such subscription.
        """
        ...

    async def publish(self, topic: str, data: bytes) -> None:
        """Send ``data`` to whoever subscribed a matching pattern, the sender too.

        May wait for the network, never for a handler. What it raises means that the
        message may be lost.

        Raises:
            PubSubClosedError: After :meth:`close`.
        """
        ...

    async def close(self) -> None:
        """End all subscriptions and free everything; idempotent.

        Called by the PondSocket if it opened the object, else by the application.
        """
        ...


@runtime_checkable
class ReconnectAware(Protocol):
    """The optional second half of a PubSub: it tells that messages may be missing."""

    def on_reconnect(self, callback: OnReconnect) -> None:
        """Call ``callback()`` each time after a lost connection is back.

        Called before the first ``subscribe``. The callback is a plain function that
        must not block; it is called once the subscriptions are restored. What was
        published meanwhile may be lost.
        """
        ...


@runtime_checkable
class PublishesBatches(Protocol):
    """An optional power of a PubSub: many messages cost one round trip to a server."""

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> int:
        """Publish ``(topic, data)`` pairs in order, as one pipeline.

        Called by whoever has several messages at hand. Waits no longer than
        ``publish`` may; never for a handler.

        Returns:
            How many were not confirmed and may be lost; 0 if all were.

        Raises:
            PubSubClosedError: After ``close``; nothing else.
        """
        ...


class _Handled:
    """To be awaited at once, and as often as one likes."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


HANDLED: Final[Awaitable[None]] = _Handled()
"""What the plain handlers of nodes return when there is nothing to wait for. Backends
written for published nodes, whose handlers are coroutines, await whatever comes."""


async def end_subscription(
    pubsub: PubSub, pattern: str, handler: PubSubHandler
) -> None:
    """End one subscription, also of a PubSub whose ``unsubscribe`` takes no handler.

    Such a one ends every subscription of the pattern.

    Raises:
        NotFound: If there is no such subscription.
    """
    try:
        signature(pubsub.unsubscribe).bind(pattern, handler)
    except TypeError:
        await pubsub.unsubscribe(pattern)
    else:
        await pubsub.unsubscribe(pattern, handler)


def format_topic(
    endpoint: str,
    channel: str,
    event: str = "",
    *,
    namespace: str = "default",
    prefix: str = "pondsocket",
) -> str:
    """Return the topic of a channel: ``pondsocket:v1:default:chat:/room/1``.

    Args:
        endpoint: The endpoint's path; its leading slash is no part of the topic.
        channel: The channel's full name.
        event: Ignored: all events of a channel share its topic. Published so.
        namespace: Separates applications on one server.
        prefix: Separates them too; published nodes can set both.
    """
    return f"{prefix}:v1:{namespace}:{endpoint.removeprefix('/')}:{channel}"


def format_presence_topic(
    endpoint: str,
    channel: str,
    *,
    namespace: str = "default",
    prefix: str = "pondsocket",
) -> str:
    """Return the topic of a channel's presence: the channel's own topic."""
    return format_topic(endpoint, channel, namespace=namespace, prefix=prefix)


def format_message_topic(
    endpoint: str,
    channel: str,
    *,
    namespace: str = "default",
    prefix: str = "pondsocket",
) -> str:
    """Return the topic of a channel's messages: the channel's own topic."""
    return format_topic(endpoint, channel, namespace=namespace, prefix=prefix)


def format_system_topic(
    event: str, *, namespace: str = "default", prefix: str = "pondsocket"
) -> str:
    """Return the topic of a system event: ``pondsocket:v1:default:system:<event>``."""
    return f"{prefix}:v1:{namespace}:system:{event}"


def format_heartbeat_topic(
    *, namespace: str = "default", prefix: str = "pondsocket"
) -> str:
    """Return the topic of heartbeats: ``pondsocket:v1:default:__heartbeat__``."""
    return f"{prefix}:v1:{namespace}:__heartbeat__"


def match_topic(pattern: str, topic: str) -> bool:
    """Tell whether a subscription of ``pattern`` gets what is published to ``topic``.

    Equal, or the pattern is longer than two characters, ends in ``.*``, and the topic
    starts with what stands before that: ``a.*`` matches ``a``, ``ab`` and ``a.b``.
    """
    if pattern == topic:
        return True
    is_wildcard = pattern.endswith(".*") and len(pattern) > len(".*")
    return is_wildcard and topic.startswith(pattern[:-2])


def open_pubsub(url: str) -> PubSub:
    """Open the backend that is installed for the URL's scheme.

    Called by PondSocket for ``pubsub="redis://..."``. A backend registers each of its
    schemes as an entry point in the group ``pondsocket.pubsub``: a callable that takes
    the whole URL and returns a PubSub; it must not connect yet, nor block. The URL may
    hold a password, so no message here repeats it.

    Raises:
        TypeError: If what the backend returns is no PubSub.
        ValueError: As :func:`find_backend`, and if the backend does not like the URL.
        ModuleNotFoundError: As :func:`find_backend`.
    """
    pubsub = find_backend(url)(url)
    if not isinstance(pubsub, PubSub):
        raise TypeError(
            f"expected a PubSub from the backend of {_scheme_of(url)}://, "
            f"got {type(pubsub).__name__}"
        )
    return pubsub


def find_backend(url: str) -> Callable[[str], object]:
    """Return what opens URLs of this scheme; it opens nothing.

    Raises:
        ValueError: If no backend is known for the scheme, or several are.
        ModuleNotFoundError: If the backend, or the library that it needs, is not
            installed; names the command that installs it.
    """
    scheme = _scheme_of(url)
    installed = entry_points(group=_ENTRY_POINTS)
    extra = _EXTRAS.get(scheme)
    found = {entry.value: entry for entry in installed if entry.name == scheme}
    if not found:
        if extra is not None:
            raise _missing(scheme, extra)
        known = sorted({*(entry.name for entry in installed), *_EXTRAS})
        raise ValueError(f"pubsub URL must begin with one of {known}, got {scheme!r}")
    if len(found) > 1:
        raise ValueError(
            f"several packages open {scheme}://, uninstall all but one: {sorted(found)}"
        )
    (entry,) = found.values()
    try:
        return cast("Callable[[str], object]", entry.load())
    except ModuleNotFoundError as error:
        # Any other module that is missing is a defect of the backend.
        if extra is None or error.name is None or error.name.split(".")[0] != extra:
            raise
        raise _missing(scheme, extra) from error


def _scheme_of(url: str) -> str:
    head, separator, _ = url.partition("://")
    return head.lower() if separator else ""


def _missing(scheme: str, extra: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(
        f"{scheme}:// needs a library that is not installed: "
        f'pip install "pondsocket[{extra}]"',
        name=extra,
    )
