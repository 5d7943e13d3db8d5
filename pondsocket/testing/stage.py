"""Stage: the application that a transport is tested under, and what happened in it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from pondsocket.contexts import (
    ConnectionContext,
    EventContext,
    JoinContext,
    LeaveContext,
)
from pondsocket.endpoint import Endpoint
from pondsocket.frame import Frame
from pondsocket.hooks import Hooks
from pondsocket.ids import uuid
from pondsocket.lobby import Lobby
from pondsocket.options import Options
from pondsocket.server import PondSocket
from pondsocket.testing.checks import PAUSE, eventually, expect, expect_equal, in_time
from pondsocket.testing.client import ROOM, Client
from pondsocket.testing.peer import TransportPeer
from pondsocket.transport import Transport
from pondsocket.types import Event, ServerActions

__all__ = [
    "BACKLOG",
    "CALLS",
    "ENDPOINT",
    "FILL",
    "GIVEN",
    "Stage",
    "make_event",
    "make_frame",
]

ENDPOINT = "/contract"
GIVEN = {"given": {"by": "the connection handler"}}  # assigns of every connection
FILL = "x" * 16_384
MANY = 2000  # broadcasts of FILL; no wire takes so many for a client that does not read
CALLS = ("plain", "async")  # of a watched connection's close callbacks
BACKLOG = 8  # messages in the outbox: more than what is merely in flight
STEADY = 150  # looks at an outbox: TCP with small buffers may pause in between


class Stage:
    """A PondSocket with one endpoint and rooms.

    Its handlers: ``echo`` replies ``echoed``, ``hold`` waits for ``gate`` and replies
    ``held``, ``leave`` closes its sender's connection.

    Args:
        options: Of the PondSocket; the hooks are the stage's.

    Attributes:
        open_wire: Connects one more peer; set by who serves.
        transports: All that were registered, by user id.
        registered: User ids for which ``register_transport`` has returned.
        handled: The payloads that reached ``echo``.
        asked: User ids, one for each join handler that ran.
        left: User ids, one for each leave handler of the room that ran.
        gone: User ids, one for each connection that ended.
        gate: Lets the handlers of ``hold`` go on.
        closed_by_handler: Set when a handler has closed its own connection.
    """

    open_wire: Callable[[], Awaitable[TransportPeer]]

    def __init__(self, options: Options) -> None:
        hooks = Hooks(on_connect=self._note_connect, on_disconnect=self._note_end)
        self.pond: PondSocket = PondSocket(options=replace(options, hooks=hooks))
        self.endpoint: Endpoint = self.pond.create_endpoint(ENDPOINT, _admit)
        self.transports: dict[str, Transport] = {}
        self.registered: list[str] = []
        self.handled: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.left: list[str] = []
        self.gone: list[str] = []
        self.gate: asyncio.Event = asyncio.Event()
        self.closed_by_handler: asyncio.Event = asyncio.Event()
        self._clients: list[Client] = []
        self._watched: list[list[str]] = []
        self.lobby: Lobby = self.endpoint.create_channel("/room/:name", self._join)
        self.lobby.on_message("echo", self._echo)
        self.lobby.on_message("hold", self._hold)
        self.lobby.on_message("leave", self._leave)
        self.lobby.on_leave(self._note_leave)
        self._watch_registration()

    # What tests do.

    async def connect(self) -> Client:
        """Return a client that was greeted."""
        async with in_time("a connection that is open"):
            client = Client(await self.open_wire(), self.transports)
        self._clients.append(client)
        await client.be_greeted()
        return client

    async def enter(self) -> Client:
        """Return a client that is in the room."""
        client = await self.connect()
        await client.join()
        return client

    async def broadcast(self, first: int, count: int, *ids: str) -> None:
        """Send numbered events to the room, or to some of it."""
        channel = await self.lobby.get_or_create_channel(ROOM)
        for number in range(first, first + count):
            payload = {"n": number}
            if ids:
                await channel.broadcast_to("news", payload, *ids)
            else:
                await channel.broadcast("news", payload)

    async def overfill(self, client: Client) -> int:
        """Send to a client that does not read until messages wait in its outbox.

        Returns:
            How many were sent, numbered from 0.
        """
        channel = await self.lobby.get_or_create_channel(ROOM)
        for number in range(MANY):
            payload = {"n": number, "fill": FILL}
            await channel.broadcast_to("news", payload, client.user_id)
            await asyncio.sleep(0)
            if self._is_behind(client) and await self._stays_behind(client):
                return number + 1
        raise AssertionError(
            f"expected: a transport that takes less than {MANY * len(FILL)} bytes for "
            "a client that does not read"
        )

    def _is_behind(self, client: Client) -> bool:
        """Tell whether a client's messages wait, or did until it was given up."""
        session = self.endpoint.connections.find_user(client.user_id)
        return session is None or session.outbox_messages >= BACKLOG

    async def _stays_behind(self, client: Client) -> bool:
        """Tell whether nothing is on its way any more."""
        for _ in range(STEADY):
            await asyncio.sleep(PAUSE)
            if not self._is_behind(client):
                return False
        return True

    def watch(self, client: Client) -> list[str]:
        """Register a plain and an ``async`` close callback; return which were called.

        At the end of the test both must have been, once and with the transport.
        """
        calls: list[str] = []
        self._watched.append(calls)

        def note(transport: Transport) -> None:
            expect(transport is client.transport, "a callback given its transport")
            calls.append("plain")

        async def note_later(transport: Transport) -> None:
            """Be a coroutine that is not over at once."""
            await asyncio.sleep(0)
            expect(transport is client.transport, "a callback given its transport")
            calls.append("async")

        client.transport.on_close(note)
        client.transport.on_close(note_later)
        return calls

    async def until_left(self, client: Client) -> None:
        """Wait until a member's leave handler has run and its connection is gone."""
        user_id = client.user_id
        await eventually(lambda: user_id in self.left, "a leave handler that runs")
        await eventually(lambda: user_id in self.gone, "a connection that ends")

    async def close(self) -> None:
        """End everything, by the clients first."""
        self.gate.set()
        for client in self._clients:
            await client.peer.close()
        await self.pond.close()

    async def check_the_end(self) -> None:
        """Fail if something outlived the end, or did not end just once."""
        calls = self._watched
        await eventually(lambda: all(map(_is_complete, calls)), "all close callbacks")
        expect_equal(calls, [list(CALLS)] * len(calls), "the close callbacks called")
        stats = self.pond.stats()
        left = (stats.connections, stats.channels, stats.outbox_messages)
        expect_equal(left, (0, 0, 0), "connections, channels and messages at the end")
        gone, known = sorted(self.gone), sorted(self.transports)
        expect_equal(gone, known, "the connections that ended, each once")
        expect(len(self.left) == len(set(self.left)), "leave handlers that run once")

    # What the application does.

    async def _join(self, context: JoinContext) -> None:
        self.asked.append(context.user.id)
        await context.accept()

    async def _echo(self, context: EventContext) -> None:
        self.handled.append(context.get_payload())
        await context.reply("echoed", context.get_payload())

    async def _hold(self, context: EventContext) -> None:
        await self.gate.wait()
        await context.reply("held", {})

    async def _leave(self, context: EventContext) -> None:
        await self.transports[context.user.id].close()
        self.closed_by_handler.set()

    def _note_leave(self, context: LeaveContext) -> None:
        if context.channel.name == ROOM:
            self.left.append(context.user.id)

    def _note_connect(self, transport: Transport) -> None:
        self.transports[transport.get_id()] = transport

    def _note_end(self, transport: Transport) -> None:
        self.gone.append(transport.get_id())

    def _watch_registration(self) -> None:
        register = self.endpoint.register_transport

        async def watched(
            transport: Transport, context: ConnectionContext | None = None
        ) -> None:
            await register(transport, context)
            self.registered.append(transport.get_id())

        self.endpoint.register_transport = watched  # type: ignore[method-assign]  # it has no hook for its end


def _admit(context: ConnectionContext) -> None:
    context.accept(**GIVEN)


def _is_complete(calls: list[str]) -> bool:
    return len(calls) >= len(CALLS)


def make_event(number: int, *, fill: str = "") -> Event:
    """Return a numbered broadcast."""
    payload = {"n": number, "fill": fill}
    return Event(ServerActions.BROADCAST, ROOM, uuid(), "news", payload)


def make_frame(number: int, *, fill: str = "") -> Frame:
    """Return a frame of a numbered broadcast."""
    return Frame(make_event(number, fill=fill))
