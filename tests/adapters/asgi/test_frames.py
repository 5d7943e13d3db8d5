"""The way of ready frames past an ASGI host: the extension, and uvicorn that has it."""

import asyncio
import contextlib
import copy
import socket

import fastapi
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.asyncio.client import connect

from pondsocket import Options
from pondsocket.framing import frame_message
from pondsocket.web import MAX_UNSENT
from pondsocket_asgi import PondASGIApp, runner
from pondsocket_asgi.frames import FRAMES, describe_frame_writer, find_frame_writer
from pondsocket_asgi.uvicorn import DeflatingWebSocketProtocol, WebSocketProtocol
from tests.adapters.bridge.serving import close_frame, handshake
from tests.adapters.frames_contract import CompressionContract, FramesContract, opened
from tests.adapters.hosts_here import Uvicorn
from tests.adapters.ready_frames import Notes
from tests.adapters.writer_contract import Held, LibraryContract, holding

DEFLATE = "permessage-deflate"


@contextlib.asynccontextmanager
async def under_uvicorn(app, ws, *, tls=None, send_buffer=None, **settings):
    """Serve an application with uvicorn; yields the server, with its ``port``."""
    settings = {"timeout_graceful_shutdown": 5, "lifespan": "off", **settings}
    config = uvicorn.Config(app, ws=ws, log_config=None, **settings)
    config.load()
    config.ssl = tls  # it reads contexts from files alone
    server = Uvicorn(config)
    with socket.socket() as listener:
        if send_buffer is not None:  # connections inherit it
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        listener.bind(("127.0.0.1", 0))
        server.port = listener.getsockname()[1]
        serving = asyncio.create_task(server.serve([listener]))
        try:
            async with asyncio.timeout(5):
                await server.is_listening.wait()
            yield server
        finally:
            server.should_exit = True
            for connection in tuple(server.server_state.connections):
                connection.transport.abort()
            await serving


class Serving:
    """How the contracts serve: with our class for uvicorn."""

    wrap = staticmethod(PondASGIApp)

    @contextlib.asynccontextmanager
    async def serve(self, pond, *, tls=None, send_buffer=None):
        compresses = pond.options.compression
        ws = DeflatingWebSocketProtocol if compresses else WebSocketProtocol
        app = self.wrap(pond)
        async with under_uvicorn(app, ws, tls=tls, send_buffer=send_buffer) as server:
            yield server.port


class TestUvicorn(Serving, FramesContract):
    pass


class TestUvicornWithCompression(Serving, CompressionContract):
    pass


# Who sees the extension.


def test_a_scope_without_extensions_has_no_way_past_the_host():
    assert find_frame_writer({}) is None
    assert find_frame_writer({"extensions": None}) is None
    assert find_frame_writer({"extensions": {"websocket.http.response": {}}}) is None


@pytest.mark.parametrize("deflate", [False, True])
def test_a_scope_tells_how_to_write_and_whether_frames_may_be_compressed(deflate):
    written = []
    extension = describe_frame_writer(written.append, deflate=deflate)

    writer = find_frame_writer({"extensions": {FRAMES: extension}})

    writer.write(b"frame")
    assert (written, writer.is_deflating) == ([b"frame"], deflate)


def test_a_host_that_says_nothing_of_compression_takes_plain_frames():
    writer = find_frame_writer({"extensions": {FRAMES: {"write": bool}}})

    assert not writer.is_deflating


def mounted_in_starlette(pond):
    return Starlette(routes=[Mount("/mount", PondASGIApp(pond))])


def mounted_in_fastapi(pond):
    app = fastapi.FastAPI()
    app.mount("/mount", PondASGIApp(pond))
    return app


def behind_a_middleware(pond):
    app = PondASGIApp(pond)

    async def middleware(scope, receive, send):
        await app(copy.copy(scope), receive, send)

    return middleware


def below(prefix, app):
    """Put what the client asks for below a mount."""

    async def prefixed(scope, receive, send):
        await app({**scope, "path": prefix + scope["path"]}, receive, send)

    return prefixed


@pytest.mark.parametrize("mount", [mounted_in_starlette, mounted_in_fastapi])
async def test_a_framework_passes_the_extension_on_to_what_it_mounts(mount):
    class Mounted(Serving):
        @staticmethod
        def wrap(pond):
            return below("/mount", mount(pond))

    async with opened(Mounted().serve) as served:
        room = await served.open()
        client = await served.join()
        notes = Notes(room.transport)

        await room.broadcast({"n": 1})

        assert await client.read_payloads(1) == [{"n": 1}]
        assert (len(notes.written), notes.sent) == (1, [])


def without_the_extension(pond):
    app = PondASGIApp(pond)

    async def middleware(scope, receive, send):
        extensions = {n: x for n, x in scope["extensions"].items() if n != FRAMES}
        await app({**scope, "extensions": extensions}, receive, send)

    return middleware


async def test_a_middleware_that_takes_the_extension_away_sees_all_that_is_sent():
    sent = []

    class Watched(Serving):
        @staticmethod
        def wrap(pond):
            app = without_the_extension(pond)

            async def watch(scope, receive, send):
                async def note(message):
                    sent.append(message["type"])
                    await send(message)

                await app(scope, receive, note)

            return watch

    async with opened(Watched().serve) as served:
        room = await served.open()
        client = await served.join()
        sent.clear()

        await room.broadcast({"n": 1}, {"n": 2})

        assert await client.read_payloads(2) == [{"n": 1}, {"n": 2}]
        assert sent == ["websocket.send"] * 2


async def test_a_host_without_the_extension_sends_as_ever():
    class Plain(Serving):
        @contextlib.asynccontextmanager
        async def serve(self, pond, *, tls=None, send_buffer=None):
            app = PondASGIApp(pond)
            async with under_uvicorn(app, "websockets-sansio") as server:
                yield server.port

    async with opened(Plain().serve) as served:
        room = await served.open()
        client = await served.join()
        notes = Notes(room.transport)

        await room.broadcast({"n": 1}, {"n": 2})

        assert await client.read_payloads(2) == [{"n": 1}, {"n": 2}]
        assert (len(notes.sent), notes.written) == (2, [])


# What uvicorn does, by itself, and with our class.


class HeldCall(Held):
    """A call of an ASGI application that a test receives and sends for."""

    def __init__(self, ws=WebSocketProtocol, **settings):
        super().__init__(**settings)
        self.scope, self.receive, self.send = {}, None, None
        self.server = None
        self._ws = ws

    @contextlib.asynccontextmanager
    async def serve(self):
        async with under_uvicorn(self, self._ws, **self.settings) as server:
            self.server = server
            yield server.port

    async def __call__(self, scope, receive, send):
        self.scope, self.receive, self.send = scope, receive, send
        await self.stay()

    async def begin(self):
        """Wait for the call; the handshake waits to be accepted."""
        await self.is_here.wait()

    async def accept(self):
        assert (await self.receive())["type"] == "websocket.connect"
        await self.send({"type": "websocket.accept"})
        return await self.read_head()

    async def say(self, text):
        await self.send({"type": "websocket.send", "text": text})

    def write(self, text):
        return self.scope["extensions"][FRAMES]["write"](frame_message(text))

    @property
    def protocol(self):
        [connection] = self.server.server_state.connections
        return connection


@pytest.fixture
async def hold():
    async with holding(HeldCall) as hold:
        yield hold


class TestLibrary(LibraryContract):
    @pytest.fixture
    async def held(self, hold):
        held = await hold()
        await held.accept()
        return held


async def test_before_the_acceptance_nothing_is_written(hold):
    held = await hold()

    assert not held.write("early")

    assert (await held.accept()).startswith("http/1.1 101 ")


async def test_after_the_applications_close_nothing_is_written(hold):
    held = await hold()
    await held.accept()
    await held.send({"type": "websocket.close", "code": 4000})

    assert not held.write("late")

    assert await held.read(4) == b"\x88\x02\x0f\xa0"


async def test_after_the_clients_close_nothing_is_written(hold):
    held = await hold()
    await held.accept()
    held.writer.write(close_frame(4000))
    while (await held.receive())["type"] != "websocket.disconnect":
        pass

    assert not held.write("late")

    assert await held.read(4) == b"\x88\x02\x0f\xa0"


async def test_after_a_refusal_nothing_is_written(hold):
    held = await hold()
    await held.receive()
    await held.send({"type": "websocket.close"})

    assert not held.write("late")

    assert (await held.read_head()).startswith("http/1.1 403 ")


async def test_what_would_be_above_the_mark_is_not_written(hold):
    held = await hold()
    await held.accept()

    assert not held.write("x" * MAX_UNSENT)

    assert held.write("x")


@pytest.mark.parametrize("per_message_deflate", [True, False])
async def test_our_class_declines_compression_whatever_uvicorn_is_told(
    per_message_deflate, hold
):
    held = await hold(DEFLATE, ws_per_message_deflate=per_message_deflate)

    head = await held.accept()

    assert "sec-websocket-extensions" not in head
    assert not held.scope["extensions"][FRAMES]["deflate"]


async def test_uvicorns_own_class_agrees_to_compression_and_has_no_extension(hold):
    held = await hold(DEFLATE, ws=WebSocketsSansIOProtocol)

    head = await held.accept()

    assert "sec-websocket-extensions: permessage-deflate" in head
    assert FRAMES not in held.scope["extensions"]


@pytest.mark.parametrize(
    ("offers", "deflate"),
    [
        ([], False),
        ([DEFLATE], True),
        ([f"{DEFLATE}; server_max_window_bits=12"], True),
        ([f"{DEFLATE}; server_max_window_bits=11"], None),
    ],
)
async def test_the_scope_tells_whether_frames_may_be_compressed_or_has_no_extension(
    offers, deflate, hold
):
    held = await hold(*offers, ws=DeflatingWebSocketProtocol)

    extension = held.scope["extensions"].get(FRAMES)

    assert (extension and extension["deflate"]) == deflate


async def test_a_handshake_that_uvicorn_refuses_reaches_no_application():
    held = HeldCall()
    async with under_uvicorn(held, WebSocketProtocol) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(handshake(sec_websocket_version="12"))

        async with asyncio.timeout(5):
            answer = await reader.read()

        writer.close()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert not held.is_here.is_set()


@pytest.mark.parametrize(
    ("compression", "expected"),
    [(False, WebSocketProtocol), (True, DeflatingWebSocketProtocol)],
)
def test_pondsocket_serve_takes_the_class_for_its_compression(compression, expected):
    config = runner._configure(bool, Options(compression=compression))

    assert config.ws is expected


# Reading ahead.


def texts(count, size=1):
    """Return so many messages of a client."""
    data = b"x" * size
    head = bytes([0x81, 0x80 | size]) if size < 126 else b"\x81\xfe" + size.to_bytes(2)
    return (head + bytes(4) + data) * count


@pytest.fixture
def pauses(monkeypatch):
    """How often reading was paused, by any connection."""
    calls = []
    pause = asyncio.selector_events._SelectorSocketTransport.pause_reading

    def note_and_pause(transport):
        calls.append(transport)
        pause(transport)

    monkeypatch.setattr(
        asyncio.selector_events._SelectorSocketTransport,
        "pause_reading",
        note_and_pause,
    )
    return calls


async def received(held, count):
    async with asyncio.timeout(5):
        return [(await held.receive())["text"] for _ in range(count)]


@pytest.mark.parametrize("count", [1, 2, 16])
async def test_reading_is_not_paused_for_a_few_messages(count, hold, pauses):
    held = await hold()
    await held.accept()

    held.writer.write(texts(count))
    await received(held, count)

    assert pauses == []


async def test_reading_is_paused_with_a_long_message(hold, pauses):
    held = await hold()
    await held.accept()

    held.writer.write(texts(1, size=5000))
    await received(held, 1)

    assert len(pauses) == 1


async def test_reading_is_paused_with_the_first_message_before_the_acceptance(
    hold, pauses
):
    held = await hold()

    held.writer.write(texts(1))
    while not pauses:
        await asyncio.sleep(0)

    assert held.protocol.read_paused


async def test_uvicorn_alone_pauses_reading_for_each_message(hold, pauses):
    held = await hold(ws=WebSocketsSansIOProtocol)
    await held.accept()

    held.writer.write(texts(1))
    await received(held, 1)

    assert len(pauses) == 1


async def test_reading_is_paused_when_sixteen_messages_wait_for_the_application(
    hold, pauses
):
    held = await hold()
    await held.accept()

    held.writer.write(texts(17))
    while not pauses:
        await asyncio.sleep(0)

    assert held.protocol.queue.qsize() == 17
    assert held.protocol.read_paused


async def test_reading_goes_on_when_the_application_has_taken_what_waited(hold, pauses):
    held = await hold()
    await held.accept()
    held.writer.write(texts(17))
    while not pauses:
        await asyncio.sleep(0)

    await received(held, 17)
    assert not held.protocol.read_paused

    held.writer.write(texts(100))
    assert await received(held, 100) == ["x"] * 100


async def test_what_a_flood_leaves_waiting_is_bounded(hold, pauses):
    held = await hold()
    await held.accept()

    held.writer.write(texts(3000, size=10_000))
    while not pauses:
        await asyncio.sleep(0)
    for _ in range(100):
        await asyncio.sleep(0)

    # the last read of the socket, of 256 KiB, may bring some more than are counted
    assert held.protocol.queue.qsize() * 10_000 < 16 * 10_000 + 300_000
    assert held.writer.transport.get_write_buffer_size()


async def test_the_stock_client_of_a_library_speaks_to_our_class():
    async def echo(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})

    async with under_uvicorn(echo, DeflatingWebSocketProtocol) as server:
        url = f"ws://127.0.0.1:{server.port}/"
        async with connect(url, compression="deflate") as client:
            assert client.protocol.extensions
            for number in range(3):
                await client.send(f"{number}" * 1000)
            answers = [await client.recv() for _ in range(3)]

    assert answers == [f"{number}" * 1000 for number in range(3)]
