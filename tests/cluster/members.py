"""Members: WebSocket clients in the room, and the logs of what they said and heard."""

import asyncio
import contextlib
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Self

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError

from tests.cluster.nodes import Node

__all__ = ["ROOM", "Member", "crowd", "members_of"]

ROOM = "/room/one"
PATIENCE = 10.0  # seconds for an answer
AT_A_TIME = 50  # of a crowd, who connect


class Member:
    """One client.

    Attributes:
        name: Who it is in every log.
        node: Where it is connected.
        sent: When it said each number, from 0, by the loop's clock.
        heard: When it heard each number, in order, by the name of who said it.
        presences: The last list of them.
        leaves: The presences that left.
        joins: The presences that came.
    """

    def __init__(self, name: str, node: Node, socket: ClientConnection) -> None:
        self.name = name
        self.node = node
        self.sent: list[float] = []
        self.heard: dict[str, list[tuple[int, float]]] = defaultdict(list)
        self.presences: list[dict[str, Any]] = []
        self.leaves: list[dict[str, Any]] = []
        self.joins: list[dict[str, Any]] = []
        self._socket = socket
        self._requests: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._numbers = itertools.count(1)
        self._is_deaf = False
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def join(
        cls,
        name: str,
        node: Node,
        presence: dict[str, Any] | None = None,
        *,
        is_deaf: bool = False,
    ) -> Self:
        """Connect and return once the room is joined.

        Args:
            name: Unique in the test.
            node: Where to connect.
            presence: To be tracked.
            is_deaf: Read what comes, and keep nothing of it.
        """
        socket = await connect(
            f"ws://127.0.0.1:{node.port}/live",
            compression=None,
            ping_interval=None,
            max_size=None,
            proxy=None,
        )
        member = cls(name, node, socket)
        read = member._read()
        member._reading = asyncio.create_task(read, name=f"member-{name}")
        params = {"name": name, "presence": presence}
        await member._ask("JOIN_CHANNEL", "JOIN", params)
        member._is_deaf = is_deaf
        return member

    async def say(self) -> None:
        """Say the next number to the room."""
        payload = {"from": self.name, "n": len(self.sent)}
        self.sent.append(asyncio.get_running_loop().time())
        await self._send("BROADCAST", "say", payload, f"say-{next(self._numbers)}")

    async def pour(self, count: int, size: int) -> None:
        """Have the node say so many numbers, of so many bytes each, at once."""
        first, now = len(self.sent), asyncio.get_running_loop().time()
        self.sent += [now] * count
        wanted = {"from": self.name, "first": first, "count": count, "size": size}
        await self.ask("pour", wanted)

    async def ask(self, event: str, payload: dict[str, Any] | None = None) -> Any:
        """Send an event and return the payload of the reply."""
        return await self._ask("BROADCAST", event, payload or {})

    async def look(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the users and the presences of the room, as the node knows them."""
        seen = await self.ask("look")
        return seen["users"], seen["presences"]

    async def close(self) -> None:
        """Hang up; idempotent."""
        await self._socket.close()
        if self._reading is not None:
            await self._reading

    async def _ask(self, action: str, event: str, payload: dict[str, Any]) -> Any:
        request_id = f"ask-{next(self._numbers)}"
        answer = asyncio.get_running_loop().create_future()
        self._requests[request_id] = answer
        await self._send(action, event, payload, request_id)
        try:
            async with asyncio.timeout(PATIENCE):
                return await answer
        finally:
            del self._requests[request_id]

    async def _send(
        self, action: str, event: str, payload: dict[str, Any], request_id: str
    ) -> None:
        message = {
            "action": action,
            "event": event,
            "channelName": ROOM,
            "requestId": request_id,
            "payload": payload,
        }
        await self._socket.send(msgspec.json.encode(message).decode())

    async def _read(self) -> None:
        try:
            async for text in self._socket:
                if not self._is_deaf:
                    self._take(msgspec.json.decode(text))
        except ConnectionClosedError:
            # Whoever waits for more will say so.
            assert self.node.was_killed, f"{self.name} was cut off"

    def _take(self, message: dict[str, Any]) -> None:
        payload = message["payload"]
        match message["action"], message["event"]:
            case "BROADCAST", "said":
                now = asyncio.get_running_loop().time()
                self.heard[payload["from"]].append((payload["n"], now))
            case "PRESENCE", event:
                self._note_presence(event, payload)
            case "SYSTEM", "ACKNOWLEDGE" | "updated" | "poured" | "seen" | "stats":
                self._requests[message["requestId"]].set_result(payload)
            case "CONNECT", _:
                pass
            case _:
                raise AssertionError(f"{self.name} got {message}")

    def _note_presence(self, event: str, payload: dict[str, Any]) -> None:
        self.presences = payload["presence"]
        if event == "LEAVE":
            self.leaves.append(payload["changed"])
        elif event == "JOIN":
            self.joins.append(payload["changed"])


@contextlib.asynccontextmanager
async def members_of(
    nodes: Iterable[Node], each: int = 1, *, first: int = 0, with_presence: bool = False
) -> AsyncIterator[list[Member]]:
    """Join the room with some members at each node, the first of each first."""
    nodes = list(nodes)
    members: list[Member] = []
    try:
        for number in range(first, first + each):
            for node in nodes:
                name = f"{node.id}-{number}"
                presence = {"is": name} if with_presence else None
                members.append(await Member.join(name, node, presence))
        yield members
    finally:
        await hang_up(members)


@contextlib.asynccontextmanager
async def crowd(node: Node, size: int, first: int = 0) -> AsyncIterator[set[str]]:
    """Join the room with many at one node, presences ``{"n": number}``; yield names."""
    members: list[Member] = []
    names = {f"crowd-{number}" for number in range(first, first + size)}
    try:
        for start in range(first, first + size, AT_A_TIME):
            numbers = range(start, min(start + AT_A_TIME, first + size))
            members += await asyncio.gather(
                *(
                    Member.join(f"crowd-{n}", node, {"n": n}, is_deaf=True)
                    for n in numbers
                )
            )
        yield names
    finally:
        await hang_up(members)


async def hang_up(members: Sequence[Member]) -> None:
    """Close what is open, all at once."""
    await asyncio.gather(*(member.close() for member in members))
