"""The connection whose client is the test."""

import pytest

from pondsocket.errors import PondError
from pondsocket.transports.memory import InMemoryTransport
from pondsocket.types import Event, TransportType
from tests.unit.doubles import event, frame, settle, started

pytestmark = pytest.mark.usefixtures("no_task_is_left")


@pytest.fixture
def memory():
    return InMemoryTransport("ann", assigns={"role": "admin"})


async def test_the_connections_id_is_the_users(memory):
    assert memory.connection_id == memory.get_id() == "ann"
    assert memory.get_assign("role") == "admin"
    assert memory.transport_type() is TransportType.WEBSOCKET


async def test_the_client_receives_the_very_event_that_was_sent(memory):
    await memory.send_event(sent := event())

    assert await memory.receive_sent() is sent


async def test_the_client_can_wait_for_an_event(memory):
    receiving = await started(memory.receive_sent(wait=None))

    await memory.send_event(sent := event())

    assert await receiving is sent


async def test_an_event_that_does_not_come_is_a_timeout(memory):
    with pytest.raises(TimeoutError):
        await memory.receive_sent(wait=1e-6)


async def test_a_closed_connection_gives_what_is_left_and_then_a_timeout_at_once(
    memory,
):
    await memory.send_event(sent := event())
    await memory.close()

    assert await memory.receive_sent() is sent
    with pytest.raises(TimeoutError, match="'ann' is closed"):
        await memory.receive_sent(wait=None)


async def test_sending_after_the_close_is_an_error(memory):
    await memory.close()

    with pytest.raises(PondError):
        await memory.send_event(event())


async def test_the_outbox_can_be_counted_and_drained(memory):
    for number in range(3):
        await memory.send_event(event(number))
    assert memory.outbox_size() == 3

    drained = await memory.drain_outbox()

    assert [each.payload["n"] for each in drained] == [0, 1, 2]
    assert memory.outbox_size() == 0
    assert await memory.drain_outbox() == []


async def test_what_the_client_sends_reaches_its_handler(memory):
    got = []
    memory.on_message(lambda message, transport: got.append((message, transport)))

    await memory.push_inbound(sent := event())

    await settle()
    assert got == [(sent, memory)]


async def test_a_handler_has_begun_when_the_push_returns(memory):
    got = []
    memory.on_message(lambda message, _: got.append(message))

    await memory.push_inbound(event())

    assert len(got) == 1


async def test_what_is_wrong_with_a_pushed_event_is_answered(memory):
    await memory.push_inbound(Event("BROADCAST", "/room", "1", "n" * 1000, {}))

    assert (await memory.receive_sent()).event == "INVALID_MESSAGE"


async def test_a_client_that_left_cannot_send(memory):
    got = []
    memory.on_message(lambda message, _: got.append(message))
    await memory.close()

    await memory.push_inbound(event())

    await settle()
    assert not got


async def test_above_its_capacity_it_refuses():
    memory = InMemoryTransport("ann", capacity=2)

    assert memory.try_send([frame(), frame()])
    assert not memory.try_send([frame()])


async def test_the_size_of_events_does_not_matter(memory):
    huge = frame(size=1_000_000)

    assert all(memory.try_send([huge]) for _ in range(100))
