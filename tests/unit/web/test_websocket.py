"""WebSocketTransport, between a session and a host that does as it is told."""

import asyncio
import json

import pytest

from pondsocket.burst import Burst
from pondsocket.metrics import Telemetry
from pondsocket.options import Options
from pondsocket.transport import ClosesWithCode, FrameSink, Transport
from pondsocket.types import TransportType
from pondsocket.web import ClientLeft, FrameWriter, WebSocketTransport
from tests.unit.doubles import frame, other_tasks, settle, started


class PastHost(FrameWriter):
    def __init__(self, take, is_deflating):
        super().__init__(is_deflating=is_deflating)
        self.write = take


class Host(WebSocketTransport):
    """A connection of a host whose client reads while ``reads`` is set.

    Attributes:
        wire: All that the client got, in order: str and tuples by the host's send and
            its close, bytes by what was written past it.
        takes: Whether the way past it takes anything now.
        fault: Raised by the next sends.
        takes_close: Set unless it waits with a close frame.
    """

    def __init__(self, *, is_deflating=False, has_writer=True, **settings):
        self.wire = []
        self.takes = True
        self.fault = None
        self.takes_close = asyncio.Event()
        self.takes_close.set()
        self.reads = asyncio.Event()
        self.reads.set()
        self.inbox = asyncio.Queue()
        writer = PastHost(self._take, is_deflating) if has_writer else None
        super().__init__(id="ada", frame_writer=writer, **settings)
        self.telemetry = Telemetry(None)
        self.received = []
        self.answers = []
        limits = settings.get("options", Options()).limits
        self.bind(limits, self.telemetry, self.answers.append)
        self.on_message(lambda event, _: self.received.append(event))
        self.ended = 0
        self.on_close(self._note_end)

    def _note_end(self, _):
        self.ended += 1

    def _take(self, frames):
        if self.takes:
            self.wire.append(frames)
        return self.takes

    async def _send_message(self, message):
        await self.reads.wait()
        if self.fault is not None:
            raise self.fault
        self.wire.append(message)

    async def _receive_message(self):
        message = self.inbox.get_nowait() if self.inbox.qsize() else None
        message = message or await self.inbox.get()
        if isinstance(message, BaseException):
            raise message
        return message

    async def _send_close(self, code, reason):
        await self.takes_close.wait()
        self.wire.append((code, reason))

    def say(self, *numbers):
        """Let the client send numbered messages, at once."""
        for number in numbers:
            self.inbox.put_nowait(
                json.dumps(
                    {
                        "action": "BROADCAST",
                        "event": str(number),
                        "channelName": "/chat/1",
                        "requestId": "r",
                        "payload": {},
                    }
                )
            )

    @property
    def heard(self):
        """The numbers of the messages that reached the handler."""
        return [int(event.event) for event in self.received]

    def count(self, name):
        return self.telemetry.counts()[name]


@pytest.fixture
async def make():
    """Make hosts with some options; in the end each is closed and leaves no task."""
    hosts = []

    def make_one(settings=None, **options):
        chosen = Options(**{"direct_writes": True, **options})
        hosts.append(Host(options=chosen, **settings or {}))
        return hosts[-1]

    yield make_one
    for host in hosts:
        host.takes_close.set()
        host.reads.set()
        await host.close()
    await settle()
    assert not other_tasks()


@pytest.fixture
def host(make):
    return make()


def texts(*frames):
    return [each.text for each in frames]


def websockets(*frames):
    return [each.websocket for each in frames]


def test_it_has_the_powers_that_the_core_looks_for(host):
    assert isinstance(host, Transport)
    assert isinstance(host, FrameSink)
    assert isinstance(host, ClosesWithCode)
    assert host.transport_type() is TransportType.WEBSOCKET


async def test_its_options_and_the_way_past_the_host_are_optional():
    host = Host(has_writer=False)

    assert host.try_send([frame(1)])

    assert host.wire == texts(frame(1))


async def test_a_burst_goes_by_the_host_s_send_where_no_way_leads_past_it():
    host = Host(has_writer=False)

    assert host.try_write(Burst([frame(1), frame(2)]))

    assert host.wire == texts(frame(1), frame(2))
    assert not host.is_held


async def test_no_burst_is_taken_while_the_host_s_send_waits(make):
    host = make({"has_writer": False})
    host.reads.clear()
    host.try_send([frame(1)])

    assert host.is_held
    assert not host.try_write(Burst([frame(2)]))

    host.reads.set()
    await settle()
    assert not host.is_held
    assert host.try_write(Burst([frame(3)]))
    assert host.wire == texts(frame(1), frame(3))


async def test_no_burst_is_taken_once_it_closes(make):
    host = make({"has_writer": False})
    await host.close()

    assert host.is_held
    assert not host.try_write(Burst([frame(1)]))


# Past the host.


async def test_ready_frames_are_written_past_the_host_without_a_task(host):
    assert host.try_send(Burst([frame(1), frame(2)]))

    assert host.wire == [frame(1).websocket + frame(2).websocket]
    assert not other_tasks()


@pytest.mark.parametrize(
    ("joins", "is_deflating", "form"),
    [
        (False, False, "websocket"),
        (False, True, "deflated"),
        (True, False, "batch"),
        (True, True, "deflated_batch"),
    ],
)
async def test_the_form_is_what_the_client_asked_for_and_what_was_agreed_on(
    joins, is_deflating, form, make
):
    burst = Burst([frame(number, size=200) for number in range(3)])
    host = make({"joins_messages": joins, "is_deflating": is_deflating})

    assert host.try_send(burst)

    assert host.wire == [getattr(burst, form)]


async def test_members_who_share_a_burst_get_the_same_object(make):
    burst = Burst([frame(1), frame(2)])
    hosts = [make(), make()]

    for host in hosts:
        host.try_send(burst)

    assert hosts[0].wire[0] is hosts[1].wire[0]


async def test_frames_that_are_no_burst_yet_become_one(host):
    assert host.try_send([frame(1), frame(2)])

    assert host.wire == [frame(1).websocket + frame(2).websocket]


async def test_what_is_not_taken_goes_by_the_hosts_own_send(host):
    host.takes = False

    assert host.try_send(Burst([frame(1), frame(2)]))

    assert host.wire == texts(frame(1), frame(2))


async def test_after_a_send_by_the_host_frames_are_written_past_it_again(host):
    host.takes = False
    host.try_send(Burst([frame(1)]))
    host.takes = True

    host.try_send(Burst([frame(2)]))

    assert host.wire == [frame(1).text, frame(2).websocket]


async def test_nothing_is_written_past_a_send_in_flight(host):
    host.takes = False
    host.reads.clear()
    assert host.try_send(Burst([frame(1)]))
    host.takes = True

    assert not host.try_send(Burst([frame(2)]))

    assert host.wire == []
    host.reads.set()
    await settle()
    assert host.wire == texts(frame(1))


async def test_what_was_refused_is_written_past_the_host_when_it_is_asked_again(host):
    host.on_writable(lambda: host.try_send(Burst([frame(2)])))
    host.takes = False
    host.reads.clear()
    host.try_send(Burst([frame(1)]))
    host.takes = True
    host.try_send(Burst([frame(2)]))

    host.reads.set()
    await settle()

    assert host.wire == [frame(1).text, frame(2).websocket]


async def test_direct_writes_can_be_switched_off(make):
    host = make(direct_writes=False)

    host.try_send(Burst([frame(1)]))

    assert host.wire == texts(frame(1))


@pytest.mark.parametrize("is_direct", [True, False])
async def test_nothing_is_sent_to_a_connection_that_is_closing(is_direct, make):
    host = make(direct_writes=is_direct)
    host.takes_close.clear()
    closing = await started(host.close())

    assert not host.try_send(Burst([frame(1)]))

    assert host.wire == []
    host.takes_close.set()
    await closing


async def test_a_close_frame_comes_after_what_was_written_past_the_host(host):
    host.try_send(Burst([frame(1)]))

    await host.close_with(4001, "enough")

    assert host.wire == [frame(1).websocket, (4001, "enough")]


# By the host's own send.


@pytest.fixture
def plain(make):
    """A host that nothing is written past."""
    return make({"has_writer": False})


async def test_the_host_sends_one_message_for_each_frame(plain):
    plain.try_send(Burst([frame(1), frame(2)]))

    assert plain.wire == texts(frame(1), frame(2))


async def test_the_host_sends_one_message_for_all_where_the_client_asked_for_it(make):
    host = make({"has_writer": False, "joins_messages": True})

    host.try_send(Burst([frame(1), frame(2)]))

    assert host.wire == ["\n".join(texts(frame(1), frame(2)))]


@pytest.mark.parametrize("has_writer", [False, True])
async def test_a_codec_of_the_connections_own_writes_its_messages(make, has_writer):
    host = make({"has_writer": has_writer})

    class Shouting:
        name = "shouting"

        def encode(self, event):
            return f"{event.event}!"

    host.codec = Shouting()

    host.try_send(Burst([frame(1)]))

    assert host.wire == ["news!"]


async def test_a_second_send_is_refused_while_one_waits(plain):
    plain.reads.clear()

    assert plain.try_send([frame(1)])
    assert not plain.try_send([frame(2)])

    plain.reads.set()
    await settle()
    assert plain.wire == texts(frame(1))


async def test_only_after_a_refusal_it_says_that_it_takes_frames_again(plain):
    calls = []
    plain.on_writable(lambda: calls.append(1))
    plain.reads.clear()
    plain.try_send([frame(1)])
    plain.reads.set()
    await settle()
    plain.reads.clear()
    plain.try_send([frame(2)])
    plain.try_send([frame(3)])
    assert calls == []

    plain.reads.set()
    await settle()

    assert calls == [1]


async def test_who_is_refused_amid_a_send_that_never_waits_is_told_as_well(plain):
    calls = []
    plain.on_writable(lambda: calls.append(1))
    send = plain._send_message

    async def ask_and_send(message):
        assert not plain.try_send([frame(2)])
        await send(message)

    plain._send_message = ask_and_send

    assert plain.try_send([frame(1)])
    await settle()

    assert calls == [1]


@pytest.mark.parametrize("waits", [True, False])
async def test_a_send_that_raises_has_lost_its_client(waits, plain):
    plain.fault = OSError("gone")
    if waits:
        plain.reads.clear()

    assert plain.try_send([frame(1)])
    assert not plain.ended
    plain.reads.set()
    await settle()

    assert (plain.count("send_failed"), plain.ended) == (1, 1)
    assert not plain.is_active()


async def test_a_send_that_fails_in_a_closing_connection_is_no_failure(plain):
    plain.reads.clear()
    plain.fault = OSError("gone")
    plain.try_send([frame(1)])
    closing = await started(plain.close())

    plain.reads.set()
    await closing

    assert plain.count("send_failed") == 0
    assert plain.wire == [(1000, "")]


# Slow clients.


async def test_a_send_that_waits_too_long_closes_a_slow_consumer(make, clock):
    host = make({"has_writer": False}, send_timeout=5.0)
    host.reads.clear()
    host.try_send([frame(1)])

    await clock.advance(5.0)

    assert host.count("slow_consumer_closed") == 1
    assert not host.is_active()
    await clock.advance(3.0)


async def test_a_policy_that_drops_keeps_the_connection(make, clock):
    host = make({"has_writer": False}, send_timeout=5.0, slow_consumer="drop_oldest")
    host.reads.clear()
    host.try_send([frame(1)])

    await clock.advance(5.0)

    assert (host.count("send_timeout"), host.is_active()) == (1, True)


async def test_while_the_session_waits_too_it_is_the_one_to_decide(make, clock):
    host = make({"has_writer": False}, send_timeout=5.0)
    host.reads.clear()
    host.try_send([frame(1)])
    host.try_send([frame(2)])

    for _ in range(5):
        await clock.advance(5.0)

    assert (host.count("send_timeout"), host.is_active()) == (0, True)


async def test_each_send_has_its_full_time(make, clock):
    host = make({"has_writer": False}, send_timeout=5.0)
    host.reads.clear()
    host.try_send([frame(1)])
    await clock.advance(4.0)
    host.reads.set()
    await settle()
    host.reads.clear()
    host.try_send([frame(2)])

    await clock.advance(4.0)

    assert host.is_active()
    await clock.advance(4.0)
    assert not host.is_active()
    await clock.advance(3.0)


async def test_a_send_that_was_over_in_time_closes_nothing_later(make, clock):
    host = make({"has_writer": False}, send_timeout=5.0)
    host.reads.clear()
    host.try_send([frame(1)])
    host.reads.set()
    await settle()

    await clock.advance(5.0)

    assert host.is_active()


# Reading.


class Turns:
    """Counts the turns of the loop, as long as it is told to."""

    def __init__(self):
        self.number = 0
        self._goes_on = True
        asyncio.get_running_loop().call_soon(self._count)

    def _count(self):
        self.number += 1
        if self._goes_on:
            asyncio.get_running_loop().call_soon(self._count)

    def stop(self):
        self._goes_on = False


@pytest.fixture
async def turns():
    turns = Turns()
    yield turns
    turns.stop()


@pytest.fixture
def noting(host, turns):
    """A host, and the turn in which each of its messages was read."""
    read = []
    receive = host._receive_message

    async def note_and_receive():
        message = await receive()
        read.append(turns.number)
        return message

    host._receive_message = note_and_receive
    return host, read


async def begun(coroutine):
    """Start a reader, in a loop that is never idle."""
    task = asyncio.create_task(coroutine)
    await asyncio.sleep(0)
    return task


async def end(host, running):
    """Let the client leave."""
    host.inbox.put_nowait(ClientLeft())
    await running


async def test_what_the_client_sends_reaches_the_handler(host):
    host.say(1, 2)
    host.inbox.put_nowait(ClientLeft())

    await host.run()

    assert host.heard == [1, 2]
    assert host.ended == 1


async def test_a_burst_of_eight_in_each_turn_is_read_in_that_turn(noting):
    host, read = noting
    running = await begun(host.run())

    for burst in range(6):
        host.say(*range(burst * 8, burst * 8 + 8))
        while len(read) < burst * 8 + 8:
            await asyncio.sleep(0)

    assert [len(set(read[start : start + 8])) for start in range(0, 48, 8)] == [1] * 6
    await end(host, running)


@pytest.mark.parametrize("size", [3, 7, 15])
async def test_turns_with_fewer_messages_do_not_add_up(size, noting):
    host, read = noting
    running = await begun(host.run())

    for burst in range(10):
        host.say(*range(size))
        while len(read) < (burst + 1) * size:
            await asyncio.sleep(0)

    starts = range(0, size * 10, size)
    assert [len(set(read[start : start + size])) for start in starts] == [1] * 10
    await end(host, running)


async def test_others_run_after_sixteen_messages_of_one_turn(noting):
    host, read = noting
    host.say(*range(100))

    running = await begun(host.run())
    while len(read) < 100:
        await asyncio.sleep(0)

    assert max(read.count(turn) for turn in set(read)) <= 17
    await end(host, running)


async def test_others_run_after_each_long_message(noting):
    host, read = noting
    host.say(1, 2, 3)
    for _ in range(3):
        host.inbox.put_nowait(host.inbox.get_nowait() + " " * 20_000)

    running = await begun(host.run())
    while len(read) < 3:
        await asyncio.sleep(0)

    assert len(set(read)) == 3
    await end(host, running)


async def test_handlers_keep_up_with_a_host_that_has_messages_at_hand(host):
    host.say(*range(1000))
    host.inbox.put_nowait(ClientLeft())

    await host.run()

    assert host.count("inbound_dropped") == 0
    assert host.heard == list(range(1000))


async def test_a_fault_of_the_host_in_reading_is_raised_and_ends_the_connection(host):
    host.inbox.put_nowait(RuntimeError("broken"))

    with pytest.raises(RuntimeError, match="broken"):
        await host.run()

    assert host.ended == 1


async def test_a_timeout_of_the_host_in_reading_is_not_taken_for_our_own(host):
    host.inbox.put_nowait(TimeoutError("the host's"))

    with pytest.raises(TimeoutError, match="the host's"):
        await host.run()


async def test_a_cancelled_reader_leaves_nothing_behind(host):
    running = await started(host.run())

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert host.ended == 1


# The end.


async def test_closing_tells_the_client_and_ends_the_reading(host):
    running = await started(host.run())

    await host.close_with(4001, "go away")
    await running

    assert host.wire == [(4001, "go away")]
    assert host.ended == 1


async def test_a_close_before_the_reading_began_ends_it_at_once(host):
    await host.close()

    await host.run()

    assert host.wire == [(1000, "")]


async def test_a_close_waits_for_what_is_in_flight(plain):
    plain.reads.clear()
    plain.try_send([frame(1)])
    closing = await started(plain.close())
    assert plain.wire == []

    plain.reads.set()
    await closing

    assert plain.wire == [frame(1).text, (1000, "")]


async def test_a_close_is_tried_when_what_is_in_flight_never_ends(make, clock):
    host = make({"has_writer": False}, send_timeout=10.0)
    host.reads.clear()
    host.try_send([frame(1)])
    closing = await started(host.close())

    await clock.advance(4.5)
    await closing

    assert host.wire == [(1000, "")]
    assert not host._is_sending


async def test_a_client_that_takes_no_close_frame_is_given_up(make, clock):
    host = make(send_timeout=10.0)
    host.takes_close.clear()
    running = await started(host.run())
    closing = await started(host.close())

    await clock.advance(9.0)
    await asyncio.gather(closing, running)

    assert host.count("send_timeout") == 1
    assert host.ended == 1


async def test_a_client_that_leaves_ends_the_send_in_flight(plain):
    plain.reads.clear()
    plain.try_send([frame(1)])
    plain.inbox.put_nowait(ClientLeft())

    await plain.run()
    await settle()

    assert plain.wire == []
    assert not other_tasks()


async def test_the_clock_of_a_slow_send_stops_with_the_connection(make, clock):
    host = make({"has_writer": False}, send_timeout=5.0)
    host.reads.clear()
    host.try_send([frame(1)])

    await host.peer_gone()
    await clock.advance(10.0)

    assert host.count("send_timeout") == 0
