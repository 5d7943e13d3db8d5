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
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

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
    hang_up_all,
)
from tests.reliability.hosts import WEBSOCKETS, serving

pytestmark = [
    pytest.mark.timeout(600),
    # uvicorn's oldest implementation, in use
    pytest.mark.filterwarnings("ignore:remove second argument of ws_handler"),
]

EXAMPLES = int(os.environ.get("POND_LIFECYCLE_EXAMPLES", "40"))
STEPS = 15
PATIENCE = 5.0  # seconds until a quiet moment must have come
BIG = "x" * 20_000
IDLE = ("pond-listen-",)  # tasks of ours that live as long as their connection
HOST_NOISE = "ASGI callable returned without completing handshake."

SUDDEN_ENDS = ["hang up", "reset"]
ENDS = [*SUDDEN_ENDS, "say goodbye"]
STAGES_OF_A_JOIN = ["gate before", "gate after"]

KINDS = st.sampled_from([WebSocketClient, EventStreamClient])
ROOMS = st.sampled_from(["/room/a", "/room/b"])
CLIENTS = st.integers(0, 5)  # the so manieth of those there are, or one more
SUDDEN_WAYS_OUT = st.sampled_from(SUDDEN_ENDS)
WAYS_OUT = st.sampled_from(ENDS)


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
        self.of: dict[
            str, dict[str, bool]
        ] = {}  # user -> room -> is its presence shown

    def members(self, room: str) -> set[str]:
        return {user for user, rooms in self.of.items() if room in rooms}

    def presences(self, room: str) -> set[str]:
        return {user for user, rooms in self.of.items() if rooms.get(room)}

    def empty(self, room: str) -> None:
        for rooms in self.of.values():
            rooms.pop(room, None)

    def names(self) -> set[str]:
        return {room for rooms in self.of.values() for room in rooms}


async def go(client: Member, way: str) -> None:
    """Let a client go away."""
    match way:
        case "hang up":
            client.hang_up()
        case "reset":
            client.reset()
        case "say goodbye" if isinstance(client, EventStreamClient):
            assert await client.delete() in {204, 404}
        case "say goodbye" if isinstance(client, WebSocketClient):
            client.close()


async def broadcast(channel: Channel | None, count: int) -> None:
    for number in range(count if channel is not None else 0):
        await channel.broadcast("news", {"n": number, "padding": BIG})


def held_by(channel: Channel) -> tuple[set[str], set[str]]:
    """Return who is in a channel and who is shown to be."""
    local = channel._local
    members = {member.user_id for member in local.roster.members()}
    return members, set(local.presence.all())


def task_names() -> list[str]:
    names = (task.get_name() for task in asyncio.all_tasks())
    return sorted(name for name in names if name.startswith("pond-"))


class Complaints(logging.Handler):
    """Collects what must not happen: warnings, and errors that nobody planned."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        is_planned = isinstance(error, PlannedError)
        if not is_planned and record.getMessage() != HOST_NOISE:
            self.texts.append(f"{record.name}: {record.getMessage()} ({error!r})")

    def note(self, message: Warning | str, category: type[Warning], *_: Any) -> None:
        self.texts.append(f"{category.__name__}: {message}")

    def note_lost(self, _: object, context: dict[str, Any]) -> None:
        """Be the event loop's exception handler."""
        self.texts.append(f"{context['message']}: {context.get('exception')!r}")

    @contextmanager
    def collect(self) -> Iterator[None]:
        root = logging.getLogger()
        root.addHandler(self)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.filterwarnings("ignore", message="remove second argument")
            warnings.showwarning = self.note
            try:
                yield
            finally:
                root.removeHandler(self)


class LifecycleMachine(RuleBasedStateMachine):
    """Clients that come and go in every way, and a server that sends them away."""

    def __init__(self) -> None:
        super().__init__()
        self._gate_count = 0
        self._clients: list[Member] = []
        self.expected = Rooms()
        self.complaints = Complaints()
        self._collecting = ExitStack()
        self._collecting.enter_context(self.complaints.collect())
        self._serving = AsyncExitStack()
        self._runner = asyncio.Runner()
        self._runner.get_loop().set_exception_handler(self.complaints.note_lost)

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
            self.port = await self._serving.enter_async_context(
                serving(self.application.pond, ws, ws_ping_interval=None)
            )

        self._run(start())

    # Quiet moments.

    async def _settle(self) -> None:
        try:
            await eventually(lambda: not self._differences(), PATIENCE)
        except TimeoutError:
            raise AssertionError("\n".join(self._differences())) from None
        assert not self.complaints.texts

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
            "left": Counter(
                (u, r) for u, rooms in self.expected.of.items() for r in rooms
            ),
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

    @rule(kind=KINDS)
    def connect(self, kind: type[Member]) -> None:
        self._run(self._open(kind))

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

    @rule(kind=KINDS, way=SUDDEN_WAYS_OUT, is_noticed=st.booleans())
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

    @rule(kind=KINDS, way=SUDDEN_WAYS_OUT)
    def vanish_right_after_the_handshake(self, kind: type[Member], way: str) -> None:
        async def step() -> None:
            client = await kind.dial(self.port)
            client.shake_hands("/live")
            await client.until(lambda: bool(client.status))
            await go(client, way)

        self._run(step())

    # Rooms.

    @rule(
        who=CLIENTS,
        room=ROOMS,
        then=st.sampled_from(["accept", "accept", "decline", "fail", "nothing"]),
        is_tracked=st.booleans(),
    )
    def join(self, who: int, room: str, then: str, is_tracked: bool) -> None:
        async def step() -> None:
            client = await self._pick(who)
            rooms = self.expected.of[client.user_id]
            params = {"then": then} | ({"track": True} if is_tracked else {})
            answer = await client.join(room, **params)
            if room in rooms or then == "accept":
                assert answer["event"] == "ACKNOWLEDGE"
                rooms.setdefault(room, is_tracked)
            else:
                assert answer["event"] == "UNAUTHORIZED"

        self._run(step())

    @rule(who=CLIENTS, room=ROOMS)
    def leave(self, who: int, room: str) -> None:
        async def step() -> None:
            client = await self._pick(who, room)
            if self.expected.of[client.user_id].pop(room, None) is not None:
                assert (await client.leave(room))["event"] == "EXIT_ACKNOWLEDGE"
            else:
                await client.tell("LEAVE_CHANNEL", room)

        self._run(step())

    @rule(who=CLIENTS, room=ROOMS)
    def join_leave_and_join_without_waiting(self, who: int, room: str) -> None:
        async def step() -> None:
            client = await self._pick(who)
            await client.tell("JOIN_CHANNEL", room)
            await client.tell("LEAVE_CHANNEL", room)
            answer = await client.join(room)
            assert answer["event"] == "ACKNOWLEDGE"
            self.expected.of[client.user_id][room] = False

        self._run(step())

    @rule(who=CLIENTS, room=ROOMS, event=st.sampled_from(["echo", "fail", "what"]))
    def speak(self, who: int, room: str, event: str) -> None:
        async def step() -> None:
            client = await self._pick(who, room)
            if room in self.expected.of[client.user_id]:
                answer = await client.ask("BROADCAST", room, event)
                assert (
                    answer["event"]
                    == {
                        "echo": "echoed",
                        "fail": "INTERNAL_ERROR",
                        "what": "HANDLER_NOT_FOUND",
                    }[event]
                )
            else:
                await client.tell("BROADCAST", room, event)

        self._run(step())

    @rule(who=CLIENTS)
    def say_nonsense(self, who: int) -> None:
        async def step() -> None:
            client = await self._pick(who)
            before = len(client.named("INVALID_MESSAGE"))
            await client.send(b"{")
            await client.until(lambda: len(client.named("INVALID_MESSAGE")) > before)

        self._run(step())

    # Getting out, amid all sorts of things.

    @rule(who=CLIENTS, room=ROOMS, way=WAYS_OUT)
    def go_away(self, who: int, room: str, way: str) -> None:
        async def step() -> None:
            client = await self._pick(who, room)
            self._forget(client)
            await go(client, way)

        self._run(step())

    @rule(
        who=CLIENTS,
        room=ROOMS,
        stage=st.sampled_from(STAGES_OF_A_JOIN),
        way=WAYS_OUT,
        is_noticed=st.booleans(),
    )
    def vanish_amid_a_join(
        self, who: int, room: str, stage: str, way: str, is_noticed: bool
    ) -> None:
        async def step() -> None:
            client = await self._pick(who)
            gate = self._new_gate()
            await client.tell("JOIN_CHANNEL", room, **{stage: gate, "track": True})
            if room not in self.expected.of[client.user_id]:
                await self.application.gates.until_someone_waits_at(gate)
            self._forget(client)
            await go(client, way)
            if is_noticed:
                await self._until_noticed(client)
            self.application.gates.open(gate)

        self._run(step())

    @rule(who=CLIENTS, room=ROOMS, way=WAYS_OUT, is_noticed=st.booleans())
    def vanish_amid_a_message(
        self, who: int, room: str, way: str, is_noticed: bool
    ) -> None:
        async def step() -> None:
            client = await self._pick(who, room)
            gate = self._new_gate()
            await client.tell("BROADCAST", room, "hold", gate=gate)
            await client.tell("BROADCAST", room, "echo")
            if room in self.expected.of[client.user_id]:
                await self.application.gates.until_someone_waits_at(gate)
            self._forget(client)
            await go(client, way)
            if is_noticed:
                await self._until_noticed(client)
            self.application.gates.open(gate)

        self._run(step())

    @rule(who=CLIENTS, room=ROOMS, way=WAYS_OUT, count=st.integers(1, 100))
    def vanish_amid_broadcasts(self, who: int, room: str, way: str, count: int) -> None:
        async def step() -> None:
            client = await self._pick(who, room)
            channel = self.application.lobby.find(room)
            sending = asyncio.create_task(broadcast(channel, count))
            if room in self.expected.of[client.user_id]:
                await client.until(lambda: bool(client.named("news")))
            self._forget(client)
            await go(client, way)
            await sending

        self._run(step())

    # Being sent away.

    @rule(who=CLIENTS, room=ROOMS, is_racing=st.booleans(), way=WAYS_OUT)
    def close_connection(self, who: int, room: str, is_racing: bool, way: str) -> None:
        async def step() -> None:
            client = await self._pick(who, room)
            self._forget(client)
            closing = self.application.endpoint.close_connection(client.user_id)
            if is_racing:
                await asyncio.gather(closing, go(client, way))
            else:
                await closing
                await client.until(lambda: client.is_over)

        self._run(step())

    @rule(who=CLIENTS, room=ROOMS)
    def evict(self, who: int, room: str) -> None:
        async def step() -> None:
            client = await self._pick(who, room)
            if self.expected.of[client.user_id].pop(room, None) is not None:
                channel = self.application.lobby.find(room)
                before = len(client.named("EVICTED"))
                await channel.evict_user(client.user_id, "go away")
                await client.until(lambda: len(client.named("EVICTED")) > before)

        self._run(step())

    @rule(who=CLIENTS, room=ROOMS, is_racing=st.booleans(), way=WAYS_OUT)
    def close_channel(self, who: int, room: str, is_racing: bool, way: str) -> None:
        async def step() -> None:
            client = await self._pick(who, room)
            self.expected.empty(room)
            channel = self.application.lobby.find(room)
            closing = [channel.close()] if channel is not None else []
            if is_racing:
                self._forget(client)
                await asyncio.gather(*closing, go(client, way))
            else:
                await asyncio.gather(*closing)

        self._run(step())

    @rule(
        who=CLIENTS,
        room=ROOMS,
        how=st.sampled_from(["evict", "close connection", "close channel"]),
    )
    def be_sent_away_by_a_handler(self, who: int, room: str, how: str) -> None:
        async def step() -> None:
            client = await self._pick(who, room)
            await client.tell("BROADCAST", room, "go", how=how)
            if room not in self.expected.of[client.user_id]:
                return
            match how:
                case "evict":
                    del self.expected.of[client.user_id][room]
                case "close connection":
                    self._forget(client)
                    await client.until(lambda: client.is_over)
                case "close channel":
                    self.expected.empty(room)

        self._run(step())

    # The end.

    def teardown(self) -> None:
        """Close everything; nothing may be left."""

        async def end() -> None:
            await hang_up_all()
            self.expected.of.clear()
            await self._settle()
            await self._serving.aclose()
            assert asyncio.all_tasks() == {asyncio.current_task()}

        with self._collecting:
            with self._runner:
                if hasattr(self, "port"):  # else the start failed
                    self._runner.run(end())
            gc.collect()
        assert not self.complaints.texts

    async def _pick(self, who: int, room: str = "") -> Member:
        """Return one of the clients, or a new one, which is in the room."""
        if who < len(self._clients):
            return self._clients[who]
        client = await self._open([WebSocketClient, EventStreamClient][who % 2])
        if room:
            await client.join(room, track=True)
            self.expected.of[client.user_id][room] = True
        return client

    async def _open(self, kind: type[Member]) -> Member:
        client = await kind.open(self.port)
        self._clients.append(client)
        self.expected.of[client.user_id] = {}
        return client

    def _forget(self, client: Member) -> None:
        self._clients.remove(client)
        del self.expected.of[client.user_id]

    async def _until_noticed(self, client: Member) -> None:
        find = self.application.endpoint.connections.find_user
        await eventually(lambda: find(client.user_id) is None, PATIENCE)

    def _new_gate(self) -> str:
        self._gate_count += 1
        return f"gate-{self._gate_count}"


class TestLifecycle(LifecycleMachine.TestCase):
    settings = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.parametrize("ws", WEBSOCKETS)
def test_whoever_goes_away_at_any_stage_leaves_nothing_behind(ws):
    """Take each step once with everything that it can be given; chance comes later."""
    machine = LifecycleMachine()
    try:
        machine.serve(ws)
        room = "/room/a"
        everybody = [WebSocketClient, EventStreamClient]
        newcomers = [2, 3]  # one of each kind
        machine.connect(WebSocketClient)
        noticed = [False, True]
        for kind, way, seen in product(everybody, SUDDEN_ENDS, noticed):
            machine.vanish_during_the_connection_handler(kind, way, seen)
            machine.vanish_right_after_the_handshake(kind, way)
        for who, way, seen in product(newcomers, ENDS, noticed):
            machine.join(0, room, "accept", True)  # somebody stays
            for stage in STAGES_OF_A_JOIN:
                machine.vanish_amid_a_join(who, room, stage, way, seen)
            machine.vanish_amid_a_message(who, room, way, seen)
            machine.vanish_amid_broadcasts(who, room, way, 50)
            machine.close_connection(who, room, seen, way)
            machine.close_channel(who, room, True, way)
            machine.go_away(who, room, way)
    finally:
        machine.teardown()
