import itertools
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import FrameProtocol, Opcode

from pondsocket.web import frame_budget
from pondsocket_asgi.ws_bridge.config import ServerConfig
from pondsocket_asgi.ws_bridge.protocol import (
    Closed,
    Pong,
    WSClosedError,
    WSProtocol,
)
from pondsocket_asgi.ws_bridge.request import RequestReceived

MIB = 1024 * 1024
FIN, RSV1 = 0x80, 0x40
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


@pytest.fixture
def protocol():
    return WSProtocol()


def frame(opcode, payload=b"", *, first=FIN, mask=b"\x11\x22\x33\x44", length=None):
    """Return a frame of a client; ``length`` announces another than it has."""
    size = len(payload) if length is None else length
    if size <= 125:
        head = bytes([first | opcode, 0x80 | size])
    elif size <= 0xFFFF:
        head = bytes([first | opcode, 0xFE]) + size.to_bytes(2, "big")
    else:
        head = bytes([first | opcode, 0xFF]) + size.to_bytes(8, "big")
    keys = mask * (len(payload) // 4 + 1)
    masked = bytes(a ^ b for a, b in zip(payload, keys, strict=False))
    return head + mask + masked


def receive(protocol, *frames, now=0.0, unsent=0):
    received = protocol.receive(b"".join(frames), now=now, unsent=unsent)
    while protocol.has_more:
        received += protocol.receive(b"", now=now, unsent=unsent)
    return received


def close_frame(code, reason=""):
    payload = code.to_bytes(2, "big") + reason.encode()
    return bytes([0x88, len(payload)]) + payload


def compressed(data):
    compressor = zlib.compressobj(wbits=-12)
    payload = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return payload.removesuffix(b"\0\0\xff\xff")


def deflating(**settings):
    return WSProtocol(offers=["permessage-deflate"], compression=True, **settings)


def assert_broken(protocol, received, code):
    """Assert that the client broke a rule, and was told which one."""
    closed = received[-1]
    assert (closed.code, closed.by_client) == (code, False)
    assert closed.reason
    assert protocol.take_output() == close_frame(code, closed.reason)
    assert protocol.is_closed
    assert receive(protocol, frame(TEXT, b"more")) == []
    assert protocol.take_output() == b""


# Messages


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_a_message_of_any_length_goes_both_ways(protocol, size):
    client = FrameProtocol(client=True, extensions=[])
    data = bytes(size)
    received = receive(protocol, bytes(client.send_data(data)))
    client.receive_bytes(protocol.send(data))

    assert received == [data]
    assert type(received[0]) is bytes
    assert b"".join(f.payload for f in client.received_frames()) == data


def test_a_text_is_a_str(protocol):
    assert receive(protocol, frame(TEXT, "žluť".encode())) == ["žluť"]
    assert protocol.send("žluť") == b"\x81\x06" + "žluť".encode()


def test_many_messages_of_one_read_keep_their_order(protocol):
    frames = [frame(TEXT, b"a"), frame(BINARY, b"b"), frame(PONG, b"c")]

    assert receive(protocol, *frames) == ["a", b"b", Pong(b"c")]


def test_a_read_that_brings_nothing_whole_brings_nothing(protocol):
    assert protocol.receive(b"", now=0.0) == []
    assert protocol.receive(b"\x81", now=0.0) == []
    assert protocol.take_output() == b""


@pytest.mark.parametrize("kind", [bytearray, memoryview])
@pytest.mark.parametrize("make", [WSProtocol, deflating])
def test_other_kinds_of_bytes_are_sent_like_bytes(kind, make):
    assert make().send(kind(b"abc")) == make().send(b"abc")


def test_a_view_is_sent_whole_whatever_its_items_are(protocol):
    assert protocol.send(memoryview(b"abcdefgh").cast("I")) == b"\x82\x08abcdefgh"


def test_what_is_no_message_is_not_sent(protocol):
    with pytest.raises(TypeError):
        protocol.send(5)


def test_half_a_surrogate_pair_is_not_sent(protocol):
    with pytest.raises(ValueError, match="surrogates"):
        protocol.send("\ud800")

    assert protocol.send("still") == b"\x81\x05still"


# Fragments


def test_fragments_are_joined(protocol):
    parts = [
        frame(TEXT, b"Hel", first=0),
        frame(CONTINUATION, b"", first=0),
        frame(CONTINUATION, b"lo"),
    ]

    assert receive(protocol, *parts, frame(BINARY, b"x")) == ["Hello", b"x"]


def test_a_binary_message_of_fragments_is_plain_bytes(protocol):
    parts = [frame(BINARY, b"a", first=0), frame(CONTINUATION, b"b")]

    (received,) = receive(protocol, *parts)

    assert type(received) is bytes


def test_control_frames_may_come_between_fragments(protocol):
    parts = [
        frame(TEXT, b"Hel", first=0),
        frame(PING, b"?"),
        frame(PONG, b"!"),
        frame(CONTINUATION, b"lo"),
    ]

    assert receive(protocol, *parts) == [Pong(b"!"), "Hello"]
    assert protocol.take_output() == b"\x8a\x01?"


def test_a_character_may_be_cut_by_fragments(protocol):
    snowman = "☃".encode()
    parts = [
        frame(TEXT, snowman[:1], first=0),
        frame(CONTINUATION, snowman[1:2], first=0),
        frame(CONTINUATION, snowman[2:]),
    ]

    assert receive(protocol, *parts) == ["☃"]


def test_a_continuation_without_a_start_is_refused(protocol):
    assert_broken(protocol, receive(protocol, frame(CONTINUATION, b"x")), 1002)


def test_a_message_inside_of_a_message_is_refused(protocol):
    parts = [frame(TEXT, b"a", first=0), frame(TEXT, b"b")]

    assert_broken(protocol, receive(protocol, *parts), 1002)


def test_what_came_before_a_broken_rule_is_received(protocol):
    received = receive(protocol, frame(TEXT, b"a"), frame(CONTINUATION, b"x"))

    assert received[0] == "a"
    assert_broken(protocol, received, 1002)


# What wsproto's decoder refuses


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x81\x01a", id="unmasked"),
        pytest.param(frame(TEXT, b"a", first=FIN | 0x40), id="first reserved bit"),
        pytest.param(frame(TEXT, b"a", first=FIN | 0x20), id="second reserved bit"),
        pytest.param(frame(PING, b"a", first=FIN | 0x10), id="third reserved bit"),
        pytest.param(frame(3), id="unknown opcode for data"),
        pytest.param(frame(15), id="unknown opcode for control"),
        pytest.param(frame(PING, bytes(126)), id="long ping"),
        pytest.param(frame(CLOSE, bytes(126)), id="long close frame"),
        pytest.param(frame(PONG, b"", first=0), id="fragmented pong"),
        pytest.param(b"\x81\xfe\x00\x05", id="length in more bytes than it takes"),
        pytest.param(b"\x81\xff" + b"\xff" * 8, id="negative length"),
    ],
)
def test_a_frame_that_is_none_is_refused(protocol, data):
    assert_broken(protocol, receive(protocol, data), 1002)


# Text that is none


def test_invalid_utf8_is_refused(protocol):
    assert_broken(protocol, receive(protocol, frame(TEXT, b"\xff")), 1007)


def test_a_text_that_ends_within_a_character_is_refused(protocol):
    parts = [frame(TEXT, b"a\xc3", first=0), frame(CONTINUATION)]

    assert_broken(protocol, receive(protocol, *parts), 1007)


def test_invalid_utf8_is_refused_before_its_message_is_whole(protocol):
    received = receive(protocol, frame(TEXT, b"a\xff", first=0))

    assert_broken(protocol, received, 1007)


def test_invalid_utf8_is_refused_before_its_frame_is_whole(protocol):
    data = frame(TEXT, b"\xce\xba\xf4\x90\x80\x80 and more")
    fed = [protocol.receive(data[i : i + 1], now=0.0) for i in range(10)]

    assert fed[:9] == [[]] * 9  # six of them are the head
    assert_broken(protocol, fed[9], 1007)


def test_binary_may_be_anything(protocol):
    assert receive(protocol, frame(BINARY, b"\xff")) == [b"\xff"]


# The limit


def test_a_message_as_long_as_the_limit_passes():
    protocol = WSProtocol(max_message_size=6)
    parts = [frame(TEXT, b"abc", first=0), frame(CONTINUATION, b"def")]

    assert receive(protocol, frame(TEXT, b"abcdef"), *parts) == ["abcdef"] * 2


def test_it_passes_also_byte_by_byte():
    protocol = WSProtocol(max_message_size=6)
    data = frame(TEXT, b"abcdef")
    received = [x for i in range(len(data)) for x in receive(protocol, data[i : i + 1])]

    assert received == ["abcdef"]


@pytest.mark.parametrize(
    "parts",
    [
        [frame(TEXT, b"abcdefg")],
        [frame(BINARY, b"abcdefg")],
        [frame(TEXT, b"abc", first=0), frame(CONTINUATION, b"defg", first=0)],
        [frame(TEXT, "áéíó".encode())],
    ],
    ids=["text", "binary", "fragments", "bytes count"],
)
def test_a_longer_message_is_refused(parts):
    protocol = WSProtocol(max_message_size=6)

    assert_broken(protocol, receive(protocol, *parts), 1009)


def test_a_frame_is_refused_for_what_it_announces():
    protocol = WSProtocol(max_message_size=MIB)

    assert_broken(protocol, receive(protocol, frame(BINARY, length=MIB + 1)), 1009)


def test_a_fragment_is_refused_for_what_it_announces():
    protocol = WSProtocol(max_message_size=10)
    parts = [frame(TEXT, b"abc", first=0), frame(CONTINUATION, b"d", length=8)]

    assert_broken(protocol, receive(protocol, *parts), 1009)


def test_what_a_control_frame_announces_counts_for_no_message():
    protocol = WSProtocol(max_message_size=3)
    data = frame(TEXT, b"abc", first=0) + frame(PING, b"four")

    assert receive(protocol, data[:-1]) == []
    assert receive(protocol, data[-1:], frame(CONTINUATION)) == ["abc"]


# Pings and pongs


def test_a_ping_is_answered_once(protocol):
    assert receive(protocol, frame(PING, b"abc")) == []
    assert protocol.take_output() == b"\x8a\x03abc"
    assert protocol.take_output() == b""


def test_a_ping_of_ours_is_at_most_125_bytes(protocol):
    assert protocol.ping(b"abc") == b"\x89\x03abc"
    with pytest.raises(ValueError, match="too long"):
        protocol.ping(bytes(126))


def test_a_ping_after_our_close_frame_is_not_answered(protocol):
    protocol.close()

    assert receive(protocol, frame(PING)) == []
    assert protocol.take_output() == b""


def test_many_messages_in_few_bytes_come_in_parts(protocol):
    parts = [protocol.receive(frame(TEXT) * 600, now=0.0)]
    while protocol.has_more:
        parts.append(protocol.receive(b"", now=0.0))

    assert [len(part) for part in parts] == [257, 257, 86]


FLOODS = pytest.mark.parametrize(
    "flood", [frame(PING), frame(PONG), frame(CONTINUATION, b"x" * 63, first=0)]
)


@FLOODS
def test_more_frames_than_the_budget_has_are_refused(protocol, flood):
    received = receive(protocol, frame(TEXT, first=0), flood * 5000)
    pongs = protocol.take_output().removesuffix(close_frame(1008, "too many frames"))

    assert received[-1] == Closed(1008, "too many frames", by_client=False)
    assert len(pongs) <= 2000 * 2


@FLOODS
def test_with_time_a_client_may_send_any_number(protocol, flood):
    receive(protocol, frame(TEXT, first=0))
    for second in range(10):
        receive(protocol, flood * 900, now=float(second))

    assert not protocol.close_sent


@FLOODS
def test_with_time_it_may_not_while_it_does_not_read(protocol, flood):
    receive(protocol, frame(TEXT, first=0))
    for second in range(10):
        receive(protocol, flood * 900, now=float(second), unsent=1)

    assert protocol.is_closed


def test_a_tiny_part_counts_also_where_its_frame_comes_in_pieces(protocol):
    receive(protocol, frame(TEXT, first=0))
    part = frame(CONTINUATION, b"ab", first=0)
    receive(protocol, part[:-1])
    for _ in range(frame_budget._BURST):
        receive(protocol, part[-1:], part[:-1])

    assert protocol.is_closed


@pytest.mark.parametrize("cut", [0, 7, -1])
def test_parts_with_something_in_them_do_not_count(protocol, cut):
    receive(protocol, frame(TEXT, first=0))
    part = frame(CONTINUATION, b"x" * 64, first=0)
    for _ in range(frame_budget._BURST + 1):
        receive(protocol, part[:cut])
        receive(protocol, part[cut:])

    assert not protocol.close_sent


def test_a_long_frame_that_comes_byte_by_byte_does_not_count(protocol):
    data = frame(TEXT, first=0) + frame(CONTINUATION, b"x" * 5000)
    received = [x for i in range(len(data)) for x in receive(protocol, data[i : i + 1])]

    assert received == ["x" * 5000]


# The end


def test_a_close_frame_of_the_client_is_answered(protocol):
    received = receive(protocol, frame(CLOSE, b"\x0f\xa0bye"), frame(TEXT, b"more"))

    assert received == [Closed(4000, "bye", by_client=True)]
    assert protocol.take_output() == close_frame(4000)
    assert protocol.close_received
    assert protocol.close_sent
    assert protocol.is_closed
    assert receive(protocol, frame(TEXT, b"more")) == []


def test_a_close_frame_without_a_code_is_answered_alike(protocol):
    assert receive(protocol, frame(CLOSE)) == [Closed(1005, "", by_client=True)]
    assert protocol.take_output() == b"\x88\x00"


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"\x03", 1002),
        (b"\x03\xe7", 1002),
        (b"\x03\xed", 1002),
        (b"\x0b\xb7", 1002),
        (b"\x13\x88", 1002),
        (b"\x03\xe8\xff", 1007),
    ],
    ids=["one byte", "999", "1005", "2999", "5000", "no text"],
)
def test_a_close_frame_that_is_none_is_refused(protocol, payload, code):
    assert_broken(protocol, receive(protocol, frame(CLOSE, payload)), code)


def test_our_close_frame_is_sent_once(protocol):
    assert protocol.close(1001, "later") == close_frame(1001, "later")
    assert protocol.close(1000) == b""
    assert protocol.close_sent
    assert not protocol.is_closed


def test_the_answer_to_our_close_frame_is_the_end(protocol):
    protocol.close()

    received = receive(protocol, frame(TEXT, b"last"), frame(CLOSE, b"\x03\xe8"))

    assert received == ["last", Closed(1000, "", by_client=True)]
    assert protocol.take_output() == b""
    assert protocol.is_closed


def test_a_broken_rule_after_our_close_frame_sends_nothing_more(protocol):
    protocol.close()

    (closed,) = receive(protocol, frame(CONTINUATION))

    assert not closed.by_client
    assert protocol.take_output() == b""
    assert protocol.is_closed


@pytest.mark.parametrize("reason", ["", None, "ignored"])
def test_a_close_frame_may_have_no_code(protocol, reason):
    assert protocol.close(1005, reason) == b"\x88\x00"


@pytest.mark.parametrize("code", [0, 999, 1004, 1006, 1015, 2000, 5000, 65_536])
def test_a_code_that_must_not_be_sent_is_refused(protocol, code):
    with pytest.raises(ValueError, match=f"close code {code} must not be sent"):
        protocol.close(code)

    assert not protocol.close_sent


def test_a_long_reason_is_cut_at_a_character(protocol):
    assert protocol.close(1000, "é" * 100) == close_frame(1000, "é" * 61)


def test_a_reason_that_cannot_be_encoded_sends_nothing(protocol):
    with pytest.raises(ValueError, match="surrogates"):
        protocol.close(1000, "\ud800")

    assert not protocol.close_sent


@pytest.mark.parametrize("end", [frame(CLOSE), frame(CONTINUATION), None])
def test_nothing_is_sent_after_the_end(protocol, end):
    receive(protocol, end) if end else protocol.close()

    with pytest.raises(WSClosedError, match="message"):
        protocol.send("x")
    with pytest.raises(WSClosedError, match="ping"):
        protocol.ping()
    assert protocol.close() == b""


# Compression


def test_what_was_negotiated_is_told():
    assert deflating().extensions == "permessage-deflate"


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"compression": True},
        {"offers": ["permessage-deflate"]},
        {"offers": ["permessage-deflate; nonsense"], "compression": True},
    ],
)
def test_without_an_offer_or_the_wish_nothing_is_compressed(settings):
    protocol = WSProtocol(**settings)

    assert protocol.extensions is None
    assert protocol.send("x" * 20) == b"\x81\x14" + b"x" * 20


def test_a_compressed_message_goes_both_ways():
    protocol = deflating()
    payload = compressed(b"x" * 500)

    assert receive(protocol, frame(TEXT, payload, first=FIN | RSV1)) == ["x" * 500]
    sent = protocol.send("x" * 500)
    assert sent[0] == 0xC1
    assert len(sent) < 20


def test_a_compressed_message_may_come_in_fragments():
    protocol = deflating()
    payload = compressed(b"x" * 500)
    parts = [
        frame(TEXT, payload[:4], first=RSV1),
        frame(PING),
        frame(CONTINUATION, payload[4:]),
    ]

    assert receive(protocol, *parts) == ["x" * 500]


@pytest.mark.parametrize(
    ("data", "code", "reason"),
    [
        (frame(PING, first=FIN | RSV1), 1002, "compressed frame where none may be"),
        (frame(TEXT, b"\xff" * 9, first=FIN | RSV1), 1007, "invalid compressed data"),
        (
            frame(TEXT, b"\x03\0" * 100, first=FIN | RSV1),
            1008,
            "too many compressed streams",
        ),
        (frame(TEXT, compressed(bytes(9)), first=FIN | RSV1), 1009, "message too big"),
        (frame(TEXT, compressed(b"\xff"), first=FIN | RSV1), 1007, "invalid UTF-8"),
    ],
)
def test_compressed_nonsense_is_refused(data, code, reason):
    protocol = deflating(max_message_size=8)

    received = receive(protocol, data)

    assert received == [Closed(code, reason, by_client=False)]
    assert_broken(protocol, received, code)


def test_a_megabyte_that_stands_for_a_gigabyte_is_refused_within_the_limit():
    compressor = zlib.compressobj(9, wbits=-15)
    megabyte = compressor.compress(bytes(MIB)) + compressor.flush(zlib.Z_FULL_FLUSH)
    bomb = megabyte * 1024
    head = frame(BINARY, first=FIN | RSV1, length=len(bomb), mask=bytes(4))
    data = head + bomb
    limit = 4 * MIB
    protocol = deflating(max_message_size=limit)

    reads = [data[i : i + 65_536] for i in range(0, len(data), 65_536)]
    tracemalloc.start()
    try:
        received = [x for read in reads for x in receive(protocol, read)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert received == [Closed(1009, "message too big", by_client=False)]
    assert 900_000 < len(bomb) < 1_200_000
    assert peak < limit + 2 * MIB


# Made for a request


def request(*headers):
    return RequestReceived(b"/", headers)


def test_it_is_made_for_what_a_request_asks_for():
    asked = request(
        (b"sec-websocket-protocol", b"one, two"),
        (b"sec-websocket-extensions", b"x-other, permessage-deflate"),
    )
    config = ServerConfig(compression=True, max_message_size=3)
    protocol = WSProtocol.for_request(asked, config)

    assert protocol.subprotocols == ("one", "two")
    assert protocol.extensions == "permessage-deflate"
    assert_broken(protocol, receive(protocol, frame(TEXT, b"four")), 1009)


def test_a_request_that_asks_for_nothing_gets_nothing():
    protocol = WSProtocol.for_request(request(), ServerConfig(compression=True))

    assert protocol.subprotocols == ()
    assert protocol.extensions is None


# With wsproto's own as the client


CONTROLS = st.lists(
    st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125)), max_size=2
)
PARTS = st.lists(st.tuples(st.integers(0, 300), CONTROLS), max_size=4)
MESSAGES = st.lists(st.tuples(st.text() | st.binary(max_size=300), PARTS), max_size=5)
PARAMETERS = [
    None,
    "",
    "; server_no_context_takeover; client_no_context_takeover",
    "; server_max_window_bits=9; client_max_window_bits=9",
]


class Client:
    """Cuts messages into frames; notes what the server should make of them."""

    def __init__(self, extensions):
        used = []
        if extensions is not None:
            used.append(PerMessageDeflate())
            used[0].finalize(extensions)
        self.frames = FrameProtocol(client=True, extensions=used)
        self.sent = bytearray()
        self.expected = []
        self.pings = []

    def send(self, message, parts):
        rest = message
        for size, controls in parts:
            self.sent += self.frames.send_data(rest[:size], fin=False)
            rest = rest[size:]
            for opcode, payload in controls:
                self.send_control(opcode, payload)
        self.sent += self.frames.send_data(rest, fin=True)
        self.expected.append(message)

    def send_control(self, opcode, payload):
        if opcode == PING:
            self.sent += self.frames.ping(payload)
            self.pings.append(payload)
        else:
            self.sent += self.frames.pong(payload)
            self.expected.append(Pong(payload))

    def receive(self, data):
        """Return the messages and the pongs in what the server sent."""
        self.frames.receive_bytes(data)
        messages, pongs, whole = [], [], None
        for received in self.frames.received_frames():
            if received.opcode is Opcode.PONG:
                pongs.append(received.payload)
                continue
            whole = received.payload if whole is None else whole + received.payload
            if received.message_finished:
                messages.append(whole)
                whole = None
        return messages, pongs


@pytest.mark.parametrize("parameters", PARAMETERS)
@settings(max_examples=60)
@given(messages=MESSAGES, data=st.data())
def test_whatever_a_client_sends_comes_out_whole_and_goes_back(
    parameters, messages, data
):
    offers = [] if parameters is None else [f"permessage-deflate{parameters}"]
    protocol = WSProtocol(offers=offers, compression=True, max_message_size=MIB)
    client = Client(protocol.extensions)
    for message, parts in messages:
        client.send(message, parts)
    cuts = data.draw(st.lists(st.integers(0, len(client.sent)), max_size=8))
    edges = [0, *sorted(cuts), len(client.sent)]

    received, output = [], b""
    for start, end in itertools.pairwise(edges):
        received += protocol.receive(bytes(client.sent[start:end]), now=0.0)
        output += protocol.take_output()
    texts = [x for x in received if not isinstance(x, Pong)]
    output += b"".join(map(protocol.send, texts))

    assert received == client.expected
    assert client.receive(output) == (texts, client.pings)


@settings(max_examples=200)
@given(data=st.binary(), compression=st.booleans())
def test_no_bytes_of_a_client_raise(data, compression):
    protocol = deflating() if compression else WSProtocol()

    received = protocol.receive(data, now=0.0)

    assert protocol.is_closed == any(isinstance(x, Closed) for x in received)
