"""The queue between the reader and the application: order, bounds and the end."""

import asyncio

import pytest

from pondsocket_asgi.ws_bridge.events import EventQueue

END = {"type": "websocket.disconnect", "code": 1000}


def text(content):
    return {"type": "websocket.receive", "text": content}


def binary(content):
    return {"type": "websocket.receive", "bytes": content}


def take_all(queue):
    return [queue.get_nowait() for _ in range(queue.qsize())]


async def begin_to_put(queue, event):
    putting = asyncio.ensure_future(queue.put(event))
    await asyncio.wait({putting}, timeout=0)
    return putting


async def test_events_come_out_in_their_order():
    queue = EventQueue(10, 0)
    events = [text("1"), binary(b"2"), text("3")]
    for event in events:
        queue.put_nowait(event)

    assert take_all(queue) == events


async def test_it_is_full_by_their_number():
    queue = EventQueue(2, 0)
    queue.put_nowait(text("1"))
    queue.put_nowait(text("2"))

    with pytest.raises(asyncio.QueueFull):
        queue.put_nowait(text("3"))


@pytest.mark.parametrize("event", [text("x" * 10), binary(bytes(10))])
async def test_it_is_full_by_their_length(event):
    queue = EventQueue(100, 10)
    queue.put_nowait(event)

    with pytest.raises(asyncio.QueueFull):
        queue.put_nowait(text(""))


async def test_one_event_has_room_however_long_it_is():
    queue = EventQueue(100, 10)

    queue.put_nowait(text("x" * 1000))

    assert queue.qsize() == 1


async def test_what_is_taken_makes_room():
    queue = EventQueue(100, 10)
    queue.put_nowait(text("x" * 10))
    putting = await begin_to_put(queue, text("y"))
    assert not putting.done()

    queue.get_nowait()

    await putting
    assert take_all(queue) == [text("y")]


async def test_the_end_has_room_in_a_full_queue():
    queue = EventQueue(1, 1)
    queue.put_nowait(text("x"))

    queue.end(END)

    assert take_all(queue) == [text("x"), END]


async def test_only_the_first_end_counts():
    queue = EventQueue(10, 0)
    queue.end(END)

    queue.end({**END, "code": 1006})

    assert take_all(queue) == [END]


async def test_after_the_end_nothing_is_kept_and_nobody_waits():
    queue = EventQueue(1, 1)
    queue.end(END)

    for _ in range(10):
        await queue.put(text("late"))

    assert take_all(queue) == [END]


async def test_who_waits_at_the_end_is_let_go_once_there_is_room():
    queue = EventQueue(1, 0)
    queue.put_nowait(text("1"))
    putting = await begin_to_put(queue, text("2"))
    queue.end(END)

    taken = [await queue.get() for _ in range(2)]

    await putting
    assert taken == [text("1"), END]
    assert queue.empty()


async def test_what_is_discarded_is_gone_and_who_waits_goes_on():
    queue = EventQueue(1, 0)
    queue.put_nowait(text("1"))
    putting = await begin_to_put(queue, text("2"))

    queue.discard()

    await putting
    assert queue.empty()


async def test_the_end_is_kept_when_all_else_is_discarded():
    queue = EventQueue(1, 0)
    queue.discard()
    queue.put_nowait(text("late"))

    queue.end(END)

    assert take_all(queue) == [END]


async def test_a_receiver_is_not_woken_by_what_is_discarded():
    queue = EventQueue(1, 0)
    queue.discard()
    getting = asyncio.ensure_future(queue.get())
    await asyncio.wait({getting}, timeout=0)
    queue.put_nowait(text("late"))
    await asyncio.wait({getting}, timeout=0)

    queue.end(END)

    assert await getting == END
