"""A request to join: accepting, declining, and what may follow."""

import pytest

from pondsocket.channel import Channel
from pondsocket.channel_options import ChannelOptions
from pondsocket.contexts.join import JoinContext
from pondsocket.errors import BadRequest, Conflict, Unavailable
from pondsocket.types import Event, Route, User

NAME = "/chat/1"
ACKNOWLEDGED = ("SYSTEM", "ACKNOWLEDGE", {})


@pytest.fixture
def channel():
    return Channel(ChannelOptions(name=NAME))


@pytest.fixture
def ann(client):
    return client("ann", role="admin", seat=1)


@pytest.fixture
def make(channel, ann):
    def make(payload=None, *, route=None):
        event = Event("JOIN_CHANNEL", NAME, "j7", "join", payload)
        return JoinContext(
            channel=channel, event=event, transport=ann.transport, route=route
        )

    return make


@pytest.fixture
def context(make):
    return make({"color": "blue"}, route=Route({"room": "1"}))


@pytest.fixture
async def bob(channel, client):
    """Another member of the channel."""
    bob = client("bob")
    await channel.add_user(bob.transport)
    return bob


def test_it_shows_who_wants_what(context, channel, ann):
    assert context.channel is channel
    assert context.event.request_id == "j7"
    assert context.transport is ann.transport
    assert context.route.param("room") == "1"
    assert context.user == User("ann", {"role": "admin", "seat": 1})
    assert context.join_params == context.get_join_params() == {"color": "blue"}


def test_join_params_are_a_copy(context):
    context.join_params["color"] = "red"

    assert context.get_join_params() == {"color": "blue"}


def test_without_a_payload_there_are_no_join_params(make):
    assert make(None).join_params == {}


def test_at_first_nothing_was_answered(context):
    assert not context.has_responded
    assert not context.is_accepted


# The answer


async def test_accepting_makes_a_member_and_acknowledges(context, channel, ann):
    assert await context.accept() is context

    assert context.has_responded
    assert context.is_accepted
    assert await channel.has_user("ann")
    (answer,) = await ann.events()
    assert (answer.event, answer.request_id) == ("ACKNOWLEDGE", "j7")


async def test_assigns_of_the_join_are_added_to_the_connections_own(context, channel):
    await context.accept({"seat": 2, "color": "blue"})

    assert await channel.get_assigns() == {
        "ann": {"role": "admin", "seat": 2, "color": "blue"}
    }


async def test_declining_says_why(context, channel, ann):
    assert await context.decline(403, "members only") is context

    assert context.has_responded
    assert not context.is_accepted
    assert not await channel.has_user("ann")
    told = {"code": 403, "message": "members only"}
    assert await ann.heard() == [("SYSTEM", "UNAUTHORIZED", told)]


async def accept(context):
    await context.accept()


async def decline(context):
    await context.decline(403, "members only")


@pytest.mark.parametrize("first", [accept, decline])
@pytest.mark.parametrize("second", [accept, decline])
async def test_a_second_answer_is_refused(context, ann, first, second):
    await first(context)
    accepted = context.is_accepted
    await ann.heard()

    with pytest.raises(BadRequest) as caught:
        await second(context)

    assert caught.value.code == 400
    assert context.is_accepted is accepted
    assert await ann.heard() == []


async def test_who_is_a_member_already_can_still_be_declined(context, channel, ann):
    await channel.add_user(ann.transport)

    with pytest.raises(Conflict):
        await context.accept()

    assert not context.has_responded
    await context.decline(409, "twice")
    assert [name for _, name, _ in await ann.heard()] == ["UNAUTHORIZED"]


async def test_a_connection_that_ended_cannot_be_accepted(context, ann):
    await ann.transport.close()

    with pytest.raises(Unavailable):
        await context.accept()

    assert not context.is_accepted


# After acceptance

VERBS = [
    ("reply", ("welcome", {})),
    ("track", ({"n": 1},)),
    ("broadcast", ("news", {})),
    ("broadcast_to", ("news", {}, "bob")),
    ("broadcast_from", ("news", {})),
]
each_verb = pytest.mark.parametrize(("verb", "args"), VERBS)


@each_verb
async def test_before_acceptance_there_is_nothing_to_do(context, bob, ann, verb, args):
    with pytest.raises(BadRequest) as caught:
        await getattr(context, verb)(*args)

    assert caught.value.code == 400
    assert await bob.heard() == []
    assert await ann.heard() == []


@each_verb
async def test_a_declined_user_can_do_nothing(context, bob, verb, args):
    await context.decline(403, "members only")

    with pytest.raises(BadRequest):
        await getattr(context, verb)(*args)

    assert await bob.heard() == []


@each_verb
async def test_each_verb_returns_the_context(context, bob, verb, args):
    await context.accept()

    assert await getattr(context, verb)(*args) is context


async def test_a_reply_goes_to_the_new_member_alone(context, ann, bob):
    await context.accept()

    await context.reply("welcome", {"n": 1})

    assert await ann.heard() == [ACKNOWLEDGED, ("SYSTEM", "welcome", {"n": 1})]
    assert await bob.heard() == []


async def test_a_reply_carries_the_id_of_the_join(context, ann):
    await context.accept()
    await context.reply("welcome", {})

    assert [event.request_id for event in await ann.events()] == ["j7", "j7"]


async def test_a_presence_shows_to_everybody(context, ann, bob):
    await context.accept()

    await context.track({"n": 1})

    shown = ("PRESENCE", "JOIN", {"presence": [{"n": 1}], "changed": {"n": 1}})
    assert await ann.heard() == [ACKNOWLEDGED, shown]
    assert await bob.heard() == [shown]


async def test_a_broadcast_reaches_the_new_member_too(context, ann, bob):
    await context.accept()

    await context.broadcast("news", {})

    assert await ann.heard() == [ACKNOWLEDGED, ("BROADCAST", "news", {})]
    assert await bob.heard() == [("BROADCAST", "news", {})]


async def test_a_broadcast_can_name_its_receivers(context, ann, bob):
    await context.accept()

    await context.broadcast_to("news", {}, "bob")

    assert await ann.heard() == [ACKNOWLEDGED]
    assert await bob.heard() == [("BROADCAST", "news", {})]


async def test_a_broadcast_can_leave_the_new_member_out(context, ann, bob):
    await context.accept()

    await context.broadcast_from("news", {})

    assert await ann.heard() == [ACKNOWLEDGED]
    assert await bob.heard() == [("BROADCAST", "news", {})]


# Assigns


async def test_assigns_set_before_acceptance_wait_for_it(context, channel, ann):
    assert await context.set_assign("seat", 2) is context
    assert await context.assign({"color": "blue", "hat": 1}) is context
    assert await channel.get_assigns() == {}

    await context.accept({"hat": 2})

    assert await channel.get_assigns() == {
        "ann": {"role": "admin", "seat": 2, "color": "blue", "hat": 2}
    }
    assert ann.transport.clone_assigns() == {"role": "admin", "seat": 1}


async def test_assigns_set_after_acceptance_count_at_once(context, channel):
    await context.accept()

    await context.set_assign("seat", 2)
    await context.assign({"color": "blue"})

    assert await channel.get_user_assign("ann", "seat") == 2
    assert await channel.get_user_assign("ann", "color") == "blue"


async def test_an_assign_can_be_read_before_acceptance(context):
    await context.set_assign("seat", 2)

    assert await context.get_assign("seat") == 2
    assert await context.get_assign("role") == "admin"
    assert await context.get_assign("nothing") is None


async def test_an_assign_can_be_read_after_acceptance(context):
    await context.accept({"seat": 2})

    assert await context.get_assign("seat") == 2
    assert await context.get_assign("role") == "admin"
    assert await context.get_assign("nothing") is None


async def test_everyones_presence_and_assigns_can_be_read_before_acceptance(
    context, channel, bob
):
    await channel.track_presence("bob", {"n": 1})

    assert await context.get_all_presence() == {"bob": {"n": 1}}
    assert await context.get_all_assigns() == {"bob": {}}
