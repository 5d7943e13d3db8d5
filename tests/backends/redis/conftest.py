"""One cluster for all tests of a module: it takes seconds until three servers agree."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.backends.servers import Cluster, redis_cluster

_Running = tuple[asyncio.Runner, Cluster]


@pytest.fixture(scope="module")
def running_cluster() -> Iterator[_Running]:
    """Run the cluster, with the loop that it is started and ended in."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        running = redis_cluster()
        cluster = runner.run(running.__aenter__())
        try:
            yield runner, cluster
        finally:
            runner.run(running.__aexit__(None, None, None))


@pytest.fixture
def cluster(running_cluster: _Running) -> Cluster:
    """Return the cluster, whole again, whatever the test before did to it."""
    runner, cluster = running_cluster
    runner.run(cluster.restore())
    return cluster
