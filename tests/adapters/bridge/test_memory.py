"""How much memory a client can make the bridge take, in a process of its own."""

import zlib

import pytest

from tests.adapters.bridge.process import run_program
from tests.adapters.bridge.serving import BINARY, TEXT, frame

MEGABYTE = 1_048_576
LIMIT = 16 * MEGABYTE  # what ServerConfig has by default
ALLOWANCE = 8 * MEGABYTE  # for the allocator, and what is read from the socket

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


def deflate_zeros(megabytes):
    """Return compressed zeros: one megabyte's, which stands for itself, repeated."""
    compressor = zlib.compressobj(level=9, wbits=-15)
    one = compressor.compress(bytes(MEGABYTE)) + compressor.flush(zlib.Z_FULL_FLUSH)
    return (one * megabytes).removesuffix(b"\x00\x00\xff\xff")


async def warm_up(program):
    """Let a client come and go, so that all is loaded; return the memory then."""
    client = await program.open("/", DEFLATE)
    client.say(frame(TEXT, b"hello"))
    client.hang_up()
    return program.resident


@pytest.mark.parametrize("limit", [MEGABYTE, LIMIT])
async def test_a_bomb_closes_with_1009_and_takes_no_more_than_the_limit(limit):
    bomb = frame(BINARY, deflate_zeros(1024), is_compressed=True)
    assert len(bomb) < 1.1 * MEGABYTE
    async with run_program("echo", compression=True, max_message_size=limit) as program:
        before = await warm_up(program)
        client = await program.open("/", DEFLATE)

        client.say(bomb)

        assert (await client.read_close())[0] == 1009
        assert program.peak - before < limit + ALLOWANCE


async def test_a_bomb_in_parts_is_one_too():
    payload = deflate_zeros(1024)
    async with run_program("echo", compression=True) as program:
        before = await warm_up(program)
        client = await program.open("/", DEFLATE)

        for begin in range(0, len(payload), 10_000):
            client.say(
                frame(
                    BINARY if begin == 0 else 0,
                    payload[begin : begin + 10_000],
                    is_last=False,
                    is_compressed=begin == 0,
                )
            )

        assert (await client.read_close())[0] == 1009
        # what came so far, and once more while it grows
        assert program.peak - before < 2 * LIMIT + ALLOWANCE


async def test_many_bombs_at_once_are_held_one_after_the_other():
    bombs = frame(BINARY, deflate_zeros(1), is_compressed=True) * 500
    settings = {"compression": True, "max_message_size": MEGABYTE}
    async with run_program("deaf", **settings) as program:
        before = await warm_up(program)
        client = await program.open("/", DEFLATE)

        client.say(bombs)
        await client.say_until_it_blocks(bombs)

        assert program.peak - before < 3 * MEGABYTE + ALLOWANCE


async def test_an_application_that_does_not_receive_costs_no_memory():
    async with run_program("deaf") as program:
        before = await warm_up(program)
        client = await program.open()

        await client.say_until_it_blocks(frame(BINARY, bytes(10_000)) * 100)

        assert program.peak - before < ALLOWANCE


async def test_a_client_that_does_not_read_costs_no_memory():
    async with run_program("echo") as program:
        before = await warm_up(program)
        client = await program.open(receive_buffer=65_536)
        client.stop_reading()

        await client.say_until_it_blocks(frame(BINARY, bytes(10_000)) * 100)

        assert program.peak - before < ALLOWANCE


async def test_handshakes_that_never_end_cost_little():
    async with run_program("echo") as program:
        before = await warm_up(program)
        clients = [
            await program.dial(b"GET /" + bytes(b"x" * 8000)) for _ in range(200)
        ]

        client = await program.open()
        client.say(frame(TEXT, b"still here"))
        assert await client.read_frame() == (TEXT, b"still here")

        assert program.peak - before < 200 * 65_536
        assert len(clients) == 200
