"""What is relied upon of nats-py beyond what it documents."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from nats.aio.client import Client

from pondsocket.testing.checks import eventually
from pondsocket_nats.intake import Sink
from pondsocket_nats.internals import (
    StrictClient,
    abort_closing,
    chain,
    forget_unsent,
)
from tests.backends.servers import nats_server


@asynccontextmanager
async def connected(server, kind=Client, **options):
    client = kind()
    await client.connect(
        server.url, max_reconnect_attempts=-1, reconnect_time_wait=0.05, **options
    )
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture
async def server():
    async with nats_server() as server:
        yield server


async def silent(_error):
    """Stand in for the library's own callback, which logs a traceback."""


async def test_a_sink_takes_every_message_without_a_task(server):
    got = []
    async with connected(server) as client:
        before = len(asyncio.all_tasks())
        sink = Sink(got.append)
        await client.subscribe("t", future=sink)
        for data in (b"1", b"2", b"3"):
            await client.publish("t", data)
        await eventually(lambda: len(got) == 3, "three messages")

        assert got == [b"1", b"2", b"3"]
        assert len(asyncio.all_tasks()) == before
        assert not sink.done()


async def test_a_cancelled_sink_takes_nothing_more(server):
    got, others = [], []
    async with connected(server) as client:
        sink = Sink(got.append)
        await client.subscribe("t", future=sink)
        await client.subscribe("t", future=Sink(others.append))
        sink.cancel()
        await client.publish("t", b"1")
        await eventually(lambda: others, "the message")

    assert not got


async def test_ours_and_theirs_are_called_until_ours_is_taken_off(server):
    called = []

    async def theirs(error):
        called.append(("theirs", str(error)))

    async with connected(server, error_cb=theirs) as client:
        unchain = chain(client, "error_cb", lambda e: called.append(("ours", str(e))))
        await client._error_cb(ValueError("1"))
        unchain()
        await client._error_cb(ValueError("2"))

    assert called == [("ours", "1"), ("theirs", "1"), ("theirs", "2")]


async def test_who_was_chained_later_stays(server):
    called = []
    async with connected(server, error_cb=silent) as client:
        unchain = chain(client, "error_cb", lambda _: called.append("early"))
        chain(client, "error_cb", lambda _: called.append("late"))
        unchain()
        await client._error_cb(ValueError())

    assert called == ["late"]


@pytest.mark.parametrize(
    "name", ["error_cb", "disconnected_cb", "reconnected_cb", "closed_cb"]
)
def test_the_library_keeps_its_callbacks_where_they_are_looked_for(name):
    assert hasattr(Client(), f"_{name}")


async def test_a_connection_that_cannot_be_written_out_is_given_up(server):
    lost = asyncio.Event()

    async def on_loss():
        lost.set()

    async with connected(
        server, disconnected_cb=on_loss, error_cb=silent, pending_size=-1
    ) as client:
        server.pause()
        for _ in range(20):
            await client.publish("t", bytes(1_000_000))
            await asyncio.sleep(0)
        await client.force_reconnect()
        writer = client._transport._io_writer
        await eventually(writer.transport.is_closing, "a connection being closed")
        assert not lost.is_set()

        abort_closing(client)
        async with asyncio.timeout(1):
            await lost.wait()
        server.resume()
        await eventually(lambda: client.is_connected, "a connection")


async def test_an_open_connection_is_left_alone(server):
    async with connected(server) as client:
        abort_closing(client)
        await client.flush()

        assert client.is_connected


def test_a_client_that_never_connected_has_nothing_to_abort():
    abort_closing(Client())


async def test_what_was_not_sent_before_an_outage_is_not_sent_after_it(server):
    got = []
    async with connected(server, pending_size=10**6, error_cb=silent) as client:
        await client.subscribe("t", future=Sink(got.append))
        await client.flush()
        await server.kill()
        await eventually(lambda: client.is_reconnecting, "an outage")
        await client.publish("t", b"before")
        forget_unsent(client)
        await server.start()
        await eventually(lambda: client.is_connected, "a connection")
        await client.publish("t", b"after")
        await eventually(lambda: got, "a message")

    assert got == [b"after"]


async def test_a_server_without_tls_gets_nothing_from_who_wants_it(server):
    seen = []

    async def on_error(error):
        seen.append(str(error))

    client = StrictClient()
    connecting = asyncio.create_task(
        client.connect(
            server.url.replace("nats://", "tls://"),
            error_cb=on_error,
            max_reconnect_attempts=-1,
        )
    )
    await eventually(lambda: seen, "a refusal")
    connecting.cancel()
    await asyncio.wait({connecting})
    await client.close()

    assert seen[0] == "nats: the URL says tls://, but the server offers no TLS"
    assert not client.is_connected
