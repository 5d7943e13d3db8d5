"""AiohttpWebSocketTransport over real sockets: the ways in which a connection ends."""

import asyncio
import gc
import logging
import random

import pytest
from aiohttp import WSMessage, WSMsgType
from aiohttp._websocket.writer import WEBSOCKET_MAX_SYNC_CHUNK_SIZE
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from pondsocket import Event, Frame
from pondsocket.web import ClientLeft
from pondsocket_aiohttp.transport import _COMPRESSED_AT_ONCE
from tests.adapters.raw_frames import EMPTY_PART, TEXT_BEGINS, in_parts

PING = b"\x89\x80\0\0\0\0"
PONG = b"\x8a\x80\0\0\0\0"
CLOSE = b"\x88\x80\0\0\0\0"


def url(port):
    return f"ws://127.0.0.1:{port}/socket"


async def test_messages_are_answered_in_order(chat, serve, message):
    port = await serve(chat)

    async with connect(url(port)) as websocket:
        await websocket.send(message("JOIN_CHANNEL"))
        for number in range(50):
            await websocket.send(message(payload={"n": number}))
        answers = [await websocket.recv() for _ in range(52)]

    assert [f'"n":{n}}}' in each for n, each in enumerate(answers[2:])] == [True] * 50


async def test_a_binary_frame_counts_as_text(chat, serve, message):
    port = await serve(chat)

    async with connect(url(port)) as websocket:
        await websocket.recv()
        await websocket.send(message("JOIN_CHANNEL").encode())

        assert "ACKNOWLEDGE" in await websocket.recv()


async def test_the_transport_sends_bytes_as_a_binary_frame(chat, serve):
    port = await serve(chat)

    async with connect(url(port)) as websocket:
        await websocket.recv()
        for each in (b"1", "2"):
            await chat.session.transport._send_message(each)

        assert [await websocket.recv(), await websocket.recv()] == [b"1", "2"]


async def test_a_ping_is_answered(chat, serve):
    port = await serve(chat)

    async with connect(url(port)) as websocket, asyncio.timeout(5):
        await (await websocket.ping(b"there?"))


async def test_a_client_that_closes_leaves_once(chat, serve, message, until):
    port = await serve(chat)

    async with connect(url(port)) as websocket:
        await websocket.send(message("JOIN_CHANNEL"))
        await websocket.recv()
        await websocket.recv()
    await until(lambda: not chat.connected)

    assert len(chat.left) == 1


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_a_client_that_vanishes_leaves_once(
    is_cancelled, chat, serve, message, until, caplog
):
    port = await serve(chat, handler_cancellation=is_cancelled)
    async with connect(url(port)) as websocket:
        await websocket.send(message("JOIN_CHANNEL"))
        await websocket.recv()
        await websocket.recv()

        websocket.transport.abort()
        await until(lambda: not chat.connected)

    assert len(chat.left) == 1
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


async def test_closing_waits_for_the_close_frame_of_the_client(chat, serve):
    port = await serve(chat)

    async with connect(url(port)) as websocket:
        await websocket.recv()
        async with asyncio.timeout(5):
            await chat.session.transport.close_with(4001, "enough")
        with pytest.raises(ConnectionClosed):
            await websocket.recv()

    assert (websocket.close_code, websocket.close_reason) == (4001, "enough")
    assert chat.counts.get("send_timeout", 0) == 0


async def test_a_client_that_answers_no_close_frame_is_waited_for_a_while(
    make_chat, serve, dial, handshake, read_all
):
    chat = await make_chat(send_timeout=1.0)
    port = await serve(chat)
    reader, _ = await dial(port, handshake)
    await reader.readuntil(b"CONNECTION")

    await chat.session.transport.close_with(4001, "enough")

    assert (4001).to_bytes(2, "big") + b"enough" in await read_all(reader)
    assert chat.counts.get("send_timeout", 0) == 0


async def test_a_client_that_reads_nothing_is_cut_off(
    make_chat, serve, deaf, handshake, big_frame, until, count_sockets
):
    chat = await make_chat(send_timeout=0.3)
    port = await serve(chat, send_buffer=4096)
    await deaf(port, handshake)

    chat.session.write((big_frame, big_frame))

    await until(lambda: not chat.connected)
    await until(lambda: not count_sockets(port))
    assert chat.counts["slow_consumer_closed"] == 1


async def test_a_close_that_a_client_does_not_read_is_bounded(
    make_chat, serve, deaf, handshake, big_frame, until, count_sockets
):
    chat = await make_chat(send_timeout=0.3)
    port = await serve(chat, send_buffer=4096)
    await deaf(port, handshake)
    chat.session.write((big_frame,))

    async with asyncio.timeout(5):
        await chat.session.transport.close()

    await until(lambda: not count_sockets(port))


async def test_nothing_is_sent_behind_a_close_frame(make_chat, serve, deaf, handshake):
    chat = await make_chat()
    port = await serve(chat)
    await deaf(port, handshake)
    transport = chat.session.transport

    await transport.websocket.close()

    with pytest.raises(ClientLeft):
        transport._send_message("late")


async def test_a_client_that_says_goodbye_and_reads_nothing_is_cut_off(
    make_chat, serve, deaf, handshake, big_frame, until, count_sockets
):
    chat = await make_chat(send_timeout=0.3)
    port = await serve(chat, send_buffer=4096)
    client = await deaf(port, handshake)
    chat.session.write((big_frame,))

    await asyncio.get_running_loop().sock_sendall(client, CLOSE)

    await until(lambda: not chat.connected)
    await until(lambda: not count_sockets(port))


async def test_what_a_client_that_said_goodbye_does_not_read_is_dropped(
    make_chat, serve, deaf, handshake, until, count_sockets
):
    chat = await make_chat(send_timeout=0.3)
    port = await serve(chat, send_buffer=4096)
    client = await deaf(port, handshake)
    # less than would make a send wait, more than the kernel takes
    chat.session.write(
        (Frame(Event("BROADCAST", "/c", "1", "n", {"x": "x" * 60_000})),)
    )

    await asyncio.get_running_loop().sock_sendall(client, CLOSE)

    await until(lambda: not chat.connected)
    await until(lambda: not count_sockets(port))
    assert not chat.counts["slow_consumer_closed"]


async def test_a_client_that_vanishes_while_a_message_is_compressed_is_no_error(
    make_chat, serve, until, caplog
):
    chat = await make_chat(compression=True, direct_writes=False)
    port = await serve(chat)
    text = random.Random(1).randbytes(1_000_000).hex()

    async with connect(url(port), compression="deflate") as websocket:
        await websocket.recv()
        with caplog.at_level(logging.DEBUG, logger="pondsocket_aiohttp"):
            chat.session.write(
                (Frame(Event("BROADCAST", "/c", "1", "n", {"x": text})),)
            )
            chat.session.transport.give_up()
            await until(lambda: "a message was given up" in caplog.text)

    gc.collect()  # what asyncio then logs of a task that nobody asked
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


def test_what_aiohttp_compresses_at_once_is_as_the_transport_takes_it():
    assert _COMPRESSED_AT_ONCE * 4 <= WEBSOCKET_MAX_SYNC_CHUNK_SIZE


# Signs of life


async def test_a_client_that_answers_no_ping_is_gone(
    make_chat, serve, deaf, handshake, until
):
    chat = await make_chat(ping_interval=0.05, pong_wait=0.05)
    port = await serve(chat)

    await deaf(port, handshake)
    assert chat.connected == 1

    await until(lambda: not chat.connected)


async def test_a_client_that_answers_stays(make_chat, serve, dial, handshake):
    chat = await make_chat(ping_interval=0.02, pong_wait=5.0)
    port = await serve(chat)
    reader, writer = await dial(port, handshake)
    await reader.readuntil(b"CONNECTION")

    async with asyncio.timeout(5):
        for _ in range(3):
            await reader.readuntil(b"\x89\0")
            writer.write(PONG)

    assert chat.connected == 1


async def test_without_an_interval_nobody_is_asked(make_chat, serve):
    chat = await make_chat(ping_interval=0, pong_wait=0.01)
    port = await serve(chat)

    async with connect(url(port)) as websocket:
        await websocket.recv()

        assert chat.session.transport._heartbeat is None


async def test_a_ping_to_or_from_one_who_left_does_no_harm(chat, serve):
    port = await serve(chat)
    async with connect(url(port)) as websocket:
        await websocket.recv()
        transport = chat.session.transport
    await chat.pond.close()

    await transport._ping()
    with pytest.raises(ClientLeft):
        await transport._take_control_frame(WSMessage(WSMsgType.PING, b"", None))


# Floods


@pytest.mark.parametrize("kind", [PING, PONG], ids=["ping", "pong"])
async def test_control_frames_without_end_close_with_1008(
    kind, chat, serve, dial, handshake, read_all
):
    port = await serve(chat)
    reader, writer = await dial(port, handshake)
    await reader.readuntil(b"CONNECTION")

    writer.write(kind * 5000)

    received = await read_all(reader)
    assert (1008).to_bytes(2, "big") + b"too many frames" in received
    assert received.count(b"\x8a\0") < 3000
    assert not chat.connected


async def test_a_message_of_the_greatest_size_arrives_in_small_parts(
    chat, serve, dial, handshake, message
):
    port = await serve(chat)
    reader, writer = await dial(port, handshake)
    await reader.readuntil(b"CONNECTION")

    writer.write(in_parts(message("JOIN_CHANNEL").ljust(1_048_576), 512))

    async with asyncio.timeout(10):
        await reader.readuntil(b"ACKNOWLEDGE")


async def test_many_big_messages_are_no_flood(chat, serve, message):
    port = await serve(chat)

    async with connect(url(port)) as websocket, asyncio.timeout(10):
        await websocket.send(message("JOIN_CHANNEL"))
        for number in range(8):
            await websocket.send(message(payload={"n": number}).ljust(1_000_000))
        answers = [await websocket.recv() for _ in range(10)]

    assert '"n":7}' in answers[-1]


# as many bytes as need all be read to be too many: a socket that is closed with some
# left unread loses the close frame
TOO_MANY_PARTS = TEXT_BEGINS + EMPTY_PART * (3 * 1_048_576 // len(EMPTY_PART))


async def test_parts_without_end_that_carry_nothing_close_with_1008(
    chat, serve, dial, handshake, read_all
):
    port = await serve(chat)
    reader, writer = await dial(port, handshake)
    await reader.readuntil(b"CONNECTION")

    writer.write(TOO_MANY_PARTS)

    assert (1008).to_bytes(2, "big") + b"too many frames" in await read_all(reader)
    assert not chat.connected


async def test_a_ping_among_such_parts_buys_no_more_of_them(
    chat, serve, dial, handshake, read_all
):
    port = await serve(chat)
    reader, writer = await dial(port, handshake)
    await reader.readuntil(b"CONNECTION")
    first = len(EMPTY_PART) * 100_000

    writer.write(TOO_MANY_PARTS[:first] + PING)
    await reader.readuntil(b"\x8a\0")
    writer.write(TOO_MANY_PARTS[first:])

    assert (1008).to_bytes(2, "big") + b"too many frames" in await read_all(reader)
