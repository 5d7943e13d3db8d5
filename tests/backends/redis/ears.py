"""What tests of the Redis backend share: a listener, and a cable that can be cut."""

import asyncio
import contextlib

PATIENCE = 10.0


class Ear:
    """A plain handler that remembers what it heard."""

    def __init__(self):
        self.heard = []
        self._news = asyncio.Event()

    def __call__(self, topic, data):
        self.heard.append((topic, data))
        self._news.set()

    async def hears(self, count):
        """Return once so many messages came."""
        async with asyncio.timeout(PATIENCE):
            while len(self.heard) < count:
                self._news.clear()
                await self._news.wait()
        return self.heard


async def until(condition):
    """Return once a condition holds that no event tells of."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


def returns_of(pubsub):
    """Return an event that is set each time the connection is back."""
    back = asyncio.Event()
    pubsub.on_reconnect(back.set)
    return back


async def within_patience(event):
    async with asyncio.timeout(PATIENCE):
        await event.wait()


class Cable:
    """A TCP proxy to a server; it can swallow what the server answers.

    Attributes:
        is_swallowing: Whether everything from the server is lost.
        swallowed: Set once something was.
    """

    def __init__(self, target):
        self._target = target
        self._writers = set()
        self.is_swallowing = False
        self.is_dead = False
        self.swallowed = asyncio.Event()
        self.port = 0

    @contextlib.asynccontextmanager
    async def plugged_in(self):
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()
            await server.wait_closed()
            await until(lambda: not self._writers)

    def cut(self):
        """Reset every connection."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _connect(self, near_reader, near):
        far_reader, far = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {near, far}
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(near_reader, far, is_answer=False))
                both.create_task(self._carry(far_reader, near, is_answer=True))
        finally:
            for writer in (near, far):
                writer.close()
                self._writers.discard(writer)

    async def _carry(self, reader, writer, *, is_answer):
        with contextlib.suppress(OSError):  # cut
            while data := await reader.read(65536):
                if self.is_dead or (is_answer and self.is_swallowing):
                    self.swallowed.set()
                    continue
                writer.write(data)
                await writer.drain()
        writer.close()
