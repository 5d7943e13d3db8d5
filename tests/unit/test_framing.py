"""Whole frames of a server: golden bytes, and what other programs read out of them."""

import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from pondsocket.framing import (
    BINARY,
    DEFLATE_WINDOW_BITS,
    DEFLATED,
    TEXT,
    build_frame,
    deflate,
    frame_message,
)
from tests.unit.frame_reader import read_frames

WINDOW = 1 << DEFLATE_WINDOW_BITS
SIZES = st.integers(0, 300) | st.integers(65_400, 65_700) | st.integers(65_536, 200_000)


def inflate(data):
    """Return what a client with the smallest window agreed on makes of a message."""
    decompressor = zlib.decompressobj(wbits=-DEFLATE_WINDOW_BITS)
    return decompressor.decompress(data + b"\x00\x00\xff\xff")


# RFC 6455, 5.2: the three forms of a length, at their edges.
@pytest.mark.parametrize(
    ("size", "length"),
    [
        (0, b"\x00"),
        (125, b"\x7d"),
        (126, b"\x7e\x00\x7e"),
        (65_535, b"\x7e\xff\xff"),
        (65_536, b"\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
@pytest.mark.parametrize(
    ("message", "first"), [("x", b"\x81"), (b"x", b"\x82")], ids=["text", "binary"]
)
def test_a_frame_is_its_first_byte_its_length_and_the_message(
    message, first, size, length
):
    assert frame_message(message * size) == first + length + b"x" * size


def test_a_compressed_frame_has_the_mark_of_the_extension_in_its_first_byte():
    assert build_frame(TEXT | DEFLATED, b"x") == b"\xc1\x01x"
    assert build_frame(BINARY | DEFLATED, b"x") == b"\xc2\x01x"


def test_a_length_is_in_bytes_not_in_characters():
    assert frame_message("é") == b"\x81\x02\xc3\xa9"


def test_half_a_surrogate_pair_cannot_be_framed():
    with pytest.raises(ValueError, match="surrogates not allowed"):
        frame_message("\ud800")


@given(size=SIZES, is_text=st.booleans())
def test_another_parser_reads_the_message_back(size, is_text):
    data = b"x" * size

    [frame] = read_frames(
        frame_message(data.decode() if is_text else data), window_bits=None
    )

    assert frame == Frame(Opcode.TEXT if is_text else Opcode.BINARY, data)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_another_parser_reads_any_text_back(text):
    [frame] = read_frames(frame_message(text), window_bits=None)

    assert bytes(frame.data).decode() == text


# Compression (RFC 7692).


@given(st.binary() | st.text(st.characters(exclude_categories=["Cs"])).map(str.encode))
@example(b"")
def test_plain_zlib_inflates_a_message_with_the_window_agreed_on(payload):
    assert inflate(deflate(payload)) == payload


@given(
    piece=st.binary(min_size=20, max_size=200),
    distance=st.integers(WINDOW - 500, WINDOW * 9),
    noise=st.randoms(use_true_random=False),
)
def test_no_reference_goes_back_farther_than_the_window(piece, distance, noise):
    payload = piece + noise.randbytes(distance) + piece

    assert inflate(deflate(payload)) == payload


def test_each_message_is_compressed_for_itself():
    assert deflate(b"once more, once more") == deflate(b"once more, once more")


def test_what_repeats_becomes_much_shorter():
    assert len(deflate(b'{"name":"value"},' * 100)) < 60


@given(st.binary(max_size=100_000))
def test_what_does_not_repeat_becomes_hardly_longer(payload):
    assert len(deflate(payload)) <= len(payload) + len(payload) // 1000 * 5 + 16


@pytest.mark.parametrize("window_bits", [DEFLATE_WINDOW_BITS, 15])
def test_the_extension_of_another_library_reads_compressed_frames(window_bits):
    payload = b"again and " * 1000
    data = build_frame(TEXT | DEFLATED, deflate(payload))

    frames = read_frames(data * 2, window_bits=window_bits)

    assert frames == [Frame(Opcode.TEXT, payload)] * 2
