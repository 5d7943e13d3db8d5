"""Wire: one connection to a server, and the only place that knows redis-py's inside.

What is relied upon beyond redis-py's documented API, pinned by
``tests/backends/redis/test_wire.py``:

- ``ConnectionPool.make_connection()``, and ``connection_class`` with
  ``connection_kwargs`` of a ``ClusterNode``, give a connection that no pool hands out.
- ``connection.connect()`` does all that comes before the first command: the address
  from Sentinel, TLS, the password, the database, RESP3.
- ``connection.send_packed_command()`` takes finished commands and
  ``connection.read_response()`` gives the next answer, from two tasks at once; neither
  suspends while there is room, or data, respectively.
- ``connection.retry`` and ``connection.socket_timeout`` may be replaced before it
  connects; ``connection._writer`` is its ``asyncio.StreamWriter``; its parser has
  ``set_pubsub_push_handler`` where it speaks RESP3.
"""

import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

__all__ = ["Client", "Dial", "Wire", "dial_client", "dial_node", "encode_command"]

logger: logging.Logger = logging.getLogger(__name__)

Client = Redis | RedisCluster


class Wire:
    """One connection, open from the start; used up once it is lost.

    Made by a ``Dial``. One task may read while another one sends.
    """

    __slots__ = ("_connection", "_read")

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection
        self._read = cast("Callable[..., Awaitable[Any]]", connection.read_response)

    async def send(self, commands: Sequence[bytes]) -> None:
        """Write finished commands; waits while the server takes nothing.

        Raises:
            RedisError: If the connection is lost.
        """
        if not self._connection.is_connected:
            # It would connect anew, and nobody would read what comes back.
            raise RedisConnectionError("the connection is lost")
        # Its health check would read an answer, which is the reader's.
        await self._connection.send_packed_command(commands, check_health=False)

    def read(self) -> Awaitable[Any]:
        """Read the next answer or push, its texts as bytes.

        Raises:
            ResponseError: If the answer is an error.
            RedisError: If the connection is lost.
        """
        return self._read(disable_decoding=True, push_request=True)

    def read_answer(self) -> Awaitable[Any]:
        """Read the next answer, its texts as bytes; pushes of RESP3 are left out.

        Raises:
            ResponseError: If the answer is an error.
            RedisError: If the connection is lost.
        """
        return self._read(disable_decoding=True, push_request=False)

    def abort(self) -> None:
        """Cut the connection without sending what waits; whoever reads will raise."""
        writer = self._connection._writer  # noqa: SLF001 - see above
        if writer is not None:
            writer.transport.abort()

    async def close(self) -> None:
        """Cut the connection and free it."""
        self.abort()
        try:
            await self._connection.disconnect()
        except (RedisError, OSError) as error:
            # It is cut already; only its end was not seen.
            logger.debug("a connection ended with %r", error)


Dial = Callable[[], Awaitable[Wire]]
"""Opens a connection; the caller bounds it in time. Raises RedisError or OSError."""


async def dial_client(client: Client) -> Wire:
    """Open a connection to the server of a client, beside its pool.

    Of a cluster that is any primary: messages that are not sharded reach all nodes.
    """
    if isinstance(client, RedisCluster):
        _ = await client.initialize()
        return await dial_node(client, random.choice(client.get_primaries()).name)  # noqa: S311 - no secret
    pool = cast("Any", client.connection_pool)  # has no types here
    return await _connect(pool.make_connection())


async def dial_node(client: RedisCluster, name: str) -> Wire:
    """Open a connection to one node of a cluster, by its ``host:port``."""
    node = client.get_node(node_name=name)
    if node is None:
        raise ConnectionError(f"{name} is no node of the cluster any more")
    return await _connect(node.connection_class(**node.connection_kwargs))


async def _connect(connection: AbstractConnection) -> Wire:
    # A command that is sent again may be executed twice; who waits here has deadlines.
    connection.retry = Retry(NoBackoff(), 0)
    connection.health_check_interval = 0
    wire = Wire(connection)
    try:
        await cast("Any", connection).connect()
    except BaseException:
        await wire.close()
        raise
    # A subscriber may hear nothing for hours.
    connection.socket_timeout = None
    parser = connection._parser  # noqa: SLF001 - see above
    if hasattr(parser, "set_pubsub_push_handler"):
        # The handler that is there makes a text of each message, for the log.
        parser.set_pubsub_push_handler(_take)
    return wire


async def _take(push: list[Any]) -> list[Any]:
    return push


def encode_command(*words: bytes) -> bytes:
    """Return a command as it goes over the wire.

    ``*2`` ``$9`` ``SUBSCRIBE`` ``$1`` ``a``, each with its line end.
    """
    parts = [b"*%d\r\n" % len(words)]
    parts += [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"".join(parts)
