"""Topics: where the channels of one application and its heartbeats are published.

Nothing here subscribes or publishes; it names.
"""

import re
from dataclasses import dataclass
from typing import Final

from pondsocket.pubsub import format_heartbeat_topic, format_topic

__all__ = ["Topics", "is_safe_channel_name"]

_WILDCARD_ENDING: Final = ".*"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one application: ``pondsocket:v1:default:chat:/room/1``.

    Two channels can share a topic (``a`` with ``b:c``, ``a:b`` with ``c``), so whoever
    receives compares a message's ``endpointName`` and ``channelName`` with its own.

    Attributes:
        namespace: Separates applications on one server.
        prefix: Separates them too.
    """

    namespace: str = "default"
    prefix: str = "pondsocket"

    def channel(self, endpoint: str, channel: str) -> str:
        """Return the topic of a channel.

        Args:
            endpoint: The endpoint's path, with or without its leading slash.
            channel: The channel's full name; a safe one, or the topic is a wildcard.
        """
        return format_topic(
            endpoint, channel, namespace=self.namespace, prefix=self.prefix
        )

    def heartbeat(self) -> str:
        """Return the topic of heartbeats and digests."""
        return format_heartbeat_topic(namespace=self.namespace, prefix=self.prefix)


def is_safe_channel_name(name: str) -> bool:
    """Tell whether other nodes can be told of a channel of this name, and of it alone.

    A name that ends in ``.*`` would subscribe to every channel whose name begins like
    it, and one with a lone surrogate cannot be written at all.
    """
    return not name.endswith(_WILDCARD_ENDING) and not _SURROGATE.search(name)
