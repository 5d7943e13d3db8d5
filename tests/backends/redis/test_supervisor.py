"""The task that keeps a connection, when it is ended at any moment."""

import asyncio
from functools import partial

import pytest
from redis.asyncio import Redis

from pondsocket_redis.outage import Outage
from pondsocket_redis.supervisor import Supervisor, end_task
from pondsocket_redis.wire import dial_client
from tests.backends.servers import valkey_server

PATIENCE = 5.0
TURNS = 40  # of the loop, more than it takes to connect


@pytest.fixture
async def server():
    async with valkey_server() as server:
        yield server


async def read_for_ever(wire):
    while True:
        await wire.read()


async def test_it_ends_in_whichever_turn_of_connecting_it_is_closed(server):
    async with Redis.from_url(server.url) as client:
        losses = []
        for turns in range(TURNS):
            supervisor = Supervisor(
                "connection",
                partial(dial_client, client),
                read_for_ever,
                lost=losses.append,
                outage=Outage(),
                connect_timeout=PATIENCE,
            )
            supervisor.start()
            for _ in range(turns):
                await asyncio.sleep(0)

            async with asyncio.timeout(PATIENCE):
                await supervisor.close()

        assert losses == []


async def test_a_task_that_swallows_a_cancellation_is_ended_nevertheless():
    """As ``asyncio.wait_for`` of Python 3.11 does."""
    swallowed = 0

    async def swallow():
        nonlocal swallowed
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed == 2:
                    raise

    task = asyncio.create_task(swallow())
    await asyncio.sleep(0)

    async with asyncio.timeout(PATIENCE):
        await end_task(task)

    assert task.cancelled()
    assert swallowed == 2
