"""Inbound: what other nodes say of one channel, in the order in which it counts.

Each node is the only writer of its own users. Its messages are numbered for each life
of its link (``Replica``), so a loss is seen; what was missed is made up for by the
node's whole state, which it is asked for. Published nodes number nothing: they are
believed as they come.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from pondsocket.changes import Left
from pondsocket.distributed.arrivals import Arrival
from pondsocket.distributed.messages import (
    StateResponse,
    StateUser,
    UserMessage,
)
from pondsocket.distributed.replica import Replica, epoch_start
from pondsocket.distributed.translation import Fact, to_change, to_joined
from pondsocket.metrics import Telemetry
from pondsocket.ports import LinkedChannel
from pondsocket.types import LeaveReason, User

__all__ = ["Inbound"]

logger: logging.Logger = logging.getLogger(__name__)

MAX_PARTS = 4096


@dataclass(slots=True)
class _State:
    """The parts of one node's state, as they arrive."""

    epoch: str
    number: int
    parts: int
    users: dict[int, list[StateUser]] = field(default_factory=dict)


class Inbound:
    """The other nodes, as one channel has heard of them.

    Args:
        channel: Which is told.
        telemetry: Counts what is lost and what came twice.
        need_state: Called with a node whose state has to be asked for; may be called
            often, and must not block.

    Attributes:
        since: From when on messages arrive here, in milliseconds. What a node numbered
            in a life that began later was either heard or lost.
    """

    def __init__(
        self,
        channel: LinkedChannel,
        telemetry: Telemetry,
        need_state: Callable[[str], None],
    ) -> None:
        self.since: float = inf
        self._channel = channel
        self._telemetry = telemetry
        self._need_state = need_state
        self._replicas: dict[str, Replica] = {}
        self._states: dict[str, _State] = {}
        # Nodes whose last digest named an earlier life: which, and the digest's number.
        self._doubts: dict[str, tuple[str, int]] = {}
        # Dead nodes that number nothing and had users here.
        self._dropped: set[str] = set()

    def take(self, message: Fact) -> bool:
        """Take in a broadcast or a fact; True if one should yield then."""
        node, number = message.source_node_id, message.source_seq
        if not message.source_epoch or not number:
            return self._channel.apply_remote(to_change(message))
        replica = self._follow(node, message.source_epoch, number - 1)
        if replica is None:
            self._telemetry.count("stale")
            return False
        self._doubts.pop(node, None)
        lost = replica.lost
        arrival = replica.note(number)
        if replica.lost != lost:
            self._telemetry.count("lost", replica.lost - lost)
        if replica.is_behind:
            self._need_state(node)
        if arrival is Arrival.DUPLICATE:
            self._telemetry.count("duplicate")
            return False
        is_news = isinstance(message, UserMessage) or replica.is_news(
            arrival, number, message.user_id
        )
        return is_news and self._channel.apply_remote(to_change(message))

    def expect(self, node: str, epoch: str, number: int, digest: int = 0) -> None:
        """Take in how many messages a node has sent in this life of its link.

        Two digests in a row that name an earlier life than the one known, with nothing
        heard of that in between, are believed: the node began anew with its clock set
        back, or somebody made the later life up.

        Args:
            node: Which node.
            epoch: Which life.
            number: The last number used.
            digest: The number of the digest that says so.
        """
        if self.since == inf and node not in self._replicas:
            return  # nobody listens yet: what it sends from now on may not come
        replica = self._follow(node, epoch, number)
        if replica is None and self._is_refuted(node, epoch, digest):
            logger.warning("node %.200r began anew, with its clock set back", node)
            self._drop_users(node)
            del self._replicas[node]
            replica = self._follow(node, epoch, number)
        if replica is not None:
            self._doubts.pop(node, None)
            self._count_lost(replica, number)
            if replica.is_behind:
                self._need_state(node)

    def _is_refuted(self, node: str, epoch: str, digest: int) -> bool:
        """Tell whether the life that is known is none; so says a second digest."""
        self._telemetry.count("stale")
        doubt = self._doubts.get(node)
        self._doubts[node] = (epoch, digest)
        return doubt is not None and doubt[0] == epoch and digest > doubt[1]

    def _follow(self, node: str, epoch: str, baseline: int) -> Replica | None:
        """Return what is known of a life of a node's link, None if it is over."""
        replica = self._replicas.get(node)
        if replica is not None:
            if replica.epoch == epoch:
                return replica
            if _is_later(replica.epoch, epoch):
                return None
            self._drop_users(node)
        if epoch_start(epoch) >= self.since:
            baseline = 0
        replica = self._replicas[node] = Replica(epoch, baseline)
        return replica

    def _count_lost(self, replica: Replica, number: int) -> None:
        lost = replica.lost
        replica.expect(number)
        if replica.lost != lost:
            self._telemetry.count("lost", replica.lost - lost)

    # States.

    def settle(self, message: StateResponse) -> None:
        """Take in a node's state, or a part of it."""
        node, epoch, number = (
            message.source_node_id,
            message.source_epoch or "",
            message.source_seq or 0,
        )
        if not epoch:
            self._dropped.discard(node)
            self._replace(node, message.users, frozenset())
            return
        part, parts = message.part or 1, message.parts or 1
        if not 1 <= part <= parts <= MAX_PARTS:
            self._telemetry.count("bus_malformed")
            return
        state = self._states.get(node)
        if state is not None and _is_older(epoch, number, state):
            self._telemetry.count("stale")
            return
        if state is None or (state.epoch, state.number, state.parts) != (
            epoch,
            number,
            parts,
        ):
            state = self._states[node] = _State(epoch, number, parts)
        state.users[part] = message.users
        if len(state.users) == parts:
            del self._states[node]
            self._settle(node, state)

    def _settle(self, node: str, state: _State) -> None:
        replica = self._follow(node, state.epoch, state.number)
        if replica is None:
            self._telemetry.count("stale")
            return
        self._count_lost(replica, state.number)
        if replica.settle(state.number):
            users = [user for part in state.users.values() for user in part]
            self._replace(node, users, replica.newer_users())

    def _replace(
        self, node: str, users: list[StateUser], newer: frozenset[str]
    ) -> None:
        """Make a node's users those of its state, but for those it is too old for."""
        known = self._channel.users_of(node)
        for user_id in known - {user.id for user in users} - newer:
            self._leave(node, user_id)
        for user in users:
            if user.id not in newer:
                self._channel.apply_remote(to_joined(user, node))

    # Users who are gone.

    def is_behind(self, node: str) -> bool:
        """Tell whether a node's state is still needed."""
        replica = self._replicas.get(node)
        if replica is None:
            return node in self._dropped
        return replica.is_behind

    def drop(self, node: str) -> None:
        """Take in that a node is dead: its users leave."""
        replica = self._replicas.get(node)
        if replica is not None:
            replica.lapse()
        elif self._channel.users_of(node):
            self._dropped.add(node)
        self._states.pop(node, None)
        self._drop_users(node)

    def forget(self, node: str) -> None:
        """Take in that a node is dead for good: nothing is kept of it."""
        self._replicas.pop(node, None)
        self._states.pop(node, None)
        self._doubts.pop(node, None)
        self._dropped.discard(node)
        self._drop_users(node)

    def drop_absent(self, node: str, timestamp: int) -> None:
        """Take in that a node had no user here at a time of its clock, in ms."""
        replica = self._replicas.get(node)
        if replica is not None and epoch_start(replica.epoch) < timestamp:
            # Nobody would answer: its link is closed, and the next one numbers anew.
            replica.end()
            self._states.pop(node, None)
            self._drop_users(node)

    def _drop_users(self, node: str) -> None:
        for user_id in self._channel.users_of(node):
            self._leave(node, user_id)

    def _leave(self, node: str, user_id: str) -> None:
        gone = Left(User(user_id), LeaveReason.CONNECTION_CLOSED, node)
        self._channel.apply_remote(gone)


def _is_older(epoch: str, number: int, state: _State) -> bool:
    if state.epoch == epoch:
        return number < state.number
    return _is_later(state.epoch, epoch)


def _is_later(epoch: str, other: str) -> bool:
    return (epoch_start(epoch), epoch) > (epoch_start(other), other)
