"""Suites that any author of a transport or a backend can run against it.

They need no test framework beyond one that finds methods whose names begin with
``test_``: each test runs an event loop of its own and is bounded in time.
"""

from pondsocket.testing.backend import Backend, StoppableBackend
from pondsocket.testing.faulty_pubsub import FaultyPubSub
from pondsocket.testing.manual_clock import ManualClock
from pondsocket.testing.outage import OutageContract
from pondsocket.testing.peer import TransportPeer, WireClosed
from pondsocket.testing.powers import (
    CloseCodeContract,
    ConnectionIdContract,
    FrameSinkContract,
    PushContract,
)
from pondsocket.testing.pubsub import (
    BatchContract,
    PubSubContract,
    WildcardContract,
)
from pondsocket.testing.scenario import Connect
from pondsocket.testing.transport import TransportContract

__all__ = [
    "Backend",
    "BatchContract",
    "CloseCodeContract",
    "Connect",
    "ConnectionIdContract",
    "FaultyPubSub",
    "FrameSinkContract",
    "ManualClock",
    "OutageContract",
    "PubSubContract",
    "PushContract",
    "StoppableBackend",
    "TransportContract",
    "TransportPeer",
    "WildcardContract",
    "WireClosed",
]
