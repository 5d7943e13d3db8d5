"""The servers of the tests: they start, die, come back and fall silent as told."""

import asyncio
import os

import pytest

from tests.backends import servers
from tests.backends.servers import (
    Server,
    command,
    nats_server,
    redis_cluster,
    valkey_server,
)

pytestmark = pytest.mark.timeout(60)

RUN = {
    "valkey": valkey_server,
    "redis6": lambda: valkey_server(kind="redis6"),
    "nats": nats_server,
}


@pytest.fixture(params=RUN)
async def server(request):
    async with RUN[request.param]() as server:
        yield server


async def is_served(server):
    """Tell whether the server greets who calls, within a second."""
    try:
        async with asyncio.timeout(1):
            return await server._greets(server.port)
    except TimeoutError:
        return False


async def test_a_server_answers_once_it_has_started(server):
    assert await is_served(server)


async def test_its_url_names_its_port(server):
    assert server.url.endswith(f"://127.0.0.1:{server.port}")


async def test_a_killed_server_is_gone(server):
    pid = server.pid

    await server.kill()

    assert not await is_served(server)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_killing_twice_is_no_error(server):
    await server.kill()

    await server.kill()

    assert not await is_served(server)


async def test_a_killed_server_starts_again_on_its_port(server):
    port, pid = server.port, server.pid
    await server.kill()

    await server.start()

    assert await is_served(server)
    assert (server.port, server.pid != pid) == (port, True)


async def test_a_paused_server_is_silent_until_it_is_resumed(server):
    server.pause()
    was_served = await is_served(server)

    server.resume()

    assert (was_served, await is_served(server)) == (False, True)


async def test_a_paused_server_can_be_killed(server):
    server.pause()

    await server.kill()

    assert not await is_served(server)


async def test_at_the_end_of_the_block_the_process_and_its_files_are_gone():
    async with valkey_server() as server:
        pid, folder = server.pid, server.log.parent
        assert folder.exists()

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not folder.exists()


async def test_a_server_that_cannot_start_says_why():
    with pytest.raises(RuntimeError, match="no-such-option"):
        async with valkey_server("--no-such-option", "yes"):
            pytest.fail("it started")


async def test_a_port_that_is_asked_for_is_used():
    port = servers.free_port()

    async with valkey_server(port=port) as server:
        assert server.port == port


async def test_a_port_that_was_taken_meanwhile_is_replaced_by_another(monkeypatch):
    async with nats_server() as first:
        ports = [first.port, servers.free_port()]
        monkeypatch.setattr(servers, "free_port", lambda: ports.pop(0))

        async with nats_server() as second:
            assert second.port != first.port


async def test_a_server_that_never_greets_is_ended(monkeypatch):
    async def never(port):
        return False

    monkeypatch.setattr(servers, "PATIENCE", 0.2)
    server = Server("none", 1, ["sleep", "60"], never)

    with pytest.raises(RuntimeError, match="is silent"):
        await server.start()

    with pytest.raises(AssertionError, match="does not run"):
        server.pause()
    await server.dispose()


async def test_each_key_of_a_cluster_is_served_by_one_of_three():
    async with redis_cluster() as cluster:
        answers = [
            (await command(each.port, "SPUBLISH", key, "x")).split()[0]
            for key in ("a", "b", "c", "d")
            for each in cluster.servers
        ]

    assert (answers.count("-MOVED"), answers.count(":0")) == (8, 4)
