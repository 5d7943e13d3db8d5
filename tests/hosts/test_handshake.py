"""What a client sees of each host before and after its handshake, for the table."""

import asyncio
import contextlib
import json

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.hosts.commands import HOSTS
from tests.hosts.process import run_host
from tests.hosts.table import note

pytestmark = pytest.mark.timeout(30)

LIMIT = 1000  # bytes
TOO_BIG = 1009
NOT_FOUND, FORBIDDEN = 404, 403
WITHOUT_STATUS = {"daphne"}  # which has no way to answer a handshake but 403
WITH_COMPRESSION = {  # which they negotiate by default; hypercorn with wsproto's own
    "uvicorn-websockets", "uvicorn-websockets-sansio", "uvicorn-wsproto",
    "uvicorn-uvloop", "hypercorn",
}  # fmt: skip


async def find_status(url: str) -> int:
    """Return the status with which a handshake is refused."""
    with pytest.raises(InvalidStatus) as refused:
        await connect(url)
    return refused.value.response.status_code


async def find_close_code(url: str, size: int) -> tuple[int | None, bool]:
    """Send a message; return the code that follows, and whether frames may shrink."""
    async with connect(url) as client:
        await client.send("x" * size)
        with contextlib.suppress(ConnectionClosed):
            while True:
                await client.recv()
        return client.close_code, bool(client.protocol.extensions)


async def find_stream(url: str) -> int:
    """Return the status of the answer to who asks for an event stream."""
    headers = {"accept": "text/event-stream"}
    async with (
        httpx.AsyncClient() as client,
        client.stream("GET", url, headers=headers) as answer,
    ):
        return answer.status_code


@pytest.mark.parametrize("name", HOSTS)
async def test_a_host_answers_as_it_is_documented(name, tmp_path):
    async with run_host(
        name,
        "tests.hosts.room",
        tmp_path / "log",
        POND_TEST_OPTIONS=json.dumps({"max_message_size": LIMIT}),
    ) as host:
        sockets = f"ws://127.0.0.1:{host.port}"
        async with asyncio.timeout(15):
            status = await find_status(f"{sockets}/nowhere")
            code, is_compressed = await find_close_code(f"{sockets}/live", LIMIT + 1)
            stream = await find_stream(f"http://127.0.0.1:{host.port}/live")

    assert status == (FORBIDDEN if name in WITHOUT_STATUS else NOT_FOUND)
    assert code == TOO_BIG
    assert is_compressed == (name in WITH_COMPRESSION)
    assert (stream == 200) == HOSTS[name].serves_streams
    note(name, "refused handshake", "its status" if status == NOT_FOUND else "403")
    note(name, "message above the limit", str(code))
    note(name, "compression", "by default" if is_compressed else "off")
    note(name, "event streams", "yes" if stream == 200 else f"no, {stream}")
