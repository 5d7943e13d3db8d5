"""From what a channel sends to what each member gets, and what that costs."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pondsocket import fanout as fanout_module
from pondsocket.burst import Burst
from pondsocket.fanout import FanOut
from pondsocket.frame import Frame
from pondsocket.frame_writer import FrameWriter
from pondsocket.metrics import Telemetry
from pondsocket.options import Options
from pondsocket.session import Session
from tests.unit.doubles import (
    CountingCodec,
    PlainTransport,
    SinkTransport,
    event,
    frame,
    other_tasks,
    settle,
)

pytestmark = pytest.mark.usefixtures("no_task_is_left")


@pytest.fixture
def fanout():
    return FanOut()


def session_of(transport, **options):
    return Session(transport, Options(**options), Telemetry())


def room(*transports):
    return tuple(session_of(transport) for transport in transports)


def sinks(count):
    return [SinkTransport(f"user-{number}") for number in range(count)]


@pytest.fixture
def members():
    return sinks(3)


@pytest.fixture
def everyone(members):
    return room(*members)


async def passes(frame, session):
    return frame


# When it is written.


async def test_nothing_is_written_before_the_end_of_the_turn(fanout, members, everyone):
    fanout.push(frame(0), everyone)
    assert [member.numbers for member in members] == [[], [], []]

    await asyncio.sleep(0)

    assert [member.numbers for member in members] == [[0], [0], [0]]


async def test_all_frames_of_a_turn_are_one_write_for_each_member(
    fanout, members, everyone
):
    for number in range(3):
        fanout.push(frame(number), everyone)

    await asyncio.sleep(0)

    for member in members:
        assert member.numbers == [0, 1, 2]
        assert len(member.writes) == 1


async def test_a_flush_writes_at_once_and_nothing_twice(fanout, members, everyone):
    fanout.push(frame(0), everyone)

    fanout.flush()
    fanout.flush()

    assert members[0].numbers == [0]
    await settle()
    assert members[0].numbers == [0]


async def test_after_a_flush_the_next_turn_writes_what_comes_then(
    fanout, members, everyone
):
    fanout.push(frame(0), everyone)
    fanout.flush()

    fanout.push(frame(1), everyone)
    await asyncio.sleep(0)

    assert members[0].numbers == [0, 1]


async def test_sixty_four_pending_frames_are_written_inline(fanout, members, everyone):
    results = [fanout.push(frame(number), everyone) for number in range(65)]

    assert results == [False] * 63 + [True, False]
    assert members[0].numbers == list(range(64))
    await asyncio.sleep(0)
    assert members[0].numbers == list(range(65))


async def test_sixty_four_kib_pending_are_written_inline(fanout, members, everyone):
    results = [fanout.push(frame(n, size=20_000), everyone) for n in range(5)]

    assert results == [False, False, False, True, False]
    assert members[0].numbers == [0, 1, 2, 3]
    await asyncio.sleep(0)


async def test_a_message_for_nobody_is_not_pending(fanout):
    assert not any(fanout.push(frame(number), ()) for number in range(100))


# To whom.


async def test_every_frame_goes_to_its_own_recipients_in_order(
    fanout, members, everyone
):
    fanout.push(frame(0), everyone)
    fanout.push(frame(1), everyone[:1])
    fanout.push(frame(2), everyone[1:])
    fanout.push(frame(3), everyone)

    await asyncio.sleep(0)

    assert [member.numbers for member in members] == [[0, 1, 3], [0, 2, 3], [0, 2, 3]]
    assert [len(member.writes) for member in members] == [1, 1, 1]


async def test_recipients_are_those_of_the_time_of_the_push(fanout, members, everyone):
    recipients = list(everyone)
    fanout.push(frame(0), tuple(recipients))
    recipients.pop()

    await asyncio.sleep(0)

    assert members[-1].numbers == [0]


# What it costs.


async def test_a_broadcast_to_many_makes_no_task_and_encodes_once(fanout):
    codec, members = CountingCodec(), sinks(300)
    everyone = room(*members)

    fanout.push(Frame(event(), codec), everyone)
    fanout.flush()

    assert all(member.numbers == [0] for member in members)
    assert len({id(member.writes[0][0]) for member in members}) == 1
    assert codec.encoded == 1
    assert not other_tasks()


async def test_an_idle_channel_schedules_nothing(fanout, everyone):
    fanout.push(frame(), everyone)
    await settle()

    assert not fanout._scheduled
    assert not asyncio.get_running_loop()._scheduled


# Members in trouble disturb nobody.


async def test_a_member_that_raises_costs_no_other_its_frames(fanout, members):
    everyone = room(*members)
    members[1].failure = OSError("broken")

    fanout.push(frame(0), everyone)
    fanout.push(frame(1), everyone[1:])
    await settle()

    assert members[0].numbers == [0]
    assert members[2].numbers == [0, 1]
    assert members[1].closings == [(1011, "send failed")]


@pytest.mark.parametrize("trouble", ["hangs", "raises"])
async def test_a_plain_member_in_trouble_costs_no_other_its_frames(
    fanout, members, trouble
):
    ill, plain = PlainTransport("ill"), PlainTransport("well")
    if trouble == "hangs":
        ill.gate.clear()
    else:
        ill.failure = OSError("broken")
    everyone = room(ill, plain, *members)

    for number in range(3):
        fanout.push(frame(number), everyone)
    await settle()

    assert [each.numbers for each in (plain, *members)] == [[0, 1, 2]] * 4
    assert bool(ill.closings) == (trouble == "raises")
    await everyone[0].end()


async def test_a_full_member_costs_no_other_its_frames(fanout, members):
    everyone = tuple(session_of(each, outbound_max_messages=1) for each in members)
    members[0].is_open = False

    for number in range(3):
        fanout.push(frame(number), everyone)
        fanout.flush()

    await settle()
    assert [member.numbers for member in members] == [[], [0, 1, 2], [0, 1, 2]]
    assert members[0].closings == [(1013, "slow consumer")]


# Outgoing handlers.


async def test_an_outgoing_handler_runs_for_each_recipient(fanout, members, everyone):
    async def number_for(_, session):
        seen.append(session.id)
        return frame(len(seen)) if session.id != "user-1" else None

    seen = []
    fanout.push(frame(0), everyone, number_for)

    await settle()

    assert sorted(seen) == ["user-0", "user-1", "user-2"]
    assert members[1].numbers == []
    assert sorted(members[0].numbers + members[2].numbers) == [1, 3]


async def test_what_is_sent_after_an_intercepted_frame_waits_for_it(
    fanout, members, everyone
):
    async def wait(frame, session):
        await go.wait()
        return frame

    go = asyncio.Event()
    fanout.push(frame(0), everyone)
    fanout.push(frame(1), everyone[:1], wait)
    fanout.push(frame(2), everyone)
    await settle()

    assert [member.numbers for member in members] == [[0], [0, 2], [0, 2]]
    go.set()
    await settle()
    assert members[0].numbers == [0, 1, 2]


async def test_who_is_spared_the_outgoing_handler_pays_nothing_for_it(
    fanout, members, everyone
):
    fanout.push(frame(0), everyone[:1], passes)
    fanout.push(frame(1), everyone)
    fanout.flush()

    assert [task.get_name() for task in other_tasks()] == ["pond-writer-user-0"]
    assert members[1].numbers == [1]
    await settle()
    assert members[0].numbers == [0, 1]


# Large rooms.


@pytest.fixture
def in_slices(monkeypatch):
    """Slices of two members."""
    monkeypatch.setattr(fanout_module, "SLICE", 2)


def reached(members):
    return [len(member.sent) for member in members]


@pytest.mark.parametrize("mixed", [False, True])
async def test_a_large_room_is_written_in_slices_one_a_turn(fanout, in_slices, mixed):
    members = sinks(5)
    everyone = room(*members)
    fanout.push(frame(0), everyone)
    if mixed:
        fanout.push(frame(1), everyone[::-1])
    each = 2 if mixed else 1

    for progress in ([2, 3], [4, 1], [5, 0]):
        await asyncio.sleep(0)
        done, left = progress
        assert sorted(reached(members)) == [0] * left + [each] * done


async def test_what_many_get_apart_is_sorted_over_several_turns(fanout, monkeypatch):
    monkeypatch.setattr(fanout_module, "COLLECTED", 2)
    members = sinks(5)
    everyone = room(*members)
    fanout.push(frame(0), everyone[1:])
    fanout.push(frame(1), everyone[:-1])

    await asyncio.sleep(0)
    assert not any(reached(members))
    fanout.flush()

    each = [[1], [0, 1], [0, 1], [0, 1], [0]]
    assert [member.numbers for member in members] == each


async def test_a_room_of_whole_slices_takes_no_turn_more(fanout, in_slices):
    members = sinks(4)
    fanout.push(frame(0), room(*members))

    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert reached(members) == [1] * 4
    assert not fanout._scheduled


async def test_a_flush_finishes_what_is_being_written_in_slices(fanout, in_slices):
    members = sinks(5)
    everyone = room(*members)
    fanout.push(frame(0), everyone)
    await asyncio.sleep(0)
    fanout.push(frame(1), everyone[:3])

    fanout.flush()

    assert reached(members) == [2, 2, 2, 1, 1]
    assert members[0].numbers == [0, 1]


async def test_what_comes_while_slices_are_written_follows_them(fanout, in_slices):
    members = sinks(5)
    everyone = room(*members)
    fanout.push(frame(0), everyone)
    await asyncio.sleep(0)

    fanout.push(frame(1), everyone)
    await settle()

    assert [member.numbers for member in members] == [[0, 1]] * 5


# Who gets the same shares it.


class KeepingTransport(SinkTransport):
    """Notes what it was handed, itself and not what is in it."""

    def __init__(self, id="ann"):
        super().__init__(id)
        self.handed = []

    def try_send(self, frames):
        self.handed.append(frames)
        return super().try_send(frames)


class PastHost(FrameWriter):
    """A way past a host that is always open."""

    def __init__(self):
        super().__init__()
        self.written = []

    def write(self, frames):
        self.written.append(frames)
        return True


class Broken(FrameWriter):
    """One that keeps no promise."""

    def write(self, frames):
        raise RuntimeError("the loop has closed it")


@pytest.fixture
def keeping():
    return [KeepingTransport(f"user-{number}") for number in range(6)]


def bursts_of(members):
    """Return what each member was handed, which is one burst for each."""
    bursts = [burst for member in members for burst in member.handed]
    assert len(bursts) == len(members)
    assert all(isinstance(burst, Burst) for burst in bursts)
    return bursts


@pytest.mark.parametrize("count", [1, 3])
async def test_all_members_share_one_burst(fanout, keeping, count):
    everyone = room(*keeping)
    for number in range(count):
        fanout.push(frame(number), everyone)

    fanout.flush()

    bursts = bursts_of(keeping)
    assert len({id(burst) for burst in bursts}) == 1
    assert len(bursts[0]) == count


async def test_in_a_mixture_those_who_get_the_same_share_a_burst(fanout, keeping):
    everyone = room(*keeping)
    fanout.push(frame(0), everyone)
    fanout.push(frame(1), everyone[:3])
    fanout.push(frame(2), everyone)

    fanout.flush()

    bursts = bursts_of(keeping)
    assert len({id(burst) for burst in bursts[:3]}) == 1
    assert len({id(burst) for burst in bursts[3:]}) == 1
    assert [len(burst) for burst in bursts] == [3, 3, 3, 2, 2, 2]


async def test_a_reply_to_one_costs_the_others_no_burst_of_their_own(fanout, keeping):
    everyone = room(*keeping)
    fanout.push(frame(0), everyone)
    fanout.push(frame(1), everyone[2:3])

    fanout.flush()

    assert len({id(burst) for burst in bursts_of(keeping)}) == 2
    assert keeping[2].numbers == [0, 1]


async def test_an_answer_keeps_nobody_else_from_being_written_to_directly(fanout):
    members = sinks(3)
    everyone = room(*members)
    writers = [PastHost() for _ in everyone]
    for session, writer in zip(everyone, writers, strict=True):
        session.direct = writer
    fanout.push(frame(0), everyone)
    fanout.push(frame(1), everyone[1:2])

    fanout.flush()

    assert [len(writer.written) for writer in writers] == [1, 0, 1]
    assert members[1].numbers == [0, 1]


async def test_a_way_past_the_host_that_raises_costs_nobody_a_frame(fanout, members):
    everyone = room(*members)
    everyone[1].direct = Broken()

    fanout.push(frame(0), everyone)
    fanout.flush()

    assert [member.numbers for member in members] == [[0], [0], [0]]


async def test_a_burst_is_shared_across_slices(fanout, keeping, in_slices):
    everyone = room(*keeping)
    fanout.push(frame(0), everyone)
    fanout.push(frame(1), everyone[::-1])

    for _ in range(3):
        await asyncio.sleep(0)

    assert len({id(burst) for burst in bursts_of(keeping)}) == 1


async def test_the_same_frames_in_another_order_are_another_burst(fanout, keeping):
    first, second = frame(1), frame(2)
    everyone = room(*keeping)
    fanout.push(first, everyone[:3])
    fanout.push(second, everyone)
    fanout.push(first, everyone[3:])

    fanout.flush()

    assert [member.numbers for member in keeping] == [[1, 2]] * 3 + [[2, 1]] * 3


async def test_who_has_an_outgoing_handler_does_not_keep_others_from_sharing(
    fanout, keeping
):
    everyone = room(*keeping)
    fanout.push(frame(0), everyone)
    fanout.push(frame(1), everyone[:1], passes)

    fanout.flush()

    assert len({id(burst) for burst in bursts_of(keeping[1:])}) == 1
    await settle()
    assert keeping[0].numbers == [0, 1]


async def test_the_bytes_for_the_wire_are_built_once_for_all(fanout, keeping):
    everyone = room(*keeping)
    fanout.push(frame(0), everyone)
    fanout.push(frame(1), everyone[::-1])

    fanout.flush()

    for form in ("websocket", "batch", "deflated", "deflated_batch"):
        assert len({id(getattr(burst, form)) for burst in bursts_of(keeping)}) == 1


# A transport that calls back into its channel.


class Talkative(SinkTransport):
    """Its first write sends something more to the same channel."""

    def __init__(self, *frames):
        super().__init__("talkative")
        self.frames = list(frames)
        self.talk = None

    def try_send(self, frames):
        taken = super().try_send(frames)
        while self.frames:
            self.talk(self.frames.pop(0))
        return taken


@pytest.mark.parametrize("first", [0, 70_000], ids=["small", "large"])
@pytest.mark.parametrize("second", [0, 70_000], ids=["small", "large"])
@pytest.mark.parametrize("by_flush", [True, False])
async def test_what_a_transport_sends_while_it_is_written_to_goes_out_in_the_next_turn(
    fanout, first, second, by_flush
):
    talkative, other = Talkative(frame(1, size=second)), SinkTransport()
    everyone = room(talkative, other)
    talkative.talk = lambda frame: fanout.push(frame, everyone)
    fanout.push(frame(0, size=first), everyone)

    if by_flush:
        fanout.flush()
    await settle()

    assert talkative.numbers == other.numbers == [0, 1]


# All of it, against a simple model.

who = st.sets(st.integers(0, 3))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("all"), st.sampled_from([0, 0, 0, 40])),
        st.tuples(st.just("some"), who),
        st.tuples(st.just("one"), st.integers(0, 3)),
        st.tuples(st.just("intercepted"), who),
        st.tuples(st.sampled_from(["join", "leave"]), st.integers(0, 3)),
        st.tuples(st.sampled_from(["refuse", "accept"]), st.integers(0, 3)),
        st.tuples(st.just("turn"), st.none()),
    ),
    max_size=60,
)


@given(steps=steps)
def test_every_member_gets_what_was_sent_while_it_was_one_in_order(steps):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fanout_module, "SLICE", 2)
        patch.setattr(fanout_module, "MAX_FRAMES", 6)
        patch.setattr(fanout_module, "MAX_BYTES", 6 * frame().size)
        asyncio.run(Play().run(steps))


class Play:
    """A channel of up to four members, some of whom take nothing at times."""

    def __init__(self):
        self.fanout = FanOut()
        self.transports = [*sinks(3), PlainTransport("user-3")]
        self.sessions = room(*self.transports)
        self.members = set()
        self.expected = [[], [], [], []]
        self.number = 0

    async def run(self, steps):
        for step, argument in steps:
            if step == "turn":
                await asyncio.sleep(0)
            else:
                getattr(self, step)(argument)
        for index in range(4):
            self.accept(index)
        await settle()
        assert [transport.numbers for transport in self.transports] == self.expected
        assert not other_tasks()

    def push(self, indexes, intercept=None, size=0):
        """Send the next number to those who are members; every fifth is blocked."""
        recipients = sorted(self.members.intersection(indexes))
        item = frame(self.number, size=size)
        self.fanout.push(item, tuple(self.sessions[n] for n in recipients), intercept)
        for index in recipients:
            if intercept is None or self.number % 5:
                self.expected[index].append(self.number)
        self.number += 1

    def all(self, size):
        self.push(range(4), size=size)

    def some(self, indexes):
        self.push(indexes)

    def one(self, index):
        self.push([index])

    def intercepted(self, indexes):
        self.push(indexes, self.intercept)

    async def intercept(self, frame, session):
        for _ in range(len(session.id + str(frame.event.payload["n"])) % 4):
            await asyncio.sleep(0)
        return frame if frame.event.payload["n"] % 5 else None

    def join(self, index):
        self.fanout.flush()
        self.members.add(index)

    def leave(self, index):
        self.fanout.flush()
        self.members.discard(index)

    def refuse(self, index):
        self.transports[index].is_open = False
        self.transports[index].gate.clear()

    def accept(self, index):
        transport = self.transports[index]
        transport.gate.set()
        if isinstance(transport, SinkTransport):
            transport.open()
