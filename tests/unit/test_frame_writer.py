"""FrameWriter: the way of ready frames past a host."""

import pytest

from pondsocket.burst import Burst
from pondsocket.frame import Frame
from pondsocket.frame_writer import NO_WRITER, FrameWriter
from pondsocket.types import Event


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
