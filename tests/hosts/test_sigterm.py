"""SIGTERM with a crowd connected: all are told, all leave once, the process ends."""

import asyncio
import json
import time
from dataclasses import dataclass

import pytest

from tests.hosts.commands import HOSTS
from tests.hosts.crowd import ROOM, Notes, enter
from tests.hosts.process import HostProcess, run_host
from tests.hosts.table import note
from tests.reliability.clients import (
    EventStreamClient,
    Member,
    WebSocketClient,
    hang_up_all,
)

pytestmark = pytest.mark.timeout(60)

CLIENTS, BUSY, BEHIND, STREAMS = 200, 10, 3, 5
DEADLINE = 2.0  # seconds: --grace of `pondsocket serve`; the others get five times it
SLACK = 1.0
SMALL_BUFFER = 4096
UNREAD = {"first": 0, "count": 20, "size": 16_384}
SERVICE_RESTART = 1012
EXIT_CODES = {name: -15 for name in HOSTS if name.startswith("uvicorn")}
DIRT = ("Traceback", "never retrieved", "was destroyed", "never awaited")


@dataclass
class Crowd:
    """Who is connected when the signal comes.

    Attributes:
        sockets: All over WebSocket.
        behind: Those of them who do not read.
        streams: Those over event streams.
    """

    sockets: list[WebSocketClient]
    behind: list[WebSocketClient]
    streams: list[EventStreamClient]

    @property
    def members(self) -> list[Member]:
        return [*self.sockets, *self.streams]


async def gather_crowd(host: HostProcess, has_streams: bool) -> Crowd:
    """Fill a room with members of all kinds; some are busy, some do not read."""
    behind = [
        await enter(host.port, WebSocketClient, receive_buffer=SMALL_BUFFER)
        for _ in range(BEHIND)
    ]
    for member in behind:
        member.stop_reading()
    first = await enter(host.port, WebSocketClient)
    await first.ask("BROADCAST", ROOM, "pour", **UNREAD)
    others = [
        await enter(host.port, WebSocketClient) for _ in range(CLIENTS - BEHIND - 1)
    ]
    streams = [
        await enter(host.port, EventStreamClient)
        for _ in range(STREAMS if has_streams else 0)
    ]
    return Crowd([first, *others, *behind], behind, streams)


@pytest.mark.parametrize("name", HOSTS)
async def test_everybody_is_told_and_leaves_once(name, tmp_path):
    notes = Notes(tmp_path / "notes")
    async with run_host(
        name,
        "tests.hosts.room",
        tmp_path / "log",
        POND_TEST_NOTES=str(notes.path),
        POND_TEST_OPTIONS=json.dumps({"send_timeout": DEADLINE}),
    ) as host:
        crowd = await gather_crowd(host, HOSTS[name].serves_streams)
        for member in crowd.sockets[:BUSY]:
            await member.tell("BROADCAST", ROOM, "work")
        await notes.wait_for("begins", BUSY)

        began = time.monotonic()
        ending = asyncio.create_task(host.terminate())
        for member in crowd.behind:
            member.read_on()
        codes = {await member.wait_for_close(20) for member in crowd.sockets}
        for stream in crowd.streams:
            await stream.wait_until_lost(20)
        exit_code = await ending
        seconds = time.monotonic() - began
    await hang_up_all()

    assert codes == {SERVICE_RESTART}
    assert all(stream.is_complete for stream in crowd.streams)
    assert notes.once_each("left", crowd.members)
    assert notes.count("worked") == BUSY
    assert exit_code == EXIT_CODES.get(name, 0)
    assert seconds <= DEADLINE + SLACK
    assert not [dirt for dirt in DIRT if dirt in host.log], host.log
    note(name, "close at SIGTERM", str(SERVICE_RESTART))
    note(name, "exit code", str(exit_code))
    note(name, "leave handlers at SIGTERM", "once")
