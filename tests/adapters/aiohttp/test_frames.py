"""The way of ready frames past aiohttp, and what that relies on in the library."""

import asyncio
import contextlib

import pytest
from aiohttp import web

from pondsocket.framing import frame_message
from pondsocket_aiohttp.frames import find_frame_writer
from tests.adapters.aiohttp.serving import serving, serving_app
from tests.adapters.bridge.serving import handshake
from tests.adapters.frames_contract import CompressionContract, FramesContract
from tests.adapters.ready_frames import until

DEFLATE = "sec-websocket-extensions: permessage-deflate"


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


class Held:
    """A WebSocket of the library alone, and its client.

    Attributes:
        websocket: Prepared; its handler waits until ``over`` is set.
        wire: What carries it.
    """

    def __init__(self, *headers, **settings):
        self.websocket = web.WebSocketResponse(**settings)
        self.wire = None
        self.is_ready = asyncio.Event()
        self.over = asyncio.Event()
        self.headers = headers
        self.reader, self.writer = None, None

    async def handle(self, request):
        await self.websocket.prepare(request)
        self.wire = request.transport
        self.is_ready.set()
        await self.over.wait()
        return self.websocket

    async def next_bytes(self):
        async with asyncio.timeout(5):
            return await self.reader.read(100_000)


@pytest.fixture
async def hold():
    async with contextlib.AsyncExitStack() as stack:

        async def hold_one(*headers, **settings):
            held = Held(*headers, **settings)
            app = web.Application()
            app.router.add_get("/", held.handle)
            port = await stack.enter_async_context(serving_app(app))
            opening = asyncio.open_connection("127.0.0.1", port)
            held.reader, held.writer = await opening
            stack.callback(held.writer.transport.abort)
            stack.callback(held.over.set)
            held.writer.write(handshake("/", *headers))
            await held.is_ready.wait()
            await held.reader.readuntil(b"\r\n\r\n")
            return held

        yield hold_one


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
async def test_aiohttp_writes_the_same_bytes_to_the_same_transport(size, hold):
    held = await hold(compress=False)
    text = "x" * size

    await held.websocket.send_str(text)

    expected = frame_message(text)
    async with asyncio.timeout(5):
        assert await held.reader.readexactly(len(expected)) == expected


async def test_aiohttp_keeps_nothing_back_that_our_bytes_could_overtake(hold):
    held = await hold(compress=False)
    writer = find_frame_writer(held.websocket, held.wire)

    await held.websocket.send_str("a")
    writer.write(frame_message("b"))
    await held.websocket.send_str("c")

    async with asyncio.timeout(5):
        assert await held.reader.readexactly(9) == b"\x81\x01a\x81\x01b\x81\x01c"


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
    assert find_frame_writer(held.websocket, held.wire).is_deflating


async def test_who_keeps_what_was_sent_before_has_no_way_past_it(hold):
    held = await hold(DEFLATE, compress=True)

    assert held.websocket.compress == 15
    assert find_frame_writer(held.websocket, held.wire) is None


async def test_a_small_window_leaves_no_way_past_it(hold):
    offer = f"{DEFLATE}; server_no_context_takeover; server_max_window_bits=11"

    held = await hold(offer, compress=True)

    assert find_frame_writer(held.websocket, held.wire) is None


async def test_without_compression_the_way_past_it_is_for_plain_frames(hold):
    held = await hold(DEFLATE, compress=False)

    assert not find_frame_writer(held.websocket, held.wire).is_deflating
