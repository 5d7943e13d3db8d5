"""Nodes: processes of ``pondsocket serve`` with tests.cluster.app, on one backend."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.backends.servers import Server
from tests.cluster.proxy import Proxy
from tests.hosts.process import HostProcess, run_host

__all__ = [
    "ANTI_ENTROPY",
    "HEARTBEAT_TIMEOUT",
    "Node",
    "run_node",
    "run_nodes",
    "url_through",
]

HEARTBEAT_INTERVAL = 0.5  # seconds, as all here
HEARTBEAT_TIMEOUT = 2.0
ANTI_ENTROPY = 1.0
MUCH = 64 * 1024 * 1024  # bytes that may wait for one watcher of a crowd
OPTIONS = {
    "heartbeat_interval": HEARTBEAT_INTERVAL,
    "heartbeat_timeout": HEARTBEAT_TIMEOUT,
    "anti_entropy_interval": ANTI_ENTROPY,
    "subscribe_timeout": 0.5,
    "outbound_max_messages": 10_000,
    "outbound_max_bytes": MUCH,
}
ADAPTERS = ("serve-asgi", "serve-aiohttp", "serve-websockets")
DIRT = ("Traceback", "never retrieved", "was destroyed", "never awaited")


@dataclass
class Node:
    """One node.

    Attributes:
        id: Its name among the others.
        host: Its process.
        was_killed: Whether the test ended it.
    """

    id: str
    host: HostProcess
    was_killed: bool = False

    @property
    def port(self) -> int:
        """Where clients connect."""
        return self.host.port

    async def kill(self) -> None:
        """End it at once, as ``kill -9`` does."""
        self.was_killed = True
        self.host.kill()
        await self.host.process.wait()


@contextlib.asynccontextmanager
async def run_node(
    number: int, url: str, folder: Path, **options: object
) -> AsyncIterator[Node]:
    """Serve with one node; at the end it must live and have had no accident.

    Args:
        number: Of the node, from 1; adapters take turns.
        url: Of the backend, as this node reaches it.
        folder: For its log, which stands in what a failing test reports.
        **options: Of the PondSocket, beside those of all nodes.
    """
    name = f"node-{number}"
    log = folder / f"{name}.log"
    settings = OPTIONS | {"node_id": name} | options
    try:
        async with run_host(
            ADAPTERS[(number - 1) % len(ADAPTERS)],
            "tests.cluster.app",
            log,
            POND_PUBSUB=url,
            POND_TEST_OPTIONS=json.dumps(settings),
        ) as host:
            node = Node(name, host)
            yield node
            assert node.was_killed or host.process.returncode is None
        assert not [each for each in DIRT if each in host.log]
    except BaseException as error:
        error.add_note(f"{log} ends with:\n{log.read_text(errors='replace')[-3000:]}")
        raise


@contextlib.asynccontextmanager
async def run_nodes(
    urls: Sequence[str], folder: Path, **options: object
) -> AsyncIterator[list[Node]]:
    """Serve with one node for each URL, as :func:`run_node`."""
    async with contextlib.AsyncExitStack() as stack:
        nodes = await asyncio.gather(
            *(
                stack.enter_async_context(run_node(number, url, folder, **options))
                for number, url in enumerate(urls, 1)
            )
        )
        yield nodes


def url_through(proxy: Proxy, server: Server) -> str:
    """Return the URL of a server behind a proxy."""
    return server.url.replace(f":{server.port}", f":{proxy.port}")
