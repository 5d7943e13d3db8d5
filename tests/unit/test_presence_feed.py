"""Members who asked for changes of presence: a snapshot first, then what changed."""

import gc
import json
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pondsocket.changes import Joined, Left, PresenceGone, PresenceSet, Sent
from pondsocket.local_channel import LocalChannel
from pondsocket.metrics import Telemetry
from pondsocket.options import Options
from pondsocket.session import Session
from pondsocket.types import AllUsers, Event, LeaveReason, User
from tests.unit.doubles import (
    Clock,
    CountingCodec,
    SinkTransport,
    event,
    frame,
    settle,
)

pytestmark = pytest.mark.usefixtures("no_task_is_left")

LEFT = LeaveReason.EXPLICIT_LEAVE
THERE = "node-2"


class Room:
    """A local channel, and the far ends of members with and without the wish."""

    def __init__(self, **options):
        self.telemetry = Telemetry()
        self.intercepts = {}
        self.transports = {}
        self.channel = LocalChannel(
            "/room",
            Options(**({"presence_budget": 0} | options)),
            self.telemetry,
            self.intercepts.get,
        )

    def admit(self, *names, wish=True):
        for name in names:
            transport = self.transports[name] = SinkTransport(name)
            session = Session(transport, Options(), self.telemetry)
            session.wants_presence_changes = wish
            ack = Event("SYSTEM", "/room", f"join-{name}", "ACKNOWLEDGE", {})
            self.channel.admit(session, {}, ack)

    def session(self, name):
        return self.channel.roster.get(name).handle

    def show(self, *names, status="here"):
        for name in names:
            self.channel.apply(PresenceSet(name, shown(name, status)))

    def hide(self, *names):
        for name in names:
            self.channel.apply(PresenceGone(name))

    def say(self, number):
        self.channel.apply(Sent(frame(number), AllUsers()))

    async def heard(self, name):
        """What a member got since the last time, each as its name and its payload."""
        await settle()
        sent, self.transports[name].sent = self.transports[name].sent, []
        return [(each.event, each.payload) for each in sent]

    async def names(self, name):
        return [name for name, _ in await self.heard(name)]


def shown(name, status="here"):
    return {"of": name, "status": status}


ACKNOWLEDGED = ("ACKNOWLEDGE", {})
EMPTY = ("SYNC", {"presences": {}})


@pytest.fixture
def room():
    return Room()


@pytest.fixture
async def busy(clock):
    """A room whose budget is spent, for a second; one member has heard all."""
    room = Room(presence_budget=1)
    room.admit("ann")
    room.show("b")
    await room.heard("ann")
    return room


# The snapshot.


async def test_who_asked_gets_every_presence_behind_the_acknowledgement(room):
    room.admit("ann", wish=False)
    room.show("ann")
    room.channel.apply_remote(Joined(User("far", {}, shown("far")), THERE))

    room.admit("bob")
    room.say(1)

    presences = {"ann": shown("ann"), "far": shown("far")}
    assert await room.heard("bob") == [
        ACKNOWLEDGED,
        ("SYNC", {"presences": presences}),
        ("news", {"n": 1}),
    ]


async def test_an_empty_channel_says_that_it_is(room):
    room.admit("ann")

    assert await room.heard("ann") == [ACKNOWLEDGED, EMPTY]


async def test_who_did_not_ask_gets_no_snapshot(room):
    room.admit("ann", wish=False)

    assert await room.heard("ann") == [ACKNOWLEDGED]


async def test_a_snapshot_reads_as_the_protocol_says(room):
    room.show("ann")
    room.admit("bob")
    room.channel.flush()

    frame = room.transports["bob"].writes[-1][-1]
    assert json.loads(frame.text) == {
        "action": "PRESENCE",
        "event": "SYNC",
        "channelName": "/room",
        "requestId": frame.event.request_id,
        "payload": {"presences": {"ann": {"of": "ann", "status": "here"}}},
    }


async def test_a_snapshot_is_in_the_members_own_codec(room):
    transport = room.transports["ann"] = SinkTransport("ann")
    session = Session(transport, Options(), room.telemetry)
    session.wants_presence_changes = True
    session.codec = codec = CountingCodec()

    room.channel.admit(session, {}, None)

    assert await room.heard("ann") == [EMPTY]
    assert codec.encoded == 1


# Changes.


async def test_a_snapshot_is_encoded_once_until_something_changes(room):
    room.show("ann")
    room.admit("bob", "cid")
    await settle()
    room.show("dan")
    room.admit("eve")
    await settle()

    snapshots = [
        next(
            each
            for write in room.transports[name].writes
            for each in write
            if each.name == "SYNC"
        )
        for name in ("bob", "cid", "eve")
    ]
    assert snapshots[0] is snapshots[1]
    assert "dan" in snapshots[2].text


async def test_each_kind_of_change_names_the_user(room):
    room.admit("ann")
    await room.heard("ann")

    heard = []
    for change in (
        PresenceSet("bob", shown("bob")),
        PresenceSet("bob", shown("bob", "away")),
        PresenceGone("bob"),
    ):
        room.channel.apply(change)
        heard += await room.heard("ann")

    assert heard == [
        ("DIFF", {"joined": {"bob": shown("bob")}}),
        ("DIFF", {"updated": {"bob": shown("bob", "away")}}),
        ("DIFF", {"left": {"bob": shown("bob", "away")}}),
    ]


async def test_changes_of_one_turn_are_one_message(room):
    room.admit("ann")
    room.show("bob", "cid")
    await room.heard("ann")

    room.show("dan", "eve")
    room.show("bob", status="away")
    room.hide("cid", "eve")

    changes = {
        "joined": {"dan": shown("dan")},
        "updated": {"bob": shown("bob", "away")},
        "left": {"cid": shown("cid")},
    }
    assert await room.heard("ann") == [("DIFF", changes)]


async def test_who_comes_and_goes_within_a_turn_is_not_told_of(room):
    room.admit("ann")
    await room.heard("ann")

    room.show("bob")
    room.hide("bob")

    assert await room.heard("ann") == []


async def test_members_get_what_they_asked_for_and_everybody_the_same_of_it(room):
    room.admit("ann", "bob")
    room.admit("cid", "dan", wish=False)

    room.show("ann")

    change = ("DIFF", {"joined": {"ann": shown("ann")}})
    whole = ("JOIN", {"presence": [shown("ann")], "changed": shown("ann")})
    assert [(await room.heard(name))[-1] for name in ("ann", "bob")] == [change] * 2
    assert [(await room.heard(name))[-1] for name in ("cid", "dan")] == [whole] * 2


async def test_a_change_is_encoded_once_for_all_who_asked(room):
    room.admit("ann", "bob", "cid")

    room.show("ann")
    await settle()

    frames = [transport.writes[-1][-1] for transport in room.transports.values()]
    assert all(frame is frames[0] for frame in frames)


async def test_where_everybody_asked_no_full_list_is_built(room, monkeypatch):
    room.admit("ann", "bob")
    monkeypatch.delattr("pondsocket.presence.PresenceTracker.all")

    room.show("ann", "bob")

    assert await room.names("bob") == ["ACKNOWLEDGE", "SYNC", "DIFF"]


async def test_where_nobody_asked_no_change_is_gathered(room, monkeypatch):
    monkeypatch.delattr("pondsocket.presence_changes.PresenceChanges.note")
    room.admit("ann", wish=False)

    room.show("ann")

    assert await room.names("ann") == ["ACKNOWLEDGE", "JOIN"]


async def test_changes_on_other_nodes_are_told_too(room):
    room.admit("ann")
    await room.heard("ann")

    room.channel.apply_remote(Joined(User("far", {}, shown("far")), THERE))
    first = await room.heard("ann")
    room.channel.apply_remote(Left(User("far", {}), LEFT, THERE))

    assert first == [("DIFF", {"joined": {"far": shown("far")}})]
    assert await room.heard("ann") == [("DIFF", {"left": {"far": shown("far")}})]


async def test_who_stays_is_told_of_who_left(room):
    room.admit("ann", "bob")
    room.show("ann")
    await room.heard("bob")

    room.channel.dismiss("ann", LEFT)

    assert await room.heard("bob") == [("DIFF", {"left": {"ann": shown("ann")}})]


async def test_what_is_gathered_for_nobody_any_more_is_forgotten(room):
    room.admit("ann")
    room.show("ann")

    room.channel.dismiss("ann", LEFT)
    room.admit("bob")

    assert await room.heard("bob") == [ACKNOWLEDGED, EMPTY]
    assert await room.names("ann") == ["ACKNOWLEDGE", "SYNC"]


async def test_who_comes_back_without_the_wish_gets_full_lists(room):
    room.admit("ann")
    room.channel.dismiss("ann", LEFT)

    room.admit("ann", wish=False)
    room.show("ann")

    assert await room.names("ann") == ["ACKNOWLEDGE", "JOIN"]


# Order.


async def test_a_change_comes_before_what_is_broadcast_after_it(room):
    room.admit("ann")

    room.say(0)
    room.show("ann")
    room.say(1)
    room.hide("ann")

    expected = ["ACKNOWLEDGE", "SYNC", "news", "DIFF", "news", "DIFF"]
    assert await room.names("ann") == expected


async def test_a_change_comes_before_an_answer_after_it(room):
    room.admit("ann")

    room.show("ann")
    room.channel.send(event(0, name="reply"), (room.session("ann"),))
    room.show("ann", status="away")
    room.channel.send_frame(frame(1, name="late"), room.session("ann"))

    expected = ["ACKNOWLEDGE", "SYNC", "DIFF", "reply", "DIFF", "late"]
    assert await room.names("ann") == expected


async def test_who_joins_amid_a_turn_has_what_changed_in_it_before(room):
    room.admit("ann")
    room.show("cid")

    room.admit("bob")
    room.hide("cid")

    assert (await room.heard("bob"))[1:] == [
        ("SYNC", {"presences": {"cid": shown("cid")}}),
        ("DIFF", {"left": {"cid": shown("cid")}}),
    ]


# The budget.


async def test_above_the_budget_changes_are_gathered_until_the_window_ends(busy, clock):
    busy.show("c", "d")
    await clock.advance(0.5)
    busy.show("b", status="away")
    busy.hide("d")
    await clock.advance(0.4)
    assert await busy.heard("ann") == []
    await clock.advance(0.1)

    changes = {"joined": {"c": shown("c")}, "updated": {"b": shown("b", "away")}}
    assert await busy.heard("ann") == [("DIFF", changes)]
    assert busy.telemetry.counts()["presence_coalesced"] == 3


async def test_what_is_held_back_waits_also_when_something_else_is_sent(busy, clock):
    busy.show("c")
    busy.say(1)
    assert await busy.names("ann") == ["news"]
    await clock.advance(1.0)

    assert await busy.names("ann") == ["DIFF"]


async def test_what_was_held_back_opens_the_next_window(busy, clock):
    busy.show("c")
    await clock.advance(1.0)
    await busy.heard("ann")

    busy.show("d")
    await clock.advance(0.9)
    assert await busy.heard("ann") == []
    await clock.advance(0.1)

    assert await busy.names("ann") == ["DIFF"]


async def test_a_snapshot_is_not_held_back_and_holds_what_is(busy):
    busy.show("c")

    busy.admit("dan")

    snapshot = {"presences": {"b": shown("b"), "c": shown("c")}}
    assert await busy.heard("dan") == [ACKNOWLEDGED, ("SYNC", snapshot)]


async def test_who_a_snapshot_showed_while_held_back_is_told_of_as_gone(busy, clock):
    busy.show("c")
    busy.admit("dan")
    await busy.heard("dan")

    busy.hide("c")
    await clock.advance(1.0)

    assert await busy.heard("dan") == [("DIFF", {"left": {"c": shown("c")}})]


async def test_full_lists_have_a_budget_of_their_own(clock):
    room = Room(presence_budget=1)
    room.admit("ann")
    room.show("ann")
    await settle()

    room.admit("bob", wish=False)
    room.show("bob")

    assert await room.names("bob") == ["ACKNOWLEDGE", "JOIN"]


async def test_what_is_held_back_is_told_when_the_channel_closes(busy, clock):
    busy.show("c")

    busy.channel.close()

    assert await busy.names("ann") == ["DIFF"]
    assert all(timer.cancelled() for timer in clock.loop._scheduled)


async def test_a_channel_that_closes_at_rest_tells_nothing(room):
    room.admit("ann")
    await room.heard("ann")

    room.channel.close()

    assert await room.heard("ann") == []


async def test_who_left_is_not_kept(room):
    room.admit("ann", "bob")
    room.admit("cid", wish=False)
    traces = []  # a session itself takes no weak references
    for name in ("ann", "cid"):
        room.session(name).codec = codec = CountingCodec()
        traces.append(weakref.ref(codec))
    del codec
    room.show("dan")
    await settle()

    room.channel.dismiss("ann", LEFT)
    room.channel.dismiss("cid", LEFT)
    await settle()

    room.transports.clear()
    gc.collect()
    assert [trace() for trace in traces] == [None, None]


async def test_what_is_held_back_for_nobody_any_more_leaves_no_timer(busy, clock):
    busy.show("c")

    busy.channel.dismiss("ann", LEFT)

    assert all(timer.cancelled() for timer in clock.loop._scheduled)


# Outgoing handlers.


async def block(frame, session):
    return None


@pytest.mark.parametrize("name", ["SYNC", "DIFF"])
async def test_an_outgoing_handler_sees_these_messages_by_their_names(room, name):
    room.intercepts[name] = block
    room.admit("ann")

    room.show("ann")

    others = [each for each in ("ACKNOWLEDGE", "SYNC", "DIFF") if each != name]
    assert await room.names("ann") == others


async def test_what_a_handler_blocks_for_one_member_the_others_get(room):
    async def block_for_ann(frame, session):
        return None if session.id == "ann" else frame

    room.intercepts["DIFF"] = block_for_ann
    room.admit("ann", "bob")

    room.show("ann")

    assert await room.names("ann") == ["ACKNOWLEDGE", "SYNC"]
    assert await room.names("bob") == ["ACKNOWLEDGE", "SYNC", "DIFF"]


@pytest.mark.parametrize("name", ["JOIN", "UPDATE", "LEAVE"])
async def test_nobody_gets_round_a_handler_of_full_lists_by_asking(room, name):
    room.intercepts[name] = block
    room.admit("ann")

    room.show("ann")
    room.show("ann", status="away")
    room.hide("ann")

    kinds = [each for each in ("JOIN", "UPDATE", "LEAVE") if each != name]
    assert await room.names("ann") == ["ACKNOWLEDGE", *kinds]


# Everything together, against a model.

NAMES = ("ann", "bob", "cid")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("admit"), st.sampled_from(NAMES), st.booleans()),
        st.tuples(st.just("dismiss"), st.sampled_from(NAMES), st.none()),
        st.tuples(st.just("show"), st.sampled_from(NAMES), st.integers(0, 2)),
        st.tuples(st.just("hide"), st.sampled_from(NAMES), st.none()),
        st.tuples(st.just("hear"), st.sampled_from(NAMES), st.integers(0, 2)),
        st.tuples(st.just("forget"), st.sampled_from(NAMES), st.none()),
        st.tuples(st.just("say"), st.none(), st.none()),
        st.tuples(st.just("wait"), st.none(), st.sampled_from((0.0, 0.4, 1.0))),
    ),
    min_size=20,
    max_size=60,
)


class Model:
    """What members must have: numbers in order, and a view that is true at rest."""

    def __init__(self, room, clock):
        self.room = room
        self.clock = clock
        self.said = 0
        self.joined_at = {}  # how much had been said

    async def take(self, step):
        verb, name, value = step
        await getattr(self, verb)(name, value)

    async def admit(self, name, wish):
        if name not in self.room.channel.roster:
            self.room.admit(name, wish=wish)
            self.joined_at[name] = self.said

    async def dismiss(self, name, _):
        self.room.channel.dismiss(name, LEFT)

    async def show(self, name, number):
        self.room.channel.apply(PresenceSet(name, {"n": number}))

    async def hide(self, name, _):
        self.room.channel.apply(PresenceGone(name))

    async def hear(self, name, number):
        user = User(name, {}, {"n": number})
        self.room.channel.apply_remote(Joined(user, THERE))

    async def forget(self, name, _):
        self.room.channel.apply_remote(Left(User(name, {}), LEFT, THERE))

    async def say(self, *_):
        self.room.say(self.said)
        self.said += 1

    async def wait(self, _, seconds):
        await self.clock.advance(seconds)

    async def check(self):
        """Let everything arrive, then compare what every member has."""
        await self.clock.advance(1.0)
        await self.clock.advance(1.0)
        truth = self.room.channel.presence.all()
        for member in self.room.channel.roster.members():
            sent = self.room.transports[member.user_id].sent
            assert sent[0].event == "ACKNOWLEDGE"
            numbers = [each.payload["n"] for each in sent if each.event == "news"]
            first = self.joined_at[member.user_id]
            assert numbers == list(range(first, self.said))
            messages = [each for each in sent if each.action == "PRESENCE"]
            if member.handle.wants_presence_changes:
                assert sent[1].event == "SYNC"
                assert view_of(messages) == truth
            elif messages:
                assert messages[-1].payload["presence"] == list(truth.values())


def view_of(messages):
    """What a client makes of its messages."""
    first, *others = messages
    view = dict(first.payload["presences"])
    for message in others:
        assert message.event == "DIFF"
        assert message.payload
        view.update(message.payload.get("joined", {}))
        view.update(message.payload.get("updated", {}))
        for user in message.payload.get("left", {}):
            view.pop(user, None)
    return view


@given(steps=STEPS, budget=st.sampled_from((0, 1, 300)))
async def test_whatever_happens_every_member_ends_up_with_what_is_shown(steps, budget):
    clock = Clock()
    model = Model(Room(presence_budget=budget), clock)
    await model.admit("zoe", True)

    for step in steps:
        await model.take(step)

    await model.check()


FACTS = st.lists(
    st.tuples(st.sampled_from("ab"), st.none() | st.integers(0, 2)),
    min_size=5,
    max_size=30,
)


@given(FACTS)
async def test_messages_stand_in_the_order_in_which_things_happened(facts):
    room = Room()
    room.admit("ann")
    truths = []

    for number, (name, value) in enumerate(facts):
        room.channel.apply(
            PresenceGone(name) if value is None else PresenceSet(name, {"n": value})
        )
        truths.append(room.channel.presence.all())
        room.say(number)
    await settle()

    view = None
    for message in room.transports["ann"].sent[1:]:
        if message.event == "news":
            assert view == truths[message.payload["n"]]
        elif message.event == "SYNC":
            view = dict(message.payload["presences"])
        else:
            view = view_of([Event("P", "c", "r", "SYNC", {"presences": view}), message])
