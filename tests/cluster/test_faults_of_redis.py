"""What only Redis does: it drops subscribers, and answers may be cut off on the way."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.backends.servers import command, valkey_server
from tests.cluster.figures import at_most, exactly, losses
from tests.cluster.load import SOAK, heard_since, pairs, said, talking, until
from tests.cluster.members import members_of
from tests.cluster.nodes import ANTI_ENTROPY, run_nodes, url_through
from tests.cluster.proxy import proxy_to
from tests.cluster.views import agreement

pytestmark = pytest.mark.timeout(60 * SOAK)

RATE = 300  # messages a second, of all nodes together
RETURN = 2.0
CONVERGED = ANTI_ENTROPY + 1
CUTS = 5
LIMIT = 262_144  # bytes that the server keeps for a subscriber that lags
MUCH = 65_536  # bytes of a message
MANY = 400  # of them: more than kernels and the limit take


@pytest.fixture
def backend():
    """Name of the only backend here."""
    return "redis"


async def test_killed_subscribers_come_back_and_catch_up(server, tmp_path, note):
    async with (
        run_nodes([server.url] * 3, tmp_path) as nodes,
        members_of(nodes, with_presence=True) as members,
    ):
        remote = pairs(members, members)

        async with talking(members, members, RATE):
            await said(members, 100)
            killed = asyncio.get_running_loop().time()
            await command(server.port, "CLIENT", "KILL", "TYPE", "pubsub")
            recovered = await heard_since(remote, killed)
            await said(members, 100)
        cells = await losses(remote, may_lose=True)

        # Not before the losses are compared: what is missed of a presence counts too.
        await command(server.port, "CLIENT", "KILL", "TYPE", "pubsub")
        await members[0].ask("update", {"is": "changed"})
        agreed = await agreement(members, presences={"node-1-0": {"is": "changed"}})

        note(
            "the server kills all subscribers",
            **cells,
            recovered_after=at_most(recovered, RETURN),
            besides=f"the same presences after {at_most(agreed, CONVERGED)}",
        )


async def test_a_subscriber_that_the_server_drops_knows_what_it_missed(tmp_path, note):
    async with AsyncExitStack() as stack:
        limit = ("--client-output-buffer-limit", f"pubsub {LIMIT} 0 0")
        server = await stack.enter_async_context(valkey_server(*limit))
        proxy = await stack.enter_async_context(proxy_to(server.port))
        urls = [server.url, url_through(proxy, server)]
        nodes = await stack.enter_async_context(run_nodes(urls, tmp_path))
        members = await stack.enter_async_context(members_of(nodes))
        remote = pairs(members, members)

        async def has_dropped() -> bool:
            return "output buffer limits" in server.log.read_text()

        async with talking(members, members, RATE):
            proxy.cut()
            await members[0].pour(MANY, MUCH)
            await until(has_dropped)
            proxy.mend()
            recovered = await heard_since(remote, asyncio.get_running_loop().time())
            await said(members, 100)

        cells = await losses(remote, may_lose=True)
        assert any(pair.lost for pair in remote)
        note(
            "the server drops a subscriber that lags",
            **cells,
            recovered_after=at_most(recovered, RETURN),
        )


async def test_a_message_whose_confirmation_is_cut_off_is_not_sent_again(
    server, tmp_path, note
):
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(proxy_to(server.port))
        urls = [url_through(proxy, server), server.url]
        nodes = await stack.enter_async_context(run_nodes(urls, tmp_path))
        members = await stack.enter_async_context(members_of(nodes))
        remote = pairs(members, members)

        async def all_were_cut() -> bool:
            return proxy.answers_cut == CUTS

        async with talking(members, members, RATE):
            await said(members, 100)
            proxy.cut_answers(CUTS)
            await until(all_were_cut)
            recovered = await heard_since(remote, asyncio.get_running_loop().time())
            await said(members, 100)

        note(
            "answers to PUBLISH are cut off",
            **await losses(remote, may_lose=True),
            recovered_after=at_most(recovered, RETURN),
            besides=f"answers cut: {exactly(proxy.answers_cut, CUTS)}",
        )
