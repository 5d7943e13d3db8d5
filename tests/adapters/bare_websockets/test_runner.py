"""``pondsocket serve --adapter websockets``: listening, pages, and the end."""

import asyncio
import socket

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from pondsocket_websockets.runner import serve
from tests.adapters.runner_contract import RunnerContract
from tests.adapters.running import Running


class Chat(Running):
    """A runner that serves a chat."""

    def __init__(self, chat):
        super().__init__(serve, chat.pond)
        self.chat = chat

    async def ask(self, path, method="GET"):
        async with httpx.AsyncClient() as client:
            url = f"http://127.0.0.1:{self.port}{path}"
            return await client.request(method, url)


@pytest.fixture
async def start(make_chat):
    running = []

    async def start_one(options=None, **changes):
        running.append(Chat(make_chat(**options or {})))
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

    async with connect(running.url) as client:
        assert "CONNECTION" in await client.recv()


async def test_all_addresses_of_a_host_share_one_port(start, monkeypatch):
    addresses = [("127.0.0.1", 0), ("127.0.0.2", 0)]
    kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")

    async def find_two(*_, **__):
        return [(*kind, address) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", find_two)
    running = await start(host="both.test")
    monkeypatch.undo()

    for host, _ in addresses:
        async with connect(f"ws://{host}:{running.port}/socket") as client:
            assert "CONNECTION" in await client.recv()


# Pages


async def test_pages_are_served_beside_the_endpoints(start):
    running = await start()

    answer = await running.ask("/app.js?v=2")

    assert (answer.status_code, answer.content) == (200, b"x=1")
    assert answer.headers["content-type"] == "text/javascript"
    assert "server" not in answer.headers


async def test_a_page_can_only_be_got(start):
    running = await start()

    head = await running.ask("/", "HEAD")

    assert (head.status_code, head.headers["content-length"]) == (200, "11")
    assert (await running.ask("/", "PUT")).status_code == 405


async def test_where_no_page_is_only_websockets_are(start):
    running = await start(pages=None)

    assert (await running.ask("/")).status_code == 426


@pytest.mark.parametrize(
    ("trusted", "address"), [(False, "127.0.0.1"), (True, "192.0.2.1")]
)
async def test_a_proxy_tells_the_address_only_if_it_is_trusted(start, trusted, address):
    running = await start({"trust_forwarded": trusted})
    headers = {"x-forwarded-for": "192.0.2.1"}

    async with connect(running.url, additional_headers=headers):
        assert running.chat.contexts[0].address == address


# The end


async def test_clients_are_told_to_come_back_before_the_server_ends(start):
    running = await start(grace=0.05)
    async with connect(running.url) as client:
        await client.recv()

        await running.end()
        with pytest.raises(ConnectionClosed):
            await client.recv()

    assert client.close_code == 1012
    assert client.close_reason == "server restarts"
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", running.port)


async def test_a_cancelled_runner_closes_the_pond(start):
    running = await start()
    async with connect(running.url) as client:
        await client.recv()

        running.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running.task

        with pytest.raises(ConnectionClosed):
            await client.recv()

    assert client.close_code == 1012
    assert running.chat.connected == 0
