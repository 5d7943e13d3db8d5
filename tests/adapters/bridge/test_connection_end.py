"""How one client and its application part: whoever begins, and whoever does not."""

import asyncio
import logging

import pytest

from pondsocket_asgi.ws_bridge import ClientDisconnected
from tests.adapters.bridge.serving import (
    CLOSE,
    TEXT,
    close_bytes,
    close_frame,
    disconnect,
    frame,
    handshake,
    left_over,
    until,
)


class WebSocketDisconnect(Exception):
    """What several frameworks call theirs."""


# The end: the client's


@pytest.mark.parametrize(
    ("said", "answered", "told"),
    [
        (close_frame(1000), (1000, ""), disconnect(1000)),
        (close_frame(4001, "bye"), (4001, ""), disconnect(4001, "bye")),
        (frame(CLOSE), (0, ""), disconnect(1005)),
    ],
    ids=["plain", "with a reason", "without code"],
)
async def test_a_close_is_answered_and_told(start, puppet, said, answered, told):
    server = await start(puppet)
    client = await server.open_with(puppet)

    client.say(said)

    assert await client.read_close() == answered
    assert await puppet.last.receive() == told
    assert await client.read_rest() == b""


async def test_who_hangs_up_without_a_word_is_told_as_1006(start, puppet):
    server = await start(puppet)
    client = await server.open_with(puppet)

    client.hang_up()

    assert await puppet.last.receive() == disconnect(1006)


async def test_who_is_reset_is_told_as_1006(start, puppet):
    server = await start(puppet)
    client = await server.open_with(puppet)

    client.reset()

    assert await puppet.last.receive() == disconnect(1006)


async def test_a_message_to_who_has_left_is_a_disconnect(start, puppet):
    server = await start(puppet)
    client = await server.open_with(puppet)
    client.say(close_frame(1000))
    await puppet.last.receive()

    with pytest.raises(ClientDisconnected):
        await puppet.last.say("late")


async def test_messages_before_a_close_are_received_first(start, puppet):
    server = await start(puppet)
    client = await server.open_with(puppet)

    client.say(frame(TEXT, b"1") + close_frame(1000) + frame(TEXT, b"2"))

    assert (await puppet.last.receive())["text"] == "1"
    assert (await puppet.last.receive())["type"] == "websocket.disconnect"


@pytest.mark.parametrize(
    "error", [ClientDisconnected("gone"), WebSocketDisconnect(1006)], ids=repr
)
async def test_an_application_that_ends_with_its_client_has_not_failed(
    start, puppet, caplog, error
):
    server = await start(puppet)
    client = await server.open_with(puppet)
    client.hang_up()
    await puppet.last.receive()

    puppet.last.leave(error)

    await until(lambda: "pond-ws" not in left_over())
    assert not [each for each in caplog.records if each.levelno > logging.DEBUG]


async def test_an_application_that_sends_while_its_client_is_lost_has_not_failed(
    start, caplog
):
    sends = asyncio.Event()

    async def pour(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        sends.set()
        while True:
            await send({"type": "websocket.send", "bytes": bytes(8_000_000)})

    server = await start(pour, send_buffer=4096)
    client = await server.open(receive_buffer=4096)
    client.stop_reading()
    await sends.wait()

    client.reset()

    await until(lambda: "pond-ws" not in left_over())
    assert caplog.text == ""


async def test_an_application_may_go_on_after_its_client(start, puppet):
    server = await start(puppet)
    client = await server.open_with(puppet)
    client.hang_up()
    await puppet.last.receive()

    assert await client.read_rest() == b""

    assert not puppet.last.was_cancelled
    assert "pond-ws-app" in left_over()


# The end: the application's


async def test_a_close_with_code_and_reason_reaches_the_client(start, puppet):
    server = await start(puppet)
    client = await server.open_with(puppet)

    await puppet.last.close(4002, "enough")

    assert await client.read_close() == (4002, "enough")


async def test_who_closes_is_told_what_the_client_answered(start, puppet):
    server = await start(puppet)
    client = await server.open_with(puppet)
    await puppet.last.close(4002)
    await client.read_close()

    client.say(close_frame(4002))

    assert await puppet.last.receive() == disconnect(4002)


async def test_messages_after_the_applications_close_are_discarded(start, puppet):
    server = await start(puppet)
    client = await server.open_with(puppet)
    client.say(frame(TEXT, b"before"))
    await puppet.last.close()
    await client.read_close()

    client.say(frame(TEXT, b"after") * 100 + close_frame(1000))

    assert (await puppet.last.receive())["type"] == "websocket.disconnect"


async def test_both_may_close_at_once(start, puppet):
    server = await start(puppet)
    client = await server.open_with(puppet)

    client.say(close_frame(4001))
    await puppet.last.close(4002)

    assert await client.read_close() == (4002, "")
    assert await client.read_rest() == b""
    assert await puppet.last.receive() == disconnect(4001)


async def test_who_never_answers_a_close_is_cut_off(start, puppet):
    server = await start(puppet, close_timeout=0.1)
    client = await server.open_with(puppet)

    await puppet.last.close()

    assert await client.read_rest() == close_bytes(1000)
    assert await puppet.last.receive() == disconnect(1006)


async def test_a_deaf_client_is_cut_off_after_a_close(start, puppet):
    server = await start(puppet, close_timeout=0.1, send_buffer=4096)
    client = await server.open_with(puppet, receive_buffer=4096)
    client.stop_reading()
    sending = asyncio.create_task(
        puppet.last.send({"type": "websocket.send", "bytes": bytes(4_000_000)})
    )
    await asyncio.wait({sending}, timeout=0)

    puppet.last.leave()

    await until(lambda: "pond-ws" not in left_over())
    await asyncio.gather(sending, return_exceptions=True)


async def test_an_application_that_returns_closes_with_1000(start, puppet):
    server = await start(puppet)
    client = await server.open_with(puppet)

    puppet.last.leave()

    assert await client.read_close() == (1000, "")


async def test_an_application_that_fails_closes_with_1011_and_tells_nothing(
    start, puppet, caplog
):
    server = await start(puppet)
    client = await server.open_with(puppet)

    puppet.last.leave(RuntimeError("secret"))

    assert await client.read_close() == (1011, "")
    assert "secret" in caplog.text


async def test_an_application_that_cancels_itself_closes_too(start, puppet):
    server = await start(puppet)
    client = await server.open_with(puppet)

    puppet.last.leave(asyncio.CancelledError())

    assert (await client.read_close())[0] in {1000, 1011}


async def test_an_application_that_returns_after_its_close_adds_nothing(start, puppet):
    server = await start(puppet, close_timeout=0.1)
    client = await server.open_with(puppet)
    await puppet.last.close(4002)

    puppet.last.leave()

    assert await client.read_rest() == close_bytes(4002)


async def test_a_close_right_after_the_acceptance_has_its_deadline_too(start):
    async def refuse_late(scope, receive, send):
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4000})

    server = await start(refuse_late, close_timeout=0.1)
    client = await server.open()

    assert await client.read_rest() == close_bytes(4000)


# The end: the server's


async def test_the_end_of_the_server_is_a_1012_for_both(start, puppet):
    server = await start(puppet)
    client = await server.open_with(puppet)

    server.stop.set()

    assert await client.read_close() == (1012, "")
    assert await puppet.last.receive() == disconnect(1012)


async def test_a_close_after_that_of_the_server_adds_nothing(start, puppet):
    server = await start(puppet)
    client = await server.open_with(puppet)
    server.stop.set()
    await puppet.last.receive()

    await puppet.last.close(4000)

    client.say(close_frame(1012))
    assert await client.read_rest() == close_bytes(1012)


async def test_a_message_after_the_close_of_the_server_is_a_disconnect(start, puppet):
    server = await start(puppet)
    await server.open_with(puppet)
    server.stop.set()
    await puppet.last.receive()

    with pytest.raises(ClientDisconnected):
        await puppet.last.say("late")


async def test_who_is_being_decided_about_gets_a_503_at_the_end(start, puppet):
    server = await start(puppet)
    client = await server.dial(handshake())
    session = await puppet.next()
    await session.receive()

    server.stop.set()

    assert (await client.read_rest()).startswith(b"HTTP/1.1 503 ")
    assert await session.receive() == disconnect(1012)


async def test_an_acceptance_that_comes_with_the_end_is_no_second_answer(start):
    asked = asyncio.Event()

    async def accept_at_the_end(scope, receive, send):
        await receive()
        asked.set()
        await receive()
        await send({"type": "websocket.accept"})

    server = await start(accept_at_the_end)
    client = await server.dial(handshake())
    await asked.wait()

    server.stop.set()

    assert (await client.read_rest()).count(b"HTTP/1.1") == 1


async def test_a_close_of_the_server_reaches_who_the_application_neglects(
    start, puppet
):
    server = await start(puppet, max_queue=1)
    client = await server.open_with(puppet)
    client.say(frame(TEXT, b"x") * 100)
    await until(lambda: "pond-ws-app" in left_over())

    server.stop.set()

    assert await client.read_close() == (1012, "")
