"""What each way past a library relies on in it, seen in the library alone.

A module of tests has a class that derives from :class:`Held`, a fixture ``hold`` that
is made of it by :func:`holding`, and a class that derives from
:class:`LibraryContract`.
"""

import asyncio
import contextlib

import pytest

from pondsocket.framing import frame_message
from tests.adapters.bridge.serving import handshake


class Held:
    """A WebSocket of the library alone, and its one client, which speaks bytes.

    Args:
        **settings: Of the library.

    Attributes:
        is_here: Set once the library has called the handler.
        over: Lets the handler return.
        reader: The client's.
        writer: The client's.
    """

    def __init__(self, **settings):
        self.settings = settings
        self.is_here, self.over = asyncio.Event(), asyncio.Event()
        self.reader, self.writer = None, None

    def serve(self):
        """Return an asynchronous context manager that serves, and gives the port."""
        raise NotImplementedError

    async def say(self, text):
        """Send a message as everybody does."""
        raise NotImplementedError

    def write(self, text):
        """Send a message past the library; tell whether it went out."""
        raise NotImplementedError

    async def stay(self):
        """Be the handler, from the moment in which the test may act."""
        self.is_here.set()
        await self.over.wait()

    async def begin(self):
        """Wait until the test may act: here, until the handshake is over."""
        await self.is_here.wait()
        await self.read_head()

    async def read_head(self):
        return (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()

    async def read(self, size):
        async with asyncio.timeout(5):
            return await self.reader.readexactly(size)


@contextlib.asynccontextmanager
async def holding(held_class):
    """Give what has a client connect, with offers of extensions; all end with this."""
    async with contextlib.AsyncExitStack() as stack:

        async def hold(*offers, **settings):
            held = held_class(**settings)
            port = await stack.enter_async_context(held.serve())
            held.reader, held.writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(held.writer.transport.abort)
            stack.callback(held.over.set)
            headers = [f"sec-websocket-extensions: {each}" for each in offers]
            held.writer.write(handshake("/", *headers))
            async with asyncio.timeout(5):
                await held.begin()
            return held

        yield hold


class LibraryContract:
    """The bytes of a message, and whom they could overtake."""

    @pytest.fixture
    async def held(self, hold):
        """Have a client connect whose handshake is over, and agrees on nothing."""
        raise NotImplementedError

    @pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
    async def test_the_library_writes_the_same_bytes_to_the_same_transport(
        self, size, held
    ):
        text = "x" * size

        await held.say(text)

        expected = frame_message(text)
        assert await held.read(len(expected)) == expected

    async def test_the_library_keeps_nothing_back_that_our_bytes_could_overtake(
        self, held
    ):
        await held.say("a")
        assert held.write("b")
        await held.say("c")

        assert await held.read(9) == b"\x81\x01a\x81\x01b\x81\x01c"
