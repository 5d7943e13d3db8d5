"""The way of ready frames past the library, and what that relies on in it."""

import asyncio
import contextlib
import socket

import pytest
from websockets.asyncio.server import serve as library_serve
from websockets.extensions.base import Extension, ServerExtensionFactory
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.protocol import State

from pondsocket.framing import frame_message
from pondsocket_websockets import serve
from pondsocket_websockets.frames import find_frame_writer
from tests.adapters.bridge.serving import close_frame
from tests.adapters.frames_contract import CompressionContract, FramesContract, opened
from tests.adapters.ready_frames import Notes
from tests.adapters.writer_contract import Held, LibraryContract, holding

DEFLATE = "permessage-deflate"
CONTEXT_TAKEOVER = ServerPerMessageDeflateFactory()


class Serving:
    """How the contracts serve."""

    @contextlib.asynccontextmanager
    async def serve(self, pond, *, tls=None, send_buffer=None, **settings):
        with socket.socket() as listener:
            if send_buffer is not None:  # connections inherit it
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
            listener.bind(("127.0.0.1", 0))
            async with serve(pond, sock=listener, ssl=tls, **settings):
                yield listener.getsockname()[1]


class TestFrames(Serving, FramesContract):
    pass


class TestCompression(Serving, CompressionContract):
    pass


class TestContextTakeover(Serving):
    """Whoever serves may agree on an extension of another kind."""

    async def test_a_client_whose_messages_depend_on_each_other_gets_them_rightly(
        self,
    ):
        def keeping(pond, **settings):
            return self.serve(pond, **settings, extensions=[CONTEXT_TAKEOVER])

        async with opened(keeping) as served:
            room = await served.open()
            client = await served.join("permessage-deflate")
            notes = Notes(room.transport)
            sent = [{"n": number, "x": "once more " * 50} for number in range(3)]

            await room.broadcast(*sent)
            payloads = await client.read_payloads(3)

        assert payloads == sent
        assert (len(notes.sent), notes.written) == (3, [])
        assert "server_no_context_takeover" not in client.extensions


# What the library does, by itself.


class HeldConnection(Held):
    """One of websockets."""

    connection = None

    @contextlib.asynccontextmanager
    async def serve(self):
        serving = library_serve(self.handle, "127.0.0.1", 0, **self.settings)
        async with serving as server:
            yield server.sockets[0].getsockname()[1]

    async def handle(self, connection):
        self.connection = connection
        await self.stay()

    async def say(self, text):
        await self.connection.send(text)

    def write(self, text):
        return find_frame_writer(self.connection).write(frame_message(text))


@pytest.fixture
async def hold():
    async with holding(HeldConnection) as hold:
        yield hold


class TestLibrary(LibraryContract):
    @pytest.fixture
    async def held(self, hold):
        return await hold(compression=None)


async def test_the_library_is_not_open_any_more_once_it_sent_a_close_frame(hold):
    held = await hold(compression=None)
    closing = asyncio.create_task(held.connection.close())

    await held.read(4)

    assert held.connection.protocol.state is State.CLOSING
    held.writer.write(close_frame(1000))
    await closing


async def test_the_library_answers_a_close_frame_and_is_then_not_open_any_more(hold):
    held = await hold(compression=None)
    writer = find_frame_writer(held.connection)

    held.writer.write(close_frame(1000))
    answer = await held.read(4)

    assert answer == b"\x88\x02\x03\xe8"
    assert held.connection.protocol.state is not State.OPEN
    assert not writer.write(frame_message("late"))


async def test_a_handshake_that_is_not_finished_leaves_no_room_for_frames(hold):
    tried = []

    async def process_request(connection, request):
        tried.append(find_frame_writer(connection).write(frame_message("early")))

    held = await hold(compression=None, process_request=process_request)

    assert tried == [False]
    assert held.connection.protocol.state is State.OPEN


async def test_an_extension_that_nobody_knows_leaves_no_way_past_the_library(hold):
    class Unknown(Extension):
        name = "x-unknown"

        def decode(self, frame, *, max_size=None):
            return frame

        def encode(self, frame):
            return frame

    class Factory(ServerExtensionFactory):
        name = "x-unknown"

        def process_request_params(self, params, accepted_extensions):
            return [], Unknown()

    held = await hold("x-unknown", compression=None, extensions=[Factory()])

    assert [each.name for each in held.connection.protocol.extensions] == ["x-unknown"]
    assert find_frame_writer(held.connection) is None


@pytest.mark.parametrize(
    ("window_bits", "forgets", "has_way"),
    [(12, True, True), (15, True, True), (11, True, False), (15, False, False)],
)
async def test_only_messages_that_are_compressed_alike_for_all_have_a_way_past_it(
    window_bits, forgets, has_way, hold
):
    factory = ServerPerMessageDeflateFactory(
        server_no_context_takeover=forgets, server_max_window_bits=window_bits
    )

    held = await hold(DEFLATE, compression=None, extensions=[factory])

    writer = find_frame_writer(held.connection)
    assert (writer is not None) is has_way
    assert writer is None or writer.is_deflating
