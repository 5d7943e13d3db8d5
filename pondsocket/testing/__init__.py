"""Suites that any author of a transport can run against it.

They need no test framework beyond one that finds methods whose names begin with
``test_``: each test runs an event loop of its own and is bounded in time.
"""

from pondsocket.testing.peer import TransportPeer, WireClosed
from pondsocket.testing.powers import (
    CloseCodeContract,
    ConnectionIdContract,
    FrameSinkContract,
    PushContract,
)
from pondsocket.testing.scenario import Connect
from pondsocket.testing.transport import TransportContract

__all__ = [
    "CloseCodeContract",
    "Connect",
    "ConnectionIdContract",
    "FrameSinkContract",
    "PushContract",
    "TransportContract",
    "TransportPeer",
    "WireClosed",
]
