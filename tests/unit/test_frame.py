import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pondsocket import frame as frame_module
from pondsocket.errors import BadRequest
from pondsocket.frame import Frame
from pondsocket.framing import deflate
from pondsocket.types import Event
from pondsocket.wire import JSON_CODEC, JsonCodec, event_to_json
from tests.unit.frame_reader import read_frames

EVENT = Event("BROADCAST", "/chat/42", "r1", "message", {"text": "é"})
JSON = event_to_json(EVENT)


class CountingCodec:
    def __init__(self, name, render):
        self.name = name
        self.render = render
        self.encoded = 0

    def decode(self, data):
        raise NotImplementedError

    def encode(self, event):
        self.encoded += 1
        return self.render(event)


@pytest.fixture
def text_codec():
    return CountingCodec("lines", lambda event: f"{event.event}\n{event.payload}")


@pytest.fixture
def binary_codec():
    return CountingCodec("bytes", lambda event: b"\x01" + event.event.encode())


def named(name):
    return Event("BROADCAST", "/chat/42", "r1", name)


def padded(size):
    """A frame whose data has the given size."""
    empty = Frame(Event("BROADCAST", "/c", "r", "e", {"x": ""})).size
    return Frame(Event("BROADCAST", "/c", "r", "e", {"x": "a" * (size - empty)}))


def test_a_frame_keeps_the_event_itself():
    assert Frame(EVENT).event is EVENT


def test_text_and_data_are_the_json_of_the_event():
    frame = Frame(EVENT)

    assert frame.text == JSON
    assert frame.data == JSON.encode()
    assert frame.size == len(JSON) + 1


def test_an_event_that_cannot_be_encoded_fails_at_once():
    with pytest.raises(BadRequest):
        Frame(Event("BROADCAST", "/c", "r", "e", {"x": object()}))


def test_a_later_change_of_the_payload_does_not_show():
    event = Event("BROADCAST", "/c", "r", "e", {"x": 1})
    frame = Frame(event)
    event.payload["x"] = 2

    assert json.loads(frame.text)["payload"] == {"x": 1}
    assert json.loads(frame.data)["payload"] == {"x": 1}
    assert b'"x":1' in frame.websocket
    assert b'"x":1' in frame.sse()


# RFC 6455, 5.2: the three forms of a length, at their edges.
@pytest.mark.parametrize(
    ("size", "header"),
    [
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (0xFFFF, b"\x81\x7e\xff\xff"),
        (0x10000, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_a_websocket_frame_is_its_header_and_the_data_unmasked(size, header):
    frame = padded(size)

    assert frame.size == size
    assert frame.websocket == header + frame.data


def test_bytes_of_a_codec_travel_in_a_binary_websocket_frame(binary_codec):
    frame = Frame(EVENT, binary_codec)

    assert frame.data == b"\x01message"
    assert frame.websocket == b"\x82\x08\x01message"


def test_text_of_another_codec_travels_in_a_text_websocket_frame(text_codec):
    frame = Frame(named("a"), text_codec)

    assert frame.text == "a\nNone"
    assert frame.websocket == b"\x81\x06a\nNone"


def test_a_frame_of_bytes_has_the_json_as_its_text(binary_codec):
    assert Frame(EVENT, binary_codec).text == JSON


def test_a_copy_of_the_event_has_the_payload_that_was_encoded():
    payload = {"deep": [1]}
    frame = Frame(Event("PRESENCE", "/chat/42", "r1", "JOIN", payload))

    payload["deep"].append(2)
    first, second = frame.copy_event(), frame.copy_event()
    first.payload["deep"].append(3)

    assert second == Event("PRESENCE", "/chat/42", "r1", "JOIN", {"deep": [1]})


def test_every_form_is_built_at_most_once(text_codec):
    frame = Frame(EVENT, text_codec)

    for form in (
        lambda: frame.text,
        lambda: frame.data,
        lambda: frame.websocket,
        lambda: frame.deflated,
        frame.sse,
        lambda: frame.sse(with_event_name=False),
        lambda: frame.render(JSON_CODEC),
    ):
        assert form() is form()
    assert text_codec.encoded == 1


def test_the_own_codec_renders_no_second_time(text_codec):
    frame = Frame(EVENT, text_codec)

    assert frame.render(text_codec) == frame.text
    assert text_codec.encoded == 1


def test_a_codec_of_the_same_name_renders_no_second_time():
    frame = Frame(EVENT)

    assert frame.render(JsonCodec()) is frame.text


def test_each_other_codec_renders_once(text_codec, binary_codec):
    frame = Frame(EVENT)

    for _ in range(3):
        assert frame.render(text_codec) == f"message\n{EVENT.payload}"
        assert frame.render(binary_codec) == b"\x01message"
        assert frame.render(JSON_CODEC) == JSON
    assert (text_codec.encoded, binary_codec.encoded) == (1, 1)


def test_an_event_stream_has_the_name_and_one_line_of_json():
    assert Frame(EVENT).sse() == f"event: message\ndata: {JSON}\n\n".encode()


def test_an_event_stream_without_names_has_the_json_alone():
    assert Frame(EVENT).sse(with_event_name=False) == f"data: {JSON}\n\n".encode()


def test_an_event_stream_is_json_whatever_the_codec(text_codec, binary_codec):
    for codec in (text_codec, binary_codec):
        assert Frame(EVENT, codec).sse() == Frame(EVENT).sse()


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("a\r\nb", b"event: ab\n"),
        ("a\ndata: forged", b"event: adata: forged\n"),
        ("a\rid: 1\r\r", b"event: aid: 1\n"),
        ("\0a\0", b"event: a\n"),
        ("\n", b"event: \n"),
        ("a\u2028b\x85c\x0b", "event: a\u2028b\x85c\x0b\n".encode()),
    ],
)
def test_a_name_never_begins_a_line_of_the_event_stream(name, line):
    assert Frame(named(name)).sse().startswith(line + b"data: {")


def test_a_frame_tells_where_it_belongs():
    frame = Frame(EVENT)

    assert (frame.name, frame.channel_name, frame.request_id) == (
        "message", "/chat/42", "r1"
    )  # fmt: skip


@pytest.mark.parametrize(
    "payload",
    [{}, {"text": "é"}, {"payload": {"payload": 1}}, {'","payload":': 1}],
    ids=repr,
)
def test_its_payload_is_the_json_of_the_events_payload(payload):
    frame = Frame(Event("BROADCAST", '/c,"payload":{', "r", '","payload":', payload))

    assert json.loads(frame.payload) == payload
    assert frame.text.endswith(f',"payload":{frame.payload}}}')


def test_its_payload_is_json_whatever_the_codec(text_codec, binary_codec):
    for codec in (text_codec, binary_codec):
        assert Frame(EVENT, codec).payload == '{"text":"é"}'


# A frame around JSON that another node wrote.


def relayed(payload, **members):
    return Frame.relayed(
        Event("BROADCAST", "/chat/42", "r1", "message", **members), payload
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(
    payload=st.dictionaries(st.text(), json_values),
    names=st.tuples(*[st.text(min_size=1)] * 3),
)
def test_a_relayed_frame_is_what_encoding_the_event_makes(payload, names):
    event = Event("BROADCAST", *names, payload)
    encoded = Frame(event)

    frame = Frame.relayed(Event("BROADCAST", *names), encoded.payload)

    assert frame.text == encoded.text
    assert frame.websocket == encoded.websocket
    assert frame.sse() == encoded.sse()
    assert frame.payload == encoded.payload
    assert frame.event == event


def test_what_is_relayed_is_not_written_anew():
    payload = '{ "n" : 1.00, "\\u00e9" : [ ] }'

    frame = relayed(payload)

    assert frame.payload == payload
    assert frame.text.endswith(f'"payload":{payload}}}')


@pytest.mark.parametrize("line_break", ["\n", "\r", "\r\n"])
def test_relayed_json_of_several_lines_is_one_line_of_an_event_stream(line_break):
    frame = relayed('{%"text": "a\\nb",%"data": 1%}'.replace("%", line_break))

    fields = parse_event_stream(frame.sse())

    assert json.loads(fields["data"])["payload"] == {"text": "a\nb", "data": 1}
    assert fields["data"] == frame.text


def test_the_event_of_a_relayed_frame_is_built_once_when_asked_for():
    frame = relayed('{"n":[1]}', from_user_id="zoe", node_id="node-2")

    event = frame.event

    assert event is frame.event
    assert event.payload == {"n": [1]}
    assert (event.from_user_id, event.node_id) == ("zoe", "node-2")


def test_another_codec_sees_what_is_relayed(text_codec):
    frame = relayed('{"n":1}')

    assert frame.render(text_codec) == "message\n{'n': 1}"
    assert frame.render(JSON_CODEC) == frame.text


def test_a_copy_of_a_relayed_event_is_one_of_its_own():
    frame = relayed('{"n":[1]}')

    frame.copy_event().payload["n"].append(2)

    assert frame.event.payload == frame.copy_event().payload == {"n": [1]}


def parse_event_stream(chunk):
    """Read one event as a browser does (WHATWG HTML, 9.2.6): its name and data."""
    text = chunk.decode().replace("\r\n", "\n").replace("\r", "\n")
    assert text.endswith("\n\n")
    lines = text[:-2].split("\n")
    assert "" not in lines
    fields = [line.partition(":") for line in lines]
    values = {name: value.removeprefix(" ") for name, _, value in fields}
    assert len(fields) == len(values)
    return values


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_browser_reads_back_the_event_whatever_its_name(name):
    frame = Frame(named(name))
    fields = parse_event_stream(frame.sse())

    assert set(fields) == {"event", "data"}
    assert fields["data"] == frame.text
    assert fields["event"] == "".join(c for c in name if c not in "\r\n\0")


def parse_websocket(frame):
    """Read a server's frame (RFC 6455, 5.2): its first byte and what it carries."""
    first, length, rest = frame[0], frame[1], frame[2:]
    if length == 126:
        [length], rest = struct.unpack("!H", rest[:2]), rest[2:]
    elif length == 127:
        [length], rest = struct.unpack("!Q", rest[:8]), rest[8:]
    assert len(rest) == length
    return first, rest


@given(st.integers(80, 300) | st.integers(65_400, 65_700))
def test_a_websocket_frame_carries_the_data_whole(size):
    frame = padded(size)

    assert parse_websocket(frame.websocket) == (0x81, frame.data)


# Compressed (RFC 7692), for connections whose server forgets each message.


def test_a_text_that_becomes_shorter_is_compressed_and_marked_as_such():
    frame = padded(1000)

    assert frame.deflated[0] == 0xC1
    assert len(frame.deflated) < len(frame.websocket)


def test_bytes_of_a_codec_are_compressed_in_a_binary_frame():
    codec = CountingCodec("bytes", lambda event: bytes(1000))

    assert Frame(EVENT, codec).deflated[0] == 0xC2


@pytest.mark.parametrize("excess", [0, 1])
def test_what_becomes_no_shorter_is_not_compressed(excess, monkeypatch):
    monkeypatch.setattr(frame_module, "deflate", lambda data: data + bytes(excess))
    frame = padded(1000)

    assert frame.deflated is frame.websocket


@pytest.mark.parametrize("size", [80, 1000])
def test_a_frame_is_compressed_once_whatever_comes_of_it(size, monkeypatch):
    compressed = []
    monkeypatch.setattr(
        frame_module, "deflate", lambda data: compressed.append(data) or deflate(data)
    )
    frame = padded(size)

    for _ in range(3):
        assert frame.deflated

    assert compressed == [frame.data]


@given(
    payload=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])),
        st.text(st.characters(exclude_categories=["Cs"])),
    ),
    repeated=st.integers(1, 300),
)
def test_a_client_reads_the_same_message_compressed_or_not(payload, repeated):
    frame = Frame(Event("BROADCAST", "/c", "r", "e" * repeated, payload))

    [compressed] = read_frames(frame.deflated)

    assert bytes(compressed.data) == frame.data
    assert len(frame.deflated) <= len(frame.websocket)
