"""FrameWriter: the way of ready frames past a host."""

import pytest

from pondsocket.burst import Burst
from pondsocket.frame import Frame
from pondsocket.frame_writer import NO_WRITER, FrameWriter, find_burst_writer
from pondsocket.types import Event
from tests.unit.doubles import PlainTransport, SinkTransport


class Noting(FrameWriter):
    """A way that is open, or not; what was written is noted."""

    def __init__(self, *, is_open=True, **settings):
        super().__init__(**settings)
        self.is_open = is_open
        self.written = []

    def write(self, frames):
        if self.is_open:
            self.written.append(frames)
        return self.is_open


@pytest.fixture
def burst():
    events = (Event("BROADCAST", "/c", "r", "n", {"text": c * 300}) for c in "ab")
    return Burst([Frame(event) for event in events])


@pytest.mark.parametrize(
    ("is_joined", "is_deflating", "form"),
    [
        (False, False, "websocket"),
        (False, True, "deflated"),
        (True, False, "batch"),
        (True, True, "deflated_batch"),
    ],
)
def test_each_client_gets_the_form_that_it_reads(burst, is_joined, is_deflating, form):
    writer = Noting(is_deflating=is_deflating)
    if is_joined:
        writer.join_messages()

    assert writer.try_write(burst)

    assert writer.is_deflating is is_deflating
    assert writer.written == [getattr(burst, form)]


def test_what_the_host_does_not_take_is_not_written(burst):
    assert not Noting(is_open=False).try_write(burst)


def test_nothing_is_written_while_it_is_held(burst):
    writer = Noting()
    writer.is_held = True

    assert not writer.try_write(burst)
    assert not writer.written


def test_who_has_no_way_past_the_host_writes_nothing(burst):
    assert not NO_WRITER.try_write(burst)


def test_an_adapter_must_say_how_to_write(burst):
    with pytest.raises(NotImplementedError):
        FrameWriter().try_write(burst)


class Taking(SinkTransport):
    """A transport that takes bursts itself."""

    is_held = False

    def try_write(self, burst):
        return self.try_send(burst)


@pytest.mark.parametrize("transport", [PlainTransport(), SinkTransport(), object()])
def test_a_transport_without_a_way_for_bursts_has_none(transport):
    assert find_burst_writer(transport) is NO_WRITER


def test_a_transport_that_takes_bursts_is_their_way():
    transport = Taking()

    assert find_burst_writer(transport) is transport


def test_a_way_past_the_host_comes_before_the_transport_s_own():
    transport = Taking()
    transport.frame_writer = Noting()

    assert find_burst_writer(transport) is transport.frame_writer


def test_a_method_that_is_only_called_the_same_is_not_used():
    transport = SinkTransport()
    transport.try_write = print

    assert find_burst_writer(transport) is NO_WRITER
