"""How a transport in memory runs the contract."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pondsocket import IncomingConnection, InMemoryTransport, PondSocket, uuid
from pondsocket.testing import Connect
from tests.contract.peers import MemoryPeer

CAPACITY = 8  # events; what is above waits in the session's outbox


class InMemory:
    """Serves a PondSocket to connections of one class, within this process."""

    transport_class: type[InMemoryTransport] = InMemoryTransport

    @asynccontextmanager
    async def serve(self, pond: PondSocket) -> AsyncIterator[Connect]:
        (endpoint,) = pond.endpoints

        async def connect() -> MemoryPeer:
            incoming = IncomingConnection(id=uuid(), address="memory")
            context = await endpoint.request_connection(incoming)
            transport = self.transport_class(context.user_id, capacity=CAPACITY)
            await endpoint.register_transport(transport, context)
            return MemoryPeer(transport)

        yield connect
