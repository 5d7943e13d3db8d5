"""Handlers that remember, and one way to open what is tested."""

import asyncio
from contextlib import asynccontextmanager

from pondsocket.testing.checks import eventually
from pondsocket_nats import NatsPubSub


class Listener:
    """A plain handler that remembers what it got."""

    def __init__(self):
        self.got = []

    def __call__(self, topic, data):
        self.got.append((topic, data))

    async def has(self, *data):
        await eventually(lambda: len(self.got) >= len(data), f"{len(data)} messages")
        assert [each for _, each in self.got] == list(data)


class Stuck:
    """A coroutine handler that takes one message and stays with it."""

    def __init__(self):
        self.calls = 0

    async def __call__(self, topic, data):
        self.calls += 1
        await asyncio.Event().wait()


@asynccontextmanager
async def opened(*urls, **settings):
    """A NatsPubSub of its own that is closed at the end."""
    url = "nats://" + ",".join(each.removeprefix("nats://") for each in urls)
    pubsub = NatsPubSub.from_url(url, **settings)
    try:
        yield pubsub
    finally:
        await pubsub.close()


async def is_connected(pubsub):
    await eventually(lambda: pubsub.stats()["connected"], "a connection")


async def is_away(pubsub):
    await eventually(lambda: not pubsub.stats()["connected"], "a lost connection")
