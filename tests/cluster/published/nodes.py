"""Nodes of both kinds as processes, and people who are connected to them."""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

__all__ = ["Node", "Person", "run_node"]

PROGRAM = Path(__file__).with_name("node.py")
ROOT = Path(__file__).parents[3]
OURS = os.pathsep.join(str(ROOT / part) for part in ("", "adapters", "backends"))
PATIENCE = 10.0  # seconds for anything that somebody waits for
PAUSE = 0.02  # between two looks at what nobody is told of

Message = dict[str, Any]


class Node:
    """A node's process.

    Attributes:
        port: Where it serves WebSockets.
    """

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.port = port
        self._process = process

    def kill(self) -> None:
        """End it at once, as ``kill -9`` does."""
        self._process.kill()

    async def stop(self) -> int:
        """Let it end cleanly; return its exit code."""
        self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            return await self._process.wait()


@contextlib.asynccontextmanager
async def run_node(
    python: Path, redis: str, name: str, log: Path, *flags: str
) -> AsyncIterator[Node]:
    """Run the program with an interpreter; at the end nothing of it is left.

    Args:
        python: Ours, or the one of the environment with the published pondsocket.
        redis: URL of the server that the nodes share.
        name: Id of the node.
        log: Takes what it says.
        *flags: More arguments.
    """
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    ours = {"PYTHONPATH": OURS} if python == Path(sys.executable) else {}
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            python, str(PROGRAM), "--redis", redis, "--node-id", name, *flags,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            env={**inherited, **ours},
        )  # fmt: skip
    try:
        assert process.stdout
        async with asyncio.timeout(PATIENCE):
            line = (await process.stdout.readline()).decode()
        assert line.startswith("ready "), f"said {line!r}; see {log}"
        yield Node(process, int(line.split()[1]))
    finally:
        with contextlib.suppress(ProcessLookupError):  # it ended in the test
            process.kill()
        await process.communicate()


class Person:
    """A client in one channel.

    Attributes:
        id: The user's.
        heard: What came and was not asked for yet, in order.
    """

    def __init__(self, socket: ClientConnection, room: str) -> None:
        self.id = ""
        self.heard: list[Message] = []
        self._room = room
        self._socket = socket
        self._news = asyncio.Event()
        self._numbers = itertools.count(1)
        self._reading = asyncio.create_task(self._read())

    @classmethod
    @contextlib.asynccontextmanager
    async def at(cls, node: Node, room: str) -> AsyncIterator["Person"]:
        """Connect to a node without joining yet."""
        async with connect(f"ws://127.0.0.1:{node.port}/socket") as socket:
            person = cls(socket, room)
            person.id = (await person.hears("CONNECTION"))["id"]
            yield person
        await person._reading

    async def join(self, **params: object) -> None:
        await self._send("JOIN_CHANNEL", "JOIN", params)
        await self.hears("ACKNOWLEDGE")

    async def leave(self) -> None:
        await self._send("LEAVE_CHANNEL", "LEAVE", {})

    async def hang_up(self) -> None:
        await self._socket.close()

    async def do(self, event: str, **payload: object) -> None:
        """Ask for one of the things that node.py lists."""
        await self._send("BROADCAST", event, payload)

    async def hears(self, *events: str) -> Message:
        """Return the payload of the first message of these names, waiting for it."""
        return await self._hears(lambda message: message["event"] in events)

    async def is_shown(self, event: str, changed: Message) -> list[Message]:
        """Wait for a change of presence; return all presences as of then."""
        payload = await self._hears(
            lambda message: (
                message["event"] == event and message["payload"]["changed"] == changed
            )
        )
        return payload["presence"]

    async def _hears(self, is_wanted: Callable[[Message], bool]) -> Message:
        try:
            async with asyncio.timeout(PATIENCE):
                while not (found := next(filter(is_wanted, self.heard), None)):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"only {self.heard}") from None
        self.heard.remove(found)
        return found["payload"]

    async def hears_until(self, last: str) -> list[str]:
        """Return the texts of what is said, up to and without the one that is last."""
        texts = []
        while (text := (await self.hears("said"))["text"]) != last:
            texts.append(text)
        return texts

    async def users(self) -> Message:
        """Return what the node knows of everybody in the channel."""
        await self.do("users")
        return await self.hears("users")

    async def sees(self, condition: Callable[[Message], bool]) -> Message:
        """Return what the node knows as soon as it is as expected."""
        users: Message = {}
        try:
            async with asyncio.timeout(PATIENCE):
                while not condition(users := await self.users()):
                    await asyncio.sleep(PAUSE)
        except TimeoutError:
            raise AssertionError(f"still {users}") from None
        return users

    async def _send(self, action: str, event: str, payload: Message) -> None:
        message = {
            "action": action,
            "event": event,
            "channelName": self._room,
            "requestId": f"{self.id}-{next(self._numbers)}",
            "payload": payload,
        }
        await self._socket.send(json.dumps(message))

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionClosed):  # a node may be killed
            async for text in self._socket:
                self.heard.append(json.loads(text))
                self._news.set()
