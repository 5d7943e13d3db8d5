"""Every file in examples/ runs as its first lines say, and talks to real clients."""

import asyncio
import contextlib
import json
import re
import signal
import sys
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

EXAMPLES = Path(__file__).parent.parent / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))

COMMAND = re.compile(r"^    uvicorn (\w+:\w+)$", re.MULTILINE)
ADDRESS = re.compile(r"running on (http://127\.0\.0\.1:\d+)")


class Server:
    """An example in a process of its own, started as its docstring says."""

    def __init__(self, process, url):
        self.process = process
        self.url = url
        self.log = ""

    async def stop(self):
        """Interrupt it as Ctrl+C does and return what it said until it ended."""
        self.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(10):
            self.log += (await self.process.stderr.read()).decode()
            await self.process.wait()
        return self.log


@contextlib.asynccontextmanager
async def started(name):
    (target,) = COMMAND.findall((EXAMPLES / f"{name}.py").read_text())
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", target, "--port", "0"),
        cwd=EXAMPLES,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        log = ""
        async with asyncio.timeout(15):
            while not (found := ADDRESS.search(log)):
                line = await process.stderr.readline()
                assert line, f"{name} ended: {log}"
                log += line.decode()
        yield Server(process, found[1])
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        # the transport of a pipe that nobody read to its end would warn
        await process.stderr.read()


def socket_path(name):
    return "/socket" if name == "uvicorn_raw" else "/ws/socket"


def room(name):
    return "/news" if name == "fastapi_app" else "/chat/1"


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


async def receive_for_ever(websocket):
    while True:
        await websocket.recv()


@pytest.fixture
def open_socket():
    def open_it(server, name):
        return connect(server.url.replace("http", "ws") + socket_path(name))

    return open_it


@pytest.mark.parametrize("name", NAMES)
async def test_an_example_serves_sockets_streams_and_its_own_pages(name, open_socket):
    async with (
        started(name) as server,
        httpx.AsyncClient(base_url=server.url) as client,
        open_socket(server, name) as websocket,
    ):
        await websocket.send(client_message("JOIN_CHANNEL", room(name), "join"))
        await event_named(websocket, "ACKNOWLEDGE")

        accept = {"accept": "text/event-stream"}
        async with client.stream("GET", socket_path(name), headers=accept) as stream:
            secret = {"x-connection-id": stream.headers["x-connection-id"]}
            joined = await client.post(
                socket_path(name),
                headers=secret,
                content=client_message("JOIN_CHANNEL", room(name), "join"),
            )
            assert joined.status_code == 204
            await say_something(name, client, websocket)
            lines = stream.aiter_lines()
            event, body = SAID[name]
            while await anext(lines) != f"event: {event}":
                pass
            heard = json.loads((await anext(lines)).removeprefix("data: "))
        assert heard["payload"] == body

        with pytest.raises(InvalidStatus) as refused:
            await connect(server.url.replace("http", "ws") + socket_path(name) + "/no")
        assert refused.value.response.status_code in {403, 404}

        log = await server.stop()
        with pytest.raises(ConnectionClosed):
            await receive_for_ever(websocket)

    assert "Traceback" not in log
    assert server.process.returncode in {0, -signal.SIGINT}


SAID = {name: ("message", {"text": "hi"}) for name in NAMES} | {
    "fastapi_app": ("published", {"headline": "hi"})
}


async def say_something(name, client, websocket):
    if name == "fastapi_app":
        answer = await client.post("/news", json={"headline": "hi"})
        assert answer.status_code == 202
    else:
        message = client_message("BROADCAST", room(name), *SAID[name])
        await websocket.send(message)
    await event_named(websocket, SAID[name][0])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("django_app", "0 connected"),
        ("litestar_app", "0 connected"),
        ("starlette_app", "open, 0 connected"),
    ],
)
async def test_the_frameworks_own_routes_are_still_there(name, text):
    async with started(name) as server, httpx.AsyncClient() as client:
        answer = await client.get(f"{server.url}/status")

    assert answer.text == text
