"""A member that does not read: bounded, cut off or left behind, and alone with it.

The outbox is ours to bound; what a host keeps behind its ``send`` is its own, and that
is what is measured here, over WebSocket and an event stream at once.
"""

import asyncio
import json
import time
from pathlib import Path

import psutil
import pytest

from tests.hosts.commands import HOSTS
from tests.hosts.crowd import ROOM, Notes, enter
from tests.hosts.process import HostProcess, run_host
from tests.hosts.table import note
from tests.reliability.clients import (
    EventStreamClient,
    Member,
    WebSocketClient,
    eventually,
    hang_up_all,
)

pytestmark = pytest.mark.timeout(60)

KIB, MIB = 1 << 10, 1 << 20
SIZE = 256 * KIB  # bytes of padding in a broadcast
WINDOW = 4  # broadcasts under way, half of what fits the outbox of a healthy member
WARMING = 40  # broadcasts after which a process has the memory that it needs anyway
MANY = 400  # broadcasts: 100 MiB
OUTBOX = 2 * MIB
SEND_TIMEOUT = 1.0  # seconds
SMALL_BUFFER = 4096  # of the kernel, for a member that does not read
# of each stuck connection: its outbox, one write of all of it that is under way, and
# what the hosts let wait before they stop a writer
HELD = 2 * OUTBOX + 64 * KIB
SLACK = 8 * MIB
FLOOR = 3.0  # seconds; a machine that does much else takes them anyway
PATIENCE = 3.0  # seconds, beyond the timeout, for a host to let go of a socket


class Room:
    """A served room with one healthy member, who has all that is said poured out."""

    def __init__(self, host: HostProcess, healthy: Member) -> None:
        self.host = host
        self.healthy = healthy
        self.numbers: list[int] = []
        self.peak = 0

    async def pour(self, count: int) -> float:
        """Broadcast, as fast as the healthy member reads; return the seconds."""
        began = time.monotonic()
        for _ in range(0, count, WINDOW):
            first = len(self.numbers)
            await self.healthy.ask(
                "BROADCAST", ROOM, "pour", first=first, count=WINDOW, size=SIZE
            )
            self.numbers += [each["n"] for each in self.healthy.named("poured")]
            self.healthy.received.clear()
            self.healthy.answers.clear()
            self.peak = max(self.peak, self.host.resident)
        return time.monotonic() - began


def serve_room(name: str, directory: Path, notes: Notes, policy: str):
    options = {
        "slow_consumer": policy,
        "outbound_max_bytes": OUTBOX,
        "send_timeout": SEND_TIMEOUT,
    }
    return run_host(
        name,
        "tests.hosts.room",
        directory / "log",
        POND_TEST_NOTES=str(notes.path),
        POND_TEST_OPTIONS=json.dumps(options),
    )


async def enter_stuck(host: HostProcess, name: str) -> list[Member]:
    """Let one member of each kind join and not read."""
    kinds = [WebSocketClient, EventStreamClient][: 1 + HOSTS[name].serves_streams]
    stuck = [
        await enter(host.port, kind, receive_buffer=SMALL_BUFFER) for kind in kinds
    ]
    for member in stuck:
        member.stop_reading()
    return stuck


def holds(host: HostProcess, member: Member) -> bool:
    """Tell whether a host still has the socket of a member."""
    port = member.transport.get_extra_info("sockname")[1]
    parent = psutil.Process(host.process.pid)
    return any(
        connection.raddr and connection.raddr.port == port
        for process in [parent, *parent.children(recursive=True)]
        for connection in process.net_connections("tcp")
    )


async def is_let_go(host: HostProcess, member: Member) -> bool:
    """Tell whether a host lets go of a member's socket though it does not read."""
    try:
        await eventually(lambda: not holds(host, member), SEND_TIMEOUT + PATIENCE)
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("name", HOSTS)
async def test_who_does_not_read_costs_no_memory_and_delays_nobody(name, tmp_path):
    notes = Notes(tmp_path / "notes")
    async with serve_room(name, tmp_path, notes, "drop_oldest") as host:
        room = Room(host, await enter(host.port, WebSocketClient))
        expected = await room.pour(WARMING) / WARMING * MANY
        stuck = await enter_stuck(host, name)
        before, room.peak = host.resident, 0
        seconds = await room.pour(MANY)
        assert notes.count("left") == 0
        assert "was not found" not in host.log  # a connection of daphne
    await hang_up_all()

    assert room.numbers == list(range(WARMING + MANY))
    assert room.peak - before <= len(stuck) * HELD + SLACK
    assert seconds <= max(2 * expected, FLOOR)


@pytest.mark.parametrize("name", HOSTS)
async def test_who_does_not_read_is_closed_and_leaves_once(name, tmp_path):
    notes = Notes(tmp_path / "notes")
    async with serve_room(name, tmp_path, notes, "close") as host:
        room = Room(host, await enter(host.port, WebSocketClient))
        stuck = await enter_stuck(host, name)
        users = [member.user_id for member in stuck]
        await room.pour(WARMING)
        await notes.wait_for("left", len(stuck))
        freed = await asyncio.gather(*(is_let_go(host, member) for member in stuck))
        for member in stuck:
            member.read_on()
        for member in stuck:
            await member.until(lambda member=member: member.is_over)
        assert notes.count("left") == len(users)
        assert notes.once_each("left", stuck)
    await hang_up_all()

    assert room.numbers == list(range(WARMING))
    note(name, "slow reader", describe(freed))


def describe(freed: list[bool]) -> str:
    """Say what became of a WebSocket and, where there was one, of an event stream."""
    words = ["cut" if each else "left, its socket stays" for each in freed]
    if len(set(words)) == 1:
        return words[0]
    return "; ".join(
        f"{kind} {word}"
        for kind, word in zip(("WebSocket", "stream"), words, strict=True)
    )
