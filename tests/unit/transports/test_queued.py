"""The queue of frames that somebody takes."""

import asyncio

import pytest

from pondsocket.transports.queued import QueuedTransport
from tests.unit.doubles import CountingCodec, frame, settle, started

pytestmark = pytest.mark.usefixtures("no_task_is_left")


def make(max_frames=100, max_bytes=100_000, **options):
    return QueuedTransport("ann", max_frames=max_frames, max_bytes=max_bytes, **options)


async def test_frames_are_handed_out_in_the_order_in_which_they_were_sent():
    queued = make()
    frames = [frame(number) for number in range(3)]

    assert queued.try_send(frames[:2])
    assert queued.try_send(frames[2:])

    assert [await queued._next() for _ in frames] == frames


async def test_who_waits_gets_the_next_frame():
    queued = make()
    waiting = await started(queued._next())

    queued.try_send([sent := frame()])

    assert await waiting is sent


async def test_each_of_two_who_wait_gets_a_frame_of_its_own():
    queued = make()
    first, second = [await started(queued._next()) for _ in range(2)]
    frames = [frame(0), frame(1)]

    queued.try_send(frames[:1])
    await settle()
    assert [first.done(), second.done()].count(True) == 1
    queued.try_send(frames[1:])

    assert {await first, await second} == set(frames)


async def test_a_queue_at_its_mark_in_frames_takes_nothing():
    queued = make(max_frames=2)

    taken = [queued.try_send([frame(number)]) for number in range(3)]

    assert taken == [True, True, False]
    assert len(queued._frames) == 2


async def test_a_queue_at_its_mark_in_bytes_takes_nothing():
    queued = make(max_bytes=2 * frame().size)

    assert [queued.try_send([frame()]) for _ in range(3)] == [True, True, False]


async def test_an_empty_queue_takes_what_is_above_its_mark():
    queued = make(max_frames=0, max_bytes=0)

    assert queued.try_send([frame(0), frame(1)])


async def test_it_takes_all_frames_or_none():
    queued = make(max_frames=2)
    queued.try_send([frame()])

    assert queued.try_send([frame(), frame()])
    assert not queued.try_send([frame(), frame()])
    assert len(queued._frames) == 3


async def test_after_a_refusal_it_calls_once_it_is_empty_again():
    calls = []
    queued = make(max_frames=2)
    queued.on_writable(lambda: calls.append(len(queued._frames)))
    queued.try_send([frame(), frame()])
    queued.try_send([frame()])

    await queued._next()
    assert not calls
    await queued._next()

    assert calls == [0]


async def test_it_calls_no_more_than_once_for_a_refusal():
    calls = []
    queued = make(max_frames=1)
    queued.on_writable(lambda: calls.append("writable"))
    queued.try_send([frame()])
    queued.try_send([frame()])
    await queued._next()

    queued.try_send([frame()])
    await queued._next()

    assert calls == ["writable"]


async def test_without_a_refusal_it_calls_nobody():
    calls = []
    queued = make()
    queued.on_writable(lambda: calls.append("writable"))

    queued.try_send([frame()])
    await queued._next()

    assert not calls


async def test_a_refusal_that_nobody_waits_for_is_no_error():
    queued = make(max_frames=1)
    queued.try_send([frame()])
    queued.try_send([frame()])

    assert await queued._next()


async def test_bytes_that_were_taken_make_room():
    queued = make(max_bytes=2 * frame().size)
    queued.try_send([frame()])

    for _ in range(10):
        assert queued.try_send([frame()])
        await queued._next()


@pytest.mark.parametrize("end", [QueuedTransport.close, QueuedTransport.peer_gone])
async def test_a_closed_queue_hands_out_what_is_left_and_then_nothing(end):
    queued = make()
    queued.try_send([sent := frame()])

    await end(queued)

    assert await queued._next() is sent
    assert await queued._next() is None


async def test_a_closed_queue_takes_nothing():
    queued = make()

    await queued.close()

    assert not queued.try_send([frame()])


async def test_who_waits_when_it_closes_learns_of_the_end():
    queued = make()
    waiting = await started(queued._next())

    await queued.close()

    assert await waiting is None


async def test_the_end_is_known_before_leave_handlers_have_run():
    go = asyncio.Event()
    queued = make()
    queued.on_close(lambda _: go.wait())
    waiting = await started(queued._next())

    closing = await started(queued.close())

    assert waiting.done()
    assert not closing.done()
    go.set()
    await closing


async def test_identity_assigns_and_codec_are_those_of_any_transport():
    codec = CountingCodec()
    queued = make(assigns={"a": 1}, connection_id="secret", codec=codec)

    assert (queued.get_id(), queued.connection_id) == ("ann", "secret")
    assert queued.clone_assigns() == {"a": 1}
    assert queued.codec is codec
