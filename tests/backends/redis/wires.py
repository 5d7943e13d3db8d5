"""A wire in memory: what was sent can be seen, what is answered is up to the test."""

import asyncio

from redis.exceptions import ConnectionError as RedisConnectionError

from pondsocket import Subscriptions
from pondsocket_redis.shared import Settings, Shared

PATIENCE = 5.0


class ScriptedWire:
    """Stands for one connection.

    Attributes:
        sent: The commands, in order.
        was_sent: Set whenever there are more.
    """

    def __init__(self):
        self.sent = []
        self.was_sent = asyncio.Event()
        self._incoming = asyncio.Queue(maxsize=1000)

    async def send(self, commands):
        self.sent += commands
        self.was_sent.set()

    async def read(self):
        found = await self._incoming.get()
        if isinstance(found, Exception):
            raise found
        return found

    read_answer = read

    def answer(self, found):
        """Have something read; an exception is raised."""
        self._incoming.put_nowait(found)

    def abort(self):
        self.answer(RedisConnectionError("cut"))

    async def close(self):
        pass

    async def has_sent(self, count):
        """Return what was sent once it is so much."""
        async with asyncio.timeout(PATIENCE):
            while len(self.sent) < count:
                self.was_sent.clear()
                await self.was_sent.wait()
        return self.sent


class Exchange:
    """Where the wires are made, as a ``Dial``."""

    def __init__(self):
        self._wires = asyncio.Queue(maxsize=1000)

    async def dial(self):
        wire = ScriptedWire()
        self._wires.put_nowait(wire)
        return wire

    async def next_wire(self):
        """Return the connection that was made next."""
        async with asyncio.timeout(PATIENCE):
            return await self._wires.get()


def make_shared(**seconds):
    defaults = {
        "publish_timeout": 1.0,
        "subscribe_timeout": 1.0,
        "connect_timeout": 1.0,
        "ping_interval": 1.0,
        "ping_timeout": 1.0,
    }
    return Shared(Subscriptions(buffer_size=10), Settings(**{**defaults, **seconds}))
