"""What else is on the server: nonsense, forgeries, and other applications."""

import asyncio
import json
import random
from contextlib import AsyncExitStack

import nats
import pytest
from redis.asyncio import Redis

from pondsocket import format_heartbeat_topic, format_topic
from tests.backends.servers import Server
from tests.cluster.figures import exactly, losses
from tests.cluster.load import SOAK, pairs, said, talking, until
from tests.cluster.members import ROOM, members_of
from tests.cluster.nodes import run_node, run_nodes
from tests.cluster.views import agreement, sees

pytestmark = pytest.mark.timeout(60 * SOAK)

RATE = 200
TOPICS = (format_topic("/live", ROOM), format_heartbeat_topic())
HUGE = {"redis": 6_000_000, "nats": 1_000_000}  # bytes; NATS takes no more
SEED = 40
NONSENSE = 100  # messages to each topic
DEPTH = 100_000
APPLICATIONS = ({}, {"namespace": "other"}, {"key_prefix": "other"})


async def publish(server: Server, messages: list[tuple[str, bytes]]) -> None:
    """Publish as somebody who knows the topics and nothing of pondsocket."""
    if server.url.startswith("redis"):
        async with Redis.from_url(server.url) as client:
            for topic, data in messages:
                await client.publish(topic, data)
        return
    client = await nats.connect(server.url)
    for topic, data in messages:
        await client.publish(topic, data)
    await client.drain()


def nonsense(size: int) -> list[bytes]:
    """Return what is no message: bytes, text, JSON too big, too deep, of another."""
    chance = random.Random(SEED)
    return [
        *(chance.randbytes(chance.randrange(1, 500)) for _ in range(NONSENSE)),
        b"",
        b"x" * size,
        envelope("USER_MESSAGE", "stranger", payload={}, padding="x" * (size - 1000)),
        b"[" * DEPTH,
        envelope("USER_LEFT", "stranger", version=2, userId="node-1-0"),
        envelope("USER_JOINED", "stranger", userId=["no", "text"]),
        envelope("NODE_HEARTBEAT", "", nodeId=""),
    ]


def envelope(kind: str, source: str, **members: object) -> bytes:
    """Return a message as a node called ``source`` would send it."""
    message = {
        "protocol": "pondsocket.distributed",
        "version": 1,
        "type": kind,
        "messageId": "forged",
        "sourceNodeId": source,
        "endpointName": "live",
        "channelName": ROOM,
        "timestamp": 0,
    }
    return json.dumps(message | members).encode()


def forgeries() -> list[bytes]:
    """Return what says to be from node-1, and what is of a node that is none."""
    elsewhere = envelope("USER_LEFT", "stranger", userId="x", channelName="/room/two")
    ghost = {"userId": "ghost", "presence": {"is": "ghost"}, "assigns": {"name": "x"}}
    return [
        elsewhere,
        envelope("NOBODY_KNOWS", "stranger"),
        envelope("USER_LEFT", "node-1", userId="nobody"),
        envelope("USER_JOINED", "stranger", **ghost),
    ]


async def test_nonsense_and_forgeries_harm_nobody(server, backend, tmp_path, note):
    async with (
        run_nodes([server.url] * 3, tmp_path) as nodes,
        members_of(nodes, with_presence=True) as members,
    ):
        names = {member.name for member in members}
        bad = nonsense(HUGE[backend])

        async with talking(members, members, RATE):
            await said(members, 50)
            await publish(server, [(topic, data) for topic in TOPICS for data in bad])
            await publish(server, [(TOPICS[0], data) for data in forgeries()])
            await said(members, 50)
        await agreement(members, names=names)

        cells = await losses(pairs(members, members), may_lose=False)
        for member in members:
            assert (await sees(member))[1].keys() == names
            counts = (await member.ask("stats"))["pond"]["counts"]
            malformed = exactly(counts["bus_malformed"], len(bad) * len(TOPICS))
            assert counts["bus_misaddressed"] == 1
            assert counts["bus_unknown"] == 1
        note("somebody poisons the bus", **cells, besides=f"malformed: {malformed}")


async def test_applications_with_other_names_never_see_each_other(
    server, tmp_path, note
):
    async with AsyncExitStack() as stack:
        nodes = await asyncio.gather(
            *(
                stack.enter_async_context(run_node(number, server.url, tmp_path, **it))
                for number, it in enumerate(APPLICATIONS, 1)
            )
        )
        members = await stack.enter_async_context(
            members_of(nodes, each=2, with_presence=True)
        )
        speakers = members[:3]

        async def have_beaten() -> bool:
            stats = [(await member.ask("stats"))["pubsub"] for member in speakers]
            return all(each["published"] > 20 for each in stats)

        for _ in range(10):
            for speaker in speakers:
                await speaker.say()
        await until(have_beaten)

        heard = sum(len(pair.heard) for pair in pairs(members, members))
        local = pairs(speakers, members, are_local=True)
        assert [len(pair.heard) for pair in local] == [10] * len(local)
        for member in members:
            own = {each.name for each in members if each.node is member.node}
            users, presences = await sees(member)
            assert users == presences.keys() == own
            assert (await member.ask("stats"))["pond"]["nodes"] == 0
        note(
            "three applications share a server",
            besides=f"heard of others: {exactly(heard, 0)}",
        )
