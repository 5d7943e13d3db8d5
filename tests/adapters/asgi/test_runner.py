"""``pondsocket serve`` on uvicorn: listening, limits, and an end in the right order."""

import asyncio
import base64
import errno
import os
import socket

import httpx
import psutil
import pytest
from uvicorn.protocols.http.h11_impl import H11Protocol
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from pondsocket import Event, Frame, Options
from pondsocket.web import frame_budget
from pondsocket_asgi import runner
from pondsocket_asgi.runner import serve
from tests.adapters.raw_frames import EMPTY_PART, TEXT_BEGINS, in_parts
from tests.adapters.runner_contract import RunnerContract
from tests.adapters.running import Running

HANDSHAKE = (
    b"GET /socket HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\n"
    b"connection: upgrade\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: " + base64.b64encode(bytes(16)) + b"\r\n\r\n"
)


class Chat(Running):
    """A runner that serves a chat."""

    def __init__(self, chat):
        super().__init__(serve, chat.pond)
        self.chat = chat

    async def get(self, path):
        async with httpx.AsyncClient() as client:
            return await client.get(f"http://127.0.0.1:{self.port}{path}")


@pytest.fixture
async def start(make_chat):
    running = []

    async def start_one(options=None, **changes):
        chat = await make_chat(**options or {})
        running.append(Chat(chat))
        return await running[-1].start(**changes)

    yield start_one
    for each in running:
        if not each.task.done():
            await each.end()


async def until(condition):
    """Wait for a condition that no event tells of: it is uvicorn's."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


# Listening


class TestRunner(RunnerContract):
    pass


async def test_a_free_port_is_found_and_told(start):
    running = await start()

    assert running.port > 0
    async with connect(running.url) as websocket:
        assert "CONNECTION" in await websocket.recv()


async def test_a_host_without_an_address_here_is_an_os_error(start):
    running = await start(host="192.0.2.1")

    with pytest.raises(OSError, match=r"cannot listen on 192\.0\.2\.1") as caught:
        await running.task

    assert caught.value.errno == errno.EADDRNOTAVAIL


async def test_a_host_that_does_not_exist_is_an_os_error(start):
    running = await start(host="no such host")

    with pytest.raises(socket.gaierror):
        await running.task


async def test_all_addresses_of_a_host_share_one_port(start):
    running = await start(host="localhost")
    addresses = socket.getaddrinfo("localhost", running.port, type=socket.SOCK_STREAM)

    for family, _, _, _, address in addresses:
        if family == socket.AF_INET6 and not has_ipv6():
            continue
        with socket.socket(family) as client:
            client.connect(address)


def has_ipv6():
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


async def test_an_empty_host_is_every_address(start):
    running = await start(host="")

    assert (await running.get("/")).status_code == 200


# Pages


async def test_pages_are_served_beside_the_endpoints(start):
    running = await start()

    answer = await running.get("/app.js")

    assert (answer.status_code, answer.content) == (200, b"x=1")
    assert answer.headers["content-type"] == "text/javascript"
    assert (await running.get("/nowhere")).status_code == 404
    assert (await running.get("/socket")).status_code == 406


async def test_a_page_can_only_be_got(start):
    running = await start()

    async with httpx.AsyncClient() as client:
        url = f"http://127.0.0.1:{running.port}/"
        head = await client.head(url)
        put = await client.put(url)

    assert (head.status_code, head.headers["content-length"]) == (200, "11")
    assert put.status_code == 405


async def test_pages_are_optional(start):
    running = await start(pages=None)

    assert (await running.get("/")).status_code == 404


# What the options set


@pytest.mark.parametrize("excess", [1, 100_000])
async def test_a_message_above_the_limit_closes_with_1009(excess, start):
    running = await start({"max_message_size": 1000})

    async with connect(running.url) as websocket:
        await websocket.send("x" * 1000)
        assert "CONNECTION" in await websocket.recv()
        assert "INVALID_MESSAGE" in await websocket.recv()
        await websocket.send("x" * (1000 + excess))
        with pytest.raises(ConnectionClosed):
            await websocket.recv()

    assert websocket.close_code == 1009


async def test_a_limit_of_zero_is_none(start):
    running = await start({"max_message_size": 0})

    async with connect(running.url) as websocket:
        await websocket.recv()
        await websocket.send("x" * 20_000_000)

        assert "INVALID_MESSAGE" in await websocket.recv()


@pytest.mark.parametrize("compression", [False, True])
async def test_compression_is_negotiated_only_if_asked_for(compression, start):
    running = await start({"compression": compression})

    async with connect(running.url, compression="deflate") as websocket:
        assert bool(websocket.protocol.extensions) is compression


@pytest.mark.parametrize(
    ("trusted", "address"), [(False, "127.0.0.1"), (True, "192.0.2.1")]
)
async def test_a_proxy_tells_the_address_only_if_it_is_trusted(trusted, address, start):
    running = await start({"trust_forwarded": trusted})
    headers = {"x-forwarded-for": "198.51.100.9, 192.0.2.1"}

    async with connect(running.url, additional_headers=headers):
        assert running.chat.contexts[0].address == address


async def test_a_client_that_answers_no_ping_is_gone(start, deaf):
    running = await start({"ping_interval": 0.05, "pong_wait": 0.05})

    await deaf(running.port, HANDSHAKE)
    assert running.chat.connected == 1

    await until(lambda: running.chat.connected == 0)


# The end


async def test_clients_are_told_to_come_back_before_the_server_ends(start):
    running = await start(grace=0.05)
    async with connect(running.url) as websocket:
        await websocket.recv()

        await running.end()
        with pytest.raises(ConnectionClosed):
            await websocket.recv()

    assert websocket.close_code == 1012
    assert websocket.close_reason == "server restarts"
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", running.port)


async def test_a_stream_ends_with_the_server(start):
    running = await start()
    url = f"http://127.0.0.1:{running.port}/socket"
    async with httpx.AsyncClient() as client:
        accept = {"accept": "text/event-stream"}
        async with client.stream("GET", url, headers=accept) as answer:
            await running.end()
            lines = [line async for line in answer.aiter_lines()]

    assert lines[0] == "event: CONNECTION"


async def test_a_cancelled_runner_closes_the_pond(start):
    running = await start()
    async with connect(running.url) as websocket:
        await websocket.recv()

        running.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running.task

        with pytest.raises(ConnectionClosed):
            await websocket.recv()

    assert running.chat.connected == 0


@pytest.fixture
def big_frame():
    return Frame(Event("BROADCAST", "/c", "1", "news", {"text": "x" * 8_000_000}))


def sockets_of(running):
    """Return how many connections the server still holds, by the system's count."""
    return sum(
        each.laddr.port == running.port and each.status != psutil.CONN_LISTEN
        for each in psutil.Process().net_connections("tcp4")
    )


async def test_the_socket_of_a_deaf_client_really_ends(start, deaf, big_frame):
    running = await start({"send_timeout": 0.2})
    await deaf(running.port, HANDSHAKE)
    (session,) = running.chat.endpoint.connections.sessions()

    assert sockets_of(running) == 1

    session.write((big_frame, big_frame))  # uvicorn takes one, and waits with two
    await until(lambda: not running.chat.connected)

    await until(lambda: not sockets_of(running))


async def test_a_deaf_client_does_not_keep_the_server_from_ending(
    start, deaf, big_frame
):
    running = await start({"send_timeout": 0.2})
    await deaf(running.port, HANDSHAKE)
    (session,) = running.chat.endpoint.connections.sessions()
    session.write((big_frame,))

    await running.end()

    await until(lambda: not sockets_of(running))


# What no limit of the core ever sees.


async def open_socket(running, first=b""):
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(first)
    return reader, writer


async def read_all(reader):
    async with asyncio.timeout(15):
        return await reader.read()


@pytest.mark.parametrize("said", [b"", b"GET /sock", b"GET / HTTP/1.1\r\nhost: x\r\n"])
async def test_who_never_asks_anything_is_let_go(start, said):
    running = await start({"handshake_timeout": 0.2})
    reader, writer = await open_socket(running, said)

    assert await read_all(reader) == b""
    writer.close()


@pytest.fixture
def quick_checks(monkeypatch):
    """Look after silent connections ten times a second."""
    monkeypatch.setattr(runner, "_TICKS_PER_SECOND", 1)


@pytest.fixture
def keep_alive(monkeypatch):
    """Set how long uvicorn waits for the next request of a connection."""
    configure = runner._configure

    def set_keep_alive(seconds):
        def configure_with(app, options):
            config = configure(app, options)
            config.timeout_keep_alive = seconds
            return config

        monkeypatch.setattr(runner, "_configure", configure_with)

    return set_keep_alive


async def open_and_get(running, said=b""):
    """Get a page on a new connection, and say something more."""
    reader, writer = await open_socket(running, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    async with asyncio.timeout(5):
        await reader.readuntil(b"<h1>hi</h1>")
    writer.write(said)
    return reader, writer


@pytest.mark.parametrize(
    "said",
    [b"G", b"GET / HTTP/1.1\r\nhost: x\r\n"],
    ids=["a letter", "half a head"],
)
async def test_a_second_request_that_never_ends_is_let_go(start, said, quick_checks):
    running = await start({"handshake_timeout": 0.2})
    reader, writer = await open_and_get(running, said)

    assert await read_all(reader) == b""
    writer.close()


async def test_a_body_that_never_ends_after_its_answer_is_let_go(start, quick_checks):
    running = await start({"handshake_timeout": 0.2})
    head = b"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n"
    reader, writer = await open_socket(running, head)
    async with asyncio.timeout(5):
        await reader.readuntil(b"method not allowed")
    writer.write(b"x")

    assert await read_all(reader) == b""
    writer.close()


async def test_between_requests_a_connection_stays_as_long_as_uvicorn_has_it(
    start, quick_checks, keep_alive
):
    keep_alive(1.0)
    running = await start({"handshake_timeout": 0.1})
    reader, writer = await open_and_get(running)
    answered = asyncio.get_running_loop().time()

    assert await read_all(reader) == b""
    assert asyncio.get_running_loop().time() - answered > 0.9
    writer.close()


class Answered:
    """A request of uvicorn that was answered."""

    response_complete = True


class Wire:
    """A transport that can only be aborted."""

    is_aborted = False

    def is_closing(self):
        return self.is_aborted

    def abort(self):
        self.is_aborted = True


async def test_each_request_has_time_of_its_own(chat):
    config = runner._configure(chat.app, Options())
    server = runner._Server(
        config, options=Options(handshake_timeout=2), on_started=list
    )
    connection = H11Protocol(config, server.server_state, {})
    connection.transport = Wire()
    server.server_state.connections.add(connection)

    for second in range(10):  # always amid a head, but never with one for long
        connection.cycle = Answered()
        server._abort_stuck(second)
        server._abort_stuck(second + 0.9)
    assert not connection.transport.is_aborted

    server._abort_stuck(11)
    assert connection.transport.is_aborted


@pytest.mark.parametrize(
    "request_head",
    [
        HANDSHAKE,
        b"GET /socket HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n",
    ],
    ids=["WebSocket", "event stream"],
)
async def test_who_was_let_in_may_be_silent(start, request_head, quick_checks):
    running = await start({"handshake_timeout": 0.1})
    reader, writer = await open_and_get(running, request_head)
    await reader.readuntil(b"CONNECTION")
    # whoever comes later and is let go was looked after later
    other, other_writer = await open_socket(running)
    await read_all(other)

    assert running.chat.connected == 1
    assert not reader.at_eof()
    writer.close()
    other_writer.close()


async def test_a_handshake_that_makes_no_sense_is_closed(start):
    running = await start()
    header = b"x-long: " + b"x" * 20_000 + b"\r\n\r\n"
    reader, writer = await open_socket(running, HANDSHAKE[:-2] + header)

    assert (await read_all(reader)).startswith(b"HTTP/1.1 4")
    writer.close()


@pytest.mark.parametrize(
    "kind",
    [b"\x89\x80\0\0\0\0", b"\x8a\x80\0\0\0\0", EMPTY_PART],
    ids=["ping", "pong", "continuation"],
)
async def test_frames_without_end_that_carry_nothing_close_with_1008(start, kind):
    running = await start()
    reader, writer = await open_socket(running, HANDSHAKE)
    await reader.readuntil(b"\r\n\r\n")
    writer.write(TEXT_BEGINS + kind * 2500)  # in one piece: the rest would reset it

    received = await read_all(reader)

    assert (1008).to_bytes(2, "big") + b"too many frames" in received
    writer.close()


async def test_a_message_of_the_greatest_size_arrives_in_small_parts(start, message):
    running = await start()
    reader, writer = await open_socket(running, HANDSHAKE)
    await reader.readuntil(b"CONNECTION")
    writer.write(in_parts(message("JOIN_CHANNEL").ljust(1_048_576), 512))

    async with asyncio.timeout(10):
        await reader.readuntil(b"ACKNOWLEDGE")
    writer.close()


async def test_pongs_do_not_pile_up_for_a_client_that_does_not_read(
    start, deaf, monkeypatch
):
    monkeypatch.setattr(frame_budget, "_RATE", 1e9)  # all that is read is paid off
    running = await start({"ping_interval": 0, "send_timeout": 0.5})
    client = await deaf(running.port, HANDSHAKE)
    await until(lambda: running.chat.connected)
    ping = b"\x89\xfd\0\0\0\0" + bytes(125)

    flood = asyncio.create_task(
        asyncio.get_running_loop().sock_sendall(client, ping * 100_000)
    )
    await until(lambda: not running.chat.connected)

    flood.cancel()
    await asyncio.wait({flood})


async def test_a_refused_handshake_is_no_error_in_the_log(start, caplog):
    running = await start()

    async with httpx.AsyncClient() as http:
        headers = {"connection": "upgrade", "upgrade": "websocket"}
        headers["sec-websocket-version"] = "13"
        headers["sec-websocket-key"] = base64.b64encode(bytes(16)).decode()
        url = f"http://127.0.0.1:{running.port}/nowhere"
        assert (await http.get(url, headers=headers)).status_code == 404
    await running.end()

    assert "without completing handshake" not in caplog.text


async def test_the_kernel_gives_up_on_a_client_that_acknowledges_nothing(start):
    running = await start({"send_timeout": 1.5, "pong_wait": 2.0})
    _, writer = await open_socket(running)
    [connection] = [
        each
        for each in psutil.Process().net_connections("tcp")
        if each.laddr.port == running.port and each.status == "ESTABLISHED"
    ]

    accepted = socket.socket(fileno=os.dup(connection.fd))
    with accepted:
        limit = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)

    assert limit == 3500  # milliseconds
    writer.close()
