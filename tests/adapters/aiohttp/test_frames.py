"""The way of ready frames past aiohttp, and what that relies on in the library."""

import asyncio
import contextlib

import pytest
from aiohttp import web

from pondsocket.framing import frame_message
from pondsocket_aiohttp.frames import find_frame_writer
from tests.adapters.aiohttp.serving import serving, serving_app
from tests.adapters.bridge.serving import until
from tests.adapters.frames_contract import CompressionContract, FramesContract
from tests.adapters.writer_contract import Held, LibraryContract, holding

DEFLATE = "permessage-deflate"


class Serving:
    """How the contracts serve."""

    @contextlib.asynccontextmanager
    async def serve(self, pond, *, tls=None, send_buffer=None):
        async with serving(pond, tls=tls, send_buffer=send_buffer) as port:
            yield port


class TestFrames(Serving, FramesContract):
    pass


class TestCompression(Serving, CompressionContract):
    pass


# What the library does, by itself.


class HeldResponse(Held):
    """One of aiohttp.

    Attributes:
        websocket: Prepared.
        wire: What carries it.
    """

    def __init__(self, **settings):
        super().__init__(**settings)
        self.websocket = web.WebSocketResponse(**settings)
        self.wire = None

    def serve(self):
        app = web.Application()
        app.router.add_get("/", self.handle)
        return serving_app(app)

    async def handle(self, request):
        await self.websocket.prepare(request)
        self.wire = request.transport
        await self.stay()
        return self.websocket

    async def say(self, text):
        await self.websocket.send_str(text)

    def write(self, text):
        return self.find_writer().write(frame_message(text))

    def find_writer(self):
        return find_frame_writer(self.websocket, self.wire)


@pytest.fixture
async def hold():
    async with holding(HeldResponse) as hold:
        yield hold


class TestLibrary(LibraryContract):
    @pytest.fixture
    async def held(self, hold):
        return await hold(compress=False)


async def test_aiohttp_is_closed_before_its_close_frame_is_written(hold):
    held = await hold(compress=False)
    seen = []
    write = held.wire.write
    held.websocket._writer.transport = type(
        "Noting",
        (),
        {
            "is_closing": held.wire.is_closing,
            "write": lambda _, data: (seen.append(held.websocket.closed), write(data)),
        },
    )()

    closing = asyncio.create_task(held.websocket.close())
    await until(lambda: seen)

    assert seen == [True]
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing


async def test_aiohttp_tells_what_window_it_agreed_on(hold):
    offer = f"{DEFLATE}; server_no_context_takeover; server_max_window_bits=12"

    held = await hold(offer, compress=True)

    assert held.websocket.compress == 12
    assert held.find_writer().is_deflating


async def test_who_keeps_what_was_sent_before_has_no_way_past_it(hold):
    held = await hold(DEFLATE, compress=True)

    assert held.websocket.compress == 15
    assert held.find_writer() is None


async def test_a_small_window_leaves_no_way_past_it(hold):
    offer = f"{DEFLATE}; server_no_context_takeover; server_max_window_bits=11"

    held = await hold(offer, compress=True)

    assert held.find_writer() is None


async def test_without_compression_the_way_past_it_is_for_plain_frames(hold):
    held = await hold(DEFLATE, compress=False)

    assert not held.find_writer().is_deflating
