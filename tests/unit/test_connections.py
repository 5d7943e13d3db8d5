"""The live connections of an endpoint: how each begins, and how it ends."""

import asyncio

import pytest

from pondsocket.connections import Connections
from pondsocket.contexts.connection import ConnectionContext
from pondsocket.errors import BadRequest, Conflict, Unavailable
from pondsocket.hooks import Hooks
from pondsocket.metrics import Telemetry
from pondsocket.options import Options
from pondsocket.transports import SSEServerTransport
from pondsocket.types import Event, IncomingConnection, LeaveReason
from tests.unit.doubles import PlainTransport, settle, started


class Performer:
    """Takes the clients' messages; each waits for the gate."""

    def __init__(self):
        self.messages = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, session, event):
        await self.gate.wait()
        self.messages.append((session.id, event.event))

    @property
    def names(self):
        return [name for _, name in self.messages]


@pytest.fixture
def perform():
    return Performer()


@pytest.fixture
def hooks(collector):
    return Hooks(metrics=collector)


@pytest.fixture
def make(hooks, perform, collector):
    def make(*, hooks=hooks, **options):
        options = Options(hooks=hooks, **options)
        return Connections("/socket", options, Telemetry(collector), perform)

    return make


@pytest.fixture
def connections(make):
    return make()


@pytest.fixture
def accepted():
    """Make the context of an accepted handshake."""

    def accepted(user_id="ann", *, query=None, **assigns):
        request = IncomingConnection(user_id, "127.0.0.1", query=query or {})
        return ConnectionContext(user_id=user_id, request=request).accept(**assigns)

    return accepted


def message(name, channel="/chat/1"):
    return Event("BROADCAST", channel, "r1", name, {})


async def open_gate(gate, seconds):
    await asyncio.sleep(seconds)
    gate.set()


# In


async def test_the_first_message_tells_the_client_its_ids(connections, client):
    ann = client("ann")

    await connections.register(ann.transport, None)

    (event,) = await ann.events()
    assert (event.action, event.event, event.channel_name) == (
        "CONNECT", "CONNECTION", "GATEWAY"
    )  # fmt: skip
    assert event.payload == {"id": "ann", "connectionId": "ann"}


async def test_each_greeting_has_an_id_of_its_own(connections, client):
    ann, bob = client("ann"), client("bob")

    await connections.register(ann.transport, None)
    await connections.register(bob.transport, None)

    (first,), (second,) = await ann.events(), await bob.events()
    assert first.request_id != second.request_id


async def test_the_id_of_an_sse_connection_is_not_the_users(connections):
    stream = SSEServerTransport(id="ann", connection_id="secret")

    await connections.register(stream, None)

    event = await stream.next_event()
    assert event.payload == {"id": "ann", "connectionId": "secret"}


@pytest.mark.parametrize(
    ("query", "protocol"),
    [
        ({"pond.protocol": "1"}, {"protocol": 1}),
        ({"pond.protocol": "2"}, {}),
        ({}, {}),
    ],
)
async def test_the_protocols_version_is_told_only_to_who_asks(
    connections, client, accepted, query, protocol
):
    ann = client("ann")

    await connections.register(ann.transport, accepted(query=query))

    ((_, _, payload),) = await ann.heard()
    assert payload == {"id": "ann", "connectionId": "ann", **protocol}


@pytest.mark.parametrize(
    ("query", "is_wished"),
    [
        ({"pond.presence": "diff"}, True),
        ({"pond.presence": "list"}, False),
        ({"presence": "diff"}, False),
        ({}, False),
    ],
)
async def test_who_asks_for_changes_of_presence_is_known_to_want_them(
    connections, client, accepted, query, is_wished
):
    ann = client("ann")

    await connections.register(ann.transport, accepted(query=query))

    assert connections.find_user("ann").wants_presence_changes is is_wished


async def test_a_connection_without_a_request_wants_full_lists(connections, client):
    await connections.register(client("ann").transport, None)

    assert not connections.find_user("ann").wants_presence_changes


async def test_the_handlers_reply_comes_after_the_greeting(
    connections, client, accepted
):
    ann = client("ann")
    context = accepted().reply("welcome", {"n": 1})

    await connections.register(ann.transport, context)

    greeting, reply = await ann.events()
    assert greeting.event == "CONNECTION"
    assert (reply.action, reply.event, reply.channel_name, reply.payload) == (
        "SYSTEM", "welcome", "GATEWAY", {"n": 1}
    )  # fmt: skip
    assert reply.request_id != greeting.request_id


async def test_a_reply_that_cannot_travel_leaves_nothing_behind(
    connections, client, accepted, collector
):
    ann = client("ann")
    context = accepted().reply("welcome", {"what": object()})

    with pytest.raises(BadRequest):
        await connections.register(ann.transport, context)

    assert len(connections) == 0
    assert collector.of("connection_opened") == []
    assert await ann.heard() == []


async def test_what_the_handler_assigned_is_set_on_the_connection(
    connections, client, accepted
):
    ann = client("ann", seat=1, kept=True)

    context = accepted().set_assigns(seat=2, user_id="someone")
    await connections.register(ann.transport, context)

    assert ann.transport.clone_assigns() == {
        "seat": 2, "kept": True, "user_id": "someone"
    }  # fmt: skip
    assert connections.find_user("ann") is not None


async def test_a_connection_can_be_found_by_its_user(connections, client):
    ann = client("ann")

    await connections.register(ann.transport, None)

    assert connections.find_user("ann").transport is ann.transport
    assert connections.find_user("bob") is None
    assert len(connections) == 1
    assert connections.sessions() == (connections.find_user("ann"),)


async def test_only_a_secret_id_finds_a_connection(connections, client):
    ann = client("ann")
    stream = SSEServerTransport(id="bob", connection_id="secret")
    await connections.register(ann.transport, None)
    await connections.register(stream, None)

    assert connections.find_connection("secret").transport is stream
    assert connections.find_connection("ann") is None
    assert connections.find_connection("bob") is None


async def test_a_closed_connection_is_found_by_nothing(connections):
    stream = SSEServerTransport(id="bob", connection_id="secret")
    await connections.register(stream, None)

    await stream.close()

    assert connections.find_connection("secret") is None
    assert connections.find_user("bob") is None
    assert connections.session_of(stream) is None


async def test_a_session_belongs_to_one_transport(connections, client):
    ann, other = client("ann"), client("ann")
    await connections.register(ann.transport, None)

    assert connections.session_of(ann.transport) is connections.find_user("ann")
    assert connections.session_of(other.transport) is None


async def test_a_user_is_connected_once(connections, client):
    ann, other = client("ann"), client("ann")
    await connections.register(ann.transport, None)

    with pytest.raises(Conflict) as caught:
        await connections.register(other.transport, None)

    assert caught.value.code == 409
    assert connections.find_user("ann").transport is ann.transport
    assert await other.heard() == []


async def test_registering_twice_does_not_disturb_the_connection(make, client):
    connections = make(outbound_max_messages=100)
    ann = client("ann")
    ann.transport._max_frames = 1
    await connections.register(ann.transport, None)
    session = connections.find_user("ann")
    session.send(message("second"))
    with pytest.raises(Conflict):
        await connections.register(ann.transport, None)

    await settle()
    heard = [await ann.transport.receive_sent(), await ann.transport.receive_sent()]

    assert [event.event for event in heard] == ["CONNECTION", "second"]


async def test_an_id_is_free_again_after_the_end(connections, client):
    ann, other = client("ann"), client("ann")
    await connections.register(ann.transport, None)
    await ann.transport.close()

    await connections.register(other.transport, None)

    assert connections.find_user("ann").transport is other.transport


async def test_a_user_may_come_back_while_its_last_connection_still_ends(
    connections, client, collector
):
    first, second = client("ann"), client("ann")
    await connections.register(first.transport, None)
    leaving = asyncio.ensure_future(first.transport.close())
    while connections.find_user("ann"):
        await asyncio.sleep(0)

    await connections.register(second.transport, None)
    session = connections.find_user("ann")
    await leaving
    await second.transport.close()

    assert session.is_ended
    assert len(connections) == 0
    assert [user_id for user_id, _ in collector.of("connection_closed")] == [
        "ann", "ann"
    ]  # fmt: skip


async def test_there_is_room_for_max_connections(make, client):
    connections = make(max_connections=1)
    ann = client("ann")
    assert not connections.is_full
    await connections.register(ann.transport, None)
    assert connections.is_full

    with pytest.raises(Unavailable) as caught:
        await connections.register(client("bob").transport, None)

    assert caught.value.code == 503
    await ann.transport.close()
    assert not connections.is_full


async def test_without_a_limit_it_is_never_full(make, client):
    connections = make(max_connections=0)
    await connections.register(client("ann").transport, None)

    assert not connections.is_full


async def test_a_transport_begins_to_read_once_it_is_greeted(connections):
    class Reading(PlainTransport):
        async def handle_messages(self):
            started.append(connections.find_user("ann") is not None)

    started = []

    await connections.register(Reading("ann"), None)

    assert started == [True]


async def test_a_transport_that_fails_to_read_is_not_connected(connections, hooks, log):
    class Broken(PlainTransport):
        async def handle_messages(self):
            raise OSError("no socket")

    hooks.on_disconnect = log("disconnected")

    with pytest.raises(OSError, match="no socket"):
        await connections.register(Broken("ann"), None)

    assert len(connections) == 0
    assert len(log.entries) == 1


async def test_who_registers_can_be_cancelled(connections, client, hooks):
    async def hang(transport):
        await asyncio.Event().wait()

    hooks.on_connect = hang
    task = asyncio.get_running_loop().create_task(
        connections.register(client("ann").transport, None)
    )
    await settle()
    assert len(connections) == 1

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert len(connections) == 0


async def test_a_transport_that_closed_before_is_not_connected(
    connections, client, hooks, log, collector
):
    hooks.on_disconnect = log("disconnected")
    ann = client("ann")
    await ann.transport.close()

    await connections.register(ann.transport, None)

    assert len(connections) == 0
    assert log.entries == [("disconnected", ann.transport)]
    assert len(collector.of("connection_closed")) == 1


# What the client says


@pytest.mark.parametrize("kind", ["plain", "ours"])
async def test_the_clients_messages_are_performed_in_order(
    connections, perform, client, kind
):
    transport = PlainTransport("ann") if kind == "plain" else client("ann").transport
    await connections.register(transport, None)

    for name in ("a", "b", "c"):
        if kind == "plain":
            await transport.handler(message(name), transport)
        else:
            await transport.push_inbound(message(name))
    await settle()

    assert perform.messages == [("ann", "a"), ("ann", "b"), ("ann", "c")]


async def test_a_users_own_transport_gets_lanes(connections, perform):
    transport = PlainTransport("ann")
    await connections.register(transport, None)
    perform.gate.clear()

    await transport.handler(message("a", "/chat/1"), transport)
    await transport.handler(message("b", "/chat/1"), transport)
    await transport.handler(message("c", "/chat/2"), transport)
    await settle()

    assert len(connections.find_user("ann").intake) == 1
    perform.gate.set()
    await settle()
    assert sorted(perform.names) == ["a", "b", "c"]
    assert perform.names.index("a") < perform.names.index("b")


@pytest.mark.parametrize("kind", ["plain", "ours"])
async def test_the_clients_messages_are_held_against_the_limits(
    make, perform, client, kind, collector
):
    connections = make(max_event_name_length=4)
    transport = PlainTransport("ann") if kind == "plain" else client("ann").transport
    await connections.register(transport, None)

    if kind == "plain":
        await transport.handler(message("shout"), transport)
    else:
        await transport.push_inbound(message("shout"))
    await settle()

    assert perform.messages == []
    sent = transport.sent if kind == "plain" else await transport.drain_outbox()
    assert [event.event for event in sent] == ["CONNECTION", "INVALID_MESSAGE"]
    assert sent[1].payload == {"error": "event: at most 4 bytes, got 5"}
    assert collector.of("count") == [["malformed", 1]]


async def test_an_answer_to_a_malformed_message_waits_its_turn(connections, client):
    ann = client("ann")
    ann.transport._max_frames = 1
    await connections.register(ann.transport, None)
    connections.find_user("ann").send(message("first"))

    ann.transport.receive("nonsense")
    await settle()
    heard = [(await ann.transport.receive_sent()).event for _ in range(3)]

    assert heard == ["CONNECTION", "first", "INVALID_MESSAGE"]


async def test_a_users_own_transport_is_closed_when_it_floods(
    make, perform, monkeypatch
):
    connections = make(max_messages_per_second=1, flood_tolerance=0.5)
    transport = PlainTransport("ann")
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    await connections.register(transport, None)

    for _ in range(5):
        now[0] += 0.2
        await transport.handler(message("say"), transport)
    await settle()

    assert not transport.is_active()
    assert len(connections) == 0


# Hooks and figures


async def test_hooks_are_told_of_the_beginning_and_the_end(
    connections, hooks, client, log
):
    hooks.on_connect = log("connected")
    hooks.on_disconnect = log("disconnected")
    ann = client("ann")

    await connections.register(ann.transport, None)
    await ann.transport.close()

    assert log.entries == [
        ("connected", ann.transport), ("disconnected", ann.transport)
    ]  # fmt: skip


async def test_hooks_that_raise_break_nothing(
    connections, hooks, client, log, collector
):
    first, second = ValueError("a"), asyncio.CancelledError()
    hooks.on_connect = log("connected", first)
    hooks.on_disconnect = log("disconnected", second)
    ann = client("ann")

    await connections.register(ann.transport, None)
    await ann.transport.close()

    assert len(connections) == 0
    assert collector.of("error") == [["hook", first], ["hook", second]]
    assert collector.of("count") == [["hook_failed", 1], ["hook_failed", 1]]


async def test_a_hook_that_hangs_is_cut_off(
    connections, hooks, client, flying_time, perform
):
    async def hang(transport):
        await asyncio.Event().wait()

    hooks.on_connect = hooks.on_disconnect = hang
    ann = client("ann")

    await connections.register(ann.transport, None)
    await ann.transport.push_inbound(message("say"))
    await settle()
    await ann.transport.close()

    assert perform.names == ["say"]
    assert len(connections) == 0


async def test_the_collector_is_told_of_each_connection_once(
    connections, client, collector
):
    ann = client("ann")
    await connections.register(ann.transport, None)
    assert collector.of("connection_opened") == [["ann", "/socket"]]
    assert collector.of("connection_closed") == []

    await ann.transport.close()
    await ann.transport.close()

    ((user_id, seconds),) = collector.of("connection_closed")
    assert user_id == "ann"
    assert 0 <= seconds < 1


async def test_without_hooks_and_collector_it_works_the_same(perform, client):
    connections = Connections("/socket", Options(), Telemetry(), perform)
    ann = client("ann")

    await connections.register(ann.transport, None)
    await ann.transport.close()

    assert len(connections) == 0


# Out


async def test_closing_sends_what_is_pending_first(connections):
    transport = PlainTransport("ann")
    await connections.register(transport, None)
    session = connections.find_user("ann")
    session.send(message("last"))

    await connections.close(session, 1000, "")

    assert [event.event for event in transport.sent] == ["CONNECTION", "last"]
    assert not transport.is_active()
    assert len(connections) == 0


async def test_a_transport_that_does_not_tell_of_its_end_is_forgotten_too(
    connections, hooks, log
):
    class Silent(PlainTransport):
        def on_close(self, callback):
            pass

    hooks.on_disconnect = log("disconnected")
    await connections.register(Silent("ann"), None)

    await connections.close(connections.find_user("ann"), 1000, "")

    assert len(connections) == 0
    assert len(log.entries) == 1


async def test_who_closes_first_ends_it_and_only_once(connections, client, hooks, log):
    hooks.on_disconnect = log("disconnected")
    ann = client("ann")
    await connections.register(ann.transport, None)
    session = connections.find_user("ann")

    await asyncio.gather(
        ann.transport.close(),
        connections.close(session, 1000, ""),
        connections.drain(0),
        ann.transport.peer_gone(),
    )

    assert log.entries == [("disconnected", ann.transport)]


async def test_a_transport_that_closes_while_it_sends_can_finish_that(connections):
    class Broken(PlainTransport):
        is_wire_closed = False

        async def send_event(self, event):
            await self.close()
            self.is_wire_closed = True

    broken = Broken("ann")

    await connections.register(broken, None)
    await settle()

    assert broken.is_wire_closed
    assert len(connections) == 0


async def test_a_transport_that_is_not_registered_may_close(connections, client):
    ann, other = client("ann"), client("ann")
    await connections.register(ann.transport, None)

    await connections._on_close(other.transport)

    assert len(connections) == 1


class Room:
    """A channel that notes who is removed from it."""

    def __init__(self, log):
        self.log = log

    def flush(self):
        self.log("flush")()

    def remove(self, user_id, reason):
        self.log("remove")(user_id, reason)
        return self

    async def finish(self):
        self.log("finish")()


@pytest.mark.parametrize("how", ["close", "peer_gone"])
async def test_a_connection_that_ends_leaves_its_channels(
    connections, client, hooks, log, how
):
    hooks.on_disconnect = log("disconnected")
    ann = client("ann")
    await connections.register(ann.transport, None)
    connections.find_user("ann").channels["/chat/1"] = Room(log)

    await getattr(ann.transport, how)()

    assert [entry for entry in log.entries if entry != ("flush",)] == [
        ("remove", "ann", LeaveReason.CONNECTION_CLOSED),
        ("finish",),
        ("disconnected", ann.transport),
    ]


# Draining


async def test_draining_refuses_new_connections(connections, client):
    await connections.drain(0)

    assert connections.is_draining
    with pytest.raises(Unavailable):
        await connections.register(client("ann").transport, None)


async def test_draining_closes_over_the_grace_period(
    connections, client, flying_time, monkeypatch
):
    ends = {}

    class Noting(type(client("x").transport)):
        async def close_with(self, code, reason):
            ends[self.get_id()] = (flying_time() - began, code, reason)
            await super().close_with(code, reason)

    for user_id in ("a", "b", "c", "d"):
        await connections.register(Noting(user_id), None)
    began = flying_time()

    await connections.drain(8.0)

    assert [code for _, code, _ in ends.values()] == [1012] * 4
    assert [reason for *_, reason in ends.values()] == ["server restarts"] * 4
    times = [time for time, *_ in ends.values()]
    assert times == pytest.approx([0.0, 2.0, 4.0, 6.0], abs=0.5)
    assert len(connections) == 0


async def test_draining_waits_for_handlers_in_flight(
    connections, client, perform, flying_time
):
    ann = client("ann")
    await connections.register(ann.transport, None)
    perform.gate.clear()
    await ann.say("slow")
    opening = asyncio.ensure_future(open_gate(perform.gate, 3.0))

    await connections.drain(8.0)

    assert perform.names == ["slow"]
    await opening


async def test_draining_waits_for_handlers_of_who_left_by_itself(
    connections, client, perform, flying_time
):
    ann = client("ann")
    await connections.register(ann.transport, None)
    perform.gate.clear()
    await ann.say("slow")
    await ann.transport.close()
    opening = asyncio.ensure_future(open_gate(perform.gate, 3.0))

    await connections.drain(8.0)

    assert perform.names == ["slow"]
    await opening


async def test_draining_waits_for_the_end_of_who_left_by_itself(
    connections, client, hooks, flying_time
):
    async def slow(transport):
        await asyncio.sleep(3.0)
        ended.append(transport)

    ended = []
    hooks.on_disconnect = slow
    ann = client("ann")
    await connections.register(ann.transport, None)
    leaving = await started(ann.transport.close())

    await connections.drain(8.0)

    assert ended == [ann.transport]
    await leaving


async def test_draining_does_not_wait_for_it_beyond_the_grace_period(
    connections, client, hooks, flying_time
):
    gate = asyncio.Event()

    async def stuck(transport):
        await gate.wait()

    hooks.on_disconnect = stuck
    ann = client("ann")
    await connections.register(ann.transport, None)
    leaving = await started(ann.transport.close())
    began = flying_time()

    await connections.drain(8.0)

    assert flying_time() - began == pytest.approx(8.0, abs=0.5)
    gate.set()
    await leaving


async def test_handlers_that_take_longer_than_the_grace_period_are_cancelled(
    connections, client, perform, flying_time
):
    ann = client("ann")
    await connections.register(ann.transport, None)
    perform.gate.clear()
    await ann.say("slow")
    began = flying_time()

    await connections.drain(8.0)

    assert perform.names == []
    assert flying_time() - began == pytest.approx(8.0, abs=0.5)
    assert not [t for t in asyncio.all_tasks() if t.get_name() == "pond-inbox-ann"]


async def test_draining_sends_what_a_slow_client_takes_in_time(
    connections, flying_time
):
    class Slow(PlainTransport):
        async def send_event(self, event):
            await asyncio.sleep(1.0)
            await super().send_event(event)

    transport = Slow("ann")
    await connections.register(transport, None)
    connections.find_user("ann").send(message("last"))

    await connections.drain(8.0)

    assert [event.event for event in transport.sent] == ["CONNECTION", "last"]


async def test_without_grace_nothing_is_waited_for(
    connections, client, perform, flying_time
):
    stuck, ann = PlainTransport("stuck"), client("ann")
    stuck.gate.clear()
    await connections.register(stuck, None)
    await connections.register(ann.transport, None)
    perform.gate.clear()
    await ann.say("slow")
    began = flying_time()

    await connections.drain(0)

    assert flying_time() - began < 0.5
    assert len(connections) == 0


async def test_draining_forgets_a_transport_that_does_not_tell_of_its_end(
    connections, hooks, log
):
    class Silent(PlainTransport):
        def on_close(self, callback):
            pass

    hooks.on_disconnect = log("disconnected")
    await connections.register(Silent("ann"), None)

    await connections.drain(0)

    assert len(connections) == 0
    assert len(log.entries) == 1


async def test_draining_again_does_nothing(connections, client, hooks, log):
    hooks.on_disconnect = log("disconnected")
    await connections.register(client("ann").transport, None)

    await connections.drain(0)
    await connections.drain(0)

    assert len(log.entries) == 1


async def test_closing_does_not_mind_a_handshake_whose_time_is_over(connections):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0) as deciding:
            await asyncio.Event().wait()
    connections.handshakes.add(deciding)

    await connections.close_all()

    assert not connections.handshakes


async def test_closing_everything_gives_handlers_a_second(
    connections, client, perform, flying_time
):
    ann, bob = client("ann"), client("bob")
    await connections.register(ann.transport, None)
    await connections.register(bob.transport, None)
    perform.gate.clear()
    await ann.say("slow")
    began = flying_time()

    await connections.close_all()

    assert flying_time() - began == pytest.approx(1.0, abs=0.5)
    assert len(connections) == 0
    assert connections.is_draining


async def test_closing_everything_that_is_idle_takes_no_time(
    connections, client, flying_time
):
    for user_id in ("a", "b", "c"):
        await connections.register(client(user_id).transport, None)
    began = flying_time()

    await connections.close_all()

    assert flying_time() - began < 0.5
    assert len(connections) == 0


async def test_a_handler_can_drain_the_connection_that_it_serves(make, client):
    async def perform(session, event):
        await connections.drain(0)
        done.append(event.event)

    done = []
    connections = Connections("/socket", Options(), Telemetry(), perform)
    ann = client("ann")
    await connections.register(ann.transport, None)

    await ann.say("stop")

    assert done == ["stop"]
    assert len(connections) == 0
