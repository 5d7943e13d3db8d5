"""Three nodes under load, with their backend alive, killed, stopped and cut off."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.cluster.figures import at_most, losses
from tests.cluster.load import SOAK, heard_since, pairs, said, talking, until
from tests.cluster.members import members_of
from tests.cluster.nodes import run_nodes, url_through
from tests.cluster.proxy import proxy_to
from tests.cluster.views import is_cut_off

pytestmark = pytest.mark.timeout(90 * SOAK)

RATE = 1000  # messages a second, of three nodes together
EACH = RATE / 3
OUTAGE = 10.0  # seconds
NOTICE = 5.0
RETURN = 2.0
BROADCAST = 0.25
LOCAL = 0.5  # seconds from one client to another on the same node, on a busy machine
IN_ORDER = "order kept (order kept)"


async def slowest_broadcast(members) -> float:
    answers = [await member.ask("stats") for member in members]
    return max(answer["slowest_broadcast"] for answer in answers)


async def test_a_thousand_messages_a_second_all_arrive_once_and_in_order(
    server, tmp_path, note
):
    async with (
        run_nodes([server.url] * 3, tmp_path) as nodes,
        members_of(nodes) as members,
    ):
        remote = pairs(members, members)

        async with talking(members, members, RATE):
            await said(members, 4 * EACH)

        cells = await losses(remote, may_lose=False)
        assert all(pair.is_ordered for pair in remote)
        note("1,000 messages/s between three nodes", **cells, besides=IN_ORDER)


async def test_a_backend_that_is_dead_for_ten_seconds_disturbs_nobody_locally(
    server, tmp_path, note
):
    async with (
        run_nodes([server.url] * 3, tmp_path) as nodes,
        members_of(nodes, each=2) as members,
    ):
        speakers = members[:3]
        remote, local = (
            pairs(speakers, speakers),
            pairs(speakers, members, are_local=True),
        )

        async with talking(speakers, members, RATE):
            await said(speakers, EACH)
            await server.kill()
            await said(speakers, OUTAGE * EACH)
            await server.start()
            recovered = await heard_since(remote, asyncio.get_running_loop().time())
            await said(speakers, EACH)

        cells = await losses(remote, may_lose=True)
        assert all(pair.is_ordered for pair in remote + local)
        assert [pair.lost + pair.repeated for pair in local] == [0] * len(local)
        delay = at_most(max(pair.slowest for pair in local), LOCAL)
        handler = at_most(await slowest_broadcast(speakers), BROADCAST)
        note(
            "the backend is killed for 10 s",
            **cells,
            recovered_after=at_most(recovered, RETURN),
            besides=f"slowest broadcast {handler}; slowest local delivery {delay}; "
            "local losses 0 (0)",
        )


async def test_a_stopped_backend_is_noticed_and_nothing_comes_twice(
    server, tmp_path, note
):
    async with (
        run_nodes([server.url] * 3, tmp_path) as nodes,
        members_of(nodes, each=2) as members,
    ):
        speakers, watchers = members[:3], members[3:]
        remote = pairs(speakers, speakers)

        async def is_noticed() -> bool:
            return all([await is_cut_off(each) for each in watchers])

        async with talking(speakers, speakers, RATE):
            await said(speakers, EACH)
            server.pause()
            noticed = await until(is_noticed)
            server.resume()
            recovered = await heard_since(remote, asyncio.get_running_loop().time())
            await said(speakers, EACH)

        note(
            "the backend is stopped for a while",
            **await losses(remote, may_lose=True),
            noticed_after=at_most(noticed, NOTICE),
            recovered_after=at_most(recovered, RETURN),
        )


async def test_a_link_that_swallows_everything_is_noticed_and_nothing_comes_twice(
    server, tmp_path, note
):
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(proxy_to(server.port))
        urls = [url_through(proxy, server), server.url, server.url]
        nodes = await stack.enter_async_context(run_nodes(urls, tmp_path))
        members = await stack.enter_async_context(members_of(nodes, each=2))
        speakers, watcher = members[:3], members[3]
        remote = pairs(speakers, speakers)

        async with talking(speakers, speakers, RATE):
            await said(speakers, EACH)
            proxy.cut()
            noticed = await until(lambda: is_cut_off(watcher))
            proxy.mend()
            recovered = await heard_since(remote, asyncio.get_running_loop().time())
            await said(speakers, EACH)

        note(
            "the link of one node is a black hole",
            **await losses(remote, may_lose=True),
            noticed_after=at_most(noticed, NOTICE),
            recovered_after=at_most(recovered, RETURN),
        )
