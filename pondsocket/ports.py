"""Ports: what lower modules may know of higher ones, as Protocols without behaviour.

A context knows its channel as a ``ChannelPort``, a channel the other nodes as
``Peers`` and an endpoint the cluster as ``Network``. With one node, ``NoPeers`` and
``NoNetwork`` stand in.
"""

from typing import Any, Protocol

from pondsocket.changes import Change, Command, RemoteChange, Sent
from pondsocket.metrics import Telemetry
from pondsocket.transport import Transport
from pondsocket.types import PondAssigns, PondMessage, PondPresence, User

__all__ = [
    "ChannelPort",
    "Leaving",
    "LinkedChannel",
    "Network",
    "NoNetwork",
    "NoPeers",
    "Peers",
]


class ChannelPort(Protocol):
    """What a context may ask of its channel; the verbs are ``Channel``'s own."""

    @property
    def name(self) -> str:
        """The channel's full name."""
        ...

    @property
    def telemetry(self) -> Telemetry:
        """Where the framework counts and reports."""
        ...

    async def join(
        self, transport: Transport, request_id: str, assigns: PondAssigns
    ) -> None:
        """Make the transport's user a member and acknowledge the request."""
        ...

    async def send_system(
        self,
        event: str,
        payload: PondMessage,
        *,
        request_id: str,
        user_ids: list[str],
    ) -> None:
        """Send a ``SYSTEM`` message to some members in this process."""
        ...

    async def reply(
        self, transport: Transport, event: str, payload: PondMessage, request_id: str
    ) -> None:
        """Answer one request on the connection from which it came."""
        ...

    async def decline(
        self, transport: Transport, request_id: str, code: int, message: str
    ) -> None:
        """Refuse a join."""
        ...

    async def user_count(self) -> int:
        """Return the number of members in this process."""
        ...

    async def get_user(self, user_id: str) -> User:
        """Return a snapshot of a user."""
        ...

    async def get_user_assign(self, user_id: str, key: str) -> Any:  # noqa: ANN401 - the application's own value
        """Return one assign of a user."""
        ...

    async def update_assign(
        self,
        user_id: str,
        key: str,
        value: Any,  # noqa: ANN401 - the application's own
    ) -> None:
        """Set one assign of a user."""
        ...

    async def get_assigns(self) -> dict[str, PondAssigns]:
        """Return everyone's assigns."""
        ...

    async def get_presence(self) -> dict[str, PondPresence]:
        """Return everyone's presence."""
        ...

    async def track_presence(self, user_id: str, data: PondPresence) -> None:
        """Start to publish a user's presence."""
        ...

    async def update_presence(self, user_id: str, data: PondPresence) -> None:
        """Replace a user's presence."""
        ...

    async def untrack_presence(self, user_id: str) -> None:
        """Stop publishing a user's presence."""
        ...

    async def evict_user(self, user_id: str, reason: str) -> None:
        """Remove a user against its will."""
        ...

    async def broadcast(self, event: str, payload: PondMessage) -> None:
        """Send to every member."""
        ...

    async def broadcast_to(self, event: str, payload: PondMessage, *ids: str) -> None:
        """Send to the members named."""
        ...

    async def broadcast_from(
        self, event: str, payload: PondMessage, exclude_id: str
    ) -> None:
        """Send to every member but one."""
        ...


class Leaving(Protocol):
    """What is under way after a member was removed."""

    async def finish(self) -> None:
        """Wait until the leaving is announced and the leave handlers have run."""
        ...


class LinkedChannel(Protocol):
    """What the link to the other nodes may do to its channel."""

    def apply_remote(self, change: RemoteChange) -> bool:
        """Take in what another node announced; True if one should yield then."""
        ...

    def local_users(self) -> list[User]:
        """Return snapshots of the users of this node."""
        ...

    def local_user(self, user_id: str) -> User | None:
        """Return a snapshot of a user of this node, None if it is none."""
        ...

    def users_of(self, node: str) -> frozenset[str]:
        """Return the ids of another node's users, as far as they are known here."""
        ...

    async def obey(self, command: Command) -> None:
        """Carry out what another node asks about a user of this one, and announce it.

        Raises:
            PondError: If that is not possible; the sender is not told.
        """
        ...


class Peers(Protocol):
    """The same channel on other nodes."""

    async def open(self) -> None:
        """Return once messages of other nodes arrive; called before each join.

        Bounded by ``Options.subscribe_timeout``; never raises.
        """
        ...

    async def announce(self, change: Change) -> None:
        """Tell the other nodes of a change that was applied here; never raises.

        Changes travel in the order of the calls. Waits only while too much is under
        way to the other nodes, a fifth of a second at most.
        """
        ...

    async def ask(self, node: str, command: Command) -> None:
        """Ask the node that a user lives on for something; never raises."""
        ...

    async def find_user(self, user_id: str) -> User | None:
        """Return a user that lives on another node, None if there is none.

        Bounded by ``Options.user_get_timeout``.
        """
        ...

    async def close(self) -> None:
        """Stop listening; called once, when the channel ends."""
        ...


class NoPeers:
    """There are no other nodes."""

    async def open(self) -> None:
        """Do nothing."""

    async def announce(self, change: Change) -> None:
        """Do nothing."""

    async def ask(self, node: str, command: Command) -> None:
        """Do nothing."""

    async def find_user(self, user_id: str) -> User | None:
        """Return None: nobody lives elsewhere."""
        return None

    async def close(self) -> None:
        """Do nothing."""


class Network(Protocol):
    """The other nodes, as an endpoint knows them."""

    def check_channel_name(self, name: str) -> None:
        """Check a channel's name before a channel comes into being.

        Raises:
            BadRequest: If it cannot be told to other nodes.
        """
        ...

    def peers(
        self, endpoint_path: str, channel_name: str, channel: LinkedChannel
    ) -> Peers:
        """Return the peers of a channel that comes into being here."""
        ...

    async def emit(self, endpoint_path: str, channel_name: str, sent: Sent) -> None:
        """Announce a broadcast to a channel that has no member here; never raises."""
        ...


class NoNetwork:
    """A single node."""

    def check_channel_name(self, name: str) -> None:
        """Do nothing: any name does."""

    def peers(
        self, endpoint_path: str, channel_name: str, channel: LinkedChannel
    ) -> Peers:
        """Return ``NoPeers``."""
        return NoPeers()

    async def emit(self, endpoint_path: str, channel_name: str, sent: Sent) -> None:
        """Do nothing: nobody else could have members."""
