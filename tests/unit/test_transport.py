"""What makes a transport, and which powers are seen in it."""

import pytest

from pondsocket.base_transport import BaseTransport
from pondsocket.transport import (
    ClosesWithCode,
    FrameSink,
    HasConnectionId,
    PushableTransport,
    Transport,
)
from pondsocket.transports import InMemoryTransport, SSEServerTransport
from tests.unit.doubles import CodedTransport, PlainTransport, SinkTransport

POWERS = (FrameSink, ClosesWithCode, HasConnectionId, PushableTransport)

base: Transport = BaseTransport("ann")
memory: Transport = InMemoryTransport("ann")
sse: Transport = SSEServerTransport(id="ann")


def powers(transport):
    return {power for power in POWERS if isinstance(transport, power)}


@pytest.mark.parametrize(
    ("transport", "expected"),
    [
        (PlainTransport(), set()),
        (CodedTransport(), {ClosesWithCode}),
        (SinkTransport(), {ClosesWithCode, FrameSink}),
        (base, {ClosesWithCode, HasConnectionId}),
        (memory, {ClosesWithCode, HasConnectionId, FrameSink}),
        (sse, {ClosesWithCode, HasConnectionId, FrameSink, PushableTransport}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_transport_has_the_powers_whose_methods_it_has(transport, expected):
    assert isinstance(transport, Transport)
    assert powers(transport) == expected


METHODS = [name for name in vars(Transport) if not name.startswith("_")]


@pytest.mark.parametrize("missing", METHODS)
def test_what_lacks_one_method_is_no_transport(missing):
    rest = {name: vars(PlainTransport)[name] for name in METHODS if name != missing}

    assert not isinstance(type("Lacking", (), rest)(), Transport)


def test_nothing_but_these_methods_is_asked_of_a_transport():
    methods = {name: vars(PlainTransport)[name] for name in METHODS}

    assert isinstance(type("Complete", (), methods)(), Transport)
