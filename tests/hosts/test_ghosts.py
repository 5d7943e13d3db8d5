"""Clients that are gone before a host has noticed: none stays behind as a ghost."""

import asyncio
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.hosts.commands import HOSTS
from tests.hosts.process import run_host

pytestmark = pytest.mark.timeout(30)

PLACES = 5
CROWD = 20
OPTIONS = {"max_connections": PLACES, "ping_interval": 0.5, "pong_wait": 1}
PATIENCE = 10.0  # seconds until the last of them is noticed

HANDSHAKE = (
    b"GET /live HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
CLOSE_FRAME = b"\x88\x82\0\0\0\0\x03\xe8"  # 1000, masked with zeros
STREAM = b"GET /live HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"
ATTACKS = {
    "a close frame right behind the handshake": HANDSHAKE + CLOSE_FRAME,
    "two streams at once": STREAM + STREAM,
}


async def haunt(port: int, data: bytes) -> None:
    """Connect, say it all in one breath, and be gone."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    await reader.read(1)  # it has been heard
    writer.transport.abort()


async def enter_as_soon_as_there_is_room(url: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                async with connect(url):
                    return
            except InvalidStatus:
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("name", HOSTS)
async def test_who_is_gone_takes_nobodys_place(name, attack, tmp_path):
    async with run_host(
        name,
        "tests.hosts.room",
        tmp_path / "log",
        POND_TEST_OPTIONS=json.dumps(OPTIONS),
    ) as host:
        for _ in range(CROWD // PLACES):
            await asyncio.gather(
                *(haunt(host.port, ATTACKS[attack]) for _ in range(PLACES))
            )

        await enter_as_soon_as_there_is_room(f"ws://127.0.0.1:{host.port}/live")
