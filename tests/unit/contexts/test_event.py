"""A message of a member, and what its handler can do."""

import pytest

from pondsocket.channel import Channel
from pondsocket.channel_options import ChannelOptions
from pondsocket.contexts.event import EventContext
from pondsocket.errors import BadRequest, Conflict, NotFound
from pondsocket.patterns import compile_pattern
from pondsocket.types import Event, LeaveReason, MessageEvent, Route, User

NAME = "/chat/1"


@pytest.fixture
async def channel(log):
    return Channel(ChannelOptions(name=NAME, leave_handler=log("left")))


@pytest.fixture
def member(channel, client):
    async def member(user_id, **assigns):
        member = client(user_id, **assigns)
        await channel.add_user(member.transport)
        return member

    return member


@pytest.fixture
async def ann(member):
    """The sender."""
    return await member("ann", role="admin")


@pytest.fixture
async def bob(member):
    return await member("bob")


@pytest.fixture
async def message(channel, ann):
    event = Event("BROADCAST", NAME, "r7", "say/hello", {"n": 1})
    return MessageEvent(event, await channel.get_user("ann"))


@pytest.fixture
def context(channel, ann, message):
    return EventContext(
        channel=channel,
        message=message,
        route=Route({"what": "hello"}),
        transport=ann.transport,
    )


def test_it_shows_who_said_what(context, channel, message):
    assert context.channel is channel
    assert context.event is message.event
    assert context.user is context.get_user() is message.user
    assert context.user == User("ann", {"role": "admin"})
    assert context.route.param("what") == "hello"
    assert context.request_id == "r7"
    assert context.event_name == "say/hello"
    assert context.get_payload() == {"n": 1}


def test_the_route_is_what_its_pattern_finds_in_the_events_name(channel, message):
    pattern = compile_pattern("say/:what")

    context = EventContext(channel=channel, message=message, pattern=pattern)

    assert context.route == Route({"what": "hello"})
    assert context.route is context.route


def test_the_route_does_not_change_with_the_event(channel, message):
    pattern = compile_pattern("say/:what")
    context = EventContext(channel=channel, message=message, pattern=pattern)

    context.event.event = "other"

    assert context.route == Route({"what": "hello"})


def test_a_context_made_by_hand_may_do_without_a_route(channel, message):
    assert EventContext(channel=channel, message=message).route == Route()


async def test_a_shared_presence_is_copied_once_before_anybody_sees_it(channel, ann):
    await channel.track_presence("ann", {"at": [1]})
    event = Event("BROADCAST", NAME, "r7", "say/hello", {"n": 1})
    message = MessageEvent(event, channel.see_member("ann"))
    context = EventContext(channel=channel, message=message, has_shared_presence=True)
    await channel.update_presence("ann", {"at": [2]})

    context.user.presence["at"].append(3)

    assert context.get_user() == User("ann", {"role": "admin"}, {"at": [1, 3]})
    assert await channel.get_presence() == {"ann": {"at": [2]}}


def test_the_user_can_be_replaced(context):
    context.user = User("bob")

    assert context.get_user() == User("bob")


def test_middlewares_find_the_frameworks_telemetry(context, channel):
    assert context.telemetry is channel.telemetry


VERBS = [
    ("reply", ("answer", {})),
    ("broadcast", ("news", {})),
    ("broadcast_to", ("news", {}, "bob")),
    ("broadcast_from", ("news", {})),
    ("track", ({"n": 1},)),
    ("evict", ("spam",)),
    ("set_assign", ("seat", 1)),
    ("assign", ({"seat": 1},)),
]


@pytest.mark.parametrize(("verb", "args"), VERBS)
async def test_each_verb_returns_the_context(context, verb, args):
    assert await getattr(context, verb)(*args) is context


# Answers


async def test_a_reply_goes_to_the_sender_alone(context, ann, bob):
    assert not context.has_replied()

    await context.reply("answer", {"n": 2})

    assert context.has_replied()
    (answer,) = await ann.events()
    assert (answer.action, answer.event, answer.request_id, answer.payload) == (
        "SYSTEM", "answer", "r7", {"n": 2}
    )  # fmt: skip
    assert await bob.heard() == []


async def test_only_the_first_reply_counts(context, ann):
    await context.reply("first", {})

    assert await context.reply("second", {}) is context

    assert [name for _, name, _ in await ann.heard()] == ["first"]


@pytest.mark.parametrize(
    ("name", "payload"), [("ACKNOWLEDGE", {}), ("answer", {"x": object()})]
)
async def test_a_reply_that_is_refused_does_not_count(context, ann, name, payload):
    with pytest.raises(BadRequest):
        await context.reply(name, payload)

    assert not context.has_replied()
    await context.reply("answer", {})
    assert [name for _, name, _ in await ann.heard()] == ["answer"]


async def test_who_was_just_evicted_still_gets_the_reply(context, ann, bob):
    await context.evict("spam")

    await context.reply("sorry", {})

    assert [name for _, name, _ in await ann.heard()] == ["EVICTED", "sorry"]


async def test_a_context_made_by_hand_replies_to_its_user(channel, message, ann):
    context = EventContext(channel=channel, message=message)

    await context.reply("answer", {"n": 2})

    (answer,) = await ann.events()
    assert (answer.action, answer.event, answer.request_id, answer.payload) == (
        "SYSTEM", "answer", "r7", {"n": 2}
    )  # fmt: skip
    assert context.route == Route()


# Broadcasts


async def test_a_broadcast_reaches_everybody(context, ann, bob):
    await context.broadcast("news", {"n": 2})

    assert await ann.heard() == [("BROADCAST", "news", {"n": 2})]
    assert await bob.heard() == [("BROADCAST", "news", {"n": 2})]


async def test_a_broadcast_can_name_its_receivers(context, ann, bob):
    await context.broadcast_to("news", {}, "bob")

    assert await ann.heard() == []
    assert await bob.heard() == [("BROADCAST", "news", {})]


async def test_a_broadcast_can_leave_the_sender_out(context, ann, bob):
    await context.broadcast_from("news", {})

    assert await ann.heard() == []
    assert await bob.heard() == [("BROADCAST", "news", {})]


# Presence


async def test_the_senders_presence_is_meant_by_default(context, channel):
    assert await context.track({"n": 1}) is context
    assert await channel.get_presence() == {"ann": {"n": 1}}

    assert await context.update_presence({"n": 2}) is context
    assert await context.get_all_presence() == {"ann": {"n": 2}}

    assert await context.untrack() is context
    assert await channel.get_presence() == {}


async def test_other_presences_can_be_meant(context, channel, bob):
    await context.track({"n": 1}, "bob", "ann")
    assert await channel.get_presence() == {"bob": {"n": 1}, "ann": {"n": 1}}

    await context.update_presence({"n": 2}, "bob")
    assert await channel.get_presence() == {"bob": {"n": 2}, "ann": {"n": 1}}

    await context.untrack("ann", "bob")
    assert await channel.get_presence() == {}


async def test_a_presence_is_tracked_once(context):
    await context.track({"n": 1})

    with pytest.raises(Conflict):
        await context.track({"n": 2})


@pytest.mark.parametrize(
    ("verb", "args"), [("update_presence", ({},)), ("untrack", ())]
)
async def test_what_is_not_tracked_is_not_found(context, verb, args):
    with pytest.raises(NotFound):
        await getattr(context, verb)(*args)


# Eviction


async def test_the_sender_is_evicted_by_default(context, channel, ann, bob, log):
    await context.evict("spam")

    assert not await channel.has_user("ann")
    assert await channel.has_user("bob")
    assert await ann.heard() == [("SYSTEM", "EVICTED", {"reason": "spam"})]
    ((_, left),) = log.entries
    assert left.reason is LeaveReason.EVICTED


async def test_others_can_be_evicted(context, channel, ann, bob, member):
    await member("cid")

    await context.evict("spam", "bob", "cid")

    assert await channel.get_assigns() == {"ann": {"role": "admin"}}
    assert await ann.heard() == []
    assert await bob.heard() == [("SYSTEM", "EVICTED", {"reason": "spam"})]


async def test_evicting_who_is_no_member_is_not_found(context):
    with pytest.raises(NotFound):
        await context.evict("spam", "eve")


# Assigns


async def test_assigns_of_the_sender_can_be_set_and_read(context, channel, ann):
    await context.set_assign("seat", 1)
    await context.assign({"seat": 2, "hat": 3})

    assert await context.get_assign("seat") == 2
    assert await context.get_assign("hat") == 3
    assert await context.get_assign("role") == "admin"
    assert await context.get_assign("nothing") is None
    assert await context.get_all_assigns() == {
        "ann": {"role": "admin", "seat": 2, "hat": 3}
    }
    assert ann.transport.clone_assigns() == {"role": "admin"}


async def test_the_user_stays_as_it_was_when_the_message_came(context):
    await context.set_assign("role", "guest")

    assert context.user.assigns == {"role": "admin"}


async def test_assigns_of_who_left_are_not_found(context, bob):
    await context.evict("spam")

    with pytest.raises(NotFound):
        await context.set_assign("seat", 1)
