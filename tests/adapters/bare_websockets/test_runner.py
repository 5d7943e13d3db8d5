"""``pondsocket serve --adapter websockets``: listening, pages, and the end."""

import asyncio
import errno
import signal
import socket

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from pondsocket_websockets.runner import serve

PAGES = {"/": ("text/html", b"<h1>hi</h1>"), "/app.js": ("text/javascript", b"x=1")}


class Running:
    """A runner that serves a chat."""

    def __init__(self, chat):
        self.chat = chat
        self.stop = asyncio.Event()
        self.ready = asyncio.Event()
        self.port = 0
        self.task = None

    async def start(self, **changes):
        settings = {
            "host": "127.0.0.1",
            "port": 0,
            "pages": PAGES,
            "grace": 0.0,
            "stop": self.stop,
            "on_ready": self._on_ready,
        }
        self.task = asyncio.create_task(serve(self.chat.pond, **settings | changes))
        ready = asyncio.create_task(self.ready.wait())
        await asyncio.wait(
            {ready, self.task}, timeout=5, return_when=asyncio.FIRST_COMPLETED
        )
        ready.cancel()
        return self

    def _on_ready(self, port):
        self.port = port
        self.ready.set()

    async def end(self):
        self.stop.set()
        async with asyncio.timeout(10):
            await self.task

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port}/socket"

    async def ask(self, path, method="GET"):
        async with httpx.AsyncClient() as client:
            url = f"http://127.0.0.1:{self.port}{path}"
            return await client.request(method, url)


@pytest.fixture
async def start(make_chat):
    running = []

    async def start_one(options=None, **changes):
        running.append(Running(make_chat(**options or {})))
        return await running[-1].start(**changes)

    yield start_one
    for each in running:
        if not each.task.done():
            await each.end()


# Listening


async def test_a_free_port_is_found_and_told(start):
    running = await start()

    async with connect(running.url) as client:
        assert "CONNECTION" in await client.recv()


async def test_a_port_in_use_is_an_os_error_that_names_the_address(start):
    first = await start()
    second = await start(port=first.port)

    with pytest.raises(OSError, match=f"127.0.0.1:{first.port}") as caught:
        await second.task

    assert caught.value.errno == errno.EADDRINUSE
    assert not second.ready.is_set()


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


async def test_the_signals_stay_with_the_caller(start):
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]

    await start()

    during = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    assert during == before


async def test_a_callback_that_fails_ends_the_serving(start):
    def fail(port):
        raise RuntimeError("not ready at all")

    running = await start(on_ready=fail)

    with pytest.raises(RuntimeError, match="not ready at all"):
        await running.task


async def test_clients_that_come_back_all_at_once_find_the_door_open(start):
    running = await start()
    address = ("127.0.0.1", running.port)

    # nothing is accepted meanwhile: this does not wait for the loop
    clients = [socket.create_connection(address, timeout=5) for _ in range(300)]

    for client in clients:
        client.close()


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
