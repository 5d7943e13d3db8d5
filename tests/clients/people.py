"""People: the published clients behind one interface, so that each test fits them all.

A client tells by callbacks. Here each callback is a note, filed by its kind, and a test
asks for the next one of a kind: nothing is lost, and every wait is bounded.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import defaultdict
from contextlib import suppress
from typing import Any, TypeAlias

Payload: TypeAlias = dict[str, Any]

# for what takes milliseconds, or seconds until the JavaScript client tries again
SECONDS = 8


class Notes:
    """What one client told, by kind and in order."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._queues: defaultdict[Any, asyncio.Queue[Any]] = defaultdict(asyncio.Queue)

    def put(self, kind: str, value: Any) -> None:
        if kind in {"message", "received"}:  # these have names
            self._queues[kind, value["event"]].put_nowait(value)
        else:
            self._queues[kind].put_nowait(value)

    async def next(self, *kind: str) -> Any:
        key = kind if len(kind) > 1 else kind[0]
        try:
            async with asyncio.timeout(SECONDS):
                return await self._queues[key].get()
        except TimeoutError:
            raise AssertionError(
                f"{self._owner}: no {key!r} within {SECONDS} s, but {self.all_unread()}"
            ) from None

    async def skip_to(self, kind: str, value: Any) -> list[Any]:
        """Wait for a note and return what else was told before it."""
        before = []
        while (found := await self.next(kind)) != value:
            before.append(found)
        return before

    def unread(self, *kind: str) -> list[Any]:
        """Take all notes of a kind that are there."""
        queue = self._queues[kind if len(kind) > 1 else kind[0]]
        found = []
        with suppress(asyncio.QueueEmpty):
            while True:
                found.append(queue.get_nowait())
        return found

    def all_unread(self) -> dict[str, list[Any]]:
        return {
            str(key): list(q._queue) for key, q in self._queues.items() if q.qsize()
        }


class Room(ABC):
    """A channel, as one client has it."""

    def __init__(self, notes: Notes) -> None:
        self.notes = notes

    async def becomes(self, state: str) -> list[str]:
        """Wait for a state of the channel and return the states before it."""
        return await self.notes.skip_to("state", state)

    async def hears(self, event: str) -> Payload:
        """Wait for the next message of that name and return its payload."""
        return (await self.notes.next("message", event))["payload"]

    async def sees(self, change: str) -> Any:
        """Wait for the next presence callback: join, leave, update or users."""
        return await self.notes.next(change)

    @abstractmethod
    async def say(self, event: str, payload: Payload) -> None:
        """Send a message and expect no answer."""

    @abstractmethod
    async def ask(self, event: str, payload: Payload) -> Payload:
        """Send a message and return its answer."""

    @abstractmethod
    async def users(self) -> list[Payload]:
        """Return the presences that the client knows of."""

    @abstractmethod
    async def leave(self) -> None:
        """Leave the channel."""


class Person(ABC):
    """One client, with one connection at a time."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.notes = Notes(name)

    async def becomes(self, state: str) -> None:
        """Wait for a state of the connection."""
        await self.notes.skip_to("connection", state)

    async def gets(self, event: str) -> dict[str, Any]:
        """Wait for the next message of that name that the client took as valid.

        For what the client acts upon, or drops, without telling.
        """
        return await self.notes.next("received", event)

    async def join(self, channel: str) -> Room:
        """Enter a channel and wait until the server let us in."""
        room = await self.enter(channel, {"name": self.name})
        await room.becomes("JOINED")
        return room

    @abstractmethod
    async def connect(self) -> None:
        """Call the server; wait for nothing."""

    @abstractmethod
    async def disconnect(self) -> None:
        """Hang up, for good."""

    @abstractmethod
    async def enter(self, channel: str, params: Payload) -> Room:
        """Ask to be let into a channel; wait for nothing."""
