"""The transport, over a connection of the library that does as it is told."""

import asyncio

import pytest
from websockets.exceptions import ConnectionClosedOK, ProtocolError

from pondsocket import Event, Frame, Options, TransportType, uuid
from pondsocket_websockets import WebsocketsTransport


class Connection:
    """What the transport calls; ``reads`` tells whether the client does."""

    def __init__(self):
        self.inbox = asyncio.Queue()
        self.sent = []
        self.closed = []
        self.refused_codes = set()
        self.reads = asyncio.Event()
        self.reads.set()

    async def recv(self):
        message = await self.inbox.get()
        if isinstance(message, Exception):
            raise message
        return message

    async def send(self, message):
        self.sent.append(message)
        await self.reads.wait()

    async def close(self, code, reason):
        if code in self.refused_codes:
            raise ProtocolError("invalid status code")
        self.closed.append((code, reason))


@pytest.fixture
def connection():
    return Connection()


@pytest.fixture
def make(connection):
    def make_transport(**settings):
        return WebsocketsTransport(id="ada", connection=connection, **settings)

    return make_transport


def frame(number):
    return Frame(Event("BROADCAST", "/chat/1", uuid(), "news", {"n": number}))


def test_it_is_a_websocket_with_an_id_and_assigns(make):
    transport = make(assigns={"name": "Ada"})

    assert transport.transport_type() is TransportType.WEBSOCKET
    assert transport.get_id() == "ada"
    assert transport.get_assign("name") == "Ada"


async def test_frames_are_sent_in_order_one_message_each(make, connection):
    frames = [frame(1), frame(2)]

    assert make().try_send(frames)

    assert connection.sent == [each.text for each in frames]


async def test_frames_are_joined_for_a_client_that_asked_for_it(make, connection):
    frames = [frame(1), frame(2)]

    assert make(joins_messages=True).try_send(frames)

    assert connection.sent == ["\n".join(each.text for each in frames)]


async def test_nothing_is_taken_while_the_client_does_not_read(make, connection):
    connection.reads.clear()
    transport = make()
    writable = asyncio.Event()
    transport.on_writable(writable.set)

    assert transport.try_send([frame(1)])
    assert not transport.try_send([frame(2)])
    connection.reads.set()

    async with asyncio.timeout(5):
        await writable.wait()


async def test_it_ends_when_the_library_says_that_the_client_left(make, connection):
    transport = make()
    connection.inbox.put_nowait(ConnectionClosedOK(None, None))

    await transport.run()

    assert not transport.is_active()


async def test_it_hands_in_what_the_client_sends(make, connection):
    transport = make()
    connection.inbox.put_nowait("nonsense")
    connection.inbox.put_nowait(b"more of it")
    connection.inbox.put_nowait(ConnectionClosedOK(None, None))

    await transport.run()

    assert [message.count("INVALID_MESSAGE") for message in connection.sent] == [1, 1]


async def test_it_closes_with_the_code_and_the_reason(make, connection):
    await make().close_with(1012, "server restarts")

    assert connection.closed == [(1012, "server restarts")]


async def test_a_code_that_the_library_refuses_becomes_1008(make, connection):
    connection.refused_codes.add(2500)

    await make().close_with(2500, "as the application wants it")

    assert connection.closed == [(1008, "as the application wants it")]


async def test_a_send_that_never_ends_does_not_keep_it_from_closing(make, connection):
    connection.reads.clear()
    transport = make(options=Options(send_timeout=0.6))
    transport.try_send([frame(1)])

    async with asyncio.timeout(5):
        await transport.close()

    assert connection.closed == [(1000, "")]
