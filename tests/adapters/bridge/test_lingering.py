"""An end on which the other side still gets what was sent last."""

import asyncio
import socket

import pytest

from pondsocket_asgi.ws_bridge.lingering import linger
from tests.adapters.bridge.serving import Client


@pytest.fixture
async def both():
    """Return both ends of a connection."""
    ends = [
        Client(*await asyncio.open_connection(sock=each))
        for each in socket.socketpair()
    ]
    yield ends
    for each in ends:
        each.writer.transport.abort()


async def test_what_was_sent_last_is_read_and_then_the_end(both):
    near, far = both
    near.say(b"goodbye")
    lingering = asyncio.create_task(linger(near.reader, near.writer))

    received = await far.read_rest()

    assert received == b"goodbye"
    far.hang_up()
    await lingering


async def test_it_waits_for_the_end_of_the_other_side(both):
    near, far = both
    far.say(bytes(100_000))
    lingering = asyncio.create_task(linger(near.reader, near.writer))
    done, _ = await asyncio.wait({lingering}, timeout=0.1)

    far.hang_up()

    await lingering
    assert not done


async def test_who_never_stops_is_not_listened_to_for_ever(both):
    near, far = both
    lingering = asyncio.create_task(linger(near.reader, near.writer))

    said = 0
    while not lingering.done():
        far.say(bytes(100_000))
        await asyncio.wait({lingering}, timeout=0.01)
        said += 100_000

    await lingering
    assert said > 4_000_000


async def test_a_connection_that_is_closed_already_is_left_alone(both):
    near, far = both
    near.hang_up()

    await linger(near.reader, near.writer)

    assert await far.read_rest() == b""


async def test_over_tls_there_is_no_half_an_end(both, monkeypatch):
    near, far = both
    monkeypatch.setattr(near.writer, "can_write_eof", lambda: False)

    await linger(near.reader, near.writer)

    near.say(b"still open")
    assert await far.reader.read(100) == b"still open"
