"""People who use the published JavaScript client, in a Node.js that obeys us."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.clients.people import SECONDS, Notes, Payload, Person, Room

DRIVER = Path(__file__).parent / "node" / "driver.mjs"

LINE_LIMIT = 1_048_576  # bytes; asyncio's own default is smaller


class Node:
    """One process of Node.js, for any number of people; `run_node` makes it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin
        assert process.stdout
        self._commands = process.stdin
        self._lines = process.stdout
        self.ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._notes: dict[tuple[str | None, str | None], Notes] = {}
        self.notes = self.notes_of(None)  # of nobody in particular

    def notes_of(self, person: str | None, room: str | None = None) -> Notes:
        """Return where to look for what a client tells from now on."""
        notes = self._notes[person, room] = Notes(f"{person} in {room}, in Node.js")
        return notes

    async def do(self, command: str, **details: Any) -> Any:
        """Let the driver carry out a command and return its result."""
        assert not self._lines.at_eof(), "Node.js ended, see its standard error"
        id = next(self.ids)
        answer = self._answers[id] = asyncio.get_running_loop().create_future()
        line = json.dumps({"id": id, "do": command, **details})
        self._commands.write(line.encode() + b"\n")
        try:
            async with asyncio.timeout(SECONDS):
                return await answer
        except TimeoutError:
            raise AssertionError(f"no answer to {line} within {SECONDS} s") from None
        finally:
            del self._answers[id]

    async def listen(self) -> None:
        """File what the driver says, until it ends; without it nobody answers."""
        async for line in self._lines:
            match json.loads(line):
                case {"person": person, "room": room, "kind": kind, "value": value}:
                    self._notes[person, room].put(kind, value)
                case {"id": id, "result": result} if id in self._answers:
                    self._answers[id].set_result(result)
                case {"id": id, "error": error} if id in self._answers:
                    self._answers[id].set_exception(RuntimeError(error))
        for answer in self._answers.values():
            answer.set_exception(EOFError("Node.js ended, see its standard error"))

    async def close(self) -> None:
        self._commands.close()
        await self._commands.wait_closed()


@contextlib.asynccontextmanager
async def run_node(program: str) -> AsyncIterator[Node]:
    """Run the driver; fail if it did not end well, as after an uncaught exception."""
    process = await asyncio.create_subprocess_exec(
        program,
        str(DRIVER),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_LIMIT,
    )
    node = Node(process)
    listening = asyncio.create_task(node.listen())
    try:
        yield node
        await node.close()
        async with asyncio.timeout(SECONDS):
            await listening
            assert await process.wait() == 0
    finally:
        listening.cancel()
        if process.returncode is None:
            process.kill()
            await process.wait()


class NodeRoom(Room):
    def __init__(self, node: Node, person: str, channel: str) -> None:
        super().__init__(node.notes_of(person, channel))
        self._node = node
        self._where = {"person": person, "room": channel}

    async def say(self, event: str, payload: Payload) -> None:
        await self._node.do("say", **self._where, event=event, payload=payload)

    async def ask(self, event: str, payload: Payload) -> Payload:
        return await self._node.do("ask", **self._where, event=event, payload=payload)

    async def users(self) -> list[Payload]:
        return await self._node.do("users", **self._where)

    async def leave(self) -> None:
        await self._node.do("leave", **self._where)


class NodePerson(Person):
    """A person whose client is of the kind `javascript` (WebSocket) or `sse`."""

    def __init__(self, node: Node, name: str) -> None:
        super().__init__(name)
        self.node = node
        self._id = f"{name}-{next(node.ids)}"
        self.notes = node.notes_of(self._id)

    async def open(
        self, kind: str, url: str, params: Payload, options: Payload
    ) -> None:
        await self.node.do(
            "open",
            person=self._id,
            client=kind,
            url=url,
            params=params,
            options=options,
        )

    async def connect(self) -> None:
        await self.node.do("connect", person=self._id)

    async def disconnect(self) -> None:
        await self.node.do("disconnect", person=self._id)

    async def enter(self, channel: str, params: Payload) -> Room:
        room = NodeRoom(self.node, self._id, channel)
        await self.node.do("enter", person=self._id, room=channel, params=params)
        return room
