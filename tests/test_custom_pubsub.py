"""The PubSub of examples/tcp_hub_pubsub.py: one that nobody but its author knows.

It keeps the contract over real TCP, links two PondSockets, and its hub runs as the
example's first lines say.
"""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from examples.tcp_hub_pubsub import HubPubSub, serve_hub
from pondsocket import Event, InMemoryTransport, PondSocket, PubSub
from pondsocket.testing import OutageContract, StoppableBackend, WildcardContract

EXAMPLE = Path(__file__).parent.parent / "examples" / "tcp_hub_pubsub.py"
PATIENCE = 10.0

COMMAND = re.compile(r"^    python (\w+\.py)$", re.MULTILINE)
ADDRESS = re.compile(rb"the hub listens on 127\.0\.0\.1:(\d+)")


class Hub(StoppableBackend):
    """A hub that a test may take away; it comes back on the same port."""

    def __init__(self) -> None:
        self._running = AsyncExitStack()
        self._port = 0

    async def open(self) -> PubSub:
        return HubPubSub("127.0.0.1", self._port)

    async def stop(self) -> None:
        await self._running.aclose()

    async def start(self) -> None:
        serving = serve_hub(port=self._port)
        self._port = await self._running.enter_async_context(serving)


class TestHubPubSub(OutageContract, WildcardContract):
    @asynccontextmanager
    async def backend(self) -> AsyncIterator[StoppableBackend]:
        hub = Hub()
        await hub.start()
        try:
            yield hub
        finally:
            await hub.stop()


@asynccontextmanager
async def started():
    """Start the hub by the example's own command, on a free port."""
    (script,) = COMMAND.findall(EXAMPLE.read_text())
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, script),
        cwd=EXAMPLE.parent,
        env={**os.environ, "PORT": "0"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            line = await process.stdout.readline()
        found = ADDRESS.search(line)
        assert found, line
        yield process, int(found[1])
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def member(pond, user_id):
    """Serve a room on a PondSocket and let somebody in."""
    endpoint = pond.create_endpoint("/socket", lambda ctx: ctx.accept())
    room = endpoint.create_channel("/:room", lambda ctx: ctx.accept())
    room.on_message("*", lambda ctx: ctx.broadcast(ctx.event_name, ctx.get_payload()))
    client = InMemoryTransport(user_id)
    await endpoint.register_transport(client)
    await client.push_inbound(Event("JOIN_CHANNEL", "/a", "1", "join", {}))
    assert (await client.receive_sent()).event == "CONNECTION"
    assert (await client.receive_sent()).event == "ACKNOWLEDGE"
    return client


async def test_two_ponds_are_one_through_the_hub_of_the_example():
    async with (
        started() as (_, port),
        AsyncExitStack() as closing,
        asyncio.timeout(PATIENCE),
    ):
        clients = []
        for name in ("ann", "bob"):
            pubsub = HubPubSub("127.0.0.1", port)
            closing.push_async_callback(pubsub.close)
            pond = await closing.enter_async_context(PondSocket(pubsub=pubsub))
            clients.append(await member(pond, name))
        ann, bob = clients

        await ann.push_inbound(Event("BROADCAST", "/a", "2", "hi", {"from": "ann"}))

        assert (await bob.receive_sent()).payload == {"from": "ann"}


async def test_the_hub_ends_quietly_at_ctrl_c():
    async with started() as (process, port):
        pubsub = HubPubSub("127.0.0.1", port)
        await pubsub.publish("t", b"1")

        process.send_signal(signal.SIGINT)

        async with asyncio.timeout(PATIENCE):
            complaint = await process.stderr.read()
            assert (await process.wait(), complaint) == (0, b"")
        await pubsub.close()
