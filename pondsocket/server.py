"""PondSocket: the root; endpoints, their common options, start and end."""

import asyncio
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from pondsocket.channel_options import link_channels_with
from pondsocket.contexts.connection import ConnectionContext
from pondsocket.distributed.cluster import Cluster, LoneCluster
from pondsocket.distributed.node import Node
from pondsocket.endpoint import ConnectionHandler, Endpoint
from pondsocket.errors import NotFound
from pondsocket.ids import uuid
from pondsocket.metrics import Telemetry
from pondsocket.middleware import Middleware
from pondsocket.options import Options
from pondsocket.pubsub import PubSub, open_pubsub
from pondsocket.transport import Transport
from pondsocket.types import PondMessage, Route

__all__ = ["EndpointMatch", "PondSocket", "Stats"]


def _link_lone_channel(
    pubsub: PubSub, options: Options, telemetry: Telemetry
) -> LoneCluster:
    return LoneCluster(Node(pubsub, options, telemetry))


link_channels_with(_link_lone_channel)


@dataclass(frozen=True, slots=True)
class EndpointMatch:
    """The endpoint that a path leads to, and what its pattern found in the path."""

    endpoint: Endpoint
    route: Route


@dataclass(frozen=True, slots=True)
class Stats:
    """What a PondSocket holds at one moment, and what it has counted so far.

    Attributes:
        connections: Live connections.
        channels: Live channels.
        inbox_messages: Messages of clients that wait for a handler.
        outbox_messages: Messages that wait for slow connections.
        outbox_bytes: Their size.
        nodes: Other nodes that are alive, as far as this one has heard.
        counts: Every counter by name, those at 0 too (docs/observability.md).
    """

    connections: int
    channels: int
    inbox_messages: int
    outbox_messages: int
    outbox_bytes: int
    nodes: int
    counts: dict[str, int]


class PondSocket:
    """The root of an application's channels.

    Args:
        options: Limits and hooks, for all endpoints.
        pubsub: What links this node to others: a backend, or the URL of one
            (``redis://host:6379``, ``nats://host:4222``, ``memory://name``). One that
            was opened by URL is closed together with this object. Nothing is sent
            before the first channel lives.

    Raises:
        ValueError: If no backend knows the URL's scheme, or it does not like the URL.
        ModuleNotFoundError: If the backend is not installed; says how to.
    """

    def __init__(
        self, *, options: Options | None = None, pubsub: PubSub | str | None = None
    ) -> None:
        self._options = options or Options()
        if pubsub is not None and not self._options.node_id:
            self._options = replace(self._options, node_id=uuid())
        self._owns_pubsub = isinstance(pubsub, str)
        self._pubsub = open_pubsub(pubsub) if isinstance(pubsub, str) else pubsub
        hooks = self._options.hooks
        self.telemetry: Telemetry = Telemetry(hooks.metrics if hooks else None)
        self._cluster: Cluster | None = None
        if self._pubsub is not None:
            node = Node(self._pubsub, self._options, self.telemetry)
            self._cluster = Cluster(node)
        self._endpoints: list[Endpoint] = []
        self._is_closed = False

    @property
    def options(self) -> Options:
        """Limits and hooks."""
        return self._options

    @property
    def pubsub(self) -> PubSub | None:
        """The backend, None on a single node."""
        return self._pubsub

    @property
    def endpoints(self) -> list[Endpoint]:
        """The endpoints in order of registration, as a new list."""
        return list(self._endpoints)

    def create_endpoint(
        self,
        path: str,
        handler: ConnectionHandler,
        *middlewares: Middleware[ConnectionContext],
    ) -> Endpoint:
        """Let clients connect to ``path``.

        Args:
            path: A pattern, such as ``/socket`` or ``/:tenant/socket``.
            handler: Accepts or declines each handshake.
            *middlewares: Run around the handler.

        Raises:
            ValueError: If the path is malformed or has an endpoint already, or after
                :meth:`close`.
        """
        if any(endpoint.path == path for endpoint in self._endpoints):
            raise ValueError(f"there is an endpoint for {path!r} already")
        if self._is_closed:
            raise ValueError("the PondSocket is closed")
        endpoint = Endpoint(
            path=path,
            connection_handler=handler,
            connection_middlewares=middlewares,
            options=self._options,
            telemetry=self.telemetry,
            network=self._cluster,
        )
        self._endpoints.append(endpoint)
        return endpoint

    def match_endpoint(self, path: str) -> EndpointMatch | None:
        """Return the first endpoint whose pattern matches, None if there is none."""
        for endpoint in self._endpoints:
            route = endpoint.pattern.match(path)
            if route is not None:
                return EndpointMatch(endpoint, route)
        return None

    async def find_transport(self, user_id: str) -> Transport | None:
        """Return a user's live transport, None if it is not connected."""
        for endpoint in self._endpoints:
            session = endpoint.connections.find_user(user_id)
            if session is not None:
                return session.transport
        return None

    async def find_connection(self, connection_id: str) -> Transport | None:
        """Return a connection by its own id; never by a user's id."""
        for endpoint in self._endpoints:
            session = endpoint.connections.find_connection(connection_id)
            if session is not None:
                return session.transport
        return None

    async def broadcast(
        self, endpoint_path: str, channel: str, event: str, payload: PondMessage
    ) -> None:
        """Send to a channel's members on every node, from outside any handler.

        Args:
            endpoint_path: The path with which the endpoint was created.
            channel: The channel's full name.
            event: The event's name.
            payload: A JSON object.

        Raises:
            NotFound: If there is no such endpoint, or no pattern for the channel.
            BadRequest: As ``Lobby.broadcast``.
            TooManyRequests: As ``Lobby.broadcast``.
        """
        for endpoint in self._endpoints:
            if endpoint.path == endpoint_path:
                await endpoint.broadcast(channel, event, payload)
                return
        raise NotFound(channel, f"there is no endpoint {endpoint_path!r}")

    def stats(self) -> Stats:
        """Return what is held now and was counted so far; O(connections)."""
        sessions = [s for e in self._endpoints for s in e.connections.sessions()]
        return Stats(
            connections=len(sessions),
            channels=sum(
                lobby.channel_count for e in self._endpoints for lobby in e.lobbies
            ),
            inbox_messages=sum(len(s.intake) for s in sessions if s.intake is not None),
            outbox_messages=sum(session.outbox_messages for session in sessions),
            outbox_bytes=sum(session.outbox_bytes for session in sessions),
            nodes=0 if self._cluster is None else self._cluster.node_count,
            counts=self.telemetry.counts(),
        )

    async def drain(self, grace: float) -> None:
        """Let go of all clients: refuse new ones, tell the live ones to reconnect.

        Idempotent. Each connection gets what was queued for it, then 1012.

        Args:
            grace: Seconds over which the closing is spread, and after which handlers in
                flight are cancelled.
        """
        await asyncio.gather(*(endpoint.drain(grace) for endpoint in self._endpoints))

    async def close(self) -> None:
        """Close connections, channels and a backend of our own; leave handlers run.

        Idempotent; called again after it was cancelled, it goes on.
        """
        self._is_closed = True
        await asyncio.gather(*(endpoint.close() for endpoint in self._endpoints))
        if self._cluster is not None:
            await self._cluster.close()
        if self._owns_pubsub and self._pubsub is not None:
            await self._pubsub.close()

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        await self.close()
