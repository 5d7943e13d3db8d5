"""What the backend relies upon inside redis-py."""

import asyncio

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from pondsocket_redis.wire import dial_client, encode_command
from tests.backends.servers import valkey_server


@pytest.fixture
async def server():
    async with valkey_server() as server:
        yield server


@pytest.fixture(params=[2, 3])
async def wire(server, request):
    async with Redis.from_url(
        server.url, protocol=request.param, decode_responses=True, socket_timeout=0.1
    ) as client:
        wire = await dial_client(client)
        yield wire
        await wire.close()


def test_a_command_is_encoded_as_the_server_takes_it():
    assert encode_command(b"GET", b"") == b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n"


async def test_answers_come_in_order_and_as_bytes(wire):
    await wire.send([encode_command(b"ECHO", b"\xff"), encode_command(b"ECHO", b"2")])

    assert [await wire.read(), await wire.read()] == [b"\xff", b"2"]


async def test_a_push_comes_like_an_answer(wire):
    await wire.send([encode_command(b"SUBSCRIBE", b"a")])

    assert list(await wire.read()) == [b"subscribe", b"a", 1]


async def test_a_push_is_no_answer_to_who_reads_answers(server):
    async with Redis.from_url(server.url, protocol=3) as client:
        wire = await dial_client(client)
        await wire.send([encode_command(b"SUBSCRIBE", b"a"), encode_command(b"PING")])

        assert await wire.read_answer() == b"PONG"

        await wire.close()


async def test_a_connection_that_is_lost_sends_nothing_and_is_not_made_anew(
    server, wire
):
    await wire.close()

    with pytest.raises(RedisConnectionError, match="the connection is lost"):
        await wire.send([encode_command(b"PING")])


async def test_an_error_is_raised_and_the_connection_lives_on(wire):
    await wire.send([encode_command(b"NONSENSE"), encode_command(b"PING")])

    with pytest.raises(ResponseError):
        await wire.read()

    assert await wire.read() == b"PONG"


async def test_what_was_received_is_read_without_a_turn_of_the_loop(wire):
    await wire.send([encode_command(b"PING")] * 100)
    await wire.read()
    turns = []
    asyncio.get_running_loop().call_soon(turns.append, "turn")

    for _ in range(99):
        await wire.read()

    assert turns == []


async def test_a_reader_learns_that_the_connection_was_cut(wire):
    reading = asyncio.ensure_future(wire.read())
    await asyncio.sleep(0)

    wire.abort()

    with pytest.raises(RedisConnectionError):
        await reading
