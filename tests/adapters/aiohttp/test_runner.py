"""``pondsocket serve --adapter aiohttp``: listening, limits, and its end."""

import asyncio
import logging

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from pondsocket_aiohttp.runner import serve
from tests.adapters.runner_contract import RunnerContract
from tests.adapters.running import Running


class Chat(Running):
    """A runner that serves a chat."""

    def __init__(self, chat):
        super().__init__(serve, chat.pond)
        self.chat = chat

    async def request(self, method, path, **settings):
        async with httpx.AsyncClient() as client:
            url = f"http://127.0.0.1:{self.port}{path}"
            return await client.request(method, url, **settings)


@pytest.fixture
async def start(make_chat):
    running = []

    async def start_one(options=None, **changes):
        running.append(Chat(await make_chat(**options or {})))
        return await running[-1].start(**changes)

    yield start_one
    for each in running:
        if not each.task.done():
            await each.end()


# Listening


class TestRunner(RunnerContract):
    pass


async def test_a_free_port_is_found_and_told(start):
    running = await start()

    async with connect(running.url) as websocket:
        assert "CONNECTION" in await websocket.recv()


async def test_an_empty_host_is_every_address(start):
    running = await start(host="")

    assert (await running.request("GET", "/")).status_code == 200


# Pages


async def test_pages_are_served_beside_the_endpoints(start):
    running = await start()

    answer = await running.request("GET", "/app.js")

    assert (answer.status_code, answer.content) == (200, b"x=1")
    assert answer.headers["content-type"] == "text/javascript"
    assert "server" not in answer.headers
    assert (await running.request("GET", "/nowhere")).status_code == 404
    assert (await running.request("GET", "/socket")).status_code == 406


async def test_a_page_can_only_be_got(start):
    running = await start()

    head = await running.request("HEAD", "/")

    assert (head.status_code, head.headers["content-length"]) == (200, "11")
    assert (await running.request("PUT", "/")).status_code == 405


async def test_pages_are_optional(start):
    running = await start(pages=None)

    assert (await running.request("GET", "/")).status_code == 404


# What the options set


@pytest.mark.parametrize(
    ("trusted", "address"), [(False, "127.0.0.1"), (True, "192.0.2.1")]
)
async def test_a_proxy_tells_the_address_only_if_it_is_trusted(trusted, address, start):
    running = await start({"trust_forwarded": trusted})
    headers = {"x-forwarded-for": "198.51.100.9, 192.0.2.1"}

    async with connect(running.url, additional_headers=headers):
        assert running.chat.contexts[0].address == address


@pytest.mark.parametrize("said", [b"", b"GET /sock", b"GET / HTTP/1.1\r\nhost: x\r\n"])
async def test_who_never_asks_anything_is_let_go(start, said, dial, read_all):
    running = await start({"handshake_timeout": 0.2})

    reader, _ = await dial(running.port, said)

    assert await read_all(reader) == b""


async def test_without_a_limit_who_asks_slowly_is_waited_for(start, dial, handshake):
    running = await start({"handshake_timeout": 0})
    reader, writer = await dial(running.port, handshake[:20])

    assert (await running.request("GET", "/")).status_code == 200
    writer.write(handshake[20:])

    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize(
    "said", [b"\x16\x03\x01 no HTTP\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"]
)
async def test_what_is_no_request_is_refused_and_not_logged(
    said, start, dial, read_all, caplog
):
    running = await start()

    reader, _ = await dial(running.port, said)

    assert b" 400 " in await read_all(reader)
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


# The end


async def test_clients_are_told_to_come_back_before_the_server_ends(start):
    running = await start(grace=0.05)
    async with connect(running.url) as websocket:
        await websocket.recv()

        await running.end()
        with pytest.raises(ConnectionClosed):
            await websocket.recv()

    assert (websocket.close_code, websocket.close_reason) == (1012, "server restarts")
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


async def test_a_deaf_client_does_not_keep_the_server_from_ending(
    start, deaf, handshake, big_frame, until, count_sockets
):
    running = await start({"send_timeout": 0.3})
    await deaf(running.port, handshake)
    running.chat.session.write((big_frame,))

    await running.end()

    await until(lambda: not count_sockets(running.port))


async def test_a_silent_client_does_not_keep_the_server_from_ending(start, dial):
    running = await start()
    await dial(running.port)

    async with asyncio.timeout(3):
        await running.end()
