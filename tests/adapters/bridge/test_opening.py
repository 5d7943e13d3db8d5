"""What a client says first: hostile handshakes, which must not harm the neighbours."""

import asyncio
import contextlib
import errno
import ssl

import pytest

from pondsocket_asgi.ws_bridge import ServerConfig
from pondsocket_asgi.ws_bridge.opening import read_handshake
from tests.adapters.bridge.serving import TEXT, frame, handshake, left_over, until

HEADERS = [f"x-{number}: 1" for number in range(200)]

REFUSED = {
    "two Upgrade headers": (handshake("/", "Upgrade: websocket"), 400),
    "another upgrade": (handshake(upgrade="h2c"), 400),
    "no Upgrade header": (handshake(without=["upgrade"]), 426),
    "no upgrade in Connection": (handshake(connection="keep-alive"), 400),
    "HTTP/1.0": (handshake(line="GET {} HTTP/1.0"), 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 426),
    "POST": (handshake(line="POST {} HTTP/1.1"), 400),
    "no key": (handshake(without=["sec-websocket-key"]), 400),
    "a key too short": (handshake(sec_websocket_key="dGVzdA=="), 400),
    "a key that is no base64": (handshake(sec_websocket_key="?" * 24), 400),
    "version 12": (handshake(sec_websocket_version="12"), 426),
    "no Host": (handshake(without=["host"]), 400),
    "two Hosts": (handshake("/", "Host: y"), 400),
    "200 headers": (handshake("/", *HEADERS), 431),
    "a header of 64 KiB": (handshake("/", "x-long: " + "x" * 65_536), 431),
    "a path of 64 KiB": (handshake("/" + "x" * 65_536), 431),
    "a body": (handshake("/", "Content-Length: 5") + b"hello", 400),
    "a body in chunks": (handshake("/", "Transfer-Encoding: chunked"), 400),
    "a subprotocol that is no ASCII": (
        handshake("/", "Sec-WebSocket-Protocol: chät"),
        400,
    ),
    "a subprotocol twice": (handshake("/", "Sec-WebSocket-Protocol: a, a"), 400),
    "a header without colon": (handshake("/", "nonsense"), 400),
    "a header that goes on": (handshake("/", "x-one: 1", " and: more"), 101),
    "garbage": (bytes(range(256)) * 4, 400),
    "garbage that never ends": (b"x" * 100_000, 431),
    "frames": (frame(TEXT, b"hello") * 2000, 431),
}


async def test_everything_else_is_right_with_the_handshake_of_these_tests(start):
    server = await start()
    client = await server.dial(handshake())

    assert (await client.read_head()).startswith("HTTP/1.1 101 ")


@pytest.mark.parametrize(
    ("said", "status"),
    [case for case in REFUSED.values() if case[1] != 101],
    ids=[name for name, case in REFUSED.items() if case[1] != 101],
)
async def test_a_hostile_handshake_is_refused_and_harms_nobody(start, said, status):
    server = await start()
    neighbour = await server.open()

    answer = await server.ask(said)
    neighbour.say(frame(TEXT, b"still here"))

    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert await neighbour.read_frame() == (TEXT, b"still here")
    await until(lambda: left_over().count("pond-ws") == 1)


@pytest.mark.parametrize("name", REFUSED)
async def test_it_may_come_in_pieces(start, name):
    said, status = REFUSED[name]
    server = await start()
    client = await server.dial()

    with contextlib.suppress(ConnectionError):  # refused before it has said all
        for begin in range(0, len(said), 997):
            client.say(said[begin : begin + 997])
            await client.writer.drain()

    assert (await client.read_head()).startswith(f"HTTP/1.1 {status} ")


async def test_a_refusal_says_why_in_plain_text(start):
    server = await start()

    answer = await server.ask(handshake(sec_websocket_key="dGVzdA=="))

    assert answer.endswith(
        "\r\n\r\nexpected a Sec-WebSocket-Key of 16 bytes in base64\n"
    )


async def test_another_version_is_told_the_right_one(start):
    server = await start()

    answer = await server.ask(handshake(sec_websocket_version="12"))

    assert "sec-websocket-version: 13\r\n" in answer


async def test_nothing_of_a_hostile_handshake_is_logged_above_debug(start, caplog):
    caplog.set_level("INFO")
    server = await start(handshake_timeout=0.05)

    for said in (handshake(without=["upgrade"]), b"\0\1\2\r\n\r\n", b"GET /"):
        await server.ask(said)

    assert caplog.text == ""


# Those who take their time


@pytest.mark.parametrize(
    "said",
    [b"", b"GET /", handshake()[:-2]],
    ids=["nothing", "a line", "all but an end"],
)
async def test_who_does_not_finish_is_told_so_and_let_go(start, said):
    server = await start(handshake_timeout=0.1)

    answer = await server.ask(said)

    assert answer.startswith("HTTP/1.1 408 Request Timeout\r\n")


async def test_who_says_a_byte_now_and_then_is_let_go_all_the_same(start):
    server = await start(handshake_timeout=0.2)
    client = await server.dial()
    said = iter(handshake())
    answer = asyncio.create_task(client.read_rest())

    while not answer.done():
        client.say(bytes([next(said)]))
        await asyncio.wait({answer}, timeout=0.02)

    assert (await answer).startswith(b"HTTP/1.1 408 ")


async def test_a_time_limit_of_the_system_is_no_answer():
    reader = asyncio.StreamReader()
    reader.set_exception(TimeoutError(errno.ETIMEDOUT, "a machine does not answer"))

    with pytest.raises(TimeoutError, match="does not answer"):
        await read_handshake(reader, ServerConfig(), lambda _: None)


async def test_who_leaves_without_a_word_leaves_nothing_behind(start):
    server = await start()
    client = await server.dial()
    await until(lambda: left_over() == ["pond-ws"])

    client.hang_up()

    await until(lambda: not left_over())


@pytest.mark.parametrize("said", [b"", b"GET /", handshake()[:-2]])
async def test_who_is_lost_within_the_handshake_leaves_nothing_behind(start, said):
    server = await start()
    client = await server.dial(said)
    await until(lambda: left_over() == ["pond-ws"])

    client.reset()

    await until(lambda: not left_over())


async def test_who_says_no_more_but_listens_is_let_go(start):
    server = await start()
    client = await server.dial(b"GET / HT")

    client.writer.write_eof()

    assert await client.read_rest() == b""


# Those who do not go


async def test_who_stays_after_a_refusal_is_cut_off(start):
    server = await start(close_timeout=0.1)
    client = await server.dial(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    await client.read_head()

    await until(lambda: not left_over())

    client.hang_up()


async def test_what_is_said_after_a_refusal_does_not_lose_it(start):
    server = await start()
    client = await server.dial(b"nonsense\r\n\r\n" + bytes(500_000))

    assert (await client.read_head()).startswith("HTTP/1.1 400 ")


async def test_who_never_stops_talking_after_a_refusal_is_cut_off(start):
    server = await start()
    client = await server.dial(b"nonsense\r\n\r\n")

    async def talk():
        while True:
            client.say(bytes(100_000))
            await client.writer.drain()

    with pytest.raises(ConnectionError):
        await talk()

    await until(lambda: not left_over())


async def test_who_is_lost_before_its_refusal_leaves_nothing_behind(start):
    server = await start()
    client = await server.dial(b"nonsense\r\n\r\n")

    client.reset()

    await until(lambda: not left_over())
    assert not server.task.done()


# Those who came to the wrong door


async def test_a_tls_client_is_refused_in_plain_text(start):
    server = await start()
    connecting = server.dial(
        ssl=ssl.create_default_context(), server_hostname="127.0.0.1"
    )

    with pytest.raises(ssl.SSLError):
        await connecting

    await until(lambda: not left_over())
