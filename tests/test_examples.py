"""Every file in examples/ runs as its first lines say, and talks to real clients."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

EXAMPLES = Path(__file__).parent.parent / "examples"

COMMAND = re.compile(r"^    (?:python )?(\w.*)$", re.MULTILINE)

WITH_OWN_TESTS = {
    "tcp_hub_pubsub",
    "tcp_lines",
    "typed_endpoint",
    "typed_endpoint_starlette",
    "ws_bridge_echo",
    "ws_bridge_starlette",
}
WITHOUT_STREAMS = {"websockets_raw", "any_server.py websockets"}

# runs a program with its arguments; each lobby tells of those who leave
WATCHED = """
import runpy, sys
from pondsocket import Endpoint

create = Endpoint.create_channel

def create_watched(*arguments):
    lobby = create(*arguments)
    lobby.on_leave(lambda ctx: print("gone:", ctx.reason.value, file=sys.stderr))
    return lobby

Endpoint.create_channel = create_watched
del sys.argv[0]
runpy.run_module(sys.argv[0].removesuffix(".py"), run_name="__main__", alter_sys=True)
"""

FOR_STREAM = {"accept": "text/event-stream"}


@dataclass(frozen=True)
class Example:
    """A file, and one of the commands that its first lines name."""

    name: str
    command: str

    @property
    def path(self):
        is_mounted = self.name.endswith("_app")
        return "/ws/socket" if is_mounted else "/socket"

    @property
    def room(self):
        return "/news" if self.name == "fastapi_app" else "/chat/1"

    @property
    def said(self):
        """What everybody in the room hears: the event's name and its payload."""
        if self.name == "fastapi_app":
            return "published", {"headline": "hi"}
        return "message", {"text": "hi"}

    @property
    def serves_streams(self):
        return not {self.name, self.command} & WITHOUT_STREAMS

    def arguments(self, port):
        """Return the command with the port to listen on."""
        words = self.command.split()
        if words[0] == "uvicorn":
            words += ["--port", str(port)]
        elif words[0] == "hypercorn":
            # no worker processes: they would not be watched
            words += ["--bind", f"127.0.0.1:{port}", "--workers", "0"]
        elif words[0] == "daphne":
            words[1:1] = ["--port", str(port)]
        return words


def commands(path):
    documentation = path.read_text().split('"""')[1]
    return COMMAND.findall(documentation)


NAMES = sorted({path.stem for path in EXAMPLES.glob("*.py")} - WITH_OWN_TESTS)
ALL = [
    Example(name, command)
    for name in NAMES
    for command in commands(EXAMPLES / f"{name}.py")
]
STREAMING = [each for each in ALL if each.serves_streams]
NOT_STREAMING = [each for each in ALL if not each.serves_streams]

every_example = pytest.mark.parametrize("example", ALL, ids=attrgetter("command"))


class Server:
    """An example in a process of its own, started as its first lines say."""

    def __init__(self, process, url, log):
        self.process = process
        self.url = url
        self._log = log

    @property
    def log(self):
        return self._log.read_text()

    async def stop(self):
        """Interrupt it as Ctrl+C does and return what it said until it ended."""
        self.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(10):
            await self.process.wait()
        return self.log

    async def wait_until_it_listens(self, port):
        async with asyncio.timeout(15):
            while True:
                assert self.process.returncode is None, self.log
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)  # a process tells nobody that it listens
                else:
                    writer.close()
                    return


@pytest.fixture
def start(tmp_path):
    @contextlib.asynccontextmanager
    async def start(example):
        log = tmp_path / "log"
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", WATCHED, *example.arguments(port)),
                cwd=EXAMPLES,
                env={**os.environ, "PORT": str(port)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        server = Server(process, f"http://127.0.0.1:{port}", log)
        try:
            await server.wait_until_it_listens(port)
            yield server
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    return start


def open_socket(server, path, **settings):
    return connect(server.url.replace("http", "ws") + path, **settings)


def client_message(action, channel, event, payload=None):
    return json.dumps(
        {
            "action": action,
            "event": event,
            "channelName": channel,
            "requestId": "1",
            "payload": payload or {},
        }
    )


async def event_named(websocket, name):
    async with asyncio.timeout(5):
        while True:
            message = json.loads(await websocket.recv())
            if message["event"] == name:
                return message


@contextlib.asynccontextmanager
async def member(server, example):
    """Join the example's room over a WebSocket."""
    async with open_socket(server, example.path) as websocket:
        await websocket.send(client_message("JOIN_CHANNEL", example.room, "join"))
        await event_named(websocket, "ACKNOWLEDGE")
        yield websocket


async def say_something(example, client, websocket):
    """Let everybody in the room hear `example.said`."""
    if example.name == "fastapi_app":
        answer = await client.post("/news", json={"headline": "hi"})
        assert answer.status_code == 202
    else:
        message = client_message("BROADCAST", example.room, *example.said)
        await websocket.send(message)


async def code_of_close(websocket):
    """Wait for the end of a connection and return the code that the server gave."""
    async with asyncio.timeout(10):
        await websocket.wait_closed()
    return websocket.close_code


def test_each_example_says_how_to_run_it():
    assert [name for name in NAMES if not commands(EXAMPLES / f"{name}.py")] == []


@every_example
async def test_an_example_serves_sockets(example, start):
    async with (
        start(example) as server,
        httpx.AsyncClient(base_url=server.url) as client,
        member(server, example) as websocket,
    ):
        await say_something(example, client, websocket)

        event, body = example.said
        assert (await event_named(websocket, event))["payload"] == body


@pytest.mark.parametrize("example", STREAMING, ids=attrgetter("command"))
async def test_an_example_serves_streams(example, start):
    async with (
        start(example) as server,
        httpx.AsyncClient(base_url=server.url) as client,
        member(server, example) as websocket,
        client.stream("GET", example.path, headers=FOR_STREAM) as stream,
    ):
        joined = await client.post(
            example.path,
            headers={"x-connection-id": stream.headers["x-connection-id"]},
            content=client_message("JOIN_CHANNEL", example.room, "join"),
        )
        assert joined.status_code == 204
        await say_something(example, client, websocket)

        event, body = example.said
        lines = stream.aiter_lines()
        async with asyncio.timeout(5):
            while await anext(lines) != f"event: {event}":
                pass
            heard = json.loads((await anext(lines)).removeprefix("data: "))
        assert heard["payload"] == body


@pytest.mark.parametrize("example", NOT_STREAMING, ids=attrgetter("command"))
async def test_an_example_without_streams_says_so(example, start):
    async with start(example) as server, httpx.AsyncClient() as client:
        answer = await client.get(server.url + example.path, headers=FOR_STREAM)

    assert answer.status_code == 426
    assert "no event streams" in answer.text


@every_example
async def test_an_example_refuses_what_is_no_endpoint(example, start):
    async with start(example) as server:
        with pytest.raises(InvalidStatus) as refused:
            await open_socket(server, example.path + "/no")

    assert refused.value.response.status_code == 404


@every_example
async def test_an_example_ends_well_and_tells_its_clients(example, start):
    async with start(example) as server, member(server, example) as websocket:
        log = await server.stop()

        assert await code_of_close(websocket) == 1012
    assert log.count("gone: connection_closed") == 1
    assert "Traceback" not in log
    assert server.process.returncode in {0, -signal.SIGINT}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("aiohttp_app", "0 connected"),
        ("channels_app", "0 connected"),
        ("django_app", "0 connected"),
        ("litestar_app", "0 connected"),
        ("quart_app", "0 connected"),
        ("starlette_app", "open, 0 connected"),
    ],
)
async def test_the_frameworks_own_routes_are_still_there(name, text, start):
    example = next(each for each in ALL if each.name == name)
    async with start(example) as server, httpx.AsyncClient() as client:
        answer = await client.get(f"{server.url}/status")

    assert answer.text == text


@pytest.mark.parametrize("host", ["uvicorn", "daphne"])
async def test_a_plain_application_works_in_a_channels_router(host, start):
    async with (
        start(Example("channels_app", f"{host} channels_app:application")) as server,
        open_socket(server, "/shout", subprotocols=["loud"]) as websocket,
    ):
        await websocket.send("hi")

        assert websocket.subprotocol == "loud"
        assert await websocket.recv() == "HI"
        await websocket.send(b"hi")
        assert await code_of_close(websocket) == 4000


@pytest.fixture
def start_typed(start):
    """Start an example of typed endpoints, as its first lines say."""

    def start_typed(name):
        (command,) = commands(EXAMPLES / f"{name}.py")
        return start(Example(name, command))

    return start_typed


async def answer_to(websocket, message):
    """Send one typed message and return what comes back."""
    await websocket.send(json.dumps(message))
    async with asyncio.timeout(5):
        return json.loads(await websocket.recv())


async def test_the_typed_shop_sells(start_typed):
    async with (
        start_typed("typed_endpoint") as server,
        open_socket(server, "/shop") as websocket,
    ):
        menu = await answer_to(websocket, {"type": "menu"})
        ordered = await answer_to(websocket, {"type": "order", "item": {"name": "tea"}})
        odd = await answer_to(websocket, {"type": "order", "item": {"name": "ink"}})
        wrong = await answer_to(websocket, {"type": "receipt", "tip": -1})
        receipt = await answer_to(websocket, {"type": "receipt", "tip": 50})

    assert menu == {"type": "menu", "prices": {"tea": 4, "coffee": 2}}
    assert ordered == {"type": "price", "cents": 400}
    assert odd["errors"][0]["status"] == 404
    assert wrong["errors"][0]["type"] == "greater_than_equal"
    items = [{"name": "tea", "grams": 100}]
    assert receipt == {"type": "receipt", "items": items, "cents": 450}


async def test_the_typed_counter_counts_until_it_is_enough(start_typed):
    async with (
        start_typed("typed_endpoint_starlette") as server,
        open_socket(server, "/ada/counter") as websocket,
    ):
        hello = await answer_to(websocket, {"type": "hello"})
        total = await answer_to(websocket, {"type": "add", "number": 2})
        await websocket.send(json.dumps({"type": "add", "number": 99}))

        assert await code_of_close(websocket) == 4000
        log = await server.stop()
    assert (hello["text"], total["total"]) == ("Hello you", 2)
    assert "101 until 4000" in log


async def test_the_terse_counter_tells_errors_in_its_own_way(start_typed):
    async with (
        start_typed("typed_endpoint_starlette") as server,
        open_socket(server, "/ada/terse") as websocket,
    ):
        answer = await answer_to(websocket, {"type": "hello"})

    assert answer == {"failed": "ValidationError"}


async def test_the_typed_counter_refuses_strangers(start_typed):
    async with start_typed("typed_endpoint_starlette") as server:
        with pytest.raises(InvalidStatus) as refused:
            await open_socket(server, "/bob/counter")

    assert refused.value.response.status_code == 403
