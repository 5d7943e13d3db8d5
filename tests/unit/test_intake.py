"""What becomes of each message of a client before a handler sees it."""

import asyncio
import json

import pytest

from pondsocket import intake as intake_module
from pondsocket.intake import Intake
from pondsocket.metrics import NoopMetrics, Telemetry
from pondsocket.types import Event, Limits
from pondsocket.wire import JSON_CODEC
from tests.unit.doubles import settle

pytestmark = pytest.mark.usefixtures("no_task_is_left")


class Desk:
    """An intake and all that comes out of it."""

    def __init__(self, *, telemetry=None, codec=JSON_CODEC, handle=None, **limits):
        self.telemetry = telemetry or Telemetry()
        self.handled = []
        self.answers = []
        self.endings = []
        self.go = asyncio.Event()
        self.go.set()
        self.intake = Intake(
            "ann",
            limits=Limits(**limits),
            telemetry=self.telemetry,
            codec=codec,
            handle=self._handle,
            answer=self.answers.append,
            end=lambda *why: self.endings.append(why),
        )

    async def _handle(self, event):
        self.handled.append(event.payload["n"])
        await self.go.wait()

    @property
    def counts(self):
        return {name: n for name, n in self.telemetry.counts().items() if n}

    async def finish(self):
        self.go.set()
        await settle()


class Collector(NoopMetrics):
    def __init__(self):
        self.received = []
        self.depths = []

    def message_received(self, *args):
        self.received.append(args)

    def queue_depth(self, *args):
        self.depths.append(args)


@pytest.fixture
def clock(monkeypatch):
    """The clock that an intake reads, turned by hand."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(intake_module, "time", clock)
    return clock


@pytest.fixture
def desk():
    return Desk()


def message(n=0, **members):
    return {
        "action": "BROADCAST",
        "event": "news",
        "channelName": "/room",
        "requestId": f"request-{n}",
        "payload": {"n": n},
        **members,
    }


def text(n=0, **members):
    return json.dumps(message(n, **members), ensure_ascii=False)


def decoded(n=0, **members):
    wire = message(n, **members)
    return Event(
        wire["action"],
        wire["channelName"],
        wire["requestId"],
        wire["event"],
        wire["payload"],
    )


# Good messages.


@pytest.mark.parametrize("data", [text(1), text(1).encode()], ids=["text", "bytes"])
async def test_a_message_reaches_its_handler(desk, data):
    assert desk.intake.receive(data)

    await settle()
    assert desk.handled == [1]
    assert not desk.answers
    assert not desk.counts


async def test_an_event_decoded_elsewhere_reaches_its_handler(desk):
    assert desk.intake.take(decoded(1))

    await settle()
    assert desk.handled == [1]


async def test_a_ping_is_taken_and_goes_nowhere(desk):
    assert desk.intake.receive('{"action":"ping"}')

    await settle()
    assert not desk.handled
    assert not desk.answers


async def test_it_knows_what_waits_and_whether_it_is_idle(desk):
    desk.go.clear()
    assert desk.intake.is_idle

    desk.intake.receive(text(0))
    desk.intake.receive(text(1))
    await settle()

    assert len(desk.intake) == 1
    assert not desk.intake.is_idle
    await desk.finish()
    assert desk.intake.is_idle


async def test_a_collector_is_told_of_each_message_and_its_size():
    collector = Collector()
    desk = Desk(telemetry=Telemetry(collector))

    desk.intake.receive(text(1))
    desk.intake.take(decoded(2))

    await settle()
    size = len(text(1))
    assert collector.received == [
        ("ann", "/room", "news", size),
        ("ann", "/room", "news", 0),
    ]
    assert [name for name, _ in collector.depths] == ["inbox", "inbox"]


# Size.


def sized(size, filler="x"):
    """A message of so many bytes."""
    room = size - len(text(payload={"n": 0, "x": ""}).encode())
    filler *= room // len(filler.encode())
    data = text(payload={"n": 0, "x": filler})
    return data + " " * (size - len(data.encode()))


@pytest.mark.parametrize("filler", ["x", "é", "😀"])
@pytest.mark.parametrize("as_bytes", [False, True])
async def test_a_message_may_be_as_large_as_the_limit_and_no_larger(filler, as_bytes):
    desk = Desk(max_message_size=300)
    fitting, larger = sized(300, filler), sized(301, filler)

    for data in (fitting, larger):
        assert desk.intake.receive(data.encode() if as_bytes else data)
        await settle()

    assert desk.endings == [(1009, "message above 300 bytes")]
    assert desk.handled == [0]
    assert desk.counts == {"oversized": 1}


async def test_a_text_with_more_characters_than_bytes_allowed_is_not_encoded():
    class Text(str):
        __slots__ = ()

        def encode(self, *args, **kwargs):
            raise AssertionError("that much must not be copied")

    desk = Desk(max_message_size=300)

    desk.intake.receive(Text("é" * 301))

    assert desk.endings == [(1009, "message above 300 bytes")]


async def test_without_a_limit_a_message_may_have_any_size():
    desk = Desk(max_message_size=0)

    desk.intake.receive(sized(2_000_000, "é"))

    await settle()
    assert desk.handled == [0]


# Malformed messages.


async def test_a_malformed_message_is_answered_with_what_is_wrong(desk):
    assert desk.intake.receive(text(7, channelName=5))

    (answer,) = desk.answers
    assert (answer.action, answer.event) == ("ERROR", "INVALID_MESSAGE")
    assert answer.channel_name == "GATEWAY"
    assert answer.request_id == "request-7"
    assert answer.payload == {"error": "channelName: expected a string, got a number"}
    assert desk.counts == {"malformed": 1}
    assert not desk.handled


async def test_an_answer_to_something_without_an_id_gets_a_fresh_one(desk):
    desk.intake.receive("nonsense")
    desk.intake.receive("nonsense")

    first, second = (answer.request_id for answer in desk.answers)
    assert first
    assert first != second


@pytest.mark.parametrize(
    ("limit", "members", "path"),
    [
        ({"max_event_name_length": 3}, {}, "event"),
        ({"max_channel_name_length": 3}, {}, "channelName"),
        ({"max_nesting_depth": 1}, {"payload": {"n": [[]]}}, "payload"),
    ],
    ids=["event", "channelName", "payload"],
)
@pytest.mark.parametrize("way", ["receive", "take"])
async def test_what_is_above_a_limit_is_answered_with_the_member(
    way, limit, members, path
):
    desk = Desk(**limit)
    data = text(7, **members) if way == "receive" else decoded(7, **members)

    assert getattr(desk.intake, way)(data)

    (answer,) = desk.answers
    assert answer.payload["error"].startswith(f"{path}: ")
    assert answer.request_id == "request-7"
    assert desk.counts == {"malformed": 1}
    assert not desk.handled


@pytest.mark.parametrize("way", ["receive", "take"])
async def test_a_request_id_above_its_limit_is_not_sent_back(desk, way):
    huge = {"requestId": "r" * 10_000}

    getattr(desk.intake, way)(text(**huge) if way == "receive" else decoded(**huge))

    (answer,) = desk.answers
    assert len(answer.request_id) < 100


async def test_one_of_several_decoded_events_above_a_limit_rejects_them_all():
    class Pairs:
        name = "pairs"

        def decode(self, data):
            return [decoded(0), decoded(1, event="too long")]

    desk = Desk(codec=Pairs(), max_event_name_length=4)

    desk.intake.receive(b"")

    await settle()
    assert not desk.handled
    assert desk.counts == {"malformed": 1}


# Floods.


async def test_a_flood_is_answered_and_dropped(clock):
    desk = Desk(max_messages_per_second=2)

    taken = [desk.intake.receive(text(n)) for n in range(5)]

    await settle()
    assert taken == [True] * 5
    assert desk.handled == [0, 1]
    (answer,) = desk.answers
    assert (answer.action, answer.event) == ("SYSTEM", "INTERNAL_ERROR")
    assert (answer.channel_name, answer.request_id) == ("/room", "request-2")
    assert answer.payload == {
        "code": 429,
        "message": "Too many messages",
        "details": None,
        "temporary": True,
    }
    assert desk.counts == {"flood": 3}


async def test_a_flood_of_events_decoded_elsewhere_is_answered_too(clock):
    desk = Desk(max_messages_per_second=1)

    taken = [desk.intake.take(decoded(n)) for n in range(3)]

    await settle()
    assert taken == [True] * 3
    assert desk.handled == [0]
    assert [answer.request_id for answer in desk.answers] == ["request-1"]


async def test_what_is_not_answered_is_not_decoded(clock):
    class Counting:
        name = "counting"
        decoded = 0

        def decode(self, data):
            self.decoded += 1
            return JSON_CODEC.decode(data)

    codec = Counting()
    desk = Desk(codec=codec, max_messages_per_second=1)

    for n in range(100):
        desk.intake.receive(text(n))

    await settle()
    assert codec.decoded == 2  # the one let through and the one answered


async def test_a_malformed_message_in_a_flood_is_answered_as_malformed(clock):
    desk = Desk(max_messages_per_second=1)
    desk.intake.receive(text())

    desk.intake.receive("nonsense")

    await settle()
    assert [answer.event for answer in desk.answers] == ["INVALID_MESSAGE"]
    assert desk.counts == {"flood": 1, "malformed": 1}


async def test_what_is_above_a_limit_is_not_sent_back_in_a_flood_either(clock):
    desk = Desk(max_messages_per_second=1)
    desk.intake.receive(text())

    desk.intake.receive(text(requestId="r" * 10_000))

    (answer,) = desk.answers
    assert answer.event == "INVALID_MESSAGE"
    assert len(answer.request_id) < 100


async def test_what_is_above_a_limit_in_a_flood_is_not_sent_back(clock):
    desk = Desk(max_messages_per_second=1)
    desk.intake.receive(text())

    desk.intake.receive(text(channelName="/" + "x" * 10_000))

    await settle()
    (answer,) = desk.answers
    assert (answer.event, answer.channel_name) == ("INVALID_MESSAGE", "GATEWAY")


async def test_a_ping_in_a_flood_gets_no_answer(clock):
    desk = Desk(max_messages_per_second=1)
    desk.intake.receive(text())

    desk.intake.receive('{"action":"ping"}')

    await settle()
    assert not desk.answers


async def test_a_flood_that_goes_on_ends_the_connection_once(clock):
    desk = Desk(max_messages_per_second=1, flood_tolerance=2)

    for _ in range(100):
        desk.intake.receive(text())
        desk.intake.take(decoded())
        clock.now += 0.1

    await settle()
    assert desk.endings == [(1008, "too many messages")]
    assert desk.counts["flood_closed"] == 1


# A full inbox.


async def test_a_full_inbox_takes_nothing_and_answers_as_to_a_flood():
    desk = Desk(inbound_max_messages=1)
    desk.go.clear()
    desk.intake.receive(text(0))
    await settle()  # being handled now

    taken = [desk.intake.receive(text(n)) for n in (1, 2, 3)]

    assert taken == [True, False, False]
    assert [answer.payload["code"] for answer in desk.answers] == [429]
    assert desk.counts == {"flood": 2, "inbound_dropped": 2}
    await desk.finish()
    assert desk.handled == [0, 1]


async def test_a_full_inbox_takes_no_decoded_event_either():
    desk = Desk(inbound_max_messages=1)
    desk.go.clear()
    desk.intake.take(decoded(0))
    await settle()
    desk.intake.take(decoded(1))

    assert not desk.intake.take(decoded(2))

    await desk.finish()
    assert desk.handled == [0, 1]


# The end.


async def test_the_end_drops_what_waits_and_counts_it(desk):
    desk.go.clear()
    for n in range(3):
        desk.intake.receive(text(n))
    await settle()

    desk.intake.close()
    desk.intake.close()

    assert desk.counts == {"inbound_dropped": 2}
    await desk.finish()
    assert desk.handled == [0]


async def test_what_comes_after_the_end_is_ignored(desk):
    desk.intake.close()

    assert desk.intake.receive(text())
    assert desk.intake.receive("nonsense")
    assert desk.intake.take(decoded())

    await settle()
    assert not desk.handled
    assert not desk.answers
    assert not desk.counts


async def test_what_waits_when_a_message_is_too_large_is_dropped():
    desk = Desk(max_message_size=300)
    desk.go.clear()
    desk.intake.receive(text(0))
    desk.intake.receive(text(1))
    await settle()

    desk.intake.receive(sized(301))

    assert desk.counts == {"oversized": 1, "inbound_dropped": 1}
    await desk.finish()
    assert desk.handled == [0]


async def test_settling_ends_a_handler_that_runs_too_long(desk):
    desk.go.clear()
    desk.intake.receive(text())
    await settle()

    await desk.intake.settle(1e-6)

    assert desk.intake.is_idle
