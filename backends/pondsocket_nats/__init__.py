"""The NATS backend: several nodes are one pond over core NATS.

``PondSocket(pubsub="nats://host")`` opens it; who has a client hands it to
:class:`NatsPubSub`. Nothing of JetStream is used.
"""

from pondsocket_nats.pubsub import NatsPubSub, open_nats
from pondsocket_nats.subjects import to_subject, to_topic

__all__ = ["NatsPubSub", "open_nats", "to_subject", "to_topic"]
