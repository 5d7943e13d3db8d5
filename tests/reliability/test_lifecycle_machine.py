"""Case 19: whenever a client goes away, what the server holds equals the live sockets.

A hypothesis state machine drives a real uvicorn over real sockets: clients come and go
at every stage of their lives, and so does the server's side of them. After each step,
at the next quiet moment, the tables hold the members whose sockets live, and nobody
else; in the end they hold nothing, and nothing else is left either.

``POND_LIFECYCLE_EXAMPLES=500`` looks longer.
"""

import asyncio
import gc
import logging
import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    multiple,
    rule,
)

from pondsocket import (
    Channel,
    ConnectionContext,
    EventContext,
    JoinContext,
    LeaveContext,
    Options,
    PondSocket,
)
from tests.reliability.clients import (
    EventStreamClient,
    Member,
    WebSocketClient,
    eventually,
)
from tests.reliability.hosts import WEBSOCKETS, serving

pytestmark = [
    pytest.mark.timeout(600),
    # uvicorn's oldest implementation, in use
    pytest.mark.filterwarnings("ignore:remove second argument of ws_handler"),
]

EXAMPLES = int(os.environ.get("POND_LIFECYCLE_EXAMPLES", "20"))
STEPS = 15
PATIENCE = 5.0  # seconds until a quiet moment must have come
BIG = "x" * 20_000
HOST_NOISE = "ASGI callable returned without completing handshake."

KINDS = st.sampled_from([WebSocketClient, EventStreamClient])
ROOMS = st.sampled_from(["/room/a", "/room/b"])
WAYS_OUT = st.sampled_from(["hang up", "reset", "say goodbye"])


class PlannedError(Exception):
    """What a handler raises because it was told to."""


class Gates:
    """Where handlers wait until the test lets them go on."""

    def __init__(self) -> None:
        self._open: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._arrived: set[str] = set()

    async def wait_at(self, gate: str) -> None:
        self._arrived.add(gate)
        await self._open[gate].wait()

    async def until_someone_waits_at(self, gate: str) -> None:
        await eventually(lambda: gate in self._arrived, PATIENCE)

    def open(self, gate: str) -> None:
        self._open[gate].set()


class Application:
    """Does what requests tell it to; remembers who got in and who left."""

    def __init__(self) -> None:
        self.gates = Gates()
        self.joined: Counter[tuple[str, str]] = Counter()
        self.left: Counter[tuple[str, str]] = Counter()
        self.pond = PondSocket(options=Options(send_timeout=2.0, handler_timeout=2.0))
        self.endpoint = self.pond.create_endpoint("/live", self._connect)
        self.lobby = self.endpoint.create_channel("/room/:name", self._join)
        self.lobby.on_message("echo", lambda ctx: ctx.reply("echoed", {}))
        self.lobby.on_message("hold", self._hold)
        self.lobby.on_message("fail", self._fail)
        self.lobby.on_message("go", self._send_away)
        self.lobby.on_leave(self._note_leave)

    async def _connect(self, context: ConnectionContext) -> None:
        match context.query:
            case {"gate": gate}:
                await self.gates.wait_at(gate)
            case {"then": "decline"}:
                context.decline(403, "no")
                return
            case {"then": "fail"}:
                raise PlannedError
        context.accept()

    async def _join(self, context: JoinContext) -> None:
        params = context.join_params
        if "gate before" in params:
            await self.gates.wait_at(params["gate before"])
        match params.get("then"):
            case "decline":
                await context.decline(403, "no")
                return
            case "fail":
                raise PlannedError
            case "nothing":
                return
        await context.accept()
        self.joined[context.user.id, context.channel.name] += 1
        if "gate after" in params:
            await self.gates.wait_at(params["gate after"])
        if "track" in params:
            await context.track({"id": context.user.id})

    async def _hold(self, context: EventContext) -> None:
        await self.gates.wait_at(context.get_payload()["gate"])
        await context.reply("held", {})
        await context.broadcast("held by", {"id": context.user.id})

    async def _fail(self, context: EventContext) -> None:
        raise PlannedError

    async def _send_away(self, context: EventContext) -> None:
        match context.get_payload()["how"]:
            case "evict":
                await context.evict("go away")
            case "close connection":
                await self.endpoint.close_connection(context.user.id)
            case "close channel":
                channel = await self.lobby.get_channel(context.channel.name)
                await channel.close()

    async def _note_leave(self, context: LeaveContext) -> None:
        self.left[context.user.id, context.channel.name] += 1
        await context.broadcast("left", {"id": context.user.id})


class Rooms:
    """What the server should hold: by client the rooms it is in, and is seen in."""

    def __init__(self) -> None:
        self.of: dict[str, dict[str, bool]] = {}  # user -> room -> is its presence shown

    def members(self, room: str) -> set[str]:
        return {user for user, rooms in self.of.items() if room in rooms}

    def presences(self, room: str) -> set[str]:
        return {user for user, rooms in self.of.items() if rooms.get(room)}

    def names(self) -> set[str]:
        return {room for rooms in self.of.values() for room in rooms}


class LifecycleMachine(RuleBasedStateMachine):
    """Clients that come and go in every way, and a server that sends them away."""

    clients: Bundle[Member] = Bundle("clients")

    def __init__(self) -> None:
        super().__init__()
        self._gate_count = 0
        self.expected = Rooms()
        self.complaints: list[str] = []
        self._scope = AsyncExitStack()
        self._watching = watch(self.complaints)
        self._watching.__enter__()
        self._runner = asyncio.Runner()
        self._runner.get_loop().set_exception_handler(self._complain)

    def _complain(self, _: object, context: dict[str, Any]) -> None:
        self.complaints.append(f"{context['message']}: {context.get('exception')!r}")

    def _run(self, step: Coroutine[Any, Any, Any]) -> Any:
        """Take a step, then wait for a quiet moment."""

        async def run() -> Any:
            result = await step
            await self._settle()
            return result

        return self._runner.run(run())

    @initialize(ws=st.sampled_from(WEBSOCKETS))
    def serve(self, ws: str) -> None:
        async def start() -> None:
            self.application = Application()
            self.port = await self._scope.enter_async_context(
                serving(self.application.pond, ws, ws_ping_interval=None)
            )

        self._run(start())

    # Quiet moments.

    async def _settle(self) -> None:
        try:
            await eventually(lambda: not self._differences(), PATIENCE)
        except TimeoutError:
            raise AssertionError("\n".join(self._differences())) from None
        assert not self.complaints

    def _differences(self) -> list[str]:
        """Say where the server's tables differ from what the sockets are."""
        lobby, stats = self.application.lobby, self.application.pond.stats()
        sessions = self.application.endpoint.connections.sessions()
        found = {
            "connections": {session.id for session in sessions},
            "channels": {channel.name for channel in lobby._channels.values()},
            "members by sessions": {s.id: set(s.channels) for s in sessions},
            "waiting": (stats.inbox_messages, stats.outbox_messages),
            "busy": [name for name in task_names() if not name.startswith(IDLE)],
            "left": self.application.joined - self.application.left,
            "left twice": self.application.left - self.application.joined,
        }
        wanted = {
            "connections": set(self.expected.of),
            "channels": self.expected.names(),
            "members by sessions": {u: set(r) for u, r in self.expected.of.items()},
            "waiting": (0, 0),
            "busy": [],
            "left": Counter((u, r) for u, rooms in self.expected.of.items() for r in rooms),
            "left twice": Counter(),
        }
        for room in self.expected.names():
            channel = lobby.find(room)
            found[room] = None if channel is None else held_by(channel)
            wanted[room] = self.expected.members(room), self.expected.presences(room)
        return [
            f"{name}: {found[name]}, not {wanted[name]}"
            for name in wanted
            if found[name] != wanted[name]
        ]

    # Getting in.

    @rule(target=clients, kind=KINDS)
    def connect(self, kind: type[Member]) -> Member:
        async def step() -> Member:
            client = await kind.open(self.port)
            self.expected.of[client.user_id] = {}
            return client

        return self._run(step())

    @rule(kind=KINDS, then=st.sampled_from(["decline", "fail"]))
    def connect_in_vain(self, kind: type[Member], then: str) -> None:
        async def step() -> None:
            client = await kind.open(self.port, f"/live?then={then}")
            assert client.status == {"decline": 403, "fail": 500}[then]

        self._run(step())

    @rule(said=st.sampled_from([b"", b"GET /li", b"GET /live HTTP/1.1\r\nHost: x\r\n"]))
    def connect_and_never_ask(self, said: bytes) -> None:
        async def step() -> None:
            client = await WebSocketClient.dial(self.port)
            client.write(said)
            await asyncio.sleep(0)
            client.hang_up()

        self._run(step())

    @rule(kind=KINDS, way=st.sampled_from(["hang up", "reset"]), is_noticed=st.booleans())
    def vanish_during_the_connection_handler(
        self, kind: type[Member], way: str, is_noticed: bool
    ) -> None:
        async def step() -> None:
            gate = self._new_gate()
            client = await kind.dial(self.port)
            client.shake_hands(f"/live?gate={gate}")
            await self.application.gates.until_someone_waits_at(gate)
            await go(client, way)
            if is_noticed:
                await client.wait_until_lost()
            self.application.gates.open(gate)

        self._run(step())

    @rule(kind=KINDS, way=st.sampled_from(["hang up", "reset"]))
    def vanish_right_after_the_handshake(self, kind: type[Member], way: str) -> None:
        async def step() -> None:
            client = await kind.dial(self.port)
            client.shake_hands("/live")
            await client.until(lambda: bool(client.status))
            await go(client, way)

        self._run(step())

    # Rooms.

    @rule(
        client=clients,
        room=ROOMS,
        then=st.sampled_from(["accept", "accept", "decline", "fail", "nothing"]),
        is_tracked=st.booleans(),
    )
    def join(self, client: Member, room: str, then: str, is_tracked: bool) -> None:
        async def step() -> None:
            rooms = self.expected.of[client.user_id]
            params = {"then": then} | ({"track": True} if is_tracked else {})
            answer = await client.join(room, **params)
            if room in rooms or then == "accept":
                assert answer["event"] == "ACKNOWLEDGE"
                rooms.setdefault(room, is_tracked)
            else:
                assert answer["event"] == "UNAUTHORIZED"

        self._run(step())

    @rule(client=clients, room=ROOMS)
    def leave(self, client: Member, room: str) -> None:
        async def step() -> None:
            if self.expected.of[client.user_id].pop(room, None) is not None:
                assert (await client.leave(room))["event"] == "EXIT_ACKNOWLEDGE"
            else:
                await client.tell("LEAVE_CHANNEL", room)

        self._run(step())

    @rule(client=clients, room=ROOMS)
    def join_leave_and_join_without_waiting(self, client: Member, room: str) -> None:
        async def step() -> None:
            await client.tell("JOIN_CHANNEL", room)
            await client.tell("LEAVE_CHANNEL", room)
            answer = await client.join(room)
            assert answer["event"] == "ACKNOWLEDGE"
            self.expected.of[client.user_id][room] = False

        self._run(step())

    @rule(client=clients, room=ROOMS, event=st.sampled_from(["echo", "fail", "what"]))
    def speak(self, client: Member, room: str, event: str) -> None:
        async def step() -> None:
            if room in self.expected.of[client.user_id]:
                answer = await client.ask("BROADCAST", room, event)
                assert answer["event"] == {
                    "echo": "echoed",
                    "fail": "INTERNAL_ERROR",
                    "what": "HANDLER_NOT_FOUND",
                }[event]
            else:
                await client.tell("BROADCAST", room, event)

        self._run(step())

    @rule(client=clients)
    def say_nonsense(self, client: Member) -> None:
        async def step() -> None:
            before = len(client.named("INVALID_MESSAGE"))
            await client.send(b"{")
            await client.until(lambda: len(client.named("INVALID_MESSAGE")) > before)

        self._run(step())

    # Getting out, amid all sorts of things.

    @rule(client=consumes(clients), way=WAYS_OUT)
    def go_away(self, client: Member, way: str) -> None:
        async def step() -> None:
            self._forget(client)
            await go(client, way)

        self._run(step())

    @rule(
        client=consumes(clients),
        room=ROOMS,
        stage=st.sampled_from(["gate before", "gate after"]),
        way=WAYS_OUT,
    )
    def vanish_amid_a_join(
        self, client: Member, room: str, stage: str, way: str
    ) -> None:
        async def step() -> None:
            is_member = room in self.expected.of[client.user_id]
            gate = self._new_gate()
            await client.tell("JOIN_CHANNEL", room, **{stage: gate, "track": True})
            if not is_member:
                await self.application.gates.until_someone_waits_at(gate)
            self._forget(client)
            await go(client, way)
            self.application.gates.open(gate)

        self._run(step())

    @rule(client=consumes(clients), room=ROOMS, way=WAYS_OUT, is_noticed=st.booleans())
    def vanish_amid_a_message(
        self, client: Member, room: str, way: str, is_noticed: bool
    ) -> None:
        async def step() -> None:
            is_member = room in self.expected.of[client.user_id]
            gate = self._new_gate()
            await client.tell("BROADCAST", room, "hold", gate=gate)
            await client.tell("BROADCAST", room, "echo")
            if is_member:
                await self.application.gates.until_someone_waits_at(gate)
            user = client.user_id
            self._forget(client)
            await go(client, way)
            if is_noticed:
                await eventually(lambda: user not in self._connected(), PATIENCE)
            self.application.gates.open(gate)

        self._run(step())

    @rule(client=consumes(clients), room=ROOMS, way=WAYS_OUT, count=st.integers(1, 200))
    def vanish_amid_broadcasts(
        self, client: Member, room: str, way: str, count: int
    ) -> None:
        async def step() -> None:
            channel = self.application.lobby.find(room)
            if channel is not None:
                sending = asyncio.create_task(broadcast(channel, count))
                if room in self.expected.of[client.user_id]:
                    await client.until(lambda: bool(client.named("news")))
                self._forget(client)
                await go(client, way)
                await sending
            else:
                self._forget(client)
                await go(client, way)

        self._run(step())

    # Being sent away.

    @rule(client=consumes(clients), is_racing=st.booleans(), way=WAYS_OUT)
    def close_connection(self, client: Member, is_racing: bool, way: str) -> None:
        async def step() -> None:
            user = client.user_id
            self._forget(client)
            closing = self.application.endpoint.close_connection(user)
            if is_racing:
                await asyncio.gather(closing, go(client, way))
            else:
                await closing
                await client.until(lambda: client.is_over)

        self._run(step())

    @rule(client=clients, room=ROOMS)
    def evict(self, client: Member, room: str) -> None:
        async def step() -> None:
            if self.expected.of[client.user_id].pop(room, None) is not None:
                channel = self.application.lobby.find(room)
                before = len(client.named("EVICTED"))
                await channel.evict_user(client.user_id, "go away")
                await client.until(lambda: len(client.named("EVICTED")) > before)

        self._run(step())

    @rule(room=ROOMS)
    def close_channel(self, room: str) -> None:
        async def step() -> None:
            channel = self.application.lobby.find(room)
            for rooms in self.expected.of.values():
                rooms.pop(room, None)
            if channel is not None:
                await channel.close()

        self._run(step())

    @rule(
        target=clients,
        client=consumes(clients),
        room=ROOMS,
        how=st.sampled_from(["evict", "close connection", "close channel"]),
    )
    def be_sent_away_by_a_handler(self, client: Member, room: str, how: str) -> Any:
        async def step() -> Any:
            await client.tell("BROADCAST", room, "go", how=how)
            if room not in self.expected.of[client.user_id]:
                return client
            match how:
                case "evict":
                    del self.expected.of[client.user_id][room]
                case "close connection":
                    self._forget(client)
                    await client.until(lambda: client.is_over)
                    return multiple()
                case "close channel":
                    for rooms in self.expected.of.values():
                        rooms.pop(room, None)
            return client

        return self._run(step())

    # The end.

    def teardown(self) -> None:
        """Close everything; nothing may be left."""

        async def end() -> None:
            for client in list(self._live):
                client.hang_up()
            self.expected.of.clear()
            await self._settle()
            await self._scope.aclose()
            assert len(asyncio.all_tasks()) == 1

        if hasattr(self, "port"):
            self._runner.run(end())
        self._runner.close()
        gc.collect()
        self._watching.__exit__(None, None, None)
        assert not self.complaints

    def _forget(self, client: Member) -> None:
        del self.expected.of[client.user_id]

    def _connected(self) -> set[str]:
        sessions = self.application.endpoint.connections.sessions()
        return {session.id for session in sessions}

    def _new_gate(self) -> str:
        self._gate_count += 1
        return f"gate-{self._gate_count}"
