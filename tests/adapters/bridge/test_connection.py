"""One client and its application, from the handshake to the end."""

import asyncio
import zlib

import pytest
from websockets.exceptions import InvalidStatus

from pondsocket_asgi.ws_bridge import ClientDisconnected
from tests.adapters.bridge.serving import (
    BINARY,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    close_frame,
    disconnect,
    frame,
    handshake,
    left_over,
    until,
)
from tests.adapters.raw_frames import in_parts

# The handshake and what the application decides


async def test_the_scope_tells_what_the_client_asked_for(start, puppet):
    server = await start(puppet, root_path="/ws")
    await server.dial(handshake("/a%20b?c=1", "Sec-WebSocket-Protocol: chat, news"))

    scope = (await puppet.next()).scope

    assert scope["path"] == "/ws/a b"
    assert scope["query_string"] == b"c=1"
    assert scope["subprotocols"] == ["chat", "news"]
    assert scope["server"] == ("127.0.0.1", server.port)
    assert scope["client"][0] == "127.0.0.1"
    assert "state" not in scope


async def test_the_scope_has_the_state_of_a_lifespan(start):
    states = []

    async def app(scope, receive, send):
        states.append(scope["state"])
        await receive()
        await send({"type": f"{scope['type']}.startup.complete"})
        await receive()
        await send({"type": f"{scope['type']}.shutdown.complete"})

    server = await start(app, lifespan="on")
    states[0]["database"] = "open"
    await server.ask(handshake())

    assert states[1] == {"database": "open"}
    assert states[1] is not states[0]


async def test_frames_sent_with_the_handshake_are_received(start, puppet):
    server = await start(puppet)
    await server.dial(handshake() + frame(TEXT, b"early"))

    session = await puppet.accept()

    assert await session.receive() == {"type": "websocket.receive", "text": "early"}


async def test_frames_sent_before_the_decision_are_received_after_it(start, puppet):
    server = await start(puppet)
    client = await server.dial(handshake() + frame(TEXT, b"1"))
    session = await puppet.next()
    client.say(frame(TEXT, b"2"))
    client.say(frame(TEXT, b"3"))

    await session.accept()

    assert [(await session.receive())["text"] for _ in range(3)] == ["1", "2", "3"]


async def test_a_refusal_is_a_403(start, puppet):
    server = await start(puppet)
    client = await server.dial(handshake())

    await (await puppet.next()).close()

    assert (await client.read_rest()).startswith(b"HTTP/1.1 403 ")


async def test_who_refuses_receives_the_end(start, puppet):
    server = await start(puppet)
    await server.dial(handshake())
    session = await puppet.next()

    await session.close()

    assert (await session.receive())["type"] == "websocket.disconnect"


async def test_a_denial_response_is_what_the_client_gets(start, puppet):
    server = await start(puppet)
    client = await server.dial(handshake())
    session = await puppet.next()

    await session.send({"type": "websocket.http.response.start", "status": 429})
    for piece in (b"slow ", b"down"):
        await session.send(
            {
                "type": "websocket.http.response.body",
                "body": piece,
                "more_body": piece != b"down",
            }
        )

    answer = await client.read_rest()
    assert answer.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert answer.endswith(b"\r\n\r\nslow down")


async def test_an_application_that_fails_before_its_answer_is_a_500(
    start, puppet, caplog
):
    server = await start(puppet)
    client = await server.dial(handshake())
    session = await puppet.next()

    session.leave(RuntimeError("secret"))

    answer = await client.read_rest()
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b"secret" not in answer
    assert "secret" in caplog.text


async def test_an_application_that_returns_without_an_answer_is_a_500(
    start, puppet, caplog
):
    server = await start(puppet)
    client = await server.dial(handshake())
    session = await puppet.next()

    session.leave()

    assert (await client.read_rest()).startswith(b"HTTP/1.1 500 ")
    assert "without an answer" in caplog.text


async def test_an_application_that_fails_within_its_denial_adds_nothing_to_it(
    start, puppet, caplog
):
    server = await start(puppet)
    client = await server.dial(handshake())
    session = await puppet.next()
    await session.send({"type": "websocket.http.response.start", "status": 429})

    session.leave(RuntimeError("secret"))

    assert (await client.read_rest()).count(b"HTTP/1.1") == 1
    assert "secret" in caplog.text


async def test_who_does_not_take_the_body_of_a_denial_is_cut_off(start, puppet):
    server = await start(
        puppet, send_buffer=4096, close_timeout=0.1, ping_interval=0.1, ping_timeout=0.1
    )
    client = await server.dial(handshake(), receive_buffer=4096)
    client.stop_reading()
    session = await puppet.next()
    await session.send({"type": "websocket.http.response.start", "status": 429})
    body = {"type": "websocket.http.response.body", "body": bytes(4_000_000)}

    sending = asyncio.create_task(session.send({**body, "more_body": True}))
    done, _ = await asyncio.wait({sending}, timeout=1)

    client.reset()
    await asyncio.gather(sending, return_exceptions=True)
    assert done


@pytest.mark.parametrize("early", [b"", frame(TEXT, b"early")])
async def test_who_leaves_before_the_answer_has_left(start, puppet, early):
    server = await start(puppet)
    client = await server.dial(handshake() + early)
    session = await puppet.next()
    await session.receive()

    client.hang_up()

    assert await session.receive() == disconnect(1006)


async def test_who_has_sent_something_and_leaves_before_the_answer_has_left(
    start, puppet
):
    server = await start(puppet)
    client = await server.dial(handshake())
    session = await puppet.next()
    await session.receive()

    client.say(frame(TEXT, b"early"))
    await asyncio.wait_for(client.writer.drain(), 5)
    client.hang_up()

    async with asyncio.timeout(2):
        assert await session.receive() == disconnect(1006)


async def test_an_acceptance_of_who_has_left_is_a_disconnect(start, puppet):
    server = await start(puppet)
    client = await server.dial(handshake())
    session = await puppet.next()
    await session.receive()
    client.reset()
    await session.receive()

    with pytest.raises(ClientDisconnected):
        await session.send({"type": "websocket.accept"})


# Messages


async def test_texts_and_bytes_come_back_as_they_were(start):
    server = await start()

    async with server.connect() as client:
        for message in ("", "hé", b"", b"\x00\xff", "x" * 200_000, bytes(200_000)):
            await client.send(message)
            assert await client.recv() == message


async def test_parts_are_joined_with_control_frames_between(start):
    server = await start()
    client = await server.open()

    client.say(frame(TEXT, b"a", is_last=False) + frame(PING, b"p"))
    client.say(frame(CONTINUATION, b"b", is_last=False) + frame(PONG))
    client.say(frame(CONTINUATION, b"c"))

    assert await client.read_frame() == (PONG, b"p")
    assert await client.read_frame() == (TEXT, b"abc")


async def test_a_frame_may_come_byte_by_byte(start):
    server = await start()
    client = await server.open()

    for byte in frame(BINARY, b"slow"):
        client.say(bytes([byte]))
        await client.writer.drain()

    assert await client.read_frame() == (BINARY, b"slow")


async def test_compression_is_agreed_to_if_it_is_switched_on(start):
    server = await start(compression=True)

    async with server.connect(compression="deflate") as client:
        await client.send("x" * 10_000)

        assert await client.recv() == "x" * 10_000
        assert client.protocol.extensions


async def test_compression_is_declined_otherwise(start):
    server = await start()

    async with server.connect(compression="deflate") as client:
        await client.send("x" * 10_000)

        assert await client.recv() == "x" * 10_000
        assert not client.protocol.extensions


# What a client must not do


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (frame(TEXT, bytes(1001)), 1009),
        (in_parts("x" * 1001, 500), 1009),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"\xc3", is_last=False) + frame(CONTINUATION, b"x"), 1007),
        (frame(CONTINUATION, b"x"), 1002),
        (frame(0x3), 1002),
        (frame(TEXT, b"x", is_compressed=True), 1002),
        (frame(PING, is_last=False), 1002),
        (b"\x81\x01x", 1002),
        (close_frame(1005), 1002),
        (frame(PING) * 5000, 1008),
        (frame(PONG) * 5000, 1008),
        (frame(TEXT, is_last=False) + frame(CONTINUATION, is_last=False) * 5000, 1008),
    ],
    ids=[
        "long", "long in parts", "no text", "no text in parts", "part of nothing",
        "no opcode", "compressed", "ping in parts", "no mask", "no close code",
        "pings", "pongs", "empty parts",
    ],
)  # fmt: skip
async def test_who_breaks_a_rule_is_told_which_kind(start, puppet, said, code):
    server = await start(puppet, max_message_size=1000)
    client = await server.open_with(puppet)

    client.say(said)

    assert (await client.read_close())[0] == code
    assert (await puppet.last.receive())["code"] == code


async def test_who_breaks_a_rule_has_a_deadline_to_hang_up(start, puppet):
    server = await start(puppet, close_timeout=0.1)
    client = await server.open_with(puppet)

    client.say(frame(TEXT, b"\xff"))

    assert (await client.read_rest())[2:4] == b"\x03\xef"


async def test_what_follows_a_broken_rule_does_not_lose_the_close_frame(start, puppet):
    server = await start(puppet)
    client = await server.open_with(puppet)

    client.say(frame(TEXT, b"\xff") + bytes(500_000))

    assert (await client.read_close())[0] == 1007


async def test_a_small_message_that_inflates_beyond_the_limit_closes_with_1009(
    start, puppet
):
    server = await start(puppet, compression=True, max_message_size=1000)
    client = await server.open_with(
        puppet, "Sec-WebSocket-Extensions: permessage-deflate"
    )
    deflate = zlib.compressobj(wbits=-15)
    payload = deflate.compress(bytes(1001)) + deflate.flush(zlib.Z_SYNC_FLUSH)

    client.say(frame(BINARY, payload[:-4], is_compressed=True))

    assert (await client.read_close())[0] == 1009


# Around it


async def test_who_is_cut_off_leaves_no_task(start, puppet):
    server = await start(puppet)
    client = await server.open_with(puppet)
    client.reset()
    await puppet.last.receive()

    puppet.last.leave()

    await until(lambda: not left_over())


async def test_a_client_library_is_told_of_a_refusal(start, puppet):
    server = await start(puppet)

    async def refuse():
        await (await puppet.next()).close()

    refusing = asyncio.create_task(refuse())
    with pytest.raises(InvalidStatus) as caught:
        await server.connect()
    await refusing

    assert caught.value.response.status_code == 403


async def test_the_peers_address_is_a_pair_over_ipv6_too(start, puppet):
    server = await start(puppet, keywords={"host": "::1", "port": 0})
    opening = asyncio.open_connection("::1", server.port)
    _, writer = await opening
    writer.write(handshake())

    scope = (await puppet.next()).scope

    writer.close()
    assert [len(scope[key]) for key in ("client", "server")] == [2, 2]
