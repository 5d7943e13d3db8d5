"""``pondsocket serve --adapter bridge``: listening, pages, and the end."""

import asyncio

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from pondsocket import Options, PondSocket
from pondsocket_asgi.ws_bridge.runner import serve
from tests.adapters.bridge.serving import left_over, until
from tests.adapters.runner_contract import RunnerContract
from tests.adapters.running import Running


class Endpoint(Running):
    """A runner that serves a PondSocket with one endpoint, ``/socket``."""

    def __init__(self, options):
        self.pond = PondSocket(options=Options(**options))
        self.pond.create_endpoint("/socket", self._decide)
        self.contexts = []
        super().__init__(serve, self.pond)

    async def _decide(self, ctx):
        self.contexts.append(ctx)
        if "wait" in ctx.query:
            await asyncio.Event().wait()
        elif "decline" in ctx.query:
            ctx.decline(int(ctx.query["decline"]), "not today")
        else:
            ctx.accept()

    def connect(self, query="", **settings):
        return connect(f"{self.url}{query}", **settings)

    async def ask(self, path, method="GET", **headers):
        async with httpx.AsyncClient() as client:
            url = f"http://127.0.0.1:{self.port}{path}"
            return await client.request(method, url, headers=headers)

    async def ask_raw(self, request):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()
        return answer


@pytest.fixture
async def start():
    running = []

    async def start_one(options=None, **changes):
        running.append(Endpoint(options or {}))
        return await running[-1].start(**changes)

    yield start_one
    for each in running:
        if not each.task.done():
            await each.end()
    await until(lambda: not left_over())


# Listening


class TestRunner(RunnerContract):
    pass


async def test_a_free_port_is_found_and_told(start):
    running = await start()

    async with running.connect() as client:
        assert "CONNECTION" in await client.recv()


async def test_no_host_means_all_addresses(start):
    running = await start(host="")

    async with running.connect() as client:
        assert "CONNECTION" in await client.recv()


# Pages


async def test_pages_are_served_beside_the_endpoints(start):
    running = await start()

    answer = await running.ask("/app.js?v=2")

    assert (answer.status_code, answer.content) == (200, b"x=1")
    assert answer.headers["content-type"] == "text/javascript"
    assert "server" not in answer.headers


async def test_the_head_of_a_page_has_no_body(start):
    running = await start()

    answer = await running.ask_raw(b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n")

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"content-length: 11" in head
    assert body == b""


@pytest.mark.parametrize(
    ("path", "method"), [("/nowhere", "GET"), ("/socket", "GET"), ("/", "PUT")]
)
async def test_what_is_no_page_is_told_to_upgrade(start, path, method):
    running = await start()

    answer = await running.ask(path, method)

    assert answer.status_code == 426
    assert answer.headers["upgrade"] == "websocket"


async def test_where_no_page_is_only_websockets_are(start):
    running = await start(pages=None)

    assert (await running.ask("/")).status_code == 426


async def test_an_event_stream_is_told_to_upgrade(start):
    running = await start()

    answer = await running.ask("/socket", accept="text/event-stream")

    assert answer.status_code == 426


# Options


@pytest.mark.parametrize(
    ("trusted", "address"), [(False, "127.0.0.1"), (True, "192.0.2.1")]
)
async def test_a_proxy_tells_the_address_only_if_it_is_trusted(start, trusted, address):
    running = await start({"trust_forwarded": trusted})
    headers = {"x-forwarded-for": "192.0.2.1"}

    async with running.connect(additional_headers=headers):
        assert running.contexts[0].address == address


async def test_who_is_declined_gets_the_status(start):
    running = await start()

    with pytest.raises(InvalidStatus) as caught:
        await running.connect("?decline=429")

    assert caught.value.response.status_code == 429


async def test_a_message_far_above_the_limit_closes_with_1009(start):
    running = await start({"max_message_size": 1000})
    async with running.connect() as client:
        await client.recv()

        await client.send("x" * 10_000)
        with pytest.raises(ConnectionClosed):
            await client.recv()

    assert client.close_code == 1009


async def test_a_size_of_zero_is_no_limit(start):
    running = await start({"max_message_size": 0})

    async with running.connect() as client:
        await client.recv()
        await client.send("x" * 2_000_000)
        assert "INVALID_MESSAGE" in await client.recv()


async def test_a_timeout_of_zero_is_none(start):
    running = await start({"handshake_timeout": 0})

    async with running.connect() as client:
        assert "CONNECTION" in await client.recv()


@pytest.mark.parametrize("compression", [False, True])
async def test_compression_is_negotiated_only_if_asked_for(start, compression):
    running = await start({"compression": compression})

    async with running.connect(compression="deflate") as client:
        assert bool(client.protocol.extensions) is compression


async def test_a_client_that_answers_no_ping_is_gone(start):
    running = await start({"ping_interval": 0.05, "pong_wait": 0.05})
    async with running.connect() as client:
        client.transport.pause_reading()

        await until(lambda: not running.pond.stats().connections)

        client.transport.resume_reading()


async def test_an_interval_of_zero_is_no_ping(start):
    running = await start({"ping_interval": 0.0, "pong_wait": 0.05})
    async with running.connect() as client:
        await client.recv()

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.recv(), 0.3)


# The end


async def test_clients_are_told_to_come_back_before_the_server_ends(start):
    running = await start(grace=0.05)
    async with running.connect() as client:
        await client.recv()

        await running.end()
        with pytest.raises(ConnectionClosed):
            await client.recv()

    assert client.close_code == 1012
    assert client.close_reason == "server restarts"
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", running.port)


async def test_who_is_being_decided_about_does_not_keep_the_server(start):
    running = await start({"handshake_timeout": 30.0, "send_timeout": 0.5})
    connecting = asyncio.ensure_future(running.connect("?wait").__aenter__())
    await until(lambda: running.contexts)

    await running.end()

    with pytest.raises(InvalidStatus) as caught:
        await connecting
    assert caught.value.response.status_code == 503


async def test_a_cancelled_runner_closes_the_pond(start):
    running = await start()
    async with running.connect() as client:
        await client.recv()

        running.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running.task

        with pytest.raises(ConnectionClosed):
            await client.recv()

    assert client.close_code == 1012
    assert running.pond.stats().connections == 0
