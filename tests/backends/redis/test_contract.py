"""RedisPubSub keeps the contract, on Valkey 9 and Redis 6.2, plain and sharded."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pondsocket import PubSub
from pondsocket.testing import (
    BatchContract,
    OutageContract,
    StoppableBackend,
    WildcardContract,
)
from pondsocket_redis import RedisPubSub
from tests.backends.servers import Cluster, Server, valkey_server


class OneServer(StoppableBackend):
    """A server that a test may kill and start again."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def open(self) -> PubSub:
        return RedisPubSub.from_url(self._server.url, ping_interval=0.3)

    async def stop(self) -> None:
        await self._server.kill()

    async def start(self) -> None:
        await self._server.start()


@pytest.mark.timeout(60)
class TestRedisPubSubOnValkey(OutageContract, BatchContract, WildcardContract):
    @asynccontextmanager
    async def backend(self) -> AsyncIterator[StoppableBackend]:
        async with valkey_server() as server:
            yield OneServer(server)


@pytest.mark.timeout(60)
class TestRedisPubSubOnRedis6(OutageContract, BatchContract, WildcardContract):
    @asynccontextmanager
    async def backend(self) -> AsyncIterator[StoppableBackend]:
        async with valkey_server(kind="redis6") as server:
            yield OneServer(server)


class Sharded(StoppableBackend):
    """A cluster whose masters a test may kill and start again."""

    def __init__(self, url: str, servers: tuple[Server, ...]) -> None:
        self._url = url
        self._servers = servers

    async def open(self) -> PubSub:
        return RedisPubSub.from_url(f"{self._url}?cluster=sharded", ping_interval=0.3)

    async def stop(self) -> None:
        for server in self._servers:
            await server.kill()

    async def start(self) -> None:
        for server in self._servers:
            await server.start()


@pytest.mark.timeout(60)
class TestShardedRedisPubSub(OutageContract, BatchContract):
    cluster: Cluster

    @pytest.fixture(autouse=True)
    def take_cluster(self, cluster: Cluster) -> None:
        self.cluster = cluster

    @asynccontextmanager
    async def backend(self) -> AsyncIterator[StoppableBackend]:
        yield Sharded(self.cluster.url, self.cluster.servers)
