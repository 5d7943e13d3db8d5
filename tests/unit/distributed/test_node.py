"""Node: its name, its clock, its way out."""

import asyncio
import logging

import pytest

from pondsocket.distributed import node as node_module
from pondsocket.distributed import publisher
from pondsocket.distributed.messages import (
    MAX_SIZE,
    NodeHeartbeat,
    UserJoined,
    decode,
    encode,
)
from pondsocket.distributed.node import Node, Timers
from pondsocket.local_pubsub import LocalPubSub
from pondsocket.metrics import Telemetry
from pondsocket.options import Options
from pondsocket.testing import ManualClock
from tests.unit.distributed.rooms import envelope
from tests.unit.doubles import Clock, other_tasks, settle


class Bus(LocalPubSub):
    """A hub whose subscribing may fail or hang."""

    def __init__(self):
        super().__init__()
        self.failure = None

    async def subscribe(self, pattern, handler):
        if self.failure is not None:
            raise self.failure
        await super().subscribe(pattern, handler)


@pytest.fixture
def clock():
    return ManualClock(1000.0)


@pytest.fixture
async def bus():
    bus = Bus()
    yield bus
    await bus.close()


@pytest.fixture
async def node(bus, clock):
    node = Node(bus, Options(node_id="here"), Telemetry(None), clock)
    yield node
    await node.close()


def count(node, name):
    return node.telemetry.counts()[name]


# Its clock.


def test_it_tells_milliseconds(node, clock):
    clock.advance(0.0019)

    assert node.now_ms() == 1_000_001


def test_its_clock_never_goes_back(bus):
    times = iter([5.0, 3.0])
    node = Node(bus, Options(node_id="here"), Telemetry(None), lambda: next(times))

    assert [node.now_ms(), node.now_ms()] == [5000, 5000]


def test_epochs_of_one_millisecond_sort_as_they_were_made(node):
    epochs = [node.new_epoch() for _ in range(300)]

    assert epochs == sorted(set(epochs))
    assert {epoch.partition("-")[0] for epoch in epochs} == {"1000000"}


def test_every_message_has_an_id_of_its_own(node):
    first, second = node.envelope("chat", "/a"), node.envelope("chat", "/a")

    assert first["message_id"] != second["message_id"]
    assert (first["source_node_id"], first["timestamp"]) == ("here", 1_000_000)


def test_a_random_part_of_a_span_is_within_it(node):
    assert all(0 <= node.spread(2.0) <= 2.0 for _ in range(50))


# What it sends and hears.


async def test_what_it_sends_is_published(node, bus):
    heard = []
    await bus.subscribe("t", lambda topic, data: heard.append(decode(data)))
    beat = NodeHeartbeat(**envelope("here"), node_id="here")

    node.send("t", beat)
    await settle()

    assert heard == [beat]


async def test_what_has_no_json_form_stays_here_and_is_counted(node):
    joined = UserJoined(**envelope("here"), user_id="ann", assigns={"k": object()})

    node.send("t", joined)

    assert count(node, "unshareable") == 1


async def test_who_is_heard_is_alive(node):
    node.hear("there")

    assert "there" in node.others


def test_a_message_of_another_node_is_read(node):
    beat = NodeHeartbeat(**envelope("there"), node_id="there")

    assert node.read("t", encode(beat)) == beat


def test_another_node_of_its_name_is_not_heard_but_told_of_once(node, caplog):
    beat = NodeHeartbeat(**envelope("here"), node_id="here")

    heard = [node.read("t", encode(beat)) for _ in range(2)]

    assert heard == [None, None]
    assert count(node, "bus_same_node") == 2
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_its_own_message_is_none_whatever_else_is_in_it(node):
    message = NodeHeartbeat(**node.envelope("chat", "/a"), node_id="here")

    assert node.read("t", encode(message)[:100]) is None
    assert count(node, "bus_same_node") == 0


def test_a_message_that_quotes_one_of_its_ids_is_read(node):
    quoted = '"messageId":"' + node.envelope("chat", "/a")["message_id"]
    joined = UserJoined(**envelope("there"), user_id="ann", assigns={"k": quoted})

    assert node.read("t", encode(joined)) == joined


@pytest.mark.parametrize(
    ("data", "counter"),
    [
        (b"\xff", "bus_malformed"),
        (
            b'{"protocol":"pondsocket.distributed","version":1,"type":"NEW"}',
            "bus_unknown",
        ),
    ],
)
def test_what_is_no_message_is_counted(node, data, counter):
    assert node.read("t", data) is None
    assert count(node, counter) == 1


# Subscriptions.


async def test_a_subscription_begins_and_ends(node, bus):
    await node.subscribe("t", print)
    subscribed = bus.stats()["subscriptions"]
    await node.unsubscribe("t", print)

    assert (subscribed, bus.stats()["subscriptions"]) == (1, 0)


async def test_a_subscription_that_fails_is_logged_and_counted(node, bus, caplog):
    bus.failure = OSError("away")

    await node.subscribe("t", print)

    assert count(node, "subscribe_failed") == 1
    assert "'t' does not hear other nodes yet: away" in caplog.text


async def test_what_is_sent_at_once_waits_for_room(node, bus, monkeypatch):
    monkeypatch.setattr(publisher, "MAX_MESSAGES", 4)
    said = []
    await bus.subscribe("topic", lambda _, data: said.append(decode(data).node_id))
    beats = [NodeHeartbeat(**envelope("here"), node_id=str(n)) for n in range(9)]

    node.send_all("topic", beats)
    async with asyncio.timeout(5):
        while len(said) < len(beats):
            await asyncio.sleep(0)

    assert said == [str(n) for n in range(9)]
    assert count(node, "publish_failed") == 0


async def test_what_is_sent_at_once_goes_out_though_there_is_never_room(
    node, bus, monkeypatch
):
    monkeypatch.setattr(publisher.Publisher, "is_crowded", True)
    monkeypatch.setattr(node_module, "ROOM_ATTEMPTS", 2)
    said = []
    await bus.subscribe("topic", lambda _, data: said.append(decode(data).node_id))
    beats = [NodeHeartbeat(**envelope("here"), node_id=str(n)) for n in range(3)]

    node.send_all("topic", beats)
    async with asyncio.timeout(5):
        while len(said) < len(beats):
            await asyncio.sleep(0)

    assert said == ["0", "1", "2"]


async def test_a_message_that_nobody_would_read_is_counted(node, caplog):
    node.publish("topic", b"x" * (MAX_SIZE + 1))

    assert count(node, "publish_failed") == 1
    assert str(MAX_SIZE) in caplog.text


async def test_an_end_of_a_subscription_that_fails_is_logged(node, caplog):
    await node.unsubscribe("t", print)

    assert "unsubscribing 't' failed" in caplog.text


# Work in the background.


async def test_what_work_raises_is_logged_and_counted(node, caplog):
    async def fail():
        raise OSError("no")

    node.run(fail(), "test")
    await settle()

    assert count(node, "node_request_failed") == 1
    assert "a request of another node failed: no" in caplog.text


async def test_what_is_asked_for_while_very_much_goes_on_is_counted(node, monkeypatch):
    monkeypatch.setattr("pondsocket.distributed.node.MAX_TASKS", 1)
    begun = []

    async def work(name):
        begun.append(name)

    node.run(work("first"), "work")
    node.run(work("second"), "work")
    await settle()

    assert begun == ["first"]
    assert count(node, "node_request_failed") == 1


async def test_close_ends_what_goes_on(node):
    node.run(asyncio.sleep(3600), "test")

    await node.close()

    assert other_tasks() == set()


async def test_close_leaves_work_behind_that_ignores_its_end(node, flying_time, caplog):
    caplog.set_level(logging.ERROR)
    go = asyncio.Event()

    async def ignore():
        while not go.is_set():
            try:
                await go.wait()
            except asyncio.CancelledError:
                continue

    node.run(ignore(), "test")
    await settle()
    await node.close()
    go.set()
    await settle()

    assert "1 requests of nodes ignore their end" in caplog.text


# Timers.


@pytest.fixture
async def time():
    return Clock()


async def test_what_is_due_is_done_once(time, log):
    timers = Timers()
    timers.set("a", 1.0, log("a"), 1)

    await time.advance(1.0)
    await time.advance(1.0)

    assert log.entries == [("a", 1)]
    assert "a" not in timers


async def test_what_is_set_anew_replaces_what_was(time, log):
    timers = Timers()
    timers.set("a", 1.0, log("old"))
    timers.set("a", 2.0, log("new"))

    await time.advance(3.0)

    assert log.entries == [("new",)]


async def test_what_is_cancelled_is_not_done(time, log):
    timers = Timers()
    for name in ("a", "b", "c"):
        timers.set(name, 1.0, log(name))
    timers.cancel("a")
    timers.cancel("a")
    timers.cancel_all()

    await time.advance(1.0)

    assert log.entries == []
