"""A client behind a cut cable: who notices, and that it leaves once.

The hosts run with short pings, where they have any, and nothing is sent: some notice
that nobody is there, others do not. On every host something that is sent and does not
go out is noticed, over event streams too: that is ours to see.
"""

import json
from dataclasses import dataclass

import pytest

from tests.hosts.commands import HOSTS
from tests.hosts.crowd import ROOM, Notes, enter
from tests.hosts.process import run_host
from tests.hosts.table import note
from tests.reliability.cable import cable_to
from tests.reliability.clients import EventStreamClient, WebSocketClient, hang_up_all

pytestmark = pytest.mark.timeout(60)

SMALL_BUFFER = 4096
MUCH = {"first": 0, "count": 40, "size": 262_144}  # more than kernels and cable take
OPTIONS = {
    "send_timeout": 0.5,
    "outbound_max_messages": 2 * MUCH["count"],
    "outbound_max_bytes": 0,
}
SHORT_PINGS = {"ping_interval": 0.3, "pong_wait": 0.5}  # of `pondsocket serve`
NOBODY = "nobody, unless something is sent"


@dataclass(frozen=True, slots=True)
class Watch:
    """A way in which a host may notice that a client to which nothing is sent is gone.

    Attributes:
        who: The answer in the table if it does.
        flags: What turns it on.
        seconds: Who has not noticed by then does not notice.
    """

    who: str
    flags: tuple[str, ...] = ()
    seconds: float = 5.0


HYPERCORN_PINGS = ("--websocket-ping-interval", "1")
# by the family of the host; the next is tried if nobody noticed
WATCHES = {
    "uvicorn": [
        Watch(
            "its pings",
            ("--ws-ping-interval", "0.3", "--ws-ping-timeout", "0.5"),
            seconds=20.0,  # its oldest implementation waits for ten seconds more
        )
    ],
    "hypercorn": [
        Watch("its pings", HYPERCORN_PINGS),
        Watch("its --read-timeout", (*HYPERCORN_PINGS, "--read-timeout", "2")),
    ],
    "granian": [Watch("the host itself")],
    "daphne": [Watch("its pings", ("--ping-interval", "1", "--ping-timeout", "1"))],
    "serve": [Watch("its pings")],
}


async def is_noticed(name: str, watch: Watch, notes: Notes, options: dict) -> bool:
    """Tell whether a member that vanished leaves though nothing is sent to it.

    One that is there and answers pings stays, whatever notices the other.
    """
    async with run_host(
        name,
        "tests.hosts.room",
        notes.path.with_suffix(".log"),
        watch.flags,
        POND_TEST_NOTES=str(notes.path),
        POND_TEST_OPTIONS=json.dumps(options),
    ) as host:
        stays = await enter(host.port, WebSocketClient)
        async with cable_to(host.port) as cable:
            gone = await enter(cable.port, WebSocketClient)
            cable.cut()
            try:
                await notes.wait_for("left", 1, watch.seconds)
            except TimeoutError:
                is_gone = False
            else:
                is_gone = True
            await stays.ask("BROADCAST", ROOM, "echo")
            assert notes.once_each("left", [gone] if is_gone else [])
    await hang_up_all()
    return is_gone


@pytest.mark.parametrize("name", HOSTS)
async def test_who_vanishes_while_nothing_is_sent_is_noticed_as_documented(
    name, tmp_path
):
    answer = NOBODY
    for number, watch in enumerate(WATCHES[HOSTS[name].family]):
        notes = Notes(tmp_path / f"notes{number}")
        if await is_noticed(name, watch, notes, OPTIONS | SHORT_PINGS):
            answer = watch.who
            break

    note(name, "vanished client", answer)


@pytest.mark.parametrize("name", HOSTS)
async def test_who_vanishes_leaves_once_after_something_was_sent(name, tmp_path):
    notes = Notes(tmp_path / "notes")
    kinds = [WebSocketClient, EventStreamClient][: 1 + HOSTS[name].serves_streams]
    async with run_host(
        name,
        "tests.hosts.room",
        tmp_path / "log",
        POND_TEST_NOTES=str(notes.path),
        POND_TEST_OPTIONS=json.dumps(OPTIONS),
    ) as host:
        stays = await enter(host.port, WebSocketClient)
        async with cable_to(host.port) as cable:
            gone = [
                await enter(cable.port, kind, receive_buffer=SMALL_BUFFER)
                for kind in kinds
            ]
            cable.cut()
            await stays.ask("BROADCAST", ROOM, "pour", **MUCH)
            await notes.wait_for("left", len(gone))
        await stays.ask("BROADCAST", ROOM, "echo")
        assert notes.once_each("left", gone)
    await hang_up_all()
