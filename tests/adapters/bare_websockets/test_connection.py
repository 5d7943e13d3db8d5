"""What the library's connection lets a client do, and ours does not.

Much of it overrides what the library does not document: these tests tell whether a new
release of it still does the same.
"""

import asyncio

import pytest

from pondsocket.web import frame_budget
from tests.adapters.raw_frames import EMPTY_PART, TEXT_BEGINS, in_parts

PING = b"\x89\x80\0\0\0\0"
PONG = b"\x8a\x80\0\0\0\0"
CLOSE_1000 = b"\x88\x82\0\0\0\0\x03\xe8"
RESERVED_OPCODE = b"\x83\x80\0\0\0\0"


def close_frame(code):
    return code.to_bytes(2, "big")


async def read_all(reader):
    async with asyncio.timeout(5):
        return await reader.read()


async def shake_hands(server, handshake):
    reader, writer = await server.say(handshake)
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


# Before the handshake


@pytest.mark.parametrize(
    "said",
    [
        b"nonsense\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
    ],
)
async def test_what_cannot_be_a_handshake_is_answered(start, said):
    server = await start({"send_timeout": 0.5})

    answer = await server.ask(said)

    assert answer.startswith("HTTP/1.1 400 Bad Request\r\n")
    assert answer.count("Expected a WebSocket handshake") == 1


async def test_a_body_that_comes_later_changes_nothing(start):
    server = await start({"send_timeout": 0.5})
    reader, writer = await server.say(b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"{}")

    assert (await read_all(reader)).count(b"Expected a WebSocket handshake") == 1
    writer.close()


async def test_headers_without_end_are_refused(start):
    server = await start({"send_timeout": 0.5})
    header = b"x-long: " + b"x" * 20_000 + b"\r\n"

    answer = await server.ask(b"GET /socket HTTP/1.1\r\n" + header + b"\r\n")

    assert answer.startswith("HTTP/1.1 4")


@pytest.mark.parametrize("said", [b"", b"GET /sock", b"GET / HTTP/1.1\r\nhost: x\r\n"])
async def test_who_never_asks_anything_is_let_go(start, said):
    server = await start({"handshake_timeout": 0.1})

    assert await server.ask(said) == ""


async def test_what_a_client_does_to_its_handshake_is_not_logged(start, caplog):
    server = await start({"handshake_timeout": 0.1, "send_timeout": 0.5})
    for said in (b"", b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"):
        await server.ask(said)
    _, writer = await server.say(b"GET /so")
    writer.transport.abort()
    await server.close()

    assert caplog.text == ""


# Floods that no limit on messages sees


@pytest.mark.parametrize(
    "kind", [PING, PONG, EMPTY_PART], ids=["ping", "pong", "continuation"]
)
async def test_frames_without_end_that_carry_nothing_close_with_1008(
    start, handshake, kind
):
    server = await start()
    reader, writer = await shake_hands(server, handshake)
    writer.write(TEXT_BEGINS + kind * 5000)

    received = await read_all(reader)

    assert close_frame(1008) + b"too many frames" in received
    writer.close()
    await server.until(lambda: not server.chat.connected)


async def test_as_many_as_a_client_may_send_are_answered(start, handshake):
    server = await start()
    reader, writer = await shake_hands(server, handshake)
    writer.write(PING * 1500 + CLOSE_1000)

    received = await read_all(reader)

    assert received.count(b"\x8a\x00") == 1500
    writer.close()


async def test_a_message_of_the_greatest_size_arrives_in_small_parts(
    start, handshake, message
):
    server = await start()
    reader, writer = await shake_hands(server, handshake)
    writer.write(in_parts(message("JOIN_CHANNEL").ljust(1_048_576), 512))

    async with asyncio.timeout(10):
        await reader.readuntil(b"ACKNOWLEDGE")
    writer.close()


async def test_the_debt_of_frames_is_paid_off_with_time(start, handshake, monkeypatch):
    monkeypatch.setattr(frame_budget, "_RATE", 1e9)  # so that no time is much already
    server = await start()
    reader, writer = await shake_hands(server, handshake)
    writer.write(PONG * 5000 + CLOSE_1000)

    assert close_frame(1000) in await read_all(reader)
    writer.close()


async def test_pongs_do_not_pile_up_for_a_client_that_does_not_read(
    start, deaf, monkeypatch
):
    monkeypatch.setattr(frame_budget, "_RATE", 1e9)
    server = await start({"ping_interval": 0, "send_timeout": 0.5}, send_buffer=4096)
    client = await deaf(server)
    await server.until(lambda: server.chat.connected)
    ping = b"\x89\xfd\0\0\0\0" + bytes(125)

    loop = asyncio.get_running_loop()
    async with asyncio.timeout(5):
        await loop.sock_sendall(client, ping * 5000)

    await server.until(lambda: not server.chat.connected)


# The end


@pytest.mark.parametrize(
    "last", [CLOSE_1000, RESERVED_OPCODE], ids=["closing", "a frame that is none"]
)
async def test_who_does_not_hang_up_is_cut_off(start, handshake, last):
    server = await start({"send_timeout": 0.4, "ping_interval": 0})
    _, writer = await shake_hands(server, handshake)
    await server.until(lambda: server.chat.connected)
    writer.write(last)

    await server.until(lambda: not server.chat.connected)

    writer.close()


async def test_a_text_that_is_no_text_closes_with_1007(start, handshake):
    server = await start()
    reader, writer = await shake_hands(server, handshake)
    writer.write(b"\x81\x81\0\0\0\0\xff")

    assert close_frame(1007) in await read_all(reader)
    writer.close()
