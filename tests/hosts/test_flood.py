"""A client that sends without end: told 1008, cut off, and felt by nobody else."""

import asyncio
import json

import pytest

from tests.hosts.commands import HOSTS
from tests.hosts.crowd import ROOM, Notes, enter
from tests.hosts.process import run_host
from tests.reliability.clients import (
    WebSocketClient,
    hang_up_all,
    make_message,
    request,
)

pytestmark = pytest.mark.timeout(30)

OPTIONS = {
    "max_messages_per_second": 20,
    "flood_tolerance": 0.5,
    "send_timeout": 2,
    "max_message_size": 1000,
}
AT_ONCE = 100
POLICY_VIOLATION = 1008
# it cuts the line, and so the close frame at times, of a client that goes on sending
CODES = {"uvicorn-websockets": {POLICY_VIOLATION, None}}


async def flood(client: WebSocketClient) -> None:
    """Send until the server cuts the connection, whatever it says."""
    while not client.is_lost:
        client.send_at_once(
            make_message("BROADCAST", ROOM, "echo", {}) for _ in range(AT_ONCE)
        )
        await asyncio.sleep(0)


@pytest.mark.parametrize("name", HOSTS)
async def test_a_flood_is_ended_and_delays_nobody(name, tmp_path):
    notes = Notes(tmp_path / "notes")
    async with run_host(
        name,
        "tests.hosts.room",
        tmp_path / "log",
        POND_TEST_NOTES=str(notes.path),
        POND_TEST_OPTIONS=json.dumps(OPTIONS),
    ) as host:
        calm = await enter(host.port, WebSocketClient)
        wild = await enter(host.port, WebSocketClient)
        flooding = asyncio.create_task(flood(wild))
        async with asyncio.timeout(2):
            answer = await calm.ask("BROADCAST", ROOM, "echo")
        async with asyncio.timeout(10):
            await flooding
        assert answer["event"] == "echoed"
        await notes.wait_for("left", 1)
        assert notes.once_each("left", [wild])
    await hang_up_all()

    if not wild.was_reset:  # a server may not read to the end
        assert wild.close_code in CODES.get(name, {POLICY_VIOLATION})


@pytest.mark.parametrize("name", ["hypercorn"])
async def test_a_body_above_the_limit_is_answered_while_it_comes(name, tmp_path):
    async with run_host(
        name,
        "tests.hosts.room",
        tmp_path / "log",
        POND_TEST_OPTIONS=json.dumps(OPTIONS),
    ) as host:
        answer = await request(host.port, "POST", body=b"x" * 2_000_000)
    await hang_up_all()

    assert answer.status == 404  # there is no such connection; the body is not read
