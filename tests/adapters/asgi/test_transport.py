"""ASGIWebSocketTransport over a host whose client reads, stalls, or leaves."""

import asyncio
import gc
import json
import logging

import pytest

from pondsocket import (
    ClosesWithCode,
    FrameSink,
    Options,
    Transport,
    TransportType,
    Unavailable,
)
from pondsocket.metrics import Telemetry
from pondsocket.types import Limits
from pondsocket_asgi import ASGIWebSocketTransport, WebSocketASGI


class Wire:
    """A registered transport, what it received, and the host below it."""

    def __init__(self, host, **options):
        self.host = host
        websocket = WebSocketASGI({}, host.receive, host.send)
        settings = Options(**options)
        self.transport = ASGIWebSocketTransport(
            id="ada",
            websocket=websocket,
            options=settings,
            assigns={"a": 1},
        )
        self.telemetry = Telemetry(None)
        self.received = []
        self.answers = []
        self.transport.bind(settings.limits, self.telemetry, self.answers.append)
        self.transport.on_message(lambda event, _: self.received.append(event))
        self.closed = asyncio.Event()
        self.transport.on_close(lambda _: self.closed.set())

    def count(self, name):
        return self.telemetry.counts()[name]

    async def until_idle(self):
        """Wait until no task of a send is left."""
        async with asyncio.timeout(5):
            while self.transport._is_sending:
                await asyncio.sleep(0)

    async def until_closed(self):
        async with asyncio.timeout(5):
            await self.closed.wait()

    async def until_sent(self, number):
        async with asyncio.timeout(5):
            while len(self.host.sent) < number:
                await asyncio.sleep(0)


@pytest.fixture
async def make_wire(host):
    wires = []

    def make(**options):
        wires.append(Wire(host, **options))
        return wires[-1]

    yield make
    for wire in wires:
        wire.host.reads.set()
        await wire.transport.close()


@pytest.fixture
def wire(make_wire):
    return make_wire()


def test_it_has_the_powers_that_the_core_looks_for(wire):
    assert isinstance(wire.transport, Transport)
    assert isinstance(wire.transport, FrameSink)
    assert isinstance(wire.transport, ClosesWithCode)
    assert wire.transport.transport_type() is TransportType.WEBSOCKET
    assert wire.transport.get_id() == wire.transport.connection_id == "ada"
    assert wire.transport.clone_assigns() == {"a": 1}


def test_options_are_optional(host):
    websocket = WebSocketASGI({}, host.receive, host.send)

    assert ASGIWebSocketTransport(id="ada", websocket=websocket).is_active()


# Sending


async def test_frames_go_out_in_order_as_text(wire, frame):
    frames = [frame(number) for number in range(3)]

    assert wire.transport.try_send(frames)
    await wire.until_sent(3)

    assert wire.host.texts == [each.text for each in frames]
    assert {message["type"] for message in wire.host.sent} == {"websocket.send"}


async def test_what_the_caller_does_with_its_list_afterwards_does_not_matter(
    wire, frame
):
    frames = [frame(1), frame(2)]

    wire.transport.try_send(frames)
    frames.clear()
    await wire.until_sent(2)

    assert len(wire.host.texts) == 2


async def test_a_second_send_is_refused_while_the_first_waits(wire, frame):
    wire.host.reads.clear()

    assert wire.transport.try_send([frame(1)])
    assert not wire.transport.try_send([frame(2)])

    wire.host.reads.set()
    await wire.until_sent(1)
    assert [json.loads(text)["payload"] for text in wire.host.texts] == [{"n": 1}]


async def test_after_a_refusal_it_says_when_it_takes_frames_again(wire, frame):
    writable = asyncio.Event()
    wire.transport.on_writable(writable.set)
    wire.host.reads.clear()
    wire.transport.try_send([frame(1)])
    wire.transport.try_send([frame(2)])

    wire.host.reads.set()
    async with asyncio.timeout(5):
        await writable.wait()

    assert wire.transport.try_send([frame(2)])


async def test_without_a_refusal_nobody_is_called(wire, frame):
    calls = []
    wire.transport.on_writable(lambda: calls.append(1))

    wire.transport.try_send([frame(1)])
    await wire.until_sent(1)
    wire.transport.try_send([frame(2)])
    await wire.until_sent(2)

    assert calls == []


@pytest.mark.parametrize(
    "fault", [OSError("gone"), RuntimeError("order"), ValueError("odd")]
)
async def test_a_host_that_raises_has_lost_its_client(fault, wire, frame, caplog):
    wire.host.fault = fault
    caplog.set_level(logging.DEBUG, "pondsocket.web")

    assert wire.transport.try_send([frame()])
    await wire.until_closed()
    gc.collect()  # a task's exception nobody asked for would be logged here

    assert wire.count("send_failed") == 1
    assert not wire.transport.is_active()
    assert not wire.transport.try_send([frame()])
    assert {record.levelname for record in caplog.records} == {"DEBUG"}


async def test_the_close_callbacks_never_run_inside_try_send(wire, frame):
    wire.host.fault = OSError("gone")

    wire.transport.try_send([frame()])

    assert not wire.closed.is_set()
    await wire.until_closed()


async def test_an_event_that_cannot_be_sent_now_is_an_error(wire, frame):
    wire.host.reads.clear()
    wire.transport.try_send([frame()])

    with pytest.raises(Unavailable):
        await wire.transport.send_event(frame().event)


# Slow clients


async def test_a_send_that_waits_too_long_closes_a_slow_consumer(make_wire, frame):
    wire = make_wire(send_timeout=0.02)
    wire.host.reads.clear()

    wire.transport.try_send([frame()])
    await wire.until_closed()

    assert wire.count("slow_consumer_closed") == 1
    assert not wire.transport.is_active()


async def test_a_policy_that_drops_keeps_the_connection(make_wire, frame):
    wire = make_wire(send_timeout=0.02, slow_consumer="drop_oldest")
    wire.host.reads.clear()

    wire.transport.try_send([frame()])
    async with asyncio.timeout(5):
        while not wire.count("send_timeout"):
            await asyncio.sleep(0)

    assert wire.transport.is_active()


async def test_while_the_session_waits_too_it_is_the_one_to_decide(make_wire, frame):
    wire = make_wire(send_timeout=0.02)
    wire.host.reads.clear()
    wire.transport.try_send([frame()])
    wire.transport.try_send([frame()])

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await wire.closed.wait()

    assert wire.transport.is_active()


async def test_a_later_send_has_its_full_time(make_wire, frame):
    wire = make_wire(send_timeout=0.3)
    wire.host.reads.clear()
    wire.transport.try_send([frame()])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.15):
            await wire.closed.wait()
    wire.host.reads.set()
    await wire.until_idle()

    wire.host.reads.clear()
    began = asyncio.get_running_loop().time()
    wire.transport.try_send([frame()])
    await wire.until_closed()

    assert asyncio.get_running_loop().time() - began >= 0.3


# Reading


async def test_what_the_client_sends_reaches_the_handler(wire, message):
    running = asyncio.create_task(wire.transport.run())
    wire.host.tell("websocket.receive", text=message(event="one"))
    wire.host.tell("websocket.receive", bytes=message(event="two").encode())
    wire.host.tell("websocket.disconnect", code=1000)
    await running

    assert [event.event for event in wire.received] == ["one", "two"]


async def test_reading_goes_on_while_a_handler_waits(wire, message):
    running = asyncio.create_task(wire.transport.run())
    entered, left = asyncio.Event(), asyncio.Event()

    async def wait_for_ever(event, transport):
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()

    wire.transport.on_message(wait_for_ever)
    wire.host.tell("websocket.receive", text=message())
    await entered.wait()
    wire.host.tell("websocket.disconnect", code=1000)
    async with asyncio.timeout(5):
        await running

    assert wire.closed.is_set()
    await wire.transport.intake.settle(0)
    assert left.is_set()


async def test_many_messages_at_hand_do_not_starve_their_handlers(wire, message):
    number = Limits().inbound_max_messages * 3
    for _ in range(number):
        wire.host.tell("websocket.receive", text=message())
    wire.host.tell("websocket.disconnect", code=1000)

    await wire.transport.run()

    assert wire.count("flood") == 0
    assert len(wire.received) + wire.count("inbound_dropped") == number
    assert len(wire.received) > number * 0.9


async def test_a_malformed_message_is_answered_and_reading_goes_on(wire, message):
    wire.host.tell("websocket.receive", text="{")
    wire.host.tell("websocket.receive", text=message())
    wire.host.tell("websocket.disconnect", code=1000)

    await wire.transport.run()

    assert [event.event for event in wire.answers] == ["INVALID_MESSAGE"]
    assert len(wire.received) == 1


async def test_a_client_that_leaves_ends_the_reading_and_the_send(wire, frame):
    wire.host.reads.clear()
    wire.transport.try_send([frame()])
    await wire.host.sending.wait()
    wire.host.tell("websocket.disconnect", code=1001)

    await wire.transport.run()

    assert wire.closed.is_set()
    await wire.until_idle()
    assert wire.host.sent == []


async def test_a_fault_of_the_host_in_reading_is_raised_and_ends_the_connection(wire):
    wire.host.inbox.put_nowait(RuntimeError("broken"))

    with pytest.raises(RuntimeError, match="broken"):
        await wire.transport.run()

    assert wire.closed.is_set()


async def test_a_timeout_of_the_host_in_reading_is_not_taken_for_our_own(wire):
    wire.host.inbox.put_nowait(TimeoutError("host"))

    with pytest.raises(TimeoutError, match="host"):
        await wire.transport.run()


async def test_a_cancelled_reader_leaves_nothing_behind(wire):
    running = asyncio.create_task(wire.transport.run())
    await asyncio.sleep(0)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert wire.closed.is_set()


# Closing


async def test_closing_tells_the_client_and_ends_the_reading(wire):
    running = asyncio.create_task(wire.transport.run())
    await asyncio.sleep(0)

    await wire.transport.close_with(4001, "go away")
    async with asyncio.timeout(5):
        await running

    assert wire.host.sent == [
        {"type": "websocket.close", "code": 4001, "reason": "go away"}
    ]
    assert wire.closed.is_set()


async def test_a_close_before_the_reading_began_ends_it_at_once(wire):
    await wire.transport.close()

    async with asyncio.timeout(5):
        await wire.transport.run()

    assert [message["code"] for message in wire.host.sent] == [1000]


async def test_a_close_goes_out_behind_what_is_in_flight(wire, frame):
    wire.host.reads.clear()
    wire.transport.try_send([frame(1), frame(2)])

    closing = asyncio.create_task(wire.transport.close_with(1012, ""))
    await asyncio.sleep(0)
    wire.host.reads.set()
    await closing

    kinds = [message["type"] for message in wire.host.sent]
    assert kinds == ["websocket.send", "websocket.send", "websocket.close"]


async def test_a_frame_handed_over_in_the_same_turn_still_goes_out(wire, frame):
    wire.transport.try_send([frame()])
    await wire.transport.close()

    kinds = [message["type"] for message in wire.host.sent]
    assert kinds == ["websocket.send", "websocket.close"]


async def test_a_client_that_never_reads_is_given_up(make_wire, frame):
    wire = make_wire(send_timeout=0.05)
    running = asyncio.create_task(wire.transport.run())
    wire.host.reads.clear()
    wire.transport.try_send([frame()])

    async with asyncio.timeout(5):
        await wire.transport.close_with(1013, "slow consumer")
        await running
        await wire.until_idle()

    assert wire.count("send_timeout") == 1
    assert wire.host.sent == []


async def test_a_close_is_tried_when_the_send_in_flight_never_ends(make_wire, frame):
    wire = make_wire(send_timeout=0.1)
    deaf = wire.host.send

    async def stuck_for_frames_only(message):
        if message["type"] == "websocket.send":
            await asyncio.Event().wait()
        await deaf(message)

    wire.transport._host_send = stuck_for_frames_only
    wire.transport.try_send([frame()])

    await wire.transport.close_with(1013, "slow consumer")

    assert [message["code"] for message in wire.host.sent] == [1013]


async def test_an_oversized_message_closes_with_1009(make_wire):
    wire = make_wire(max_message_size=10)
    running = asyncio.create_task(wire.transport.run())
    wire.host.tell("websocket.receive", text="x" * 11)

    async with asyncio.timeout(5):
        await running
        await wire.until_closed()

    assert [message["code"] for message in wire.host.sent] == [1009]
    assert wire.count("oversized") == 1


async def test_closing_from_within_a_handler_works(wire, message):
    async def leave(event, transport):
        await transport.close()

    wire.transport.on_message(leave)
    wire.host.tell("websocket.receive", text=message())

    async with asyncio.timeout(5):
        await wire.transport.run()

    assert [message["code"] for message in wire.host.sent] == [1000]
