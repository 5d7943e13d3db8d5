"""Several nodes on a bus that loses, repeats, reorders and splits: one view in the end.

Time flies: no test waits.
"""

import asyncio
import itertools
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pondsocket.changes import (
    AssignsSet,
    Joined,
    Left,
    PresenceGone,
    PresenceSet,
)
from pondsocket.distributed.cluster import Cluster
from pondsocket.distributed.node import Node
from pondsocket.local_pubsub import LocalPubSub
from pondsocket.metrics import Telemetry
from pondsocket.options import Options
from pondsocket.testing import FaultyPubSub
from pondsocket.types import LeaveReason, User
from tests.unit.distributed.rooms import CHANNEL, Room, fly, sent, truth

SOAK = int(os.environ.get("POND_SOAK", "1"))  # `make soak`: how many times longer
pytestmark = pytest.mark.timeout(60 * SOAK)

INTERVAL, HEARTBEAT, TIMEOUT = 2.0, 1.0, 3.0
NODES = ("a", "b", "c")
USERS = ("ann", "bob")  # the same on every node
NUMBERS = itertools.count(1)


class Peer:
    """One life of a node: its cluster, and its one channel while that is open."""

    def __init__(self, name, pubsub, clock):
        self.name = name
        self.pubsub = pubsub
        options = Options(
            node_id=name,
            anti_entropy_interval=INTERVAL,
            heartbeat_interval=HEARTBEAT,
            heartbeat_timeout=TIMEOUT,
        )
        self.telemetry = Telemetry(None)
        self.node = Node(self.pubsub, options, self.telemetry, clock)
        self.cluster = Cluster(self.node)
        self.room = Room(name)
        self.link = None

    async def open(self):
        if self.link is None:
            self.room = Room(self.name)
            self.link = self.cluster.peers("/chat", CHANNEL, self.room)
            await self.link.open()

    async def shut(self):
        """The channel ends: everybody leaves."""
        if self.link is not None:
            for user_id in tuple(self.room.users):
                await self.leave(user_id)
            link, self.link = self.link, None
            await link.close()

    async def crash(self):
        """End without a word."""
        await self.pubsub.close()
        if self.link is not None:
            await self.link.close()
        await self.cluster.close()

    async def act(self, act, user_id):
        """Do something if it can be done now."""
        if act in {"open", "shut"}:
            await getattr(self, act)()
            return
        await self.open()
        if act == "broadcast":
            await self.link.announce(sent())
        elif (act == "join") is not (user_id in self.room.users):
            await getattr(self, act)(user_id)

    async def join(self, user_id):
        user = User(user_id, {"life": next(NUMBERS)})
        self.room.users[user_id] = user
        await self.link.announce(Joined(User(user_id, dict(user.assigns))))

    async def leave(self, user_id):
        user = self.room.users.pop(user_id)
        await self.link.announce(Left(user, LeaveReason.EXPLICIT_LEAVE))

    async def track(self, user_id):
        presence = {"at": next(NUMBERS)}
        self.room.users[user_id].presence = presence
        await self.link.announce(PresenceSet(user_id, presence))

    async def untrack(self, user_id):
        self.room.users[user_id].presence = None
        await self.link.announce(PresenceGone(user_id))

    async def assign(self, user_id):
        number = next(NUMBERS)
        self.room.users[user_id].assigns["mood"] = number
        await self.link.announce(AssignsSet(user_id, "mood", number))


class Pond:
    """Some nodes on one bus."""

    def __init__(self, odds):
        self.bus = f"convergence-{next(NUMBERS)}"
        self.odds = odds
        self.seeds = itertools.count(1)
        self.has_crashed = False
        self.restarted = set()
        self.peers = {name: self._peer(name) for name in NODES}

    def _peer(self, name):
        loop = asyncio.get_running_loop()
        pubsub = FaultyPubSub(
            LocalPubSub(name=self.bus), seed=next(self.seeds), **self.odds
        )
        return Peer(name, pubsub, lambda: 1_000_000 + loop.time())

    async def do(self, act, name, argument):
        peer = self.peers.get(name)
        if act == "wait":
            await asyncio.sleep(argument)
        elif act == "restart":
            if peer is not None:
                await peer.crash()
            self.peers[name] = self._peer(name)
            self.restarted.add(name)
        elif peer is None:
            return
        elif act == "crash":
            self.has_crashed = True
            self.restarted.discard(name)
            del self.peers[name]
            await peer.crash()
        elif act == "split":
            peer.pubsub.island = str(argument)
        else:
            await peer.act(act, USERS[int(argument) % 2])
        for other in self.peers.values():
            counts = other.telemetry.counts()
            assert counts["lost"] >= 0
            assert counts["duplicate"] >= 0

    async def heal(self):
        """The network is whole: what is late comes, and no more goes wrong."""
        for peer in self.peers.values():
            peer.pubsub.faults = False
            peer.pubsub.island = ""
        for peer in self.peers.values():
            await peer.pubsub.settle()
        # Who began anew without a channel is silent: its former life has to time out.
        is_silent = any(self.peers[name].link is None for name in self.restarted)
        if self.has_crashed or is_silent:
            await asyncio.sleep(TIMEOUT)

    def views(self):
        """Return what each node shows of each node: of others, and of the dead."""
        return {
            (peer.name, other): peer.room.shows_of(other)
            for peer in self.peers.values()
            if peer.link is not None
            for other in NODES
        }

    def truths(self):
        """Return what each should show: all nodes' users but its own and the dead."""
        everybody = {
            other: truth(self.peers[other].room.users)
            if other in self.peers
            else ({}, {})
            for other in NODES
        }
        return {
            (peer.name, other): ({}, {}) if other == peer.name else everybody[other]
            for peer in self.peers.values()
            if peer.link is not None
            for other in NODES
        }

    async def close(self):
        for peer in self.peers.values():
            await peer.shut()
            await peer.cluster.close()
            await peer.pubsub.close()


async def converge(odds, acts):
    async with asyncio.timeout(3600):  # of a clock that flies
        pond = Pond(odds)
        for act, name, argument in acts:
            await pond.do(act, name, argument)
        await pond.heal()
        await asyncio.sleep(INTERVAL + 1)
        assert pond.views() == pond.truths()
        await pond.close()
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def run(odds, acts):
    with asyncio.Runner(loop_factory=fly) as runner:
        runner.run(converge(odds, acts))


names = st.sampled_from(NODES)
users = st.integers(0, 1)
members = st.sampled_from(
    ["join", "join", "join", "leave", "track", "untrack", "assign", "broadcast"]
)


def lists(*acts):
    return st.lists(st.one_of(acts), min_size=10, max_size=50)


changes = st.tuples(members, names, users)
channels = st.tuples(st.sampled_from(["open", "shut"]), names, users)
pauses = st.tuples(st.just("wait"), names, st.floats(0, 8))
splits = st.tuples(st.just("split"), names, st.integers(0, 1))
deaths = st.tuples(st.sampled_from(["crash", "restart"]), names, users)
odds = st.fixed_dictionaries(
    {name: st.sampled_from([0.0, 0.1, 0.4]) for name in ("loss", "duplicate", "delay")}
)


@settings(max_examples=60 * SOAK)
@given(odds, lists(changes, pauses))
def test_nodes_agree_whatever_is_lost_repeated_or_late(odds, acts):
    run(odds, acts)


@settings(max_examples=60 * SOAK)
@given(odds, lists(changes, channels, pauses, splits))
def test_nodes_agree_after_netsplits_and_channels_that_ended(odds, acts):
    run(odds, acts)


@settings(max_examples=80 * SOAK)
@given(odds, lists(changes, channels, pauses, splits, deaths))
def test_no_ghost_is_left_of_nodes_that_died_or_began_anew(odds, acts):
    run(odds, acts)
