"""The way of ready frames past the bridge, as the extension that it publishes."""

import contextlib

import pytest

from pondsocket.framing import frame_message
from pondsocket.web import MAX_UNSENT
from pondsocket_asgi import PondASGIApp
from pondsocket_asgi.frames import FRAMES
from tests.adapters.bridge.serving import Server, close_bytes, close_frame, handshake
from tests.adapters.frames_contract import CompressionContract, FramesContract
from tests.adapters.ready_frames import Notes

FORGETFUL = "permessage-deflate; server_no_context_takeover"


class Serving:
    """How the contracts serve."""

    @contextlib.asynccontextmanager
    async def serve(self, pond, *, tls=None, send_buffer=None):
        server = Server(
            PondASGIApp(pond),
            ssl=tls,
            compression=pond.options.compression,
            shutdown_timeout=5.0,
        )
        await server.start(send_buffer=send_buffer)
        try:
            yield server.port
        finally:
            await server.end()


class TestFrames(Serving, FramesContract):
    pass


class TestCompression(Serving, CompressionContract):
    offer = FORGETFUL

    async def test_who_does_not_ask_to_forget_gets_right_messages_by_the_host(
        self, served, room
    ):
        client = await served.join("permessage-deflate")
        notes = Notes(room.transport)
        sent = [{"n": number, "x": "once more " * 50} for number in range(3)]

        await room.broadcast(*sent)

        assert await client.read_payloads(3) == sent
        assert (len(notes.sent), notes.written) == (3, [])
        assert client.extensions == {}


# The extension itself.


@pytest.mark.parametrize(
    ("settings", "offers", "deflate"),
    [
        ({}, [], False),
        ({}, [FORGETFUL], False),
        ({"compression": True}, [], False),
        ({"compression": True}, [FORGETFUL], True),
        ({"compression": True}, [f"{FORGETFUL}; server_max_window_bits=12"], True),
        ({"compression": True}, [f"{FORGETFUL}; server_max_window_bits=11"], None),
        ({"compression": True}, ["permessage-deflate"], None),
    ],
)
async def test_the_scope_tells_whether_frames_may_be_compressed_or_has_no_extension(
    settings, offers, deflate, start, puppet
):
    server = await start(puppet, **settings)
    headers = [f"sec-websocket-extensions: {each}" for each in offers]

    await server.open_with(puppet, *headers)

    extension = puppet.last.scope["extensions"].get(FRAMES)
    assert (extension and extension["deflate"]) == deflate


@pytest.fixture
async def open_one(start, puppet):
    """Connect a client whose handshake the application accepts, or does not yet."""

    async def connect(*, accepts=True, **settings):
        server = await start(puppet, **settings)
        client = await server.dial(handshake())
        session = await puppet.next()
        if accepts:
            await session.accept()
            await client.read_head()
        return client, session, session.scope["extensions"][FRAMES]["write"]

    return connect


async def test_frames_go_out_behind_what_was_sent_and_before_what_is(open_one):
    client, session, write = await open_one()

    await session.say("a")
    assert write(frame_message("b"))
    await session.say("c")

    got = [(await client.read_frame())[1] for _ in range(3)]
    assert got == [b"a", b"b", b"c"]


async def test_before_the_acceptance_nothing_is_written(open_one):
    client, session, write = await open_one(accepts=False)

    assert not write(frame_message("early"))

    await session.accept()
    assert (await client.read_head()).startswith("HTTP/1.1 101 ")
    await session.say("first")
    assert await client.read_frame() == (1, b"first")


async def test_a_refused_client_gets_nothing_but_its_refusal(open_one):
    client, session, write = await open_one(accepts=False)
    await session.receive()
    await session.close()

    assert not write(frame_message("late"))

    assert (await client.read_rest()).startswith(b"HTTP/1.1 403 ")


async def test_after_the_applications_close_nothing_is_written(open_one):
    client, session, write = await open_one()
    await session.close(4000)

    assert not write(frame_message("late"))

    client.say(close_frame(4000))
    assert await client.read_rest() == close_bytes(4000)


async def test_after_the_clients_close_nothing_is_written(open_one):
    client, session, write = await open_one()
    client.say(close_frame(4000))
    await session.receive()

    assert not write(frame_message("late"))

    assert await client.read_rest() == close_bytes(4000)


async def test_after_the_application_has_returned_nothing_is_written(open_one):
    client, session, write = await open_one()
    session.leave()
    await client.read_close()

    assert not write(frame_message("late"))


async def test_what_would_be_above_the_mark_is_not_written(open_one):
    client, _, write = await open_one()

    assert not write(frame_message("x" * MAX_UNSENT))

    assert write(frame_message("x" * 990))
    assert await client.read_frame() == (1, b"x" * 990)
