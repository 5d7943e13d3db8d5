import contextlib
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame
from websockets.frames import Opcode as FrameKind
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import (
    CloseReason,
    FrameDecoder,
    FrameProtocol,
    Opcode,
    RsvBits,
)

from pondsocket_asgi.ws_bridge.deflate import BoundedDeflate, negotiate

MIB = 1024 * 1024
PLAIN = RsvBits(False, False, False)
MARKED = RsvBits(True, False, False)
SERVER = FrameProtocol(client=False, extensions=[])
DECODER = FrameDecoder(client=False)


@pytest.fixture
def deflate():
    return BoundedDeflate(max_message_size=MIB)


def compress(data, compressor=None):
    compressor = compressor or zlib.compressobj(wbits=-15)
    compressed = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return compressed.removesuffix(b"\0\0\xff\xff")


def inflate(deflate, payload, opcode=Opcode.BINARY, rsv=MARKED, *, fin=True):
    """Hand over one frame as wsproto does; return its payload or the close reason."""
    header = deflate.frame_inbound_header(DECODER, opcode, rsv, len(payload))
    if isinstance(header, CloseReason):
        return header
    data = deflate.frame_inbound_payload_data(DECODER, payload)
    if isinstance(data, CloseReason):
        return data
    rest = deflate.frame_inbound_complete(DECODER, fin)
    return rest if isinstance(rest, CloseReason) else data + (rest or b"")


def send(deflate, data, opcode=Opcode.BINARY, *, fin=True):
    return deflate.frame_outbound(SERVER, opcode, PLAIN, data, fin)[1]


def bomb(size):
    """Return compressed zeros, a thousandth as long: one megabyte, again and again."""
    compressor = zlib.compressobj(9, wbits=-15)
    megabyte = compressor.compress(bytes(MIB)) + compressor.flush(zlib.Z_FULL_FLUSH)
    return megabyte * (size // MIB)


@contextlib.contextmanager
def traced_peak():
    """Yield a function that returns how many bytes there were at most."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# Negotiation


def answer(*offers):
    negotiated = negotiate(offers, MIB)
    return negotiated and negotiated[1]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("", ""),
        ("; server_no_context_takeover", "; server_no_context_takeover"),
        ("; client_no_context_takeover", "; client_no_context_takeover"),
        (";server_max_window_bits=15", "; server_max_window_bits=12"),
        ("; server_max_window_bits=9", "; server_max_window_bits=9"),
        ("; client_max_window_bits", "; client_max_window_bits=12"),
        ("; client_max_window_bits=8", "; client_max_window_bits=8"),
        ('; client_max_window_bits = "10"', "; client_max_window_bits=10"),
        (
            (
                "; client_max_window_bits; server_max_window_bits=10; "
                "client_no_context_takeover; server_no_context_takeover"
            ),
            (
                "; server_no_context_takeover; client_no_context_takeover; "
                "server_max_window_bits=10; client_max_window_bits=12"
            ),
        ),
    ],
)
def test_an_offer_is_answered_with_what_it_asks_for(parameters, expected):
    assert answer(f"permessage-deflate{parameters}") == f"permessage-deflate{expected}"


MALFORMED = [
    "; unknown",
    ";",
    "; server_no_context_takeover=1",
    "; client_no_context_takeover=",
    "; server_no_context_takeover; server_no_context_takeover",
    "; server_max_window_bits",
    "; server_max_window_bits=8",  # allowed, but zlib has no such window
    "; server_max_window_bits=7",
    "; server_max_window_bits=16",
    "; server_max_window_bits=09",
    "; server_max_window_bits=9x",
    "; client_max_window_bits=",
    '; client_max_window_bits="',
    "; client_max_window_bits=\u0661\u0661",
    "; client_max_window_bits=9; client_max_window_bits=9",
]


@pytest.mark.parametrize("parameters", MALFORMED)
def test_a_malformed_offer_is_declined(parameters):
    assert negotiate([f"permessage-deflate{parameters}"], MIB) is None


@pytest.mark.parametrize("parameters", MALFORMED)
def test_the_offer_after_a_malformed_one_is_looked_at(parameters):
    offers = ["x-other", f"permessage-deflate{parameters}", "permessage-deflate"]

    assert answer(*offers) == "permessage-deflate"


@pytest.mark.parametrize("offers", [[], [""], ["x-webkit-deflate-frame"]])
def test_where_nothing_suitable_is_offered_nothing_is_negotiated(offers):
    assert negotiate(offers, MIB) is None


@given(st.lists(st.text()))
def test_no_offer_raises(offers):
    negotiate([f"permessage-deflate{offer}" for offer in offers], MIB)


def test_it_offers_nothing_itself(deflate):
    assert deflate.enabled()
    assert deflate.offer() is False


# Inflating


def test_the_example_of_the_rfc_is_inflated(deflate):
    assert inflate(deflate, bytes.fromhex("f2 48 cd c9 c9 07 00")) == b"Hello"


def test_a_message_cut_into_frames_is_inflated(deflate):
    payload = compress(b"Hello, world")
    parts = [
        inflate(deflate, payload[:3], fin=False),
        inflate(deflate, b"ping", Opcode.PING, PLAIN),
        inflate(deflate, payload[3:], Opcode.CONTINUATION, PLAIN),
    ]

    assert parts[1] == b"ping"
    assert parts[0] + parts[2] == b"Hello, world"


def test_a_header_that_is_parsed_twice_changes_nothing(deflate):
    payload = compress(b"Hello")
    deflate.frame_inbound_header(DECODER, Opcode.TEXT, MARKED, len(payload))

    assert inflate(deflate, payload) == b"Hello"


def test_what_is_not_marked_stays_as_it_is(deflate):
    assert inflate(deflate, b"Hello", rsv=PLAIN) == b"Hello"


@pytest.mark.parametrize("opcode", [Opcode.CONTINUATION, Opcode.PING, Opcode.CLOSE])
def test_only_the_first_frame_of_a_message_may_be_marked(deflate, opcode):
    inflate(deflate, compress(b"Hello"), fin=False)

    assert inflate(deflate, b"", opcode) is CloseReason.PROTOCOL_ERROR


def test_a_continuation_of_a_plain_message_is_plain_too(deflate):
    inflate(deflate, compress(b"Hello"))
    inflate(deflate, b"He", rsv=PLAIN, fin=False)

    assert inflate(deflate, b"llo", Opcode.CONTINUATION, PLAIN) == b"llo"


def test_a_continuation_of_no_message_is_plain(deflate):
    inflate(deflate, compress(b"Hello"))

    assert inflate(deflate, b"x", Opcode.CONTINUATION, PLAIN) == b"x"


def test_what_zlib_does_not_take_is_invalid(deflate):
    reason = inflate(deflate, b"\xff\xff\xff\xff")

    assert reason is CloseReason.INVALID_FRAME_PAYLOAD_DATA


def test_what_zlib_does_not_take_at_the_end_is_invalid(deflate):
    # the head of a stored block of 256 bytes: the tail contradicts its length
    reason = inflate(deflate, b"\x00\x00\x01")

    assert reason is CloseReason.INVALID_FRAME_PAYLOAD_DATA


def test_a_message_may_refer_to_the_one_before(deflate):
    client = zlib.compressobj(wbits=-15)
    text = bytes(range(256)) * 8
    first, second = compress(text, client), compress(text, client)

    assert inflate(deflate, first) == text
    assert inflate(deflate, second) == text
    assert len(second) < len(first) / 4


def test_it_may_not_where_the_client_promised_not_to():
    deflate = BoundedDeflate(max_message_size=MIB, client_no_context_takeover=True)
    client = zlib.compressobj(wbits=-15)
    text = bytes(range(256)) * 8
    inflate(deflate, compress(text, client))

    reason = inflate(deflate, compress(text, client))

    assert reason is CloseReason.INVALID_FRAME_PAYLOAD_DATA


def test_a_narrower_window_of_the_client_is_enough():
    deflate = BoundedDeflate(max_message_size=MIB, client_max_window_bits=8)
    text = bytes(range(256)) * 40

    assert inflate(deflate, compress(text, zlib.compressobj(wbits=-9))) == text


# Streams that end (RFC 7692 7.2.3.4)


def test_the_example_of_the_rfc_for_a_final_block_is_inflated(deflate):
    payload = bytes.fromhex("f3 48 cd c9 c9 07 00 00")

    assert inflate(deflate, payload) == b"Hello"
    assert inflate(deflate, compress(b"again")) == b"again"


def test_a_final_block_at_the_very_end_is_taken(deflate):
    payload = bytes.fromhex("f3 48 cd c9 c9 07 00")

    assert inflate(deflate, payload) == b"Hello"
    assert inflate(deflate, compress(b"again")) == b"again"


def test_a_message_may_go_on_after_a_final_block(deflate):
    final = bytes.fromhex("f3 48 cd c9 c9 07 00")

    assert inflate(deflate, final + compress(b", world")) == b"Hello, world"


def test_final_blocks_without_end_are_refused(deflate):
    empty_final = b"\x03\x00"

    for _ in range(2):  # each message may have so many
        assert inflate(deflate, empty_final * 64) == b""
    assert inflate(deflate, empty_final * 65) is CloseReason.POLICY_VIOLATION


# The limit


@pytest.mark.parametrize("limit", [1, 100, 262_143, 262_144, 262_145, 600_000])
def test_a_message_as_long_as_the_limit_passes_and_a_longer_one_does_not(limit):
    deflate = BoundedDeflate(max_message_size=limit)

    assert inflate(deflate, compress(bytes(limit))) == bytes(limit)
    reason = inflate(deflate, compress(bytes(limit + 1)))
    assert reason is CloseReason.MESSAGE_TOO_BIG


def test_the_limit_counts_for_all_frames_of_a_message_together():
    deflate = BoundedDeflate(max_message_size=10)
    client = zlib.compressobj(wbits=-15)
    parts = [client.compress(b"123456") + client.flush(zlib.Z_SYNC_FLUSH)] * 2
    inflate(deflate, parts[0], fin=False)

    reason = inflate(deflate, parts[1], Opcode.CONTINUATION, PLAIN)

    assert reason is CloseReason.MESSAGE_TOO_BIG


def test_the_limit_counts_for_each_message_anew():
    deflate = BoundedDeflate(max_message_size=10)

    assert [inflate(deflate, compress(bytes(6))) for _ in range(3)] == [bytes(6)] * 3


def test_without_a_limit_any_message_passes():
    deflate = BoundedDeflate(max_message_size=0)

    assert inflate(deflate, bomb(3 * MIB)) == bytes(3 * MIB)


def test_what_the_end_of_a_message_brings_is_limited_too():
    deflate = BoundedDeflate(max_message_size=3)
    stored = b"\x00\x04\x00\xfb\xff"  # the head of a block whose four bytes lack

    assert inflate(deflate, stored) is CloseReason.MESSAGE_TOO_BIG


@pytest.mark.parametrize("read_size", [65_536, 16 * MIB])
def test_a_megabyte_that_stands_for_a_gigabyte_takes_no_more_than_the_limit(read_size):
    limit = 4 * MIB
    payload = bomb(1024 * MIB)
    deflate = BoundedDeflate(max_message_size=limit)
    deflate.frame_inbound_header(DECODER, Opcode.BINARY, MARKED, len(payload))
    reads = [payload[i : i + read_size] for i in range(0, len(payload), read_size)]
    read = iter(reads)

    with traced_peak() as peak:
        result = b""
        while isinstance(result, bytes):
            result = deflate.frame_inbound_payload_data(DECODER, next(read))
        most = peak()

    assert 900_000 < len(payload) < 1_200_000
    assert result is CloseReason.MESSAGE_TOO_BIG
    assert most < limit + 3 * MIB


# Compressing


def test_what_is_compressed_is_marked_and_shorter(deflate):
    rsv, data = deflate.frame_outbound(SERVER, Opcode.TEXT, PLAIN, b"x" * 500, True)

    assert rsv == MARKED
    assert len(data) < 20


def test_control_frames_are_not_compressed(deflate):
    sent = deflate.frame_outbound(SERVER, Opcode.PING, PLAIN, b"x" * 50, True)

    assert sent == (PLAIN, b"x" * 50)


def test_a_continuation_is_compressed_but_not_marked(deflate):
    first = send(deflate, b"Hello, ", fin=False)
    rsv, last = deflate.frame_outbound(
        SERVER, Opcode.CONTINUATION, PLAIN, b"world", True
    )

    assert rsv == PLAIN
    assert inflate(deflate, first + last) == b"Hello, world"


def test_the_second_message_is_compressed_with_the_first(deflate):
    text = bytes(range(256)) * 2

    assert len(send(deflate, text)) > 4 * len(send(deflate, text))


def test_each_is_compressed_for_itself_where_the_client_wants_it():
    deflate = BoundedDeflate(max_message_size=MIB, server_no_context_takeover=True)
    text = bytes(range(256)) * 2

    assert send(deflate, text) == send(deflate, text)


@pytest.mark.parametrize("bits", range(9, 16))
def test_the_window_is_as_narrow_as_agreed(bits):
    deflate = BoundedDeflate(max_message_size=MIB, server_max_window_bits=bits)
    noise = zlib.compress(bytes(range(256)) * 400, 0)
    payload = send(deflate, noise) + b"\0\0\xff\xff"

    assert zlib.decompressobj(wbits=-bits).decompress(payload) == noise


# With wsproto's own as the client


PARAMETERS = [
    "",
    "; server_no_context_takeover",
    "; client_no_context_takeover",
    "; server_max_window_bits=9; client_max_window_bits=9",
    "; client_max_window_bits",
]


@pytest.mark.parametrize("parameters", PARAMETERS)
@given(messages=st.lists(st.text() | st.binary(), max_size=5))
def test_what_was_negotiated_is_what_both_sides_do(parameters, messages):
    deflate, text = negotiate([f"permessage-deflate{parameters}"], MIB)
    extension = PerMessageDeflate()
    extension.finalize(text)
    client = FrameProtocol(client=True, extensions=[extension])
    server = FrameProtocol(client=False, extensions=[deflate])

    for message in messages:
        server.receive_bytes(bytes(client.send_data(message)))
        received = "".join if isinstance(message, str) else b"".join
        there = received(frame.payload for frame in server.received_frames())
        client.receive_bytes(bytes(server.send_data(there)))
        back = received(frame.payload for frame in client.received_frames())
        assert (there, back) == (message, message)


# With the websockets library as the client


def parameters_of(text):
    pairs = (part.strip().partition("=") for part in text.split(";")[1:])
    return [(name, value or None) for name, _, value in pairs]


@pytest.mark.parametrize(
    "wishes",
    [
        {"client_max_window_bits": True},
        {"client_max_window_bits": 9, "server_max_window_bits": 9},
        {"client_no_context_takeover": True, "server_no_context_takeover": True},
    ],
)
def test_the_websockets_library_takes_the_answer_and_what_is_sent(wishes):
    factory = ClientPerMessageDeflateFactory(**wishes)
    offered = factory.get_request_params()
    offer = [name if value is None else f"{name}={value}" for name, value in offered]
    deflate, text = negotiate(["; ".join(["permessage-deflate", *offer])], MIB)
    client = factory.process_response_params(parameters_of(text), [])
    message = bytes(range(256)) * 100

    for _ in range(2):
        there = client.encode(Frame(FrameKind.BINARY, message))
        back = Frame(FrameKind.BINARY, send(deflate, message), rsv1=True)
        assert inflate(deflate, bytes(there.data)) == message
        assert client.decode(back).data == message
