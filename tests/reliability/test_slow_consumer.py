"""Case 21: who does not read costs itself its messages, and nobody else anything.

The server is a process of its own; the slow member is a real socket that is not read
and whose kernel buffer is small. How much slower others get is only guarded roughly
here, with a floor that a busy machine stays below; the figures are printed by
``benchmarks/bench_slow_consumer.py``.
"""

import asyncio
import statistics
import time
from dataclasses import dataclass, field

import pytest

from tests.reliability.clients import (
    EventStreamClient,
    Member,
    WebSocketClient,
    eventually,
)
from tests.reliability.hosts import WEBSOCKETS, ServerProcess, server_process

pytestmark = pytest.mark.timeout(60)

ROOM = "/room/one"
MIB = 1 << 20
SIZE = 65_536  # bytes of padding in a broadcast
BROADCASTS = 200
WINDOW = 5  # broadcasts under way: far below what the healthy members may lag behind
ROUNDS = 4
OUTBOX = MIB
SLACK = 8 * MIB
SMALL_BUFFER = 4096
FLOOR = 0.25  # seconds; on a machine that does much else a broadcast takes this anyway

KINDS = [
    *(pytest.param(WebSocketClient, ws, id=ws) for ws in WEBSOCKETS),
    pytest.param(EventStreamClient, "websockets-sansio", id="sse"),
]
TRY_AGAIN_LATER = 1013
FITTING = OUTBOX // (SIZE + 512)  # broadcasts in a full outbox
CROWD = 100
FEWER = 100
SMALL = 8192  # bytes of padding, so that WINDOW broadcasts fit the small outbox
SMALL_OUTBOX = 65_536
# For each connection that is stuck: uvicorn takes what it is given until 64 KiB wait,
# and one write on top of that; an event stream joins as much into one write.
HOST_BUFFERS = 3 * 65_536
DROPPING = ["drop_oldest", "drop_newest"]


@dataclass
class Room:
    """A running server, its healthy members, and what was sent."""

    server: ServerProcess
    healthy: list[Member]
    sent: int = 0
    delays: list[float] = field(default_factory=list)
    peak: int = 0

    async def broadcast(self, count: int, size: int = SIZE) -> None:
        """Broadcast as fast as the healthy members read."""
        for number in range(self.sent, self.sent + count, WINDOW):
            step = min(WINDOW, self.sent + count - number)
            started = time.monotonic()
            sending = self.server.ask(
                "broadcast", first=number, count=step, size=size, at=started
            )
            expected = number + step
            await asyncio.gather(
                sending, *(self._receive(each, expected) for each in self.healthy)
            )
            self.peak = max(self.peak, self.server.resident)
        self.sent += count

    async def _receive(self, member: Member, expected: int) -> None:
        await member.until(lambda: len(numbers(member)) >= expected)
        last = member.received[-1]["payload"]
        self.delays.append(time.monotonic() - last["at"])

    async def measure(self) -> float:
        """Broadcast in rounds; return the median of the rounds' slowest deliveries."""
        slowest = []
        for _ in range(ROUNDS):
            self.delays.clear()
            await self.broadcast(BROADCASTS // ROUNDS)
            slowest.append(max(self.delays))
        return statistics.median(slowest)


def numbers(member: Member) -> list[int]:
    return [payload["n"] for payload in member.named("said")]


async def enter(server: ServerProcess, kind: type[Member], **options) -> Member:
    member = await kind.open(server.port, **options)
    await member.join(ROOM)
    return member


async def open_room(server: ServerProcess, kind: type[Member]) -> Room:
    return Room(server, [await enter(server, kind) for _ in range(2)])


async def enter_and_stop_reading(server: ServerProcess, kind: type[Member]) -> Member:
    member = await enter(server, kind, receive_buffer=SMALL_BUFFER)
    member.stop_reading()
    return member


@pytest.mark.parametrize(("kind", "ws"), KINDS)
@pytest.mark.parametrize("policy", ["close", *DROPPING])
async def test_who_does_not_read_delays_nobody_and_costs_no_more_than_its_outbox(
    policy, kind, ws
):
    async with server_process(
        ws, slow_consumer=policy, outbound_max_bytes=OUTBOX, send_timeout=60
    ) as server:
        room = await open_room(server, kind)
        third = await enter(server, kind)
        without = await room.measure()
        third.hang_up()
        before = server.resident
        await enter_and_stop_reading(server, kind)
        room.peak = 0
        with_slow_one = await room.measure()

        for member in room.healthy:
            assert numbers(member) == list(range(2 * BROADCASTS))
        assert room.peak - before <= OUTBOX + SLACK
        assert with_slow_one <= max(2 * without, FLOOR)


@pytest.mark.parametrize(("kind", "ws"), KINDS)
async def test_of_the_oldest_what_was_dropped_is_counted_to_the_last_message(kind, ws):
    async with server_process(
        ws, slow_consumer="drop_oldest", outbound_max_bytes=OUTBOX, send_timeout=60
    ) as server:
        got = await fall_behind_and_catch_up(server, kind)

    assert got[-FITTING:] == list(range(BROADCASTS - FITTING, BROADCASTS))


@pytest.mark.parametrize(("kind", "ws"), KINDS)
async def test_of_the_newest_what_was_dropped_is_counted_to_the_last_message(kind, ws):
    async with server_process(
        ws, slow_consumer="drop_newest", outbound_max_bytes=OUTBOX, send_timeout=60
    ) as server:
        got = await fall_behind_and_catch_up(server, kind)

    assert got[:FITTING] == list(range(FITTING))
    assert BROADCASTS - 1 not in got


async def fall_behind_and_catch_up(
    server: ServerProcess, kind: type[Member]
) -> list[int]:
    """Return what a slow member got in the end, all of it accounted for."""
    room = await open_room(server, kind)
    slow = await enter_and_stop_reading(server, kind)
    await room.broadcast(BROADCASTS)
    dropped = (await server.ask("stats"))["outbound_dropped"]
    slow.read_on()
    await slow.until(lambda: len(numbers(slow)) + dropped >= BROADCASTS)
    await slow.ask("BROADCAST", ROOM, "echo")  # nothing comes behind its back

    got = numbers(slow)
    after = await server.ask("stats")
    assert dropped > 0
    assert len(got) + dropped == BROADCASTS
    assert got == sorted(set(got))
    assert (after["outbound_dropped"], after["outbox_bytes"]) == (dropped, 0)
    return got


@pytest.mark.parametrize(("kind", "ws"), KINDS)
async def test_who_is_closed_for_reading_too_slowly_is_gone_at_once_and_told_why(
    kind, ws
):
    async with server_process(
        ws, slow_consumer="close", outbound_max_bytes=OUTBOX, send_timeout=60
    ) as server:
        room = await open_room(server, kind)
        slow = await enter_and_stop_reading(server, kind)
        await room.broadcast(BROADCASTS)
        stats = await server.ask("stats")
        slow.read_on()
        await slow.until(lambda: slow.is_over)

        got = numbers(slow)
        assert (stats["connections"], stats["leaves"]) == (2, 1)
        assert stats["slow_consumer_closed"] == 1
        assert stats["outbox_bytes"] == 0
        assert got == list(range(len(got)))
        if isinstance(slow, WebSocketClient):
            assert slow.close_code == TRY_AGAIN_LATER


CROWD_KINDS = pytest.mark.parametrize(
    "kind", [WebSocketClient, EventStreamClient], ids=lambda kind: kind.kind
)


@CROWD_KINDS
@pytest.mark.parametrize("policy", DROPPING)
async def test_a_hundred_who_do_not_read_cost_a_hundred_outboxes_and_no_more(
    policy, kind
):
    async with server_process(
        slow_consumer=policy,
        outbound_max_bytes=SMALL_OUTBOX,
        send_timeout=60,
        send_buffer=SMALL_BUFFER,
    ) as server:
        room = await open_room(server, kind)
        crowd = await fall_behind_together(room, kind)
        stats = await server.ask("stats")
        dropped = stats["outbound_dropped"]
        for member in crowd:
            member.read_on()
        await eventually(lambda: total(crowd) + dropped >= CROWD * FEWER)
        after = await server.ask("stats")

    assert stats["outbox_bytes"] <= CROWD * SMALL_OUTBOX
    assert dropped > 0
    assert total(crowd) + dropped == CROWD * FEWER
    assert (after["outbound_dropped"], after["outbox_bytes"]) == (dropped, 0)


@CROWD_KINDS
async def test_a_hundred_who_do_not_read_can_be_closed_all_at_once(kind):
    async with server_process(
        slow_consumer="close",
        outbound_max_bytes=SMALL_OUTBOX,
        send_timeout=60,
        send_buffer=SMALL_BUFFER,
    ) as server:
        await fall_behind_together(await open_room(server, kind), kind)
        stats = await server.ask("stats")

    assert (stats["connections"], stats["outbox_bytes"]) == (2, 0)
    assert stats["slow_consumer_closed"] == stats["leaves"] == CROWD


async def fall_behind_together(room: Room, kind: type[Member]) -> list[Member]:
    """Let a hundred members not read what two others get, in bounded memory."""
    await room.broadcast(FEWER, SMALL)  # the process takes what memory it needs anyway
    crowd = [await enter_and_stop_reading(room.server, kind) for _ in range(CROWD)]
    before, room.peak = room.server.resident, 0
    await room.broadcast(FEWER, SMALL)

    assert room.peak - before <= CROWD * (SMALL_OUTBOX + HOST_BUFFERS) + SLACK
    for member in room.healthy:
        assert numbers(member) == list(range(2 * FEWER))
    return crowd


def total(crowd: list[Member]) -> int:
    return sum(len(numbers(member)) for member in crowd)
