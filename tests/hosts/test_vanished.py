"""A client behind a cut cable: who notices, and that it leaves once.

The hosts run with short pings. An event stream has none that a client would answer, so
there, and on hosts without pings, nobody notices before something is sent and does not
go out: that is ours to see.
"""

import json
from dataclasses import replace

import pytest

from tests.hosts.commands import HOSTS
from tests.hosts.crowd import ROOM, Notes, enter
from tests.hosts.process import run_host
from tests.hosts.table import note
from tests.reliability.cable import cable_to
from tests.reliability.clients import (
    EventStreamClient,
    Member,
    WebSocketClient,
    hang_up_all,
)

pytestmark = pytest.mark.timeout(60)

SEND_TIMEOUT = 0.5  # seconds
WITHIN = 20.0  # uvicorn's oldest implementation waits for ten seconds more
SMALL_BUFFER = 4096
MUCH = {"first": 0, "count": 40, "size": 262_144}  # more than kernels and cable take
OPTIONS = {
    "ping_interval": 0.3,
    "pong_wait": 0.5,
    "send_timeout": SEND_TIMEOUT,
    "outbound_max_messages": 2 * MUCH["count"],
    "outbound_max_bytes": 0,
}
FLAGS = {
    "uvicorn": ["--ws-ping-interval", "0.3", "--ws-ping-timeout", "0.5"],
    "hypercorn": ["--websocket-ping-interval", "1", "--read-timeout", "2"],
    "daphne": ["--ping-interval", "1", "--ping-timeout", "1"],
}
WHO_NOTICES = {
    "uvicorn": "its pings",
    "hypercorn": "its --read-timeout",
    "granian": "nobody, unless something is sent",
    "daphne": "its pings",
    "serve": "its pings",
}


@pytest.fixture
def impatient_host(monkeypatch, request) -> str:
    """Name of a host whose command has short pings, where it has any."""
    name: str = request.param
    host = HOSTS[name]
    flags = FLAGS.get(name.partition("-")[0], [])
    monkeypatch.setitem(
        HOSTS,
        name,
        replace(host, command=lambda target: [*host.command(target), *flags]),
    )
    return name


@pytest.mark.parametrize("impatient_host", HOSTS, indirect=True)
async def test_a_client_that_vanishes_leaves_once(impatient_host, tmp_path):
    name, notes = impatient_host, Notes(tmp_path / "notes")
    who = WHO_NOTICES[name.partition("-")[0]]
    kinds = [WebSocketClient, EventStreamClient][: 1 + HOSTS[name].serves_streams]
    gone: list[Member] = []
    async with run_host(
        name,
        "tests.hosts.room",
        tmp_path / "log",
        POND_TEST_NOTES=str(notes.path),
        POND_TEST_OPTIONS=json.dumps(OPTIONS),
    ) as host:
        stays = await enter(host.port, WebSocketClient)
        if not who.startswith("nobody"):
            async with cable_to(host.port) as cable:
                gone.append(await enter(cable.port, WebSocketClient))
                cable.cut()
                await notes.wait_for("left", 1, WITHIN)
        async with cable_to(host.port) as cable:
            gone += [
                await enter(cable.port, kind, receive_buffer=SMALL_BUFFER)
                for kind in kinds
            ]
            cable.cut()
            await stays.ask("BROADCAST", ROOM, "pour", **MUCH)
            await notes.wait_for("left", len(gone), WITHIN)
        await stays.ask("BROADCAST", ROOM, "echo")
        assert notes.once_each("left", gone)
    await hang_up_all()

    note(name, "vanished client", who)
