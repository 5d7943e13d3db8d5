"""ChannelLink: one channel in touch with the same channel on other nodes."""

import asyncio

import msgspec
import pytest

from pondsocket.changes import AssignsSet, Evicted, Joined, Left, PresenceSet, Removed
from pondsocket.distributed import publisher
from pondsocket.distributed.link import ChannelLink
from pondsocket.distributed.messages import (
    AssignsUpdate,
    EvictUser,
    NodeHeartbeat,
    PresenceUpdate,
    StateRequest,
    StateResponse,
    StateUser,
    UserGetRequest,
    UserGetResponse,
    UserJoined,
    UserLeft,
    UserRemove,
    decode,
    encode,
)
from pondsocket.distributed.node import Node
from pondsocket.local_pubsub import LocalPubSub
from pondsocket.metrics import Telemetry
from pondsocket.options import Options
from pondsocket.types import LeaveReason, User
from tests.unit.distributed.rooms import CHANNEL, Home, Room, envelope, sent
from tests.unit.doubles import Clock, other_tasks, settle, started

TOPIC = f"pondsocket:v1:default:chat:{CHANNEL}"
INTERVAL = 10.0


class Bus(LocalPubSub):
    """A hub that can be held up."""

    def __init__(self):
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure = None

    async def subscribe(self, pattern, handler):
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        await super().subscribe(pattern, handler)


class Stage:
    """A link, its room, and everything that it publishes."""

    def __init__(self):
        self.time = Clock()
        self.bus = Bus()
        self.said = []
        self.closed = []
        self.room = Room()
        self.telemetry = Telemetry(None)
        options = Options(node_id="here", anti_entropy_interval=INTERVAL)
        self.node = Node(self.bus, options, self.telemetry, lambda: 1000.0)
        self.link = ChannelLink(
            self.node, "/chat", CHANNEL, self.room, self.closed.append
        )

    async def prepare(self):
        # Past the gate, which is for the link.
        await LocalPubSub.subscribe(self.bus, TOPIC, self._overhear)

    def _overhear(self, topic, data):
        message = decode(data)
        if message.source_node_id == "here":
            self.said.append(message)

    async def hear(self, *messages):
        """Let another node publish; return what the link says to it."""
        await settle()
        self.said.clear()
        for message in messages:
            await self.bus.publish(TOPIC, encode(message))
        await settle()
        return self.kinds()

    def kinds(self):
        return [type(message) for message in self.said]

    def member(self, user_id, **assigns):
        user = self.room.users[user_id] = User(user_id, assigns)
        return user

    def count(self, name):
        return self.telemetry.counts()[name]


@pytest.fixture
async def stage():
    """A link that is not open yet."""
    stage = Stage()
    await stage.prepare()
    yield stage
    stage.bus.gate.set()
    await stage.link.close()
    await stage.node.close()
    await stage.bus.close()
    assert other_tasks() == set()


@pytest.fixture
async def link(stage):
    await stage.link.open()
    await settle()
    stage.said.clear()
    return stage.link


# Opening.


async def test_an_open_link_hears_and_asks_everyone(stage):
    await stage.link.open()
    await settle()

    assert stage.kinds() == [StateRequest]
    assert stage.bus.stats()["subscriptions"] == 2


async def test_several_joiners_open_it_once(stage):
    await asyncio.gather(stage.link.open(), stage.link.open())
    await settle()

    assert stage.kinds() == [StateRequest]


async def test_a_joiner_that_gives_up_does_not_stop_the_others(stage):
    stage.bus.gate.clear()
    first, second = [await started(stage.link.open()) for _ in range(2)]
    first.cancel()
    await settle()
    stage.bus.gate.set()
    await settle()

    assert first.cancelled()
    assert second.done()
    assert stage.bus.stats()["subscriptions"] == 2


async def test_it_is_open_without_a_confirmation_after_the_deadline(stage):
    stage.bus.gate.clear()
    opening = await started(stage.link.open())

    await stage.time.advance(2.0)

    assert opening.done()
    assert stage.count("subscribe_failed") == 1


async def test_a_subscription_that_fails_is_counted(stage):
    stage.bus.failure = OSError("away")

    await stage.link.open()

    assert stage.count("subscribe_failed") == 1


async def test_a_link_that_is_closed_while_it_opens_ends(stage):
    stage.bus.gate.clear()
    opening = await started(stage.link.open())
    closing = await started(stage.link.close())
    stage.bus.gate.set()
    await settle()

    assert opening.done()
    assert closing.done()
    assert stage.bus.stats()["subscriptions"] == 1
    assert stage.said == []


# Announcing.


async def test_what_is_announced_is_numbered(stage, link):
    await link.announce(sent())
    await link.announce(Joined(User("ann")))
    await settle()

    numbers = [(message.source_epoch, message.source_seq) for message in stage.said]
    assert numbers == [(link.epoch, 1), (link.epoch, 2)]
    assert link.sent == 2


async def test_who_announces_into_a_crowd_waits(stage, link, monkeypatch):
    monkeypatch.setattr(publisher, "MAX_MESSAGES", 1)
    gate = asyncio.Event()
    monkeypatch.setattr(stage.bus, "publish", lambda topic, data: gate.wait())

    announcing = await started(link.announce(sent()))
    waits = not announcing.done()
    await stage.time.advance(0.2)

    assert waits
    assert announcing.done()
    gate.set()
    await settle()


async def test_a_leaving_that_a_new_joining_overtook_is_not_told(stage, link):
    await link.announce(Joined(stage.member("ann")))
    await link.announce(Left(User("ann"), LeaveReason.CONNECTION_CLOSED))
    await settle()

    assert stage.kinds() == [UserJoined]


async def test_a_leaving_is_told(stage, link):
    await link.announce(Left(User("ann"), LeaveReason.CONNECTION_CLOSED))
    await settle()

    assert stage.kinds() == [UserLeft]


async def test_others_lose_a_value_that_another_without_json_form_replaced(stage, link):
    stage.member("ann", k=object(), other=1)

    await link.announce(AssignsSet("ann", "k", object()))
    await settle()

    assert [message.assigns for message in stage.said] == [{"other": 1}]
    assert stage.count("unshareable") == 1


async def test_a_value_without_json_form_of_a_user_who_just_left_is_no_matter(
    stage, link
):
    await link.announce(AssignsSet("ann", "k", object()))
    await settle()

    assert [message.assigns for message in stage.said] == [{}]


# Asking.


async def test_a_node_is_asked_for_a_change_to_its_user(stage, link):
    await link.ask("there", Evicted("ann", "spam"))
    await settle()

    assert [(m.to_node, m.user_id, m.reason) for m in stage.said] == [
        ("there", "ann", "spam")
    ]


async def test_a_node_is_not_asked_for_a_value_without_json_form(stage, link):
    await link.ask("there", AssignsSet("ann", "k", object()))
    await settle()

    assert stage.said == []
    assert stage.count("unshareable") == 1


async def test_a_user_of_another_node_is_found(stage, link):
    finding = await started(link.find_user("ann"))
    request = stage.said[0].request_id
    answer = UserGetResponse(
        **envelope(), user_id="ann", request_id=request, assigns={"k": 1}
    )

    await stage.hear(answer, answer)

    assert await finding == User("ann", {"k": 1})


async def test_a_user_whom_nobody_has_is_not_found(stage, link):
    finding = await started(link.find_user("ann"))

    await stage.time.advance(2.0)

    assert await finding is None


async def test_an_answer_that_nobody_waits_for_is_ignored(stage, link):
    answer = UserGetResponse(**envelope(), user_id="ann", request_id="other")

    assert await stage.hear(answer) == []


async def test_closing_ends_every_search(stage, link):
    searches = [await started(link.find_user("ann")) for _ in range(2)]
    request = stage.said[0].request_id
    link.receive(
        TOPIC,
        encode(UserGetResponse(**envelope(), user_id="ann", request_id=request)),
    )

    await link.close()

    assert [await search for search in searches] == [User("ann"), None]


# Hearing.


async def test_what_others_say_of_their_users_is_shown(stage, link):
    home = Home()

    await stage.hear(*home.join("ann"), *home.track("ann"), *home.assign("ann"))

    assert stage.room.shows() == home.shows()
    assert "there" in stage.node.others


async def test_one_should_yield_after_much(stage, link):
    stage.room.is_much = True

    awaitable = link.receive(TOPIC, encode(*Home().broadcast()))

    assert await awaitable is None


async def test_what_is_for_another_channel_of_the_topic_is_counted(stage, link):
    message = msgspec.structs.replace(*Home().broadcast(), channel_name="/other")

    await stage.hear(message)

    assert stage.room.heard == []
    assert stage.count("bus_misaddressed") == 1


async def test_a_heartbeat_does_not_belong_here(stage, link):
    await stage.hear(NodeHeartbeat(**envelope(), node_id="there"))

    assert stage.count("bus_misaddressed") == 1


async def test_what_is_no_message_is_counted(stage, link):
    link.receive(TOPIC, b"?")

    assert stage.count("bus_malformed") == 1


async def test_who_only_asks_need_not_live(stage, link):
    await stage.hear(StateRequest(**envelope("worker"), from_node="worker"))

    assert len(stage.node.others) == 0


# Commands.


@pytest.mark.parametrize(
    ("message", "command"),
    [
        (EvictUser(**envelope(), user_id="ann", reason="x"), Evicted("ann", "x")),
        (UserRemove(**envelope(), user_id="ann"), Removed("ann")),
        (PresenceUpdate(**envelope(), user_id="ann"), PresenceSet("ann", {})),
        (
            AssignsUpdate(**envelope(to_node="here"), user_id="ann", key="k", value=1),
            AssignsSet("ann", "k", 1),
        ),
    ],
)
async def test_a_command_about_a_user_here_is_obeyed(stage, link, message, command):
    stage.member("ann")

    await stage.hear(message)

    assert stage.room.obeyed == [command]


@pytest.mark.parametrize(
    "message",
    [
        EvictUser(**envelope(to_node="here"), user_id="bob"),
        EvictUser(**envelope(to_node="else"), user_id="ann"),
        UserRemove(**envelope(to_node="else"), user_id="ann"),
        PresenceUpdate(**envelope(to_node="else"), user_id="ann"),
        PresenceUpdate(**envelope(to_node="else"), user_id="bob"),
    ],
)
async def test_a_command_about_anybody_else_is_none(stage, link, message):
    stage.member("ann")

    await stage.hear(message)

    assert stage.room.obeyed == []
    assert stage.room.shows() == ({}, {})


async def test_a_published_node_speaks_of_its_own_user_though_we_have_one(stage, link):
    stage.member("ann")
    joined = UserJoined(**envelope("old"), user_id="ann")

    await stage.hear(
        joined, PresenceUpdate(**envelope("old"), user_id="ann", presence={"a": 1})
    )

    assert stage.room.obeyed == []
    assert stage.room.shows() == ({"ann": {}}, {"ann": {"a": 1}})


async def test_who_asks_for_a_user_here_gets_it(stage, link):
    stage.member("ann", k=1)
    request = UserGetRequest(
        **envelope(), user_id="ann", request_id="r", from_node="there"
    )

    await stage.hear(request)

    assert [(m.request_id, m.assigns) for m in stage.said] == [("r", {"k": 1})]


async def test_who_asks_for_anybody_else_gets_no_answer(stage, link):
    request = UserGetRequest(
        **envelope(), user_id="bob", request_id="r", from_node="there"
    )

    assert await stage.hear(request) == []


# States.


def request(**more):
    return StateRequest(**envelope(**more), from_node="there")


async def test_who_asks_gets_the_state(stage, link):
    stage.member("ann", k=1)
    await link.announce(Joined(stage.room.users["ann"]))

    await stage.hear(request())

    (state,) = stage.said
    assert state.users == [StateUser("ann", {"k": 1}, {})]
    assert (state.source_epoch, state.source_seq) == (link.epoch, 1)


async def test_who_asks_everyone_gets_nothing_if_nobody_is_here(stage, link):
    assert await stage.hear(request()) == []


async def test_who_asks_this_node_gets_the_state_even_of_nobody(stage, link):
    assert await stage.hear(request(to_node="here")) == [StateResponse]


async def test_who_asks_another_node_gets_nothing(stage, link):
    stage.member("ann")

    assert await stage.hear(request(to_node="else")) == []


async def test_who_asks_meanwhile_shares_the_next_answer(stage, link):
    stage.member("ann")
    first = await stage.hear(request(), request(), request())
    await stage.time.advance(0.25)

    assert first == [StateResponse]
    assert stage.kinds() == [StateResponse, StateResponse]


async def test_a_node_whose_messages_were_missed_is_asked(stage, link):
    home = Home("9999999999999-a")
    home.join("ann")

    await stage.hear(*home.track("ann"))

    assert [message.to_node for message in stage.said] == ["there"]
    assert stage.count("lost") == 1


async def test_a_node_is_asked_once_in_an_interval(stage, link):
    link.expect("there", "1-a", 5)
    link.expect("there", "1-a", 6)
    link.expect("there", "1-a", 7)
    await settle()
    first = stage.kinds()
    await stage.time.advance(INTERVAL)

    assert first == [StateRequest]
    assert stage.kinds() == [StateRequest] * 2


async def test_a_node_that_answered_is_not_asked_again(stage, link):
    home = Home()
    home.join("ann")
    link.expect("there", home.epoch, 1)
    link.expect("there", home.epoch, 1)
    await stage.hear(*home.state())

    await stage.time.advance(INTERVAL)

    assert stage.said == []


async def test_a_dead_node_is_not_asked(stage, link):
    link.expect("there", "1-a", 5)
    link.expect("there", "1-a", 6)
    link.drop("there")
    await settle()
    stage.said.clear()

    await stage.time.advance(INTERVAL)

    assert stage.said == []
    assert link._asked == {}


async def test_a_node_whose_users_were_dropped_is_asked_when_it_returns(stage, link):
    await stage.hear(UserJoined(**envelope("old"), user_id="ann"))
    link.drop("old")

    link.greet("old")
    await settle()

    assert [message.to_node for message in stage.said] == ["old"]


async def test_a_node_of_which_nothing_is_missing_is_not_asked(stage, link):
    link.greet("there")
    await settle()

    assert stage.said == []


async def test_nothing_is_kept_of_a_forgotten_node(stage, link):
    link.expect("there", "1-a", 5)
    link.expect("there", "1-a", 6)

    link.forget("there")

    assert (link._asked, link._timers._handles) == ({}, {})
    assert link._inbound._replicas == {}


async def test_users_leave_a_channel_that_a_digest_does_not_name(stage, link):
    await stage.hear(*Home().join("ann"))

    link.drop_absent("there", 2000)

    assert stage.room.shows() == ({}, {})


async def test_after_an_outage_it_tells_and_asks(stage, link):
    link.resync(3.0)
    link.resync(4.0)

    await stage.time.advance(3.5)
    early = stage.kinds()
    await stage.time.advance(0.5)

    assert early == []
    assert stage.kinds() == [StateResponse, StateRequest]


# The end.


async def test_what_was_announced_before_the_end_goes_out(stage, link):
    await link.announce(sent())

    await link.close()
    await settle()

    assert len(stage.said) == 1
    assert stage.closed == [link]
    assert stage.bus.stats()["subscriptions"] == 1


async def test_a_link_that_was_never_open_ends_at_once(stage):
    await stage.link.close()

    assert stage.closed == [stage.link]


async def test_what_comes_after_the_end_is_not_taken(stage, link):
    await link.close()

    link.receive(TOPIC, encode(*Home().broadcast()))

    assert stage.room.heard == []


async def test_after_the_end_nothing_is_told_or_asked(stage, link):
    link.resync(1.0)
    link.expect("there", "1-a", 5)
    link.expect("there", "1-a", 6)
    await settle()
    stage.said.clear()

    await link.close()
    await stage.time.advance(2 * INTERVAL)

    assert stage.said == []


async def test_an_end_that_the_pubsub_refuses_is_logged(stage, link, caplog):
    await stage.bus.unsubscribe(TOPIC, link.receive)

    await link.close()

    assert "unsubscribing" in caplog.text
