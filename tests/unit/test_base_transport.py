"""What every transport gets from its base: a subclass adds but the wire."""

import asyncio
import json

import pytest

from pondsocket.base_transport import BaseTransport
from pondsocket.errors import Unavailable
from pondsocket.metrics import NoopMetrics, Telemetry
from pondsocket.types import Limits, TransportType
from tests.unit.doubles import CountingCodec, event, settle, started

pytestmark = pytest.mark.usefixtures("no_task_is_left")

MESSAGE = json.dumps(
    {
        "action": "BROADCAST",
        "event": "news",
        "channelName": "/room",
        "requestId": "1",
        "payload": {},
    }
)
FAILURES = [
    ValueError("bad"),
    asyncio.CancelledError(),
    BaseExceptionGroup("several", [asyncio.CancelledError()]),
]

by_name = {"ids": lambda failure: type(failure).__name__}


class Wire(BaseTransport):
    """A transport with the fast path, whose wire is a list."""

    def __init__(self, id="ann", **options):
        super().__init__(id, **options)
        self.is_open = True
        self.frames = []
        self.closings = []
        self.failure = None
        self.gate = asyncio.Event()
        self.gate.set()

    def try_send(self, frames):
        if self.is_open:
            self.frames += frames
        return self.is_open

    def on_writable(self, callback):
        pass

    async def _close_wire(self, code, reason):
        self.closings.append((code, reason))
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure


class Collector(NoopMetrics):
    def __init__(self):
        self.errors = []

    def connection_error(self, conn_id, err):
        self.errors.append((conn_id, err))

    def error(self, component, err):
        self.errors.append((component, err))


@pytest.fixture
def wire():
    return Wire()


def bind(transport, telemetry=None, answer=None, **limits):
    answers = []
    transport.bind(Limits(**limits), telemetry or Telemetry(), answer or answers.append)
    return answers


# Identity and assigns.


def test_the_connections_id_is_the_users_unless_it_has_its_own():
    assert BaseTransport("ann").connection_id == "ann"
    assert BaseTransport("ann", connection_id="secret").connection_id == "secret"
    assert BaseTransport("ann", connection_id="secret").get_id() == "ann"


def test_assigns_are_copied_in_and_out():
    given = {"role": "admin"}
    transport = BaseTransport("ann", assigns=given)
    transport.set_assign("name", "Ann")
    transport.clone_assigns()["role"] = "none"

    assert given == {"role": "admin"}
    assert transport.clone_assigns() == {"role": "admin", "name": "Ann"}


def test_an_assign_that_is_not_set_is_none():
    transport = BaseTransport("ann", assigns={"role": "admin"})

    assert transport.get_assign("role") == "admin"
    assert transport.get_assign("name") is None


def test_it_is_a_websocket_unless_a_subclass_says_otherwise():
    assert BaseTransport("ann").transport_type() is TransportType.WEBSOCKET


# Sending.


async def test_an_event_goes_out_as_a_frame_of_the_transports_own_codec():
    codec = CountingCodec()
    wire = Wire(codec=codec)

    await wire.send_event(news := event())

    assert [frame.event for frame in wire.frames] == [news]
    assert codec.encoded == 1


async def test_sending_on_a_closed_connection_is_unavailable(wire):
    await wire.close()

    with pytest.raises(Unavailable, match="'ann' is closed"):
        await wire.send_event(event())


async def test_sending_to_a_wire_that_takes_nothing_is_unavailable(wire):
    wire.is_open = False

    with pytest.raises(Unavailable, match="'ann' takes nothing now"):
        await wire.send_event(event())


async def test_a_subclass_without_a_way_to_send_is_told_what_to_override():
    with pytest.raises(NotImplementedError, match=r"send_event\(\).*try_send\(\)"):
        await BaseTransport("ann").send_event(event())


# What comes in.


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_message_reaches_the_handler_together_with_its_transport(
    wire, is_async
):
    async def take(*args):
        got.append(args)

    got = []
    bind(wire)
    wire.on_message(take if is_async else lambda *args: got.append(args))

    assert wire.receive(MESSAGE)

    await settle()
    ((message, transport),) = got
    assert message.event == "news"
    assert transport is wire


async def test_reading_needs_no_start_where_the_host_hands_messages_in(wire):
    assert await wire.handle_messages() is None


async def test_a_message_before_there_is_a_handler_is_logged_and_dropped(wire, caplog):
    wire.receive(MESSAGE)

    await settle()
    assert "a message of 'ann' came before on_message()" in caplog.text


async def test_a_full_inbox_takes_no_message(wire):
    go = asyncio.Event()
    bind(wire, inbound_max_messages=1)
    wire.on_message(lambda *_: go.wait())
    wire.receive(MESSAGE)
    await settle()

    assert [wire.receive(MESSAGE), wire.receive(MESSAGE)] == [True, False]
    go.set()


async def test_the_way_in_shows_what_waits(wire):
    go = asyncio.Event()
    wire.on_message(lambda *_: go.wait())
    wire.receive(MESSAGE)
    wire.receive(MESSAGE)

    waiting = len(wire.intake)
    go.set()
    await settle()

    assert waiting == 1
    assert wire.intake.is_idle


async def test_what_is_wrong_is_answered_by_the_way_that_was_bound(wire):
    answers = bind(wire)

    wire.receive("nonsense")

    assert [answer.event for answer in answers] == ["INVALID_MESSAGE"]
    assert not wire.frames


async def test_what_a_transport_needs_takes_the_room_of_no_dict():
    assert vars(BaseTransport("ann")) == {}


async def test_before_it_is_bound_a_transport_answers_by_itself(wire):
    wire.receive("nonsense")

    assert [frame.event.event for frame in wire.frames] == ["INVALID_MESSAGE"]


@pytest.mark.parametrize("transport", [BaseTransport("ann"), Wire()])
async def test_an_answer_that_finds_no_way_is_logged(transport, caplog):
    transport.is_open = False

    transport.receive("nonsense")

    assert "an answer to the unregistered 'ann' was dropped" in caplog.text


async def test_a_message_that_is_too_large_closes_with_1009(wire):
    bind(wire, max_message_size=10)

    assert wire.receive("x" * 11)
    assert wire.receive("x" * 11)

    await settle()
    assert wire.closings == [(1009, "message above 10 bytes")]
    assert not wire.is_active()


async def test_two_reasons_to_end_close_once(wire):
    bind(wire)

    wire._end(1008, "too many messages")
    wire._end(1009, "message above 10 bytes")

    await settle()
    assert wire.closings == [(1008, "too many messages")]


async def test_what_comes_after_the_end_is_ignored(wire):
    answers = bind(wire)
    await wire.close()
    bind(wire, answer=answers.append)  # registered too late

    assert wire.receive("nonsense")

    assert not answers


async def test_messages_that_wait_when_it_closes_are_dropped_and_counted(wire):
    telemetry, go, handled = Telemetry(), asyncio.Event(), []

    async def handle(message, _):
        handled.append(message)
        await go.wait()

    bind(wire, telemetry)
    wire.on_message(handle)
    wire.receive(MESSAGE)
    wire.receive(MESSAGE)
    await settle()

    await wire.close()

    go.set()
    await settle()
    assert len(handled) == 1
    assert telemetry.counts()["inbound_dropped"] == 1


# The end.


async def test_closing_closes_the_wire_normally(wire):
    await wire.close()

    assert wire.closings == [(1000, "")]
    assert not wire.is_active()


async def test_it_closes_with_a_code_and_a_reason(wire):
    await wire.close_with(1012, "restart")

    assert wire.closings == [(1012, "restart")]


async def test_a_client_that_left_is_told_nothing(wire):
    called = []
    wire.on_close(called.append)

    await wire.peer_gone()

    assert wire.closings == []
    assert called == [wire]
    assert not wire.is_active()


async def test_however_often_it_ends_it_ends_once(wire):
    called = []
    wire.on_close(called.append)

    for end in (wire.close, wire.peer_gone, wire.close):
        await end()

    assert called == [wire]
    assert wire.closings == [(1000, "")]


async def test_callbacks_may_be_plain_or_async_and_run_in_order(wire):
    async def second(_):
        await asyncio.sleep(0)
        called.append("second")

    called = []
    wire.on_close(lambda _: called.append("first"))
    wire.on_close(second)
    wire.on_close(lambda _: called.append("third"))

    await wire.close()

    assert called == ["first", "second", "third"]


@pytest.mark.parametrize("failure", FAILURES, **by_name)
async def test_a_callback_that_raises_is_logged_and_costs_no_other(
    wire, caplog, failure
):
    async def fail(_):
        raise failure

    collector, called = Collector(), []
    bind(wire, Telemetry(collector))
    wire.on_close(fail)
    wire.on_close(called.append)

    await wire.close()

    assert called == [wire]
    assert collector.errors == [("on_close", failure)]
    assert "close callback" in caplog.text


@pytest.mark.parametrize("failure", FAILURES, **by_name)
async def test_a_wire_that_cannot_be_closed_is_closed_nevertheless(wire, failure):
    collector, called = Collector(), []
    bind(wire, Telemetry(collector))
    wire.failure = failure
    wire.on_close(called.append)

    await wire.close()

    assert called == [wire]
    assert collector.errors == [("ann", failure)]


async def test_a_wire_that_hangs_does_not_delay_the_callbacks(wire):
    called = []
    wire.on_close(called.append)
    wire.gate.clear()

    closing = await started(wire.close())

    assert called == [wire]
    assert not closing.done()
    wire.gate.set()
    await closing


async def test_a_callback_that_hangs_does_not_delay_the_wire(wire):
    go = asyncio.Event()
    wire.on_close(lambda _: go.wait())

    closing = await started(wire.close())

    assert wire.closings
    assert not closing.done()
    go.set()
    await closing


@pytest.mark.parametrize("end", [Wire.close, Wire.peer_gone], ids=["close", "gone"])
async def test_the_end_goes_on_when_its_caller_is_cancelled(wire, end):
    go, called = asyncio.Event(), []

    async def leave(_):
        await go.wait()
        called.append("left")

    wire.on_close(leave)
    closing = await started(end(wire))

    closing.cancel()
    await settle()
    go.set()
    await settle()

    assert closing.cancelled()
    assert called == ["left"]


async def test_a_handler_may_close_its_own_connection(wire):
    steps = []

    async def handle(_, transport):
        await transport.close()
        steps.append("closed")

    bind(wire)
    wire.on_message(handle)
    wire.on_close(lambda _: steps.append("left"))

    wire.receive(MESSAGE)

    await settle()
    assert steps == ["left", "closed"]


async def test_a_callback_may_close_its_own_connection(wire):
    wire.on_close(lambda transport: transport.close())

    await wire.close()

    assert wire.closings == [(1000, "")]


async def test_a_subclass_without_a_wire_to_close_only_leaves():
    transport, called = BaseTransport("ann"), []
    transport.on_close(called.append)

    await transport.close()

    assert called == [transport]
