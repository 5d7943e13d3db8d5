"""Nodes that lose sight of each other, meet, and die."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.cluster.figures import at_most, exactly
from tests.cluster.load import SOAK, heard_since, pairs, until
from tests.cluster.members import Member, crowd, members_of
from tests.cluster.nodes import (
    ANTI_ENTROPY,
    HEARTBEAT_TIMEOUT,
    run_node,
    run_nodes,
    url_through,
)
from tests.cluster.proxy import proxy_to
from tests.cluster.views import agreement, is_cut_off, sees

pytestmark = pytest.mark.timeout(90 * SOAK)

CONVERGED = ANTI_ENTROPY + 1  # seconds
RETURN = 2.0
GONE = HEARTBEAT_TIMEOUT + 1
CROWD = 500
COALESCE = 1  # byte a second: a crowd need not be told of each of its own
TELL_ALL = 0


async def proxies_to(server, stack, count):
    return [
        await stack.enter_async_context(proxy_to(server.port)) for _ in range(count)
    ]


async def sees_only(member: Member, names: set[str]) -> bool:
    return (await sees(member))[0] == names


async def test_nodes_that_met_again_show_the_same_and_no_ghosts(server, tmp_path, note):
    async with AsyncExitStack() as stack:
        proxies = await proxies_to(server, stack, 3)
        urls = [url_through(proxy, server) for proxy in proxies]
        nodes = await stack.enter_async_context(run_nodes(urls, tmp_path))
        members = await stack.enter_async_context(
            members_of(nodes, each=3, with_presence=True)
        )
        probes, leaver = members[:3], members[7]
        await agreement(probes, names={member.name for member in members})

        for proxy in proxies:
            proxy.cut()
        await leaver.close()
        await probes[2].ask("update", {"is": "changed"})
        late = await stack.enter_async_context(members_of(nodes[:1], first=9))
        here = {m.name for m in [*members, *late] if m is not leaver}
        for probe in probes:
            own = {name for name in here if name.startswith(probe.node.id)}
            await until(lambda probe=probe, own=own: sees_only(probe, own))
            await until(lambda probe=probe: is_cut_off(probe))
        for proxy in proxies:
            proxy.mend()
        changed = {probes[2].name: {"is": "changed"}}
        agreed = await agreement(probes, names=here, presences=changed)

        _, known = await sees(probes[0])
        note(
            "three nodes lose sight of each other",
            recovered_after=at_most(agreed, CONVERGED),
            besides=f"ghosts: {exactly(len(known.keys() - here), 0)}",
        )


async def test_two_nodes_with_500_presences_each_become_one(server, tmp_path, note):
    async with AsyncExitStack() as stack:
        proxies = await proxies_to(server, stack, 2)
        for proxy in proxies:
            proxy.cut()
        urls = [url_through(proxy, server) for proxy in proxies]
        nodes = await stack.enter_async_context(
            run_nodes(urls, tmp_path, presence_budget=COALESCE)
        )
        probes = await stack.enter_async_context(members_of(nodes))
        names = {probe.name for probe in probes}
        for number, node in enumerate(nodes):
            names |= await stack.enter_async_context(crowd(node, CROWD, number * CROWD))

        for proxy in proxies:
            proxy.mend()
        agreed = await agreement(probes, names=names)

        presences = [len((await sees(probe))[1]) for probe in probes]
        assert presences == [2 * CROWD] * 2
        note(
            "two nodes with 500 presences each meet",
            recovered_after=at_most(agreed, CONVERGED),
            besides=f"presences: {exactly(presences[0], 2 * CROWD)}",
        )


async def test_of_a_killed_node_500_presences_leave_and_none_comes_back(
    server, tmp_path, note
):
    async with AsyncExitStack() as stack:
        nodes = await stack.enter_async_context(
            run_nodes([server.url] * 2, tmp_path, presence_budget=TELL_ALL)
        )
        third = run_node(3, server.url, tmp_path, presence_budget=COALESCE)
        doomed = await stack.enter_async_context(third)
        watchers = await stack.enter_async_context(members_of(nodes))
        here = {watcher.name for watcher in watchers}
        names = await stack.enter_async_context(crowd(doomed, CROWD))
        await agreement(watchers, names=here | names)

        await doomed.kill()

        async def all_left() -> bool:
            return all(len(watcher.leaves) >= CROWD for watcher in watchers)

        gone = await until(all_left)
        again = run_node(3, server.url, tmp_path, presence_budget=COALESCE)
        reborn = await stack.enter_async_context(again)
        back = await stack.enter_async_context(members_of([reborn], first=1))
        await agreement([*watchers, *back], names=here | {back[0].name})

        for watcher in watchers:
            left = {presence["n"] for presence in watcher.leaves}
            assert left == set(range(CROWD))
            assert len(watcher.joins) == CROWD
        note(
            "one of three nodes is killed with 500 members",
            noticed_after=at_most(gone, GONE),
            besides=f"leaves: {exactly(len(watchers[0].leaves), CROWD)}; "
            f"back from the dead: {exactly(len(watchers[0].presences), 0)}",
        )


async def test_a_backend_that_appears_late_is_joined(server, tmp_path, note):
    await server.kill()
    async with (
        run_nodes([server.url] * 3, tmp_path) as nodes,
        members_of(nodes) as members,
    ):
        remote = pairs(members, members)
        for member in members:
            await member.say()
        local = pairs(members, members, are_local=True)
        await heard_since(local, 0.0)

        await server.start()
        started = asyncio.get_running_loop().time()

        async def are_in_touch() -> bool:
            for member in members:
                await member.say()
            return all(pair.reached_after(started) is not None for pair in remote)

        await until(are_in_touch)
        recovered = await heard_since(remote, started)
        agreed = await agreement(members, names={member.name for member in members})
        assert sum(pair.repeated for pair in remote) == 0
        note(
            "the backend is down at the start",
            recovered_after=at_most(recovered, RETURN),
            besides=f"the same users after {at_most(agreed, CONVERGED)}",
        )
