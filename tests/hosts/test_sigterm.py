"""SIGTERM with a crowd connected: all are told, all leave once, the process ends.

Who reads nothing cannot be told. It leaves as the others do, and some hosts wait for it
until a deadline of their own.
"""

import asyncio
import json
import time
from dataclasses import dataclass

import pytest

from tests.hosts.commands import HOSTS
from tests.hosts.crowd import ROOM, Notes, enter
from tests.hosts.process import ROOT, HostProcess, run_host
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

DEAF = 2  # of each kind
SEND_TIMEOUT = 1.0
HOST_DEADLINE = 3  # seconds: a host's own, by its flags, which it takes for the deaf
FLAGS = {
    "uvicorn": ["--timeout-graceful-shutdown", str(HOST_DEADLINE)],
    "hypercorn": ["--graceful-timeout", str(HOST_DEADLINE)],
    "granian": ["--workers-kill-timeout", str(HOST_DEADLINE)],
}
MUCH = {"first": 0, "count": 40, "size": 262_144}  # more than kernels take
NOBODY_GIVES_UP = 60.0  # seconds that a connection handler may take
UNAVAILABLE, FORBIDDEN = 503, 403
WITHOUT_STATUS = {"daphne"}  # which has no way to answer a handshake but 403


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


@dataclass
class Deaf:
    """Members who read nothing, not even when they are closed, and one who does."""

    members: list[Member]
    reader: WebSocketClient


async def gather_deaf(host: HostProcess, has_streams: bool) -> Deaf:
    """Fill a room with members to whom more was sent than the kernel takes."""
    kinds = [WebSocketClient, EventStreamClient][: 1 + has_streams]
    members = [
        await enter(host.port, kind, receive_buffer=SMALL_BUFFER)
        for kind in kinds * DEAF
    ]
    for member in members:
        member.stop_reading()
    reader = await enter(host.port, WebSocketClient)
    await reader.ask("BROADCAST", ROOM, "pour", **MUCH)
    return Deaf(members, reader)


def is_in_time(name: str, seconds: float) -> bool:
    """Tell whether a host ended when it must, with members who read nothing."""
    family = HOSTS[name].family
    if family in FLAGS:  # none ends earlier, or docs/hosts.md is wrong about it
        return HOST_DEADLINE <= seconds <= SEND_TIMEOUT + HOST_DEADLINE + SLACK
    draining = DEADLINE if family == "serve" else 0.0
    return seconds <= draining + SEND_TIMEOUT + SLACK


def find_dirt(name: str, log: str) -> list[str]:
    """Return what should not be in a host's log.

    hypercorn cancels what is left at its deadline and logs a traceback for each; of
    those, only what came through our code counts.
    """
    ours = [f'File "{ROOT / each}' for each in ("pondsocket", "adapters", "tests")]
    dirt = [*DIRT[1:], *ours] if name == "hypercorn" else DIRT
    return [each for each in dirt if each in log]


@pytest.mark.parametrize("name", HOSTS)
async def test_who_reads_nothing_leaves_once_and_delays_nobody_for_ever(name, tmp_path):
    notes = Notes(tmp_path / "notes")
    options = {
        "send_timeout": SEND_TIMEOUT,
        "outbound_max_messages": 2 * MUCH["count"],
        "outbound_max_bytes": 0,
    }
    async with run_host(
        name,
        "tests.hosts.room",
        tmp_path / "log",
        FLAGS.get(HOSTS[name].family, []),
        POND_TEST_NOTES=str(notes.path),
        POND_TEST_OPTIONS=json.dumps(options),
    ) as host:
        deaf = await gather_deaf(host, HOSTS[name].serves_streams)
        assert notes.count("left") == 0

        began = time.monotonic()
        ending = asyncio.create_task(host.terminate())
        code = await deaf.reader.wait_for_close(20)
        exit_code = await ending
        seconds = time.monotonic() - began
    await hang_up_all()

    assert code == SERVICE_RESTART
    assert notes.once_each("left", [*deaf.members, deaf.reader])
    assert exit_code == EXIT_CODES.get(name, 0)
    assert is_in_time(name, seconds), seconds
    assert not find_dirt(name, host.log), host.log


@pytest.mark.parametrize("name", HOSTS)
async def test_a_handshake_that_waits_is_refused_and_its_handler_delays_nobody(
    name, tmp_path
):
    notes = Notes(tmp_path / "notes")
    options = {"send_timeout": DEADLINE, "handshake_timeout": NOBODY_GIVES_UP}
    kinds = [WebSocketClient, EventStreamClient][: 1 + HOSTS[name].serves_streams]
    async with run_host(
        name,
        "tests.hosts.room",
        tmp_path / "log",
        POND_TEST_NOTES=str(notes.path),
        POND_TEST_OPTIONS=json.dumps(options),
    ) as host:
        asking = [await kind.dial(host.port) for kind in kinds]
        for client in asking:
            client.shake_hands("/waiting")
        await notes.wait_for("waits", len(asking))

        began = time.monotonic()
        exit_code = await host.terminate()
        seconds = time.monotonic() - began
        for client in asking:
            await client.wait_until_lost()
    await hang_up_all()

    refused = FORBIDDEN if name in WITHOUT_STATUS else UNAVAILABLE
    assert [each.status for each in asking] == [refused, UNAVAILABLE][: len(asking)]
    assert exit_code == EXIT_CODES.get(name, 0)
    assert seconds <= DEADLINE + SLACK
    assert not [dirt for dirt in DIRT if dirt in host.log], host.log
