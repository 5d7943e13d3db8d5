"""NatsPubSub keeps the contract, at a server that a test may kill."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pondsocket import PubSub
from pondsocket.testing import BatchContract, OutageContract, StoppableBackend
from pondsocket_nats import NatsPubSub
from tests.backends.servers import Server, nats_server


class OneServer(StoppableBackend):
    """A server that a test may kill and start again."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def open(self) -> PubSub:
        return NatsPubSub.from_url(self._server.url, ping_interval=0.3)

    async def stop(self) -> None:
        await self._server.kill()

    async def start(self) -> None:
        await self._server.start()


@pytest.mark.timeout(60)
class TestNatsPubSub(OutageContract, BatchContract):
    @asynccontextmanager
    async def backend(self) -> AsyncIterator[StoppableBackend]:
        async with nats_server() as server:
            yield OneServer(server)
