"""What every case starts from: an empty backend, and where its figures go."""

from collections.abc import AsyncIterator

import pytest

from tests.backends.servers import Server, nats_server, valkey_server
from tests.cluster.table import note as note_row

START = {"redis": valkey_server, "nats": nats_server}


@pytest.fixture(params=list(START))
def backend(request: pytest.FixtureRequest) -> str:
    """Name of the backend."""
    return str(request.param)


@pytest.fixture
async def server(backend: str) -> AsyncIterator[Server]:
    """A server that serves nobody else."""
    async with START[backend]() as server:
        yield server


@pytest.fixture
def note(backend: str):
    """Notes a row of this backend."""
    return lambda case, **cells: note_row(case, backend, **cells)
