"""The server's side of an event stream, without HTTP."""

import asyncio
import json

import pytest

from pondsocket.errors import TooManyRequests
from pondsocket.metrics import Telemetry
from pondsocket.transports.sse import SSEServerTransport
from pondsocket.types import Limits, TransportType
from tests.unit.doubles import event, frame, started

pytestmark = pytest.mark.usefixtures("no_task_is_left")

MESSAGE = json.dumps(
    {
        "action": "BROADCAST",
        "event": "news",
        "channelName": "/room",
        "requestId": "1",
        "payload": {},
    }
).encode()


@pytest.fixture
def sse():
    return SSEServerTransport(id="ann", assigns={"role": "admin"})


async def test_it_says_what_it_is(sse):
    assert sse.transport_type() is TransportType.SSE
    assert sse.get_id() == "ann"
    assert sse.get_assign("role") == "admin"


async def test_the_connections_id_is_a_long_secret_of_its_own():
    ids = {SSEServerTransport(id="ann").connection_id for _ in range(100)}

    assert len(ids) == 100
    assert "ann" not in ids
    assert all(len(each) >= 32 for each in ids)  # 6 bits a character


async def test_the_connections_id_can_be_given():
    assert SSEServerTransport(id="ann", connection_id="x").connection_id == "x"


async def test_the_stream_gets_the_very_event_that_was_sent(sse):
    receiving = await started(sse.next_event())

    await sse.send_event(sent := event())

    assert await receiving is sent


async def test_a_closed_stream_is_drained_and_then_ends(sse):
    await sse.send_event(sent := event())
    await sse.close()

    assert await sse.next_event() is sent
    assert await sse.next_event() is None


async def test_the_stream_takes_all_frames_that_are_there_at_once(sse):
    frames = [frame(number) for number in range(3)]
    receiving = await started(sse.next_frames())

    sse.try_send(frames)

    assert await receiving == frames


async def test_a_closed_stream_has_no_more_frames(sse):
    await sse.close()

    assert await sse.next_frames() == []


async def test_taking_frames_makes_room_for_more(sse):
    calls = []
    sse.on_writable(lambda: calls.append("writable"))
    while sse.try_send([frame()]):
        pass

    await sse.next_frames()

    assert calls == ["writable"]
    assert sse.try_send([frame()])


@pytest.mark.parametrize(("size", "taken"), [(0, 64), (8192, 8)])
async def test_it_holds_no_more_than_64_frames_or_64_kib(sse, size, taken):
    attempts = [sse.try_send([frame(size=size)]) for _ in range(70)]

    assert attempts.count(True) == taken


async def test_a_posted_message_has_reached_its_handler_when_the_post_is_answered(sse):
    got = []
    sse.on_message(lambda message, _: got.append(message.event))

    await sse.push_message(MESSAGE)

    assert got == ["news"]


async def test_a_malformed_post_is_answered_on_the_stream(sse):
    await sse.push_message(b"nonsense")

    assert (await sse.next_event()).event == "INVALID_MESSAGE"


async def test_a_post_into_a_full_inbox_is_refused(sse):
    go = asyncio.Event()
    sse.bind(Limits(inbound_max_messages=1), Telemetry(), lambda _: None)
    sse.on_message(lambda *_: go.wait())
    await sse.push_message(MESSAGE)
    await sse.push_message(MESSAGE)

    with pytest.raises(TooManyRequests, match="inbox is full"):
        await sse.push_message(MESSAGE)

    go.set()


@pytest.mark.parametrize(
    "end", [SSEServerTransport.close, SSEServerTransport.peer_gone]
)
async def test_one_can_wait_for_its_end(sse, end):
    waiting = await started(sse.wait_until_closed())
    assert not waiting.done()

    await end(sse)

    await waiting
