"""One connection: what it is sent, what it costs when it is slow, how it ends."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pondsocket.intake import Intake
from pondsocket.metrics import NoopMetrics, Telemetry
from pondsocket.options import Options, SlowConsumerPolicy
from pondsocket.session import Deferred, Session
from pondsocket.types import LeaveReason, Limits
from pondsocket.wire import JSON_CODEC
from tests.unit.doubles import (
    CodedTransport,
    CountingCodec,
    PlainTransport,
    SinkTransport,
    event,
    frame,
    other_tasks,
    settle,
    started,
)

pytestmark = pytest.mark.usefixtures("no_task_is_left")

CLOSE, DROP_OLDEST, DROP_NEWEST = SlowConsumerPolicy
POLICIES = list(SlowConsumerPolicy)
FAILURES = [
    OSError("broken"),
    asyncio.CancelledError(),
    BaseExceptionGroup("several", [asyncio.CancelledError()]),
]

by_name = {"ids": lambda failure: type(failure).__name__}


class Room:
    """A channel that a session joined; its leave handler waits for `go`."""

    def __init__(self, name="/room"):
        self.name = name
        self.log = []
        self.frames = []
        self.is_member = True
        self.on_flush = lambda: None
        self.go = asyncio.Event()
        self.go.set()

    def flush(self):
        self.log.append("flush")
        self.on_flush()

    def send_frame(self, session, frame):
        self.frames.append((session, frame))

    def remove(self, user_id, reason):
        self.log.append(("remove", user_id, reason))
        if not self.is_member:
            return None
        self.is_member = False
        return self

    async def finish(self):
        await self.go.wait()
        self.log.append("finished")


class Collector(NoopMetrics):
    def __init__(self):
        self.sent = []
        self.depths = []
        self.errors = []

    def message_sent(self, conn_id, channel, event, size):
        self.sent.append((conn_id, channel, event, size))

    def queue_depth(self, queue, depth):
        self.depths.append((queue, depth))

    def connection_error(self, conn_id, err):
        self.errors.append((conn_id, err))


class Stubborn(PlainTransport):
    """A transport that does not let itself be cancelled."""

    async def send_event(self, event):
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            await self.gate.wait()


@pytest.fixture
def telemetry():
    return Telemetry()


@pytest.fixture
def counts(telemetry):
    def counts():
        return {name: n for name, n in telemetry.counts().items() if n}

    return counts


@pytest.fixture
def make(telemetry):
    def make(transport, collector=None, **options):
        return Session(
            transport,
            Options(**options),
            Telemetry(collector) if collector else telemetry,
        )

    return make


@pytest.fixture
def sink():
    return SinkTransport()


@pytest.fixture
def plain():
    return PlainTransport()


def join(session, *rooms):
    for room in rooms:
        session.channels[room.name] = room


def frames(*numbers, size=0):
    return [frame(number, size=size) for number in numbers]


def deferred(number, intercept):
    return Deferred(frame(number), intercept)


async def passes(frame, session):
    return frame


# Who it is.


def test_a_session_is_known_by_its_user_and_its_connection(make, plain, sink):
    sink.connection_id = "secret"

    assert (make(plain).id, make(plain).connection_id) == ("ann", "ann")
    assert (make(sink).id, make(sink).connection_id) == ("ann", "secret")


def test_a_session_speaks_the_codec_of_its_transport(make, plain, sink):
    sink.codec = CountingCodec()

    assert make(plain).codec is JSON_CODEC
    assert make(sink).codec is sink.codec


# The fast path.


async def test_frames_go_to_a_sink_in_one_write_without_a_task(make, sink):
    make(sink).write(frames(0, 1, 2))

    assert sink.numbers == [0, 1, 2]
    assert len(sink.writes) == 1
    assert not other_tasks()


async def test_an_event_outside_of_joined_channels_is_written_at_once(make, sink):
    make(sink).send(event(7))

    assert sink.numbers == [7]


async def test_an_event_is_encoded_by_the_sessions_own_codec(make, sink):
    sink.codec = CountingCodec()

    make(sink).send(event(7))

    assert sink.codec.encoded == 1


async def test_an_event_of_a_joined_channel_keeps_that_channels_order(make, sink):
    session, room = make(sink), Room()
    join(session, room)

    session.send(sent := event(7))

    ((receiver, queued),) = room.frames
    assert receiver is session
    assert queued.event is sent
    assert not sink.sent


async def test_a_collector_is_told_of_what_was_handed_over(make, sink):
    collector = Collector()
    session = make(sink, collector)

    session.write([news := frame()])

    assert collector.sent == [("ann", "/room", "news", news.size)]


# The outbox.


async def test_what_a_sink_refuses_goes_out_in_order_once_it_takes_frames_again(
    make, sink
):
    session = make(sink)
    sink.is_open = False
    session.write(frames(0, 1))
    await settle()
    session.write(frames(2))

    assert session.outbox_messages == 3
    assert session.outbox_bytes == sum(each.size for each in frames(0, 1, 2))
    sink.open()
    await settle()
    assert sink.numbers == [0, 1, 2]
    assert session.outbox_messages == session.outbox_bytes == 0


async def test_nothing_overtakes_what_waits(make, sink):
    session = make(sink)
    sink.is_open = False
    session.write(frames(0))
    sink.is_open = True  # it takes frames again, but the writer did not run yet

    session.write(frames(1))

    await settle()
    assert sink.numbers == [0, 1]


async def test_a_writer_lives_only_while_something_waits(make, sink):
    session = make(sink)
    sink.is_open = False
    session.write(frames(0))
    session.write(frames(1))

    assert [task.get_name() for task in other_tasks()] == ["pond-writer-ann"]
    sink.open()
    await settle()
    assert not other_tasks()


async def test_a_sink_that_is_writable_when_nobody_waits_is_no_error(make, sink):
    session = make(sink)
    sink.open()
    sink.is_open = False
    session.write(frames(0))
    await settle()

    sink.open()
    sink.open()

    await settle()
    assert sink.numbers == [0]


async def test_the_writer_hands_over_64_frames_at_a_time(make, sink):
    session = make(sink)
    sink.is_open = False
    session.write(frames(*range(130)))
    await settle()

    sink.open()

    await settle()
    assert [len(write) for write in sink.writes] == [64, 64, 2]
    assert sink.numbers == list(range(130))


async def test_the_writer_hands_over_64_kib_at_a_time_but_always_one_frame(make, sink):
    session = make(sink)
    sink.is_open = False
    session.write(frames(0, 1, 2, size=30_000) + frames(3, 4, size=70_000))
    await settle()

    sink.open()

    await settle()
    assert [len(write) for write in sink.writes] == [2, 1, 1, 1]


async def test_a_plain_transport_gets_one_event_after_the_other(make, plain):
    session = make(plain)
    plain.gate.clear()
    session.write(frames(0, 1))
    session.write(frames(2))
    await settle()

    assert session.outbox_messages == 2  # the first is in the writer's hands
    assert len(other_tasks()) == 1
    plain.gate.set()
    await settle()
    assert plain.numbers == [0, 1, 2]
    assert not other_tasks()


async def test_a_collector_is_told_of_what_left_the_outbox_and_how_full_it_was(
    make, sink, plain
):
    for transport in (sink, plain):
        collector = Collector()
        sink.is_open = False
        make(transport, collector).write(frames(0, 1))
        await settle()

        sink.open()

        await settle()
        assert len(collector.sent) == 2
        assert collector.depths == [("outbox", 2)]


# A slow consumer: the bounds.


@pytest.mark.parametrize(
    "bounds",
    [{"outbound_max_messages": 3}, {"outbound_max_bytes": 3 * frame().size}],
    ids=["messages", "bytes"],
)
@pytest.mark.parametrize(
    ("policy", "kept"),
    [(DROP_OLDEST, [2, 3, 4]), (DROP_NEWEST, [0, 1, 2]), (CLOSE, [])],
)
async def test_a_full_outbox_does_what_the_policy_says(
    make, sink, counts, bounds, policy, kept
):
    session = make(sink, slow_consumer=policy, **bounds)
    sink.is_open = False
    for number in range(5):
        session.write(frames(number))

    sink.open()

    await settle()
    assert sink.numbers == kept
    assert counts()["outbound_dropped"] == 5 - len(kept)


async def test_the_oldest_are_dropped_until_a_large_one_fits(make, sink, counts):
    small, large = frames(0, 1, 2, 3), frame(4, size=2 * frame().size)
    session = make(
        sink,
        slow_consumer=DROP_OLDEST,
        outbound_max_bytes=large.size + small[0].size,
    )
    sink.is_open = False
    session.write([*small, large])

    sink.open()

    await settle()
    assert sink.numbers == [3, 4]
    assert counts() == {"outbound_dropped": 3}


@pytest.mark.parametrize("policy", POLICIES)
async def test_an_empty_outbox_takes_a_frame_of_any_size(make, sink, policy, counts):
    session = make(sink, slow_consumer=policy, outbound_max_bytes=10)
    sink.is_open = False

    session.write(frames(0, size=1000))

    assert session.outbox_messages == 1
    sink.open()
    await settle()
    assert sink.numbers == [0]
    assert not counts()


async def test_without_a_limit_in_bytes_only_messages_are_counted(make, sink, counts):
    session = make(sink, outbound_max_bytes=0)
    sink.is_open = False

    session.write(frames(*range(100), size=100_000))

    sink.open()
    await settle()
    assert len(sink.sent) == 100
    assert not counts()


async def test_an_overflow_closes_with_1013_in_the_loops_next_turn(
    make, sink, counts, caplog
):
    session, room = make(sink, outbound_max_messages=2), Room()
    join(session, room)
    sink.is_open = False

    session.write(frames(0, 1, 2, 3, 4))

    assert session.is_ended
    assert room.is_member  # a channel that is writing to its members is not changed
    await settle()
    assert sink.closings == [(1013, "slow consumer")]
    assert not room.is_member
    assert counts() == {"outbound_dropped": 5, "slow_consumer_closed": 1}
    assert "'ann' is a slow consumer: 2 messages" in caplog.text


async def test_what_is_written_to_a_session_that_ended_is_counted_as_dropped(
    make, sink, counts
):
    session = make(sink)
    await session.end()

    session.write(frames(0, 1))
    session.enqueue([deferred(2, passes)])
    session.send(event(3))

    assert not sink.sent
    assert counts() == {"outbound_dropped": 4}


# A slow consumer: a send that takes too long.


@pytest.fixture(params=[PlainTransport, CodedTransport, SinkTransport])
def stuck(request):
    """A transport of each kind that takes nothing."""
    transport = request.param()
    transport.is_open = False
    transport.gate.clear()
    return transport


async def test_a_stuck_transport_is_closed_after_the_send_timeout(
    make, stuck, counts, clock
):
    session, room = make(stuck, send_timeout=5.0), Room()
    join(session, room)
    session.write(frames(0, 1))
    await settle()

    await clock.advance(4.9)
    assert not stuck.closings
    await clock.advance(0.2)

    expected = None if type(stuck) is PlainTransport else (1013, "slow consumer")
    assert stuck.closings == [expected]
    assert not room.is_member
    assert counts() == {
        "outbound_dropped": 2,
        "send_timeout": 1,
        "slow_consumer_closed": 1,
    }


@pytest.mark.parametrize("policy", [DROP_OLDEST, DROP_NEWEST])
async def test_a_stuck_transport_is_kept_where_the_policy_drops(
    make, stuck, counts, clock, policy
):
    session = make(stuck, send_timeout=5.0, pong_wait=60.0, slow_consumer=policy)
    session.write(frames(0, 1))
    await settle()

    await clock.advance(60.0)

    assert not stuck.closings
    assert counts() == {"send_timeout": 1}
    stuck.gate.set()
    if isinstance(stuck, SinkTransport):
        stuck.open()
    await settle()
    assert stuck.numbers == [0, 1]
    await clock.advance(1000.0)
    assert not stuck.closings


@pytest.mark.parametrize("policy", [DROP_OLDEST, DROP_NEWEST])
async def test_a_transport_stuck_for_the_pong_wait_more_is_given_up_by_any_policy(
    make, stuck, counts, clock, policy
):
    session = make(stuck, send_timeout=5.0, pong_wait=60.0, slow_consumer=policy)
    session.write(frames(0, 1))
    await settle()
    await clock.advance(5.0)

    await clock.advance(60.0)

    assert stuck.closings
    assert counts() == {
        "outbound_dropped": 2,
        "send_timeout": 1,
        "slow_consumer_closed": 1,
    }


async def test_a_transport_that_makes_progress_is_not_slow(make, plain, counts, clock):
    session = make(plain, send_timeout=5.0)
    plain.gate.clear()
    session.write(frames(*range(10)))

    for _ in range(10):
        await settle()
        await clock.advance(4.0)
        plain.gate.set()
        await asyncio.sleep(0)
        plain.gate.clear()

    await settle()
    assert not plain.closings
    assert not counts()
    plain.gate.set()


async def test_a_timeout_after_the_end_closes_nothing_more(make, counts, clock):
    stubborn = Stubborn()
    stubborn.gate.clear()
    session = make(stubborn, send_timeout=5.0)
    session.write(frames(0))
    await settle()
    ending = await started(session.end())

    await clock.advance(5.0)

    await ending
    assert counts() == {"send_timeout": 1}
    assert not stubborn.closings
    stubborn.gate.set()


# A transport that fails.


@pytest.mark.parametrize(
    ("kind", "failure"),
    [
        (SinkTransport, OSError("broken")),
        *((PlainTransport, failure) for failure in FAILURES),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
async def test_a_transport_that_raises_is_closed(kind, make, failure, caplog):
    transport, collector = kind(), Collector()
    session, room = make(transport, collector), Room()
    join(session, room)
    transport.failure = failure

    session.write(frames(0, 1, 2))

    await settle()
    assert transport.closings == [
        None if kind is PlainTransport else (1011, "send failed")
    ]
    assert not room.is_member
    assert collector.errors == [("ann", failure)]
    counted = session._telemetry.counts()
    assert (counted["send_failed"], counted["outbound_dropped"]) == (1, 3)
    assert "sending to 'ann' failed" in caplog.text


async def test_a_sink_that_raises_later_is_closed_too(make, sink, counts):
    session = make(sink)
    sink.is_open = False
    session.write(frames(0, 1))
    await settle()
    sink.failure = OSError("broken")

    sink.open()

    await settle()
    assert sink.closings == [(1011, "send failed")]
    assert counts() == {"send_failed": 1, "outbound_dropped": 2}


@pytest.mark.parametrize("failure", FAILURES, **by_name)
async def test_whatever_a_sink_raises_stays_with_it(make, sink, counts, failure):
    session = make(sink)
    sink.failure = failure

    session.write(frames(0))  # raises nothing: a fan-out goes on with the next

    await settle()
    assert sink.closings == [(1011, "send failed")]
    assert counts() == {"send_failed": 1, "outbound_dropped": 1}


async def test_the_end_of_the_process_is_no_failure_of_a_transport(make, sink):
    session = make(sink)
    sink.failure = SystemExit()

    with pytest.raises(SystemExit):
        session.write(frames(0))

    assert not sink.closings


async def test_failing_twice_closes_once(make, sink):
    session = make(sink)
    sink.failure = OSError("broken")

    session.write(frames(0))
    session.close_soon(1008, "another reason")

    await settle()
    assert sink.closings == [(1011, "send failed")]


# Outgoing handlers.


@pytest.fixture(params=[PlainTransport, SinkTransport])
def transport(request):
    return request.param()


async def test_an_outgoing_handler_sees_the_frame_and_the_session(make, transport):
    async def look(*args):
        seen.append(args)
        return args[0]

    seen, session, item = [], make(transport), frame(7)

    session.enqueue([Deferred(item, look)])

    await settle()
    assert seen == [(item, session)]
    assert transport.numbers == [7]


async def test_an_outgoing_handler_may_send_another_frame_or_none(make, transport):
    async def replace(_, session):
        return frame(100)

    async def block(_, session):
        return None

    session = make(transport)

    session.enqueue([frame(0), deferred(1, replace), deferred(2, block), frame(3)])

    await settle()
    assert transport.numbers == [0, 100, 3]
    assert session.outbox_bytes == 0


async def test_nothing_overtakes_a_frame_that_an_outgoing_handler_looks_at(
    make, transport, counts
):
    async def wait(frame, session):
        await go.wait()
        return frame

    go, session = asyncio.Event(), make(transport)
    session.enqueue([deferred(0, wait)])
    await settle()

    session.write(frames(1))

    await settle()
    assert transport.numbers == []
    go.set()
    await settle()
    assert transport.numbers == [0, 1]
    assert not counts()


async def test_frames_that_handlers_look_at_are_not_in_a_batch_with_others(make, sink):
    session = make(sink)
    sink.is_open = False
    session.enqueue([*frames(0, 1), deferred(2, passes), *frames(3)])
    await settle()

    sink.open()

    await settle()
    assert sink.numbers == [0, 1, 2, 3]


async def test_an_intercept_that_raises_is_counted_and_ends_the_connection(
    make, transport, counts
):
    async def fail(frame, session):
        raise OSError("broken")

    session = make(transport)

    session.enqueue([deferred(0, fail), *frames(1, 2)])

    await settle()
    assert transport.closings
    assert transport.numbers == []
    assert counts() == {"send_failed": 1, "outbound_dropped": 3}


async def test_what_a_handler_lets_through_after_the_end_is_dropped(
    make, transport, counts
):
    async def end(frame, session):
        session.close_soon(1008, "enough")
        return frame

    session = make(transport)

    session.enqueue([deferred(0, end), *frames(1)])

    await settle()
    assert transport.numbers == []
    assert counts() == {"outbound_dropped": 2}


async def test_a_session_that_ends_cancels_the_outgoing_handler(
    make, transport, counts
):
    async def hang(frame, session):
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cancelled")

    seen, session = [], make(transport)
    session.enqueue([deferred(0, hang)])
    await settle()

    await session.end()

    assert seen == ["cancelled"]
    assert counts() == {"outbound_dropped": 1}


# Closing.


async def test_closing_first_writes_what_the_channels_have_pending(make, sink):
    session, room = make(sink), Room()
    join(session, room)
    room.on_flush = lambda: session.write(frames(0))

    await session.close(1012, "restart")

    assert sink.numbers == [0]
    assert sink.closings == [(1012, "restart")]
    assert room.log == [
        "flush",
        ("remove", "ann", LeaveReason.CONNECTION_CLOSED),
        "finished",
    ]


async def test_a_transport_without_codes_is_just_closed(make, plain):
    await make(plain).close(1012, "restart")

    assert plain.closings == [None]


async def test_a_reason_is_cut_to_what_a_close_frame_holds(make, sink):
    await make(sink).close(1012, "é" * 100)

    assert sink.closings == [(1012, "é" * 61)]


async def test_within_its_grace_what_waits_is_still_sent(make, transport):
    session = make(transport)
    transport.gate.clear()
    transport.is_open = False
    session.write(frames(0, 1))
    closing = await started(session.close(1012, "restart", grace=60))
    assert not transport.closings

    transport.gate.set()
    if isinstance(transport, SinkTransport):
        transport.open()
    await closing

    assert transport.numbers == [0, 1]
    assert transport.closings


async def test_after_its_grace_what_waits_is_dropped(make, stuck, counts, clock):
    session = make(stuck, send_timeout=60)
    session.write(frames(0, 1))
    closing = await started(session.close(1012, "restart", grace=5))

    await clock.advance(5)

    await closing
    assert stuck.closings
    assert stuck.numbers == []
    assert counts() == {"outbound_dropped": 2}


async def test_without_grace_what_waits_is_dropped_at_once(make, stuck, counts):
    session = make(stuck)
    session.write(frames(0, 1))
    await settle()

    await session.close(1012, "restart")

    assert stuck.numbers == []
    assert counts() == {"outbound_dropped": 2}


@pytest.mark.parametrize("failure", FAILURES, **by_name)
async def test_a_transport_that_cannot_be_closed_has_left_nevertheless(
    make, plain, failure, caplog
):
    collector, room = Collector(), Room()
    session = make(plain, collector)
    join(session, room)
    plain.close_failure = failure

    await session.close(1012, "restart")

    assert not room.is_member
    assert collector.errors == [("ann", failure)]
    assert "closing 'ann' failed" in caplog.text


@pytest.mark.parametrize("kind", [PlainTransport, CodedTransport])
async def test_a_transport_that_hangs_in_its_close_has_left_after_the_send_timeout(
    make, kind, clock
):
    transport, room = kind(), Room()
    transport.on_close(lambda _: asyncio.Event().wait())
    session = make(transport, send_timeout=5.0)
    join(session, room)
    closing = await started(session.close(1012, "restart"))

    await clock.advance(5.0)

    await closing
    assert not room.is_member
    assert "finished" in room.log


async def test_the_writer_may_close_its_own_session(make, transport, counts):
    async def close(frame, session):
        await session.close(1008, "enough", grace=60)
        return frame

    session, room = make(transport), Room()
    transport.on_close(lambda _: session.end())
    join(session, room)

    session.enqueue([deferred(0, close), *frames(1)])

    await settle()
    assert transport.closings
    assert "finished" in room.log
    assert transport.numbers == []
    assert counts() == {"outbound_dropped": 2}


async def test_a_transport_that_closes_itself_while_it_sends_ends_its_session(
    make, counts
):
    class Broken(PlainTransport):
        async def send_event(self, event):
            await self.close()

    broken, room = Broken(), Room()
    session = make(broken)
    broken.on_close(lambda _: session.end())
    join(session, room)

    session.write(frames(0, 1))

    await settle()
    assert "finished" in room.log
    assert counts() == {"outbound_dropped": 1}  # the first counts as sent


async def test_a_transport_that_closes_itself_while_it_sends_is_not_interrupted(make):
    class Broken(PlainTransport):
        is_wire_closed = False

        async def send_event(self, event):
            await self.close()
            self.is_wire_closed = True

    broken = Broken()
    session = make(broken)
    # as an endpoint does: in another task, which the writer waits for
    broken.on_close(lambda _: asyncio.shield(session.end(asyncio.current_task())))

    session.write(frames(0))

    await settle()
    assert broken.is_wire_closed


async def test_a_message_handler_may_close_its_own_session(make, sink):
    async def handle(_):
        await session.close(1008, "enough", grace=60)
        closed.append(True)

    closed, session = [], make(sink)
    session.intake = intake_of(session, handle)
    sink.on_close(lambda _: session.end())

    session.intake.take(event())

    await settle()
    assert closed == [True]
    assert sink.closings == [(1008, "enough")]


def intake_of(session, handle):
    return Intake(
        session.id,
        limits=Limits(),
        telemetry=Telemetry(),
        codec=session.codec,
        handle=handle,
        answer=session.send,
        end=session.close_soon,
    )


# The end.


async def test_the_end_leaves_every_channel_and_drops_what_waits(make, stuck, counts):
    session, rooms = make(stuck), [Room("/a"), Room("/b")]
    join(session, *rooms)
    session.write(frames(0, 1))
    await settle()

    await session.end()

    for room in rooms:
        assert room.log == [
            ("remove", "ann", LeaveReason.CONNECTION_CLOSED),
            "finished",
        ]
    assert session.is_ended
    assert session.outbox_messages == session.outbox_bytes == 0
    assert counts() == {"outbound_dropped": 2}


async def test_members_are_gone_before_any_leave_handler_has_run(make, sink):
    session, slow, other = make(sink), Room("/a"), Room("/b")
    join(session, slow, other)
    slow.go.clear()

    ending = await started(session.end())

    assert not slow.is_member
    assert not other.is_member
    slow.go.set()
    await ending


async def test_a_channel_that_it_is_no_member_of_any_more_is_passed_over(make, sink):
    session, room = make(sink), Room()
    join(session, room)
    room.is_member = False

    await session.end()

    assert "finished" not in room.log


async def test_the_end_closes_the_way_in(make, sink):
    session = make(sink)
    session.intake = intake_of(session, handle=settle)

    await session.end()

    session.intake.receive("nonsense")
    assert not sink.sent


async def test_a_session_ends_once_and_all_who_end_it_wait_for_that(make, sink):
    session, room = make(sink), Room()
    join(session, room)
    room.go.clear()
    endings = [await started(session.end()) for _ in range(2)]

    assert not any(ending.done() for ending in endings)
    room.go.set()
    await asyncio.gather(*endings)
    await session.end()

    assert room.log.count("finished") == 1


async def test_the_end_goes_on_when_who_ends_it_is_cancelled(make, sink):
    session, slow, other = make(sink), Room("/a"), Room("/b")
    join(session, slow, other)
    slow.go.clear()
    ending = await started(session.end())

    ending.cancel()
    await settle()
    slow.go.set()

    await settle()
    assert "finished" in slow.log
    assert "finished" in other.log


async def test_a_leave_handler_may_end_its_own_session(make, sink):
    class Circle(Room):
        async def finish(self):
            await session.close(1008, "enough")
            self.log.append("finished")

    session, room = make(sink), Circle()
    sink.on_close(lambda _: session.end())
    join(session, room)

    await session.end()

    assert "finished" in room.log
    assert sink.closings == [(1008, "enough")]


async def test_a_writer_that_cannot_be_cancelled_does_not_hold_up_the_end(make, clock):
    stubborn = Stubborn()
    stubborn.gate.clear()
    session = make(stubborn, send_timeout=5.0)
    session.write(frames(0))
    await settle()
    ending = await started(session.end())
    assert not ending.done()

    await clock.advance(5.0)

    assert ending.done()
    stubborn.gate.set()


# All of it: nothing is lost without being counted.

sends = st.tuples(
    st.just("send"), st.lists(st.integers(0, 300), min_size=1, max_size=4)
)
steps = st.lists(
    st.one_of(sends, st.sampled_from([("stall",), ("go",), ("turn",)])), max_size=40
)


@given(
    steps=steps,
    policy=st.sampled_from(POLICIES),
    kind=st.sampled_from([PlainTransport, SinkTransport]),
    max_messages=st.integers(1, 5),
    max_bytes=st.sampled_from([0, 200, 600]),
)
def test_whatever_was_sent_is_delivered_in_order_or_counted_as_dropped(
    steps, policy, kind, max_messages, max_bytes
):
    options = Options(
        slow_consumer=policy,
        outbound_max_messages=max_messages,
        outbound_max_bytes=max_bytes,
    )
    asyncio.run(play(steps, kind(), options))


async def play(steps, transport, options):
    telemetry, sent = Telemetry(), 0
    session = Session(transport, options, telemetry)
    transport.on_close(lambda _: session.end())

    def set_open(is_open):
        if is_open:
            transport.gate.set()
            if isinstance(transport, SinkTransport):
                transport.open()
        else:
            transport.gate.clear()
            transport.is_open = False

    def check(in_hand):
        dropped = telemetry.counts()["outbound_dropped"]
        known = len(transport.sent) + dropped + session.outbox_messages
        assert sent - in_hand <= known <= sent
        assert session.outbox_messages <= options.outbound_max_messages
        assert (
            session.outbox_messages <= 1
            or not options.outbound_max_bytes
            or session.outbox_bytes <= options.outbound_max_bytes
        )
        assert transport.numbers == sorted(set(transport.numbers))

    for step, *sizes in steps:
        if step == "send":
            session.write(
                [frame(sent + n, size=size) for n, size in enumerate(sizes[0])]
            )
            sent += len(sizes[0])
        elif step == "turn":
            await asyncio.sleep(0)
        else:
            set_open(step == "go")
        check(in_hand=1 if type(transport) is PlainTransport else 0)
    set_open(True)
    await settle()
    check(in_hand=0)
    assert session.outbox_messages == session.outbox_bytes == 0
    overflowed = telemetry.counts()["outbound_dropped"] > 0
    is_closing = options.slow_consumer is CLOSE
    assert bool(transport.closings) == (is_closing and overflowed)
    assert not other_tasks()
