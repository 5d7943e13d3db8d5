"""A slow application, a slow client, and one that is silent."""

import asyncio

import pytest

from pondsocket.web import frame_budget
from tests.adapters.bridge.serving import (
    BINARY,
    PING,
    PONG,
    TEXT,
    disconnect,
    frame,
    left_over,
    until,
)

# Back-pressure


async def test_an_application_that_does_not_receive_stops_its_client(start, puppet):
    server = await start(puppet, send_buffer=65_536, max_queue=8)
    client = await server.open_with(puppet, receive_buffer=65_536)

    sent = await client.say_until_it_blocks(frame(BINARY, bytes(10_000)))

    assert sent < 1_500_000


async def test_a_queue_is_full_by_its_bytes_too(start, puppet):
    server = await start(puppet, send_buffer=65_536, max_message_size=100_000)
    client = await server.open_with(puppet, receive_buffer=65_536)

    sent = await client.say_until_it_blocks(frame(BINARY, bytes(50_000)))

    assert sent < 1_500_000  # 32 messages would be more


async def test_all_arrives_in_order_when_the_application_goes_on(start, puppet):
    server = await start(puppet, max_queue=2)
    client = await server.open_with(puppet)
    numbers = range(2000)
    client.say(b"".join(frame(TEXT, str(number).encode()) for number in numbers))

    received = [int((await puppet.last.receive())["text"]) for _ in numbers]

    assert received == list(numbers)


async def test_who_waits_for_the_application_is_not_given_up(start, puppet):
    server = await start(puppet, max_queue=1, ping_interval=0.1, ping_timeout=0.05)
    client = await server.open_with(puppet)
    client.say(frame(TEXT, b"x") * 3)

    with pytest.raises(TimeoutError):  # many times what a silent client would get
        await asyncio.wait_for(client.reader.read(1), 0.6)

    for _ in range(3):
        assert (await puppet.last.receive())["type"] == "websocket.receive"


async def test_a_slow_client_makes_send_wait(start, puppet):
    server = await start(puppet, send_buffer=4096, write_buffer=1000)
    client = await server.open_with(puppet, receive_buffer=4096)
    client.stop_reading()

    sent = 0
    sending = None
    while sending is None or sending.done():
        sent += 1
        sending = asyncio.create_task(
            puppet.last.send({"type": "websocket.send", "bytes": bytes(1000)})
        )
        await asyncio.wait({sending}, timeout=0.3)

    assert sent < 500
    client.reset()
    await asyncio.gather(sending, return_exceptions=True)


async def test_a_slow_client_delays_nobody_else(start, puppet):
    server = await start(puppet, send_buffer=4096)
    slow = await server.open_with(puppet, receive_buffer=4096)
    slow.stop_reading()
    sending = asyncio.create_task(
        puppet.last.send({"type": "websocket.send", "bytes": bytes(4_000_000)})
    )
    await asyncio.wait({sending}, timeout=0.1)

    other = await server.open_with(puppet)
    await puppet.last.say("hello")

    assert await other.read_frame() == (TEXT, b"hello")
    assert not sending.done()
    slow.reset()
    await asyncio.gather(sending, return_exceptions=True)


async def test_what_a_slow_client_did_not_take_arrives_in_order(start, puppet):
    server = await start(puppet, send_buffer=4096, write_buffer=1000)
    client = await server.open_with(puppet, receive_buffer=4096)
    client.stop_reading()

    async def send_all():
        for number in range(500):
            await puppet.last.say(f"{number:0>1000}")

    sending = asyncio.create_task(send_all())
    await asyncio.wait({sending}, timeout=0.1)
    client.writer.transport.resume_reading()

    received = [int((await client.read_frame())[1]) for _ in range(500)]
    await sending

    assert received == list(range(500))


async def test_the_keep_alive_ends_a_client_that_does_not_read(start, puppet):
    server = await start(puppet, send_buffer=4096, ping_interval=0.1, ping_timeout=0.1)
    client = await server.open_with(puppet, receive_buffer=4096)
    client.stop_reading()
    sending = asyncio.create_task(
        puppet.last.send({"type": "websocket.send", "bytes": bytes(4_000_000)})
    )

    assert await puppet.last.receive() == disconnect(1006, "keep-alive timeout")

    await asyncio.gather(sending, return_exceptions=True)


# Keep-alive


async def test_a_silent_client_is_pinged(start):
    server = await start(ping_interval=0.05)
    client = await server.open()

    assert await client.read_frame() == (PING, b"")


async def test_who_answers_pings_stays(start):
    server = await start(ping_interval=0.05, ping_timeout=0.5)
    client = await server.open()
    for _ in range(2):
        assert (await client.read_frame())[0] == PING
        client.say(frame(PONG))

    client.say(frame(TEXT, b"still here"))

    assert await client.read_frame() == (TEXT, b"still here")


async def test_who_sends_anything_else_after_a_ping_stays_too(start):
    server = await start(ping_interval=0.05, ping_timeout=0.5)
    client = await server.open()

    for _ in range(2):
        assert (await client.read_frame())[0] == PING
        client.say(frame(TEXT, b"busy"))
        assert await client.read_frame() == (TEXT, b"busy")


async def test_who_answers_no_ping_is_gone(start, puppet):
    server = await start(puppet, ping_interval=0.05, ping_timeout=0.05)
    client = await server.open_with(puppet)

    assert await client.read_close() == (1011, "keep-alive timeout")

    assert await puppet.last.receive() == disconnect(1006, "keep-alive timeout")


async def test_without_an_interval_nobody_is_pinged(start):
    server = await start(ping_interval=0, ping_timeout=0.01)
    client = await server.open()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.read_frame(), 0.2)


async def test_who_is_asked_to_close_is_not_pinged_but_has_its_time(start, puppet):
    server = await start(
        puppet, ping_interval=0.05, ping_timeout=0.05, close_timeout=5.0
    )
    client = await server.open_with(puppet)
    await puppet.last.close(4000)
    await client.read_close()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.reader.read(1), 0.4)


# Pings of the client


async def test_pongs_do_not_pile_up_for_a_client_that_does_not_read(
    start, puppet, monkeypatch
):
    monkeypatch.setattr(frame_budget, "_RATE", 1e9)  # so that time would pay for them
    server = await start(puppet, send_buffer=4096, close_timeout=0.1)
    client = await server.open_with(puppet, receive_buffer=4096)
    client.stop_reading()

    client.say(frame(PING, bytes(125)) * 5000)

    assert (await puppet.last.receive())["code"] == 1008
    puppet.last.leave()
    await until(lambda: not left_over())
