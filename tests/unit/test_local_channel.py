"""The part of a channel in this process: complete before anyone can await."""

import json

import pytest

from pondsocket.changes import (
    AssignsReplaced,
    AssignsSet,
    Joined,
    Left,
    PresenceGone,
    PresenceSet,
    Sent,
)
from pondsocket.errors import Conflict, NotFound
from pondsocket.frame import Frame
from pondsocket.local_channel import LocalChannel
from pondsocket.metrics import NoopMetrics, Telemetry
from pondsocket.options import Options
from pondsocket.session import Session
from pondsocket.types import (
    AllExceptSender,
    AllUsers,
    Event,
    LeaveReason,
    ToUsers,
    User,
)
from tests.unit.doubles import (
    CountingCodec,
    PlainTransport,
    SinkTransport,
    event,
    frame,
    other_tasks,
    settle,
)

pytestmark = pytest.mark.usefixtures("no_task_is_left")

EVERYONE = AllUsers()
LEFT = LeaveReason.EXPLICIT_LEAVE


class Collector(NoopMetrics):
    def __init__(self):
        self.calls = []

    def message_broadcast(self, *args):
        self.calls.append(("broadcast", *args))

    def channel_joined(self, *args):
        self.calls.append(("joined", *args))

    def channel_left(self, *args):
        self.calls.append(("left", *args))


class Room:
    """A local channel and the far ends of its members."""

    def __init__(self, *, telemetry=None, **options):
        self.telemetry = telemetry or Telemetry()
        self.intercepts = {}
        self.transports = {}
        self.channel = LocalChannel(
            "/room",
            Options(**options),
            self.telemetry,
            self.intercepts.get,
        )

    def admit(self, *names, kind=SinkTransport, assigns=None, ack=True):
        """Let users in and return what the channel says of the last one."""
        for name in names:
            transport = self.transports[name] = kind(name)
            session = Session(transport, Options(), self.telemetry)
            joined = self.channel.admit(session, assigns or {}, acknowledge(ack))
        return joined

    def session(self, name):
        return self.channel.roster.get(name).handle

    def say(self, number, recipients=EVERYONE, name="news"):
        return self.channel.apply(Sent(frame(number, name=name), recipients))

    async def heard(self, name):
        """What a user got since the last time: event names, or numbers of news."""
        await settle()
        sent, self.transports[name].sent = self.transports[name].sent, []
        return [each.payload.get("n", each.event) for each in sent]

    async def presences(self, name):
        await settle()
        sent, self.transports[name].sent = self.transports[name].sent, []
        return [
            (each.event, each.payload["presence"], each.payload["changed"])
            for each in sent
            if each.action == "PRESENCE"
        ]


def acknowledge(ack=True):
    return Event("SYSTEM", "/room", "join-1", "ACKNOWLEDGE", {}) if ack else None


@pytest.fixture
def room():
    return Room()


# Members.


async def test_a_new_member_is_acknowledged_before_anything_else(room):
    room.admit("ann")
    room.say(0)

    room.admit("bob")
    room.say(1)

    assert await room.heard("ann") == ["ACKNOWLEDGE", 0, 1]
    assert await room.heard("bob") == ["ACKNOWLEDGE", 1]


async def test_what_is_pending_is_written_before_the_members_change(room):
    room.admit("ann", ack=False)
    ann = room.transports["ann"]

    room.say(0)
    room.admit("bob", ack=False)
    assert ann.numbers == [0]
    room.say(1)
    room.channel.dismiss("ann", LEFT)

    assert ann.numbers == [0, 1]


async def test_a_member_can_be_let_in_without_an_acknowledgement(room):
    room.admit("ann", ack=False)

    assert await room.heard("ann") == []


async def test_an_acknowledgement_is_in_the_members_own_codec(room):
    transport = SinkTransport("ann")
    transport.codec = CountingCodec()
    session = Session(transport, Options(), room.telemetry)

    room.channel.admit(session, {}, acknowledge())

    assert transport.codec.encoded == 1
    await settle()


async def test_what_is_told_of_a_new_member_is_a_snapshot(room):
    given = {"role": "admin"}

    joined = room.admit("ann", assigns=given)
    given["role"] = "none"
    room.channel.apply(AssignsSet("ann", "role", "user"))

    assert joined == Joined(User("ann", {"role": "admin"}))
    assert room.channel.user("ann").assigns == {"role": "user"}


async def test_who_is_in_cannot_be_let_in_again(room):
    room.admit("ann")
    session = Session(SinkTransport("ann"), Options(), room.telemetry)

    with pytest.raises(Conflict):
        room.channel.admit(session, {}, acknowledge())

    assert await room.heard("ann") == ["ACKNOWLEDGE"]
    assert session.transport.numbers == []


async def test_who_leaves_gets_what_was_sent_before_and_nothing_after(room):
    room.admit("ann", "bob")
    room.say(0)

    left = room.channel.dismiss("ann", LEFT)
    room.say(1)

    assert left == Left(User("ann"), LEFT)
    assert await room.heard("ann") == ["ACKNOWLEDGE", 0]
    assert await room.heard("bob") == ["ACKNOWLEDGE", 0, 1]


async def test_a_farewell_is_the_last_that_a_member_gets(room):
    room.admit("ann", "bob")
    room.say(0)

    room.channel.dismiss(
        "ann", LeaveReason.EVICTED, Event("SYSTEM", "/room", "1", "EVICTED", {})
    )
    room.say(1)

    assert await room.heard("ann") == ["ACKNOWLEDGE", 0, "EVICTED"]
    assert await room.heard("bob") == ["ACKNOWLEDGE", 0, 1]


async def test_who_is_no_member_cannot_leave(room):
    assert room.channel.dismiss("ann", LEFT) is None


async def test_who_leaves_takes_assigns_and_presence_along(room):
    room.admit("ann", assigns={"role": "admin"})
    room.channel.apply(PresenceSet("ann", {"status": "here"}))

    left = room.channel.dismiss("ann", LEFT)

    assert left.user == User("ann", {"role": "admin"}, {"status": "here"})
    assert "ann" not in room.channel.presence


async def test_a_user_is_shown_as_a_copy(room):
    room.admit("ann", assigns={"role": "admin"})
    assert room.channel.user("ann") == User("ann", {"role": "admin"}, None)
    room.channel.apply(PresenceSet("ann", {"at": {"x": 1}}))

    user = room.channel.user("ann")
    user.assigns.clear()
    user.presence["at"].clear()

    assert room.channel.user("ann") == User("ann", {"role": "admin"}, {"at": {"x": 1}})


async def test_who_is_no_member_is_not_found(room):
    with pytest.raises(NotFound):
        room.channel.user("ann")
    with pytest.raises(NotFound):
        room.channel.apply(AssignsSet("ann", "role", "user"))


async def test_an_assign_is_set_in_this_channel(room):
    room.admit("ann")

    assert room.channel.apply(AssignsSet("ann", "role", "user")) is False
    assert room.channel.roster.assigns() == {"ann": {"role": "user"}}


# Messages.


@pytest.mark.parametrize(
    ("recipients", "expected"),
    [
        (AllUsers(), ["ann", "bob", "cid"]),
        (AllExceptSender("bob"), ["ann", "cid"]),
        (ToUsers(("cid", "ann", "nobody")), ["ann", "cid"]),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_message_goes_to_its_recipients(room, recipients, expected):
    room.admit("ann", "bob", "cid", ack=False)

    room.say(7, recipients)

    heard = {name: await room.heard(name) for name in room.transports}
    assert heard == {name: [7] if name in expected else [] for name in heard}


async def test_direct_answers_keep_their_place_among_broadcasts(room):
    room.admit("ann", "bob", ack=False)
    ann = room.session("ann")

    room.say(0)
    room.channel.send(event(1), (ann,))
    room.channel.send_frame(frame(2), ann)
    room.say(3)

    assert await room.heard("ann") == [0, 1, 2, 3]
    assert await room.heard("bob") == [0, 3]


async def test_much_at_once_asks_its_sender_to_yield(room):
    room.admit("ann", ack=False)

    assert [room.say(number) for number in range(64)] == [False] * 63 + [True]
    for _ in range(63):
        room.channel.send(event(), (room.session("ann"),))
    assert room.channel.send(event(), (room.session("ann"),)) is True


async def test_a_flush_writes_at_once(room):
    room.admit("ann", ack=False)
    room.say(0)

    room.channel.flush()

    assert room.transports["ann"].numbers == [0]


async def test_a_broadcast_to_many_makes_no_task_and_encodes_once(room):
    codec = CountingCodec()
    room.admit(*(f"user-{number}" for number in range(200)), ack=False)

    room.channel.apply(Sent(Frame(event(), codec), EVERYONE))
    room.channel.flush()

    assert all(transport.numbers == [0] for transport in room.transports.values())
    assert codec.encoded == 1
    assert not other_tasks()


async def test_a_member_that_hangs_disturbs_nobody(room):
    room.admit("ill", kind=PlainTransport, ack=False)
    room.admit("ann", "bob", ack=False)
    room.transports["ill"].gate.clear()

    for number in range(3):
        room.say(number)
        room.channel.flush()

    assert await room.heard("ann") == await room.heard("bob") == [0, 1, 2]
    await room.session("ill").end()


async def test_only_events_that_an_outgoing_handler_matches_take_its_way(room):
    async def replace(_, session):
        return frame(100)

    room.intercepts["news"] = replace
    room.admit("ann", ack=False)

    room.say(0, name="other")
    room.say(1, name="news")
    room.channel.send(event(2, name="news"), (room.session("ann"),))

    assert await room.heard("ann") == [0, 100, 2]


async def test_a_collector_is_told_who_comes_and_goes_and_what_is_broadcast():
    collector = Collector()
    room = Room(telemetry=Telemetry(collector))
    room.admit("ann", "bob", ack=False)
    room.say(0, AllExceptSender("ann"))

    room.channel.dismiss("ann", LEFT)

    assert collector.calls == [
        ("joined", "ann", "/room"),
        ("joined", "bob", "/room"),
        ("broadcast", "/room", "news", 1),
        ("left", "ann", "/room"),
    ]


# Presence.


async def test_everyone_sees_a_presence_appear_change_and_go(room):
    room.admit("ann", "bob")
    here, away = {"status": "here"}, {"status": "away"}

    for change in (
        PresenceSet("ann", here),
        PresenceSet("ann", away),
        PresenceGone("ann"),
    ):
        room.channel.apply(change)

    expected = [("JOIN", [here], here), ("UPDATE", [away], away), ("LEAVE", [], away)]
    assert await room.presences("ann") == expected
    assert await room.presences("bob") == expected


async def test_a_presence_list_holds_every_presence(room):
    room.admit("ann", "bob")
    room.channel.apply(PresenceSet("ann", {"of": "ann"}))
    await room.presences("bob")

    room.channel.apply(PresenceSet("bob", {"of": "bob"}))

    lists = [[{"of": "ann"}, {"of": "bob"}]]
    assert [shown for _, shown, _ in await room.presences("bob")] == lists


async def test_a_presence_reads_as_the_protocol_says(room):
    room.admit("ann", ack=False)
    room.channel.apply(PresenceSet("ann", {"status": "here"}))
    room.channel.flush()

    ((frame,),) = room.transports["ann"].writes
    assert json.loads(frame.text) == {
        "action": "PRESENCE",
        "event": "JOIN",
        "channelName": "/room",
        "requestId": frame.event.request_id,
        "payload": {"presence": [{"status": "here"}], "changed": {"status": "here"}},
    }


async def test_a_presence_that_is_gone_already_is_not_shown(room):
    room.admit("ann")

    assert room.channel.apply(PresenceGone("ann")) is False

    assert await room.presences("ann") == []


async def test_who_stays_sees_the_presence_of_who_left_go(room):
    room.admit("ann", "bob")
    room.channel.apply(PresenceSet("ann", {"of": "ann"}))
    await room.presences("bob")

    room.channel.dismiss("ann", LEFT)

    assert await room.presences("bob") == [("LEAVE", [], {"of": "ann"})]
    assert [kind for kind, *_ in await room.presences("ann")] == ["JOIN"]


async def test_a_presence_without_members_here_is_kept_and_shown_to_nobody(room):
    room.channel.apply(PresenceSet("remote", {"of": "remote"}))
    room.admit("ann")

    room.channel.apply(PresenceSet("ann", {"of": "ann"}))

    ((_, shown, _),) = await room.presences("ann")
    assert shown == [{"of": "remote"}, {"of": "ann"}]


async def test_outgoing_handlers_see_presences_too(room):
    async def block(frame, session):
        return None

    room.intercepts["JOIN"] = block
    room.admit("ann", ack=False)

    room.channel.apply(PresenceSet("ann", {"status": "here"}))
    room.channel.apply(PresenceSet("ann", {"status": "away"}))

    assert [kind for kind, *_ in await room.presences("ann")] == ["UPDATE"]


def track(room, *names):
    for name in names:
        room.channel.apply(PresenceSet(name, {"of": name}))


async def test_above_the_budget_one_list_goes_out_when_the_window_ends(clock):
    room = Room(presence_budget=1)
    room.admit("ann")
    track(room, "a", "b", "c", "d")
    assert len(await room.presences("ann")) == 1

    await clock.advance(0.9)
    assert await room.presences("ann") == []
    await clock.advance(0.1)

    everyone = [{"of": name} for name in "abcd"]
    assert await room.presences("ann") == [("JOIN", everyone, {"of": "d"})]
    assert room.telemetry.counts()["presence_coalesced"] == 2


async def test_a_list_that_was_held_back_opens_the_next_window(clock):
    room = Room(presence_budget=1)
    room.admit("ann")
    track(room, "a", "b")
    await clock.advance(1.0)
    await room.presences("ann")

    track(room, "c")
    await clock.advance(0.9)
    assert await room.presences("ann") == []
    await clock.advance(0.1)

    assert len(await room.presences("ann")) == 1


async def test_a_change_at_the_very_end_of_a_window_joins_what_is_held_back(clock):
    room = Room(presence_budget=1)
    room.admit("ann")
    track(room, "a", "b")
    clock.now += 1.0  # the timer is due and did not run yet
    track(room, "c")
    await settle()

    lists = [shown for _, shown, _ in await room.presences("ann")]
    assert [len(shown) for shown in lists] == [1, 3]


async def test_who_joins_while_a_list_is_held_back_gets_it_after_the_acknowledgement(
    clock,
):
    room = Room(presence_budget=1)
    room.admit("ann")
    track(room, "a", "b")

    room.admit("bob")
    await clock.advance(1.0)

    assert await room.heard("bob") == ["ACKNOWLEDGE", "JOIN"]


async def test_what_is_held_back_is_shown_when_the_channel_closes(clock):
    room = Room(presence_budget=1)
    room.admit("ann")
    track(room, "a", "b", "c")

    room.channel.close()

    ((_, _, first), (_, _, last)) = await room.presences("ann")
    assert (first, last) == ({"of": "a"}, {"of": "c"})
    assert all(timer.cancelled() for timer in clock.loop._scheduled)
    await clock.advance(10.0)
    assert await room.presences("ann") == []


async def test_what_is_held_back_for_nobody_any_more_is_forgotten(clock):
    room = Room(presence_budget=1)
    room.admit("ann")
    track(room, "ann", "b")
    room.channel.dismiss("ann", LEFT)

    await clock.advance(1.0)

    assert [kind for kind, *_ in await room.presences("ann")] == ["JOIN"]


def admit_by_changes(room, name):
    """Let a user in who asked for changes of presence instead of lists."""
    transport = room.transports[name] = SinkTransport(name)
    session = Session(transport, Options(), room.telemetry)
    session.wants_presence_changes = True
    room.channel.admit(session, {}, acknowledge())


async def test_who_asked_for_changes_gets_them_in_order_with_everything_else(room):
    admit_by_changes(room, "ann")
    track(room, "a")
    room.say(0)
    track(room, "b")
    room.channel.send(event(1), (room.session("ann"),))
    track(room, "c")
    room.channel.send_frame(frame(2), room.session("ann"))

    heard = await room.heard("ann")

    assert heard == ["ACKNOWLEDGE", "SYNC", "DIFF", 0, "DIFF", 1, "DIFF", 2]


async def test_who_asked_for_changes_gets_no_list_and_others_no_changes(room):
    admit_by_changes(room, "ann")
    track(room, "a")
    room.admit("bob")
    track(room, "b")

    assert await room.heard("ann") == ["ACKNOWLEDGE", "SYNC", "DIFF"]
    assert await room.heard("bob") == ["ACKNOWLEDGE", "JOIN"]


async def test_a_flush_does_not_tell_of_a_turns_changes_one_by_one(room):
    admit_by_changes(room, "ann")
    for name in ("a", "b", "c"):
        track(room, name)
        room.channel.flush()

    assert await room.heard("ann") == ["ACKNOWLEDGE", "SYNC", "DIFF"]


async def test_many_presences_at_once_end_in_one_view_for_all(clock):
    room = Room(presence_budget=10_000)
    names = [f"user-{number}" for number in range(100)]
    room.admit(*names)

    for name in names:
        track(room, name)
        await clock.advance(0.001)
    await clock.advance(1.0)

    views = [(await room.presences(name))[-1][1] for name in names]
    assert all(view == views[0] for view in views)
    assert len(views[0]) == 100


# Users of other nodes.

THERE = "node-2"


def hear(room, *changes):
    """Take in what another node announced."""
    return [room.channel.apply_remote(change) for change in changes]


async def test_a_user_of_another_node_becomes_known_and_is_no_member(room):
    room.admit("ann", ack=False)

    hear(room, Joined(User("zoe", {"seat": 1}), THERE))

    assert room.channel.remote_user("zoe") == User("zoe", {"seat": 1})
    assert "zoe" not in room.channel.roster
    assert await room.presences("ann") == []


async def test_who_comes_with_a_presence_is_shown_once(room):
    room.admit("ann", ack=False)
    joined = Joined(User("zoe", {}, {"status": "here"}), THERE)

    hear(room, joined, joined)

    assert await room.presences("ann") == [
        ("JOIN", [{"status": "here"}], {"status": "here"})
    ]
    assert room.channel.remote_user("zoe").presence == {"status": "here"}


async def test_who_comes_again_without_its_presence_is_shown_to_lose_it(room):
    room.admit("ann", ack=False)
    here = {"status": "here"}
    hear(room, Joined(User("zoe", {}, here), THERE))
    await room.presences("ann")

    hear(room, Joined(User("zoe"), THERE))

    assert await room.presences("ann") == [("LEAVE", [], here)]
    assert room.channel.remote_user("zoe") == User("zoe")


async def test_a_presence_of_another_node_appears_changes_and_goes(room):
    room.admit("ann", ack=False)
    here, away = {"status": "here"}, {"status": "away"}

    hear(
        room,
        PresenceSet("zoe", here, THERE),
        PresenceSet("zoe", away, THERE),
        PresenceGone("zoe", THERE),
    )

    assert await room.presences("ann") == [
        ("JOIN", [here], here),
        ("UPDATE", [away], away),
        ("LEAVE", [], away),
    ]


async def test_who_leaves_another_node_takes_presence_and_assigns_along(room):
    room.admit("ann", ack=False)
    here = {"status": "here"}
    hear(room, Joined(User("zoe", {"seat": 1}, here), THERE))
    await room.presences("ann")

    hear(room, Left(User("zoe"), LEFT, THERE))

    assert room.channel.remote_user("zoe") is None
    assert await room.presences("ann") == [("LEAVE", [], here)]


async def test_assigns_of_another_node_are_set_and_replaced(room):
    hear(room, Joined(User("zoe", {"seat": 1}), THERE))

    hear(room, AssignsSet("zoe", "role", "admin", THERE))
    assert room.channel.remote_user("zoe").assigns == {"seat": 1, "role": "admin"}

    hear(room, AssignsReplaced("zoe", {"seat": 2}, THERE))
    assert room.channel.remote_user("zoe").assigns == {"seat": 2}


async def test_a_message_of_another_node_goes_to_its_recipients_here(room):
    room.admit("ann", "bob", ack=False)

    hear(room, Sent(frame(7), AllExceptSender("bob")))

    assert await room.heard("ann") == [7]
    assert await room.heard("bob") == []


async def test_much_from_another_node_asks_to_yield(room):
    room.admit("ann", ack=False)
    changes = [Sent(frame(number), EVERYONE) for number in range(64)]

    assert hear(room, *changes) == [False] * 63 + [True]
    await settle()


async def test_who_leaves_is_shown_as_the_other_node_that_has_it_shows_it():
    room = Room(node_id="node-1")
    room.admit("ann", "bob", ack=False)
    ours, theirs = {"at": 1}, {"at": 2}
    room.channel.apply(PresenceSet("ann", ours))
    hear(room, Joined(User("ann", {}, theirs), THERE))
    await room.presences("bob")

    left = room.channel.dismiss("ann", LEFT)

    assert left.user == User("ann", {}, ours)
    assert await room.presences("bob") == [("UPDATE", [theirs], theirs)]


async def test_a_user_of_another_node_is_shown_as_a_copy(room):
    hear(room, Joined(User("zoe", {"seat": 1}, {"at": {"x": 1}}), THERE))

    user = room.channel.remote_user("zoe")
    user.assigns.clear()
    user.presence["at"].clear()

    expected = User("zoe", {"seat": 1}, {"at": {"x": 1}})
    assert room.channel.remote_user("zoe") == expected


async def test_presences_of_other_nodes_share_the_budget(clock):
    room = Room(presence_budget=1)
    room.admit("ann", ack=False)

    hear(room, *(PresenceSet(name, {"of": name}, THERE) for name in "abc"))

    assert len(await room.presences("ann")) == 1
    await clock.advance(1.0)
    everyone = [{"of": name} for name in "abc"]
    assert await room.presences("ann") == [("JOIN", everyone, {"of": "c"})]


# The end.


async def test_closing_writes_what_is_pending(room):
    room.admit("ann", ack=False)
    room.say(0)

    room.channel.close()

    assert room.transports["ann"].numbers == [0]
