"""Burst: every form of many frames, as joining them one by one would make it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Opcode

from pondsocket import burst as burst_module
from pondsocket import frame as frame_module
from pondsocket.burst import Burst
from pondsocket.frame import Frame
from pondsocket.framing import DEFLATED, deflate
from tests.unit.doubles import event, frame
from tests.unit.frame_reader import read_frames

FORMS = ["websocket", "deflated", "text", "batch", "deflated_batch"]
BYTES_FORMS = ["websocket", "deflated", "batch", "deflated_batch"]


class BinaryCodec:
    """Writes an event's name, as bytes."""

    name = "names"

    def decode(self, data):
        raise NotImplementedError

    def encode(self, event):
        return event.event.encode()


def messages_in(data):
    """Return what a client reads that agreed on permessage-deflate."""
    return [bytes(each.data) for each in read_frames(data)]


@pytest.fixture
def deflated(monkeypatch):
    """What was compressed."""
    calls = []

    def noting(payload):
        calls.append(payload)
        return deflate(payload)

    monkeypatch.setattr(frame_module, "deflate", noting)
    monkeypatch.setattr(burst_module, "deflate", noting)
    return calls


frames_in_bursts = st.lists(
    st.builds(frame, st.integers(0, 9), size=st.sampled_from([0, 50, 500, 70_000])),
    min_size=1,
    max_size=6,
)


@given(frames_in_bursts)
def test_each_form_is_what_joining_the_frames_makes(frames):
    burst = Burst(frames)
    texts = [each.text for each in frames]

    assert tuple(burst) == tuple(frames)
    assert burst.websocket == b"".join(each.websocket for each in frames)
    assert burst.deflated == b"".join(each.deflated for each in frames)
    assert burst.text.split("\n") == texts


@given(frames_in_bursts)
def test_clients_read_the_same_messages_from_every_form(frames):
    burst = Burst(frames)
    texts = [each.data for each in frames]

    for form in ("websocket", "deflated"):
        assert messages_in(getattr(burst, form)) == texts
    for form in ("batch", "deflated_batch"):
        assert messages_in(getattr(burst, form)) == [b"\n".join(texts)]


@given(frames_in_bursts)
def test_compressed_is_never_longer_than_not_compressed(frames):
    burst = Burst(frames)

    assert len(burst.deflated) <= len(burst.websocket)
    assert len(burst.deflated_batch) <= len(burst.batch)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("count", [1, 3])
def test_each_form_is_built_at_most_once(form, count):
    burst = Burst([frame(number, size=500) for number in range(count)])

    assert getattr(burst, form) is getattr(burst, form)


@pytest.mark.parametrize("form", ["deflated", "deflated_batch"])
@pytest.mark.parametrize("size", [0, 500])
def test_a_form_is_compressed_once_whatever_comes_of_it(form, size, deflated):
    burst = Burst([frame(size=size)])

    for _ in range(3):
        getattr(burst, form)

    assert len(deflated) == 1


def test_frames_that_are_joined_are_compressed_together(deflated):
    burst = Burst([frame(1, size=500), frame(2, size=500)])

    burst.deflated_batch  # noqa: B018 - it is built when it is read

    assert deflated == [burst.text.encode()]


@pytest.mark.parametrize("form", BYTES_FORMS)
def test_a_burst_of_one_frame_is_that_frame(form):
    one = frame(size=500)

    data = getattr(Burst([one]), form)

    assert data is (one.deflated if "deflated" in form else one.websocket)


def test_frames_that_become_no_shorter_are_not_compressed():
    short = [Frame(event(), BinaryCodec()), Frame(event(), BinaryCodec())]

    burst = Burst(short)

    assert burst.deflated == burst.websocket


def test_a_batch_that_becomes_no_shorter_is_not_compressed(monkeypatch):
    monkeypatch.setattr(burst_module, "deflate", lambda payload: payload)

    burst = Burst([frame(1), frame(2)])

    assert burst.deflated_batch is burst.batch


def test_each_frame_of_a_burst_is_compressed_or_not_by_itself():
    short, long = Frame(event(), BinaryCodec()), frame(size=500)

    burst = Burst([short, long])

    assert burst.deflated == short.websocket + long.deflated
    assert long.deflated[0] & DEFLATED


def test_bytes_of_a_codec_stay_binary_frames():
    frames = read_frames(Burst([Frame(event(), BinaryCodec()), frame()]).websocket)

    assert [each.opcode for each in frames] == [Opcode.BINARY, Opcode.TEXT]


def test_the_text_of_a_burst_is_json_whatever_the_codec():
    burst = Burst([Frame(event(1), BinaryCodec()), frame(2)])

    assert burst.text == f"{frame(1).text}\n{frame(2).text}"
