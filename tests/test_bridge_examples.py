"""The examples of ws_bridge run as their first lines say, and its page is right."""

import ast
import asyncio
import dataclasses
import os
import re
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from pondsocket_asgi.ws_bridge import ServerConfig

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
PATIENCE = 10.0

COMMAND = re.compile(r"^    python (\w+\.py)$", re.MULTILINE)
SETTING = re.compile(r"^\| `(\w+)` \| `(\S+)` \|", re.MULTILINE)
ADDRESS = re.compile(r"serving (ws://127\.0\.0\.1:\d+)")

every_example = pytest.mark.parametrize(
    ("name", "path"), [("ws_bridge_echo", "/"), ("ws_bridge_starlette", "/rooms/a")]
)


class Program:
    """An example in a process of its own."""

    def __init__(self, process, url):
        self._process = process
        self.url = url

    async def stop(self, number):
        """Send it a signal; return its exit code and what it said until it ended."""
        self._process.send_signal(number)
        async with asyncio.timeout(PATIENCE):
            said, complaint = await self._process.communicate()
        return self._process.returncode, said.decode(), complaint.decode()


@asynccontextmanager
async def started(name):
    """Start an example by its own command, on a free port."""
    (script,) = COMMAND.findall((EXAMPLES / f"{name}.py").read_text())
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, script),
        cwd=EXAMPLES,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PORT": "0"},
    )
    try:
        async with asyncio.timeout(PATIENCE):
            line = (await process.stdout.readline()).decode()
        yield Program(process, ADDRESS.match(line)[1])
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize(
    ("offered", "chosen", "answer"),
    [(["other", "loud"], "loud", "HI"), (["other"], None, "hi"), (None, None, "hi")],
)
async def test_the_echo_is_as_loud_as_the_subprotocol(offered, chosen, answer):
    async with (
        started("ws_bridge_echo") as program,
        connect(program.url, subprotocols=offered) as websocket,
        asyncio.timeout(PATIENCE),
    ):
        assert await websocket.recv() == "welcome"
        for data in ("hi", b"hi"):
            await websocket.send(data)

        assert websocket.subprotocol == chosen
        assert await websocket.recv() == answer
        assert await websocket.recv() == b"hi"


async def test_the_starlette_application_tells_who_is_there():
    async with (
        started("ws_bridge_starlette") as program,
        connect(f"{program.url}/rooms/a") as websocket,
        connect(f"{program.url}/rooms/b") as other,
        asyncio.timeout(PATIENCE),
    ):
        for each in (websocket, other):
            await each.send("hi")

        assert await websocket.recv() == "a (1 here): hi"
        assert await other.recv() == "b (1 here): hi"


async def test_the_starlette_application_refuses_what_it_does_not_route():
    async with started("ws_bridge_starlette") as program:
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{program.url}/nowhere")

    assert refused.value.response.status_code == 403


@every_example
async def test_a_plain_request_is_told_to_upgrade(name, path):
    async with started(name) as program, httpx.AsyncClient() as client:
        answer = await client.get(program.url.replace("ws", "http", 1) + path)

    assert (answer.status_code, answer.headers["upgrade"]) == (426, "websocket")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@every_example
async def test_an_example_ends_well_and_tells_its_clients(name, path, number):
    async with started(name) as program, connect(program.url + path) as websocket:
        stopping = asyncio.create_task(program.stop(number))
        async with asyncio.timeout(PATIENCE):
            await websocket.wait_closed()
        code, said, complaint = await stopping

    assert websocket.close_code == 1012
    assert (code, complaint) == (0, "")
    assert said == ("goodbye\n" if name == "ws_bridge_echo" else "")


def test_the_table_of_settings_names_every_field_with_its_default():
    text = (ROOT / "docs" / "ws-bridge.md").read_text(encoding="utf-8")
    found = {name: ast.literal_eval(value) for name, value in SETTING.findall(text)}

    assert list(found.items()) == [
        (field.name, field.default) for field in dataclasses.fields(ServerConfig)
    ]
