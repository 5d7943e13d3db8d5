"""Cluster: this node among the others."""

import asyncio

import pytest

from pondsocket.changes import Joined
from pondsocket.distributed.cluster import Cluster
from pondsocket.distributed.messages import (
    NodeDigest,
    NodeHeartbeat,
    StateRequest,
    StateResponse,
    UserJoined,
    UserLeft,
    UserMessage,
    decode,
    encode,
)
from pondsocket.distributed.node import Node
from pondsocket.distributed.publisher import Publisher
from pondsocket.errors import BadRequest
from pondsocket.local_pubsub import LocalPubSub
from pondsocket.metrics import Telemetry
from pondsocket.options import Options
from pondsocket.testing import FaultyPubSub
from pondsocket.types import User
from tests.unit.distributed.rooms import CHANNEL, Home, Room, envelope, sent
from tests.unit.doubles import Clock, other_tasks, settle

EVERYWHERE = "pondsocket:v1:default:__heartbeat__"
TOPIC = f"pondsocket:v1:default:chat:{CHANNEL}"


class Stage:
    """A cluster, and everything that it publishes."""

    def __init__(self, pubsub=None):
        self.time = Clock()
        self.pubsub = pubsub or FaultyPubSub(LocalPubSub(), seed=1)
        self.said = []
        self.room = Room()
        self.telemetry = Telemetry(None)
        options = Options(
            node_id="here",
            heartbeat_interval=30.0,
            heartbeat_timeout=90.0,
            anti_entropy_interval=10.0,
        )
        self.node = Node(self.pubsub, options, self.telemetry, lambda: self.time.now)
        self.node.spread = lambda seconds: seconds
        self.cluster = Cluster(self.node)

    async def prepare(self):
        for topic in (EVERYWHERE, TOPIC):
            await self.pubsub.subscribe(topic, self._overhear)

    def _overhear(self, topic, data):
        message = decode(data)
        if message.source_node_id == "here":
            self.said.append(message)

    async def link(self):
        link = self.cluster.peers("/chat", CHANNEL, self.room)
        await link.open()
        await self.hush()
        return link

    async def hush(self):
        await settle()
        self.said.clear()

    async def hear(self, *messages, topic=EVERYWHERE):
        for message in messages:
            await self.pubsub.publish(topic, encode(message))
        await settle()

    async def live(self, seconds):
        """Let time pass without a pause of this node."""
        for _ in range(seconds // 10):
            await self.time.advance(10.0)

    def of(self, kind):
        return [message for message in self.said if isinstance(message, kind)]

    def count(self, name):
        return self.telemetry.counts()[name]


@pytest.fixture
async def stage():
    stage = Stage()
    await stage.prepare()
    yield stage
    await stage.cluster.close()
    await stage.pubsub.close()
    assert other_tasks() == set()


@pytest.fixture
async def link(stage):
    link = await stage.link()
    yield link
    await link.close()


def beat(node="there"):
    return NodeHeartbeat(**envelope(node), node_id=node)


def digest(*channels, number=1, node="there", timestamp=9_999_999_999_999, **part):
    head = envelope(node) | {"timestamp": timestamp}
    return NodeDigest(**head, digest=number, channels=list(channels), **part)


# Names.


async def test_a_name_whose_topic_would_be_a_wildcard_is_refused(stage):
    stage.cluster.check_channel_name("/room/1")

    with pytest.raises(BadRequest, match="must not end in"):
        stage.cluster.check_channel_name("/room.*")


# Signs of life.


async def test_nothing_is_sent_before_the_first_channel(stage):
    await stage.time.advance(100.0)

    assert stage.said == []


async def test_a_channel_begins_the_heartbeats(stage):
    stage.cluster.peers("/chat", CHANNEL, stage.room)
    await settle()

    assert [message.node_id for message in stage.of(NodeHeartbeat)] == ["here"]


async def test_heartbeats_and_digests_go_out_in_their_intervals(stage, link):
    for _ in range(6):
        await stage.time.advance(10.0)

    assert len(stage.of(NodeHeartbeat)) == 2
    assert len(stage.of(NodeDigest)) == 6


async def test_a_digest_tells_how_far_each_link_has_counted(stage, link):
    await link.announce(sent())

    await stage.time.advance(10.0)

    (told,) = stage.of(NodeDigest)
    assert told.channels == [("chat", CHANNEL, link.epoch, 1)]


async def test_a_digest_names_a_link_that_has_sent_nothing_yet(stage, link):
    await stage.time.advance(10.0)

    assert stage.of(NodeDigest)[0].channels == [("chat", CHANNEL, link.epoch, 0)]


async def test_digests_rise(stage, link):
    await stage.time.advance(10.0)
    await stage.time.advance(10.0)

    first, second = stage.of(NodeDigest)
    assert first.digest < second.digest


async def test_a_closed_link_is_named_no_more(stage, link):
    await link.close()

    await stage.time.advance(10.0)

    assert stage.of(NodeDigest)[0].channels == []


async def test_a_closed_link_does_not_take_its_successor_along(stage, link):
    second = stage.cluster.peers("/chat", CHANNEL, Room())

    await link.close()
    await stage.time.advance(10.0)

    assert [each[2] for each in stage.of(NodeDigest)[0].channels] == [second.epoch]
    await second.close()


async def test_heartbeats_go_on_after_a_digest_that_failed(stage, link, caplog):
    link.name = "\ud800"

    await stage.live(60)

    assert stage.of(NodeHeartbeat)
    assert {record.message for record in caplog.records} == {
        "a part of the heartbeat failed"
    }
    link.name = CHANNEL


async def test_heartbeats_begin_without_a_subscription(stage):
    await stage.pubsub.subscribe(EVERYWHERE, stage.cluster.receive)

    stage.cluster.peers("/chat", CHANNEL, stage.room)
    await settle()

    assert stage.count("subscribe_failed") == 1
    assert len(stage.of(NodeHeartbeat)) == 1


# Other nodes.


async def test_who_says_it_lives_is_counted(stage, link):
    await stage.hear(beat("b"), beat("c"), beat("here"))

    assert stage.cluster.node_count == 2


async def test_who_sends_a_digest_lives(stage, link):
    await stage.hear(digest())

    assert stage.cluster.node_count == 1


async def test_what_is_no_message_is_counted(stage, link):
    stage.cluster.receive(EVERYWHERE, b"?")

    assert stage.count("bus_malformed") == 1


async def test_what_belongs_to_a_channel_is_counted(stage, link):
    await stage.hear(UserLeft(**envelope(), user_id="ann"))

    assert stage.count("bus_misaddressed") == 1


async def test_the_users_of_a_node_that_falls_silent_leave(stage, link):
    await stage.hear(*Home().join("ann"), topic=TOPIC)

    await stage.live(90)

    assert stage.room.shows() == ({}, {})
    assert stage.count("node_died") == 1


async def test_nothing_is_kept_of_a_node_that_is_silent_for_long(stage, link):
    await stage.hear(*Home().join("ann"), topic=TOPIC)
    await stage.hear(digest())

    await stage.live(100)
    is_remembered = "there" in link._inbound._replicas
    await stage.live(3600)

    assert is_remembered
    assert link._inbound._replicas == {}
    assert stage.cluster._digests == {}
    assert stage.node.others._died == {}


async def test_a_pause_of_this_node_kills_nobody(stage, link, caplog):
    stage.time.now += 9.0
    await stage.hear(beat())
    await stage.time.advance(1.0)
    stage.time.now += 300.0
    await settle()

    assert stage.cluster.node_count == 1
    assert "this node paused for" in caplog.text


async def test_a_published_node_that_was_silent_is_asked_for_its_users(stage, link):
    await stage.hear(UserJoined(**envelope("old"), user_id="ann"), topic=TOPIC)
    await stage.live(90)
    stage.said.clear()

    await stage.hear(beat("old"))

    assert [message.to_node for message in stage.of(StateRequest)] == ["old"]


# Digests.


async def test_a_digest_shows_that_something_was_missed(stage, link):
    await stage.hear(digest(("chat", CHANNEL, "9999999999999-a", 3)))

    assert stage.count("lost") == 3
    assert [message.to_node for message in stage.of(StateRequest)] == ["there"]


async def test_a_channel_that_is_not_here_is_no_matter(stage, link):
    await stage.hear(digest(("chat", "/other", "1-a", 3)))

    assert stage.of(StateRequest) == []


async def test_users_leave_a_channel_that_a_whole_digest_does_not_name(stage, link):
    await stage.hear(*Home().join("ann"), topic=TOPIC)

    await stage.hear(digest(part=2, parts=2))
    after_a_part = stage.room.shows()
    await stage.hear(digest(part=1, parts=2))

    assert set(after_a_part[0]) == {"ann"}
    assert stage.room.shows() == ({}, {})


async def test_users_stay_in_a_channel_that_a_digest_names(stage, link):
    home = Home()
    await stage.hear(*home.join("ann"), topic=TOPIC)

    await stage.hear(digest(("chat", CHANNEL, home.epoch, 1)))

    assert set(stage.room.shows()[0]) == {"ann"}


# Outages.


async def test_after_an_outage_each_channel_catches_up(stage, link):
    stage.pubsub.rejoin()

    await stage.time.advance(5.0)

    assert len(stage.of(StateResponse)) == 1
    assert [message.to_node for message in stage.of(StateRequest)]


async def test_a_pubsub_need_not_tell_of_outages():
    class Silent:
        async def publish(self, topic, data): ...

        async def subscribe(self, pattern, handler): ...

        async def unsubscribe(self, pattern, handler=None): ...

        async def close(self): ...

    stage = Stage(Silent())
    stage.cluster.peers("/chat", CHANNEL, stage.room)
    await settle()

    await stage.cluster.close()

    assert other_tasks() == set()


# Broadcasts without a member here.


async def test_a_broadcast_without_a_link_carries_no_number(stage):
    await stage.cluster.emit("/chat", CHANNEL, sent())
    await settle()

    (message,) = stage.of(UserMessage)
    assert not message.source_epoch
    assert message.endpoint_name == "chat"


async def test_a_broadcast_waits_while_too_much_is_under_way(stage, monkeypatch):
    waited = []

    async def room(publisher):
        waited.append(publisher)

    monkeypatch.setattr(Publisher, "is_crowded", True)
    monkeypatch.setattr(Publisher, "room", room)

    await stage.cluster.emit("/chat", CHANNEL, sent())

    assert len(waited) == 1


# The end.


async def test_a_node_that_ends_says_that_it_has_no_channels(stage):
    link = await stage.link()
    await link.announce(Joined(User("ann")))
    await link.close()

    await stage.cluster.close()
    await settle()

    assert stage.of(NodeDigest)[-1].channels == []
    assert stage.pubsub._inner.stats()["subscriptions"] == 2


async def test_a_node_that_never_began_ends_without_a_word(stage):
    await stage.cluster.close()
    await settle()

    assert stage.said == []


async def test_it_ends_once(stage, link):
    await stage.cluster.close()

    await stage.cluster.close()

    assert other_tasks() == set()


async def test_after_the_end_nothing_begins_anew(stage):
    await stage.cluster.close()

    await stage.cluster.emit("/chat", CHANNEL, sent())
    await settle()

    assert stage.said == []
    assert stage.count("publish_failed") == 1


async def test_it_ends_while_its_subscription_hangs(monkeypatch):
    stage = Stage()
    monkeypatch.setattr(stage.pubsub, "subscribe", lambda *_: asyncio.Event().wait())
    stage.cluster.peers("/chat", CHANNEL, stage.room)
    await settle()

    await stage.cluster.close()

    assert other_tasks() == set()
