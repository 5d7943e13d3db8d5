"""A lobby: its handlers, which of them runs, and the channels it opens."""

import asyncio
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pondsocket.endpoint import Endpoint
from pondsocket.errors import (
    BadRequest,
    DeadlineExceeded,
    MultiError,
    PondError,
    TooManyRequests,
    Unavailable,
)
from pondsocket.hooks import Hooks
from pondsocket.lobby import REMEMBERED_LENGTH, REMEMBERED_NAMES
from pondsocket.options import Options
from pondsocket.patterns import compile_pattern
from pondsocket.ratelimit import TokenBucketRateLimiter
from pondsocket.types import AllUsers, LeaveReason
from tests.unit.doubles import NotingNetwork

EVENTS = ["a", "ab", "a/b", "b", ""]


async def accept(context):
    await context.accept()


@pytest.fixture
def endpoint(collector):
    return Endpoint(
        path="/socket",
        connection_handler=lambda context: context.accept(),
        options=Options(hooks=Hooks(metrics=collector)),
    )


@pytest.fixture
def lobby(endpoint):
    return endpoint.create_channel("/chat/:room", accept)


@pytest.fixture
def enter(endpoint, lobby, connect):
    """Connect users and let them join; what they heard until then is taken away."""

    async def enter(*user_ids, channel="/chat/1"):
        users = [await connect(endpoint, user_id) for user_id in user_ids]
        for user in users:
            await user.join(channel)
        for user in users:
            await user.heard()
        return users

    return enter


def named(log, name):
    """A middleware that notes when it goes in and out."""

    async def middleware(context, go_on):
        log.entries.append(f"{name} in")
        await go_on()
        log.entries.append(f"{name} out")

    return middleware


def stopping(context, go_on):
    """A middleware that does not go on."""


async def stuck(context):
    await asyncio.Event().wait()


def test_it_shows_its_pattern_and_its_options(endpoint, lobby):
    assert lobby.path == "/chat/:room"
    assert lobby.options is endpoint.options


# Message handlers


async def test_of_several_message_handlers_the_first_that_matches_runs(
    lobby, enter, log
):
    lobby.on_message("other", log("other"))
    lobby.on_message("user/:id", log("first"))
    lobby.on_message("user/7", log("second"))
    (ann,) = await enter("ann")

    await ann.say("user/7")

    assert [name for name, _ in log.entries] == ["first"]


async def test_a_message_handler_learns_what_its_pattern_found(lobby, enter, log):
    lobby.on_message("user/:id", log("handled"))
    (ann,) = await enter("ann")

    await ann.say("user/7")

    ((_, context),) = log.entries
    assert context.route.param("id") == "7"


async def test_a_handler_that_comes_later_counts_for_living_channels(lobby, enter, log):
    (ann,) = await enter("ann")

    lobby.on_message("say", log("handled"))
    await ann.say("say")

    assert len(log.entries) == 1


async def test_message_middlewares_run_around_the_handler_in_order(lobby, enter, log):
    async def handler(context):
        log.entries.append("handler")

    lobby.on_message("say", handler, named(log, "a"), named(log, "b"))
    (ann,) = await enter("ann")

    await ann.say("say")

    assert log.entries == ["a in", "b in", "handler", "b out", "a out"]


async def test_a_message_middleware_that_does_not_go_on_stops_there(lobby, enter, log):
    lobby.on_message("say", log("handled"), stopping)
    lobby.on_message("say", log("second"))
    (ann,) = await enter("ann")

    await ann.say("say")

    assert log.entries == []
    assert await ann.heard() == []


async def test_a_message_handler_can_be_registered_by_decorator(lobby, enter, log):
    callback = log("handled")

    decorated = lobby.on_message("say")(callback)

    assert decorated is callback
    (ann,) = await enter("ann")
    await ann.say("say")
    assert len(log.entries) == 1


def test_registering_returns_the_handler(lobby, log):
    handler = log("handled")

    assert lobby.on_message("say", handler) is handler
    assert lobby.on_outgoing("say", handler) is handler
    assert lobby.on_leave(handler) is handler


@pytest.mark.parametrize("register", ["on_message", "on_outgoing"])
def test_a_malformed_pattern_is_refused(lobby, log, register):
    with pytest.raises(ValueError, match="stands twice"):
        getattr(lobby, register)("a/:x/:x", log("handled"))


def test_a_malformed_pattern_is_refused_before_it_decorates(lobby):
    with pytest.raises(ValueError, match="query"):
        lobby.on_message("say?x=1")


def test_a_handler_is_found_by_event_or_not_at_all(lobby, log):
    lobby.on_message("say/:what", log("handled"))

    registered = lobby.find_handler("say/hello")

    assert registered.pattern.source == "say/:what"
    assert lobby.find_handler("shout") is None


def test_a_name_for_which_there_was_no_handler_finds_one_that_comes_later(lobby, log):
    assert lobby.find_handler("say") is None

    lobby.on_message("say", log("handled"))

    assert lobby.find_handler("say").pattern.source == "say"


def test_a_handler_that_comes_later_takes_no_name_from_an_earlier_one(lobby, log):
    lobby.on_message(":what", log("first"))
    before = lobby.find_handler("say")

    lobby.on_message("say", log("second"))

    assert lobby.find_handler("say") is before


@given(
    steps=st.lists(
        st.tuples(st.just("add"), st.sampled_from([*EVENTS, ":x", "a/:x", "a:x", "*"]))
        | st.tuples(st.just("find"), st.sampled_from(EVENTS)),
        max_size=30,
    )
)
def test_whatever_is_remembered_the_first_handler_that_matches_is_found(steps):
    endpoint = Endpoint(path="/socket", connection_handler=accept)
    lobby = endpoint.create_channel("/chat/:room", accept)
    patterns = []

    for step, text in steps:
        if step == "add":
            lobby.on_message(text, accept)
            patterns.append(text)
            continue
        found = lobby.find_handler(text)
        matching = (p for p in patterns if compile_pattern(p).match(text) is not None)
        assert (found and found.pattern.source) == next(matching, None)


def test_names_that_clients_make_up_are_remembered_up_to_a_bound(lobby, log):
    lobby.on_message("say/*", log("handled"))
    handlers = lobby._message_handlers

    for number in range(3 * REMEMBERED_NAMES):
        assert lobby.find_handler(f"say/{number}") is not None

    assert 0 < len(handlers._found) <= REMEMBERED_NAMES


def test_a_very_long_name_is_found_and_not_remembered(lobby, log):
    lobby.on_message("say/*", log("handled"))

    assert lobby.find_handler("say/" + "x" * REMEMBERED_LENGTH) is not None

    assert not lobby._message_handlers._found


# Leave handlers


async def test_every_leave_handler_runs_in_order_once_per_leave(lobby, enter, log):
    lobby.on_leave(log("first"))
    lobby.on_leave(log("second"))
    (ann,) = await enter("ann")

    await ann.leave()
    await ann.leave()

    assert [name for name, _ in log.entries] == ["first", "second"]


async def test_a_leave_handler_can_be_registered_by_decorator(lobby, enter):
    reasons = []

    @lobby.on_leave
    async def left(context):
        reasons.append(context.reason)

    (ann,) = await enter("ann")
    await ann.leave()

    assert reasons == [LeaveReason.EXPLICIT_LEAVE]


async def test_a_leave_handler_learns_what_the_channels_name_says(lobby, enter, log):
    lobby.on_leave(log("left"))
    (ann,) = await enter("ann")

    await ann.leave()

    ((_, context),) = log.entries
    assert context.route.param("room") == "1"
    assert context.channel.name == "/chat/1"
    assert context.user.id == "ann"


async def test_each_leave_handler_may_broadcast_once(lobby, enter):
    async def left(context):
        await context.broadcast("gone", {})

    lobby.on_leave(left)
    lobby.on_leave(left)
    ann, bob = await enter("ann", "bob")

    await ann.leave()

    assert [name for _, name, _ in await bob.heard()] == ["gone", "gone"]


async def test_leave_middlewares_run_around_the_handler(lobby, enter, log):
    lobby.on_leave(lambda context: log.entries.append("handler"), named(log, "a"))
    lobby.on_leave(log("never"), stopping)
    (ann,) = await enter("ann")

    await ann.leave()

    assert log.entries == ["a in", "handler", "a out"]


async def test_a_leave_handler_that_fails_does_not_stop_the_next(
    lobby, enter, log, collector, caplog
):
    error = ValueError("no database")
    lobby.on_leave(log("first", error))
    lobby.on_leave(log("second"))
    (ann,) = await enter("ann")

    await ann.leave()

    assert [name for name, _ in log.entries] == ["first", "second"]
    assert collector.of("error") == [["leave_handler", error]]
    assert ("count", "leave_failed", 1) in collector.calls
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_leave_handlers_that_fail_are_reported_together(
    lobby, enter, log, collector
):
    first, second = ValueError("no database"), asyncio.CancelledError()
    lobby.on_leave(log("first", first))
    lobby.on_leave(log("second", second))
    (ann,) = await enter("ann")

    await ann.leave()

    (((component, error)),) = collector.of("error")
    assert component == "leave_handler"
    assert isinstance(error, MultiError)
    assert error.errors == [first, second]


async def test_a_leave_handler_that_hangs_is_cut_off_and_the_next_one_runs(
    lobby, enter, log, collector, flying_time
):
    lobby.on_leave(stuck)
    lobby.on_leave(log("second"))
    (ann,) = await enter("ann")
    before = flying_time()

    await ann.transport.close()

    assert [name for name, _ in log.entries] == ["second"]
    assert flying_time() - before == pytest.approx(lobby.options.handler_timeout, abs=1)
    (((_, error)),) = collector.of("error")
    assert isinstance(error, DeadlineExceeded)


# Channels


async def test_there_is_no_channel_before_somebody_needs_it(lobby):
    assert await lobby.get_channel("/chat/1") is None
    assert not await lobby.has_channel("/chat/1")
    assert await lobby.list_channels() == []
    assert lobby.channel_count == 0


async def test_a_channel_is_made_once(lobby):
    channel = await lobby.get_or_create_channel("/chat/1")

    assert await lobby.get_or_create_channel("/chat/1") is channel
    assert await lobby.get_channel("/chat/1") is channel
    assert await lobby.has_channel("/chat/1")
    assert await lobby.list_channels() == [channel]
    assert lobby.channel_count == 1


async def test_a_channel_has_the_lobbys_options(lobby):
    channel = await lobby.get_or_create_channel("/chat/1")

    assert channel.options is lobby.options


async def test_a_channel_must_have_a_name_that_matches(lobby):
    with pytest.raises(BadRequest, match="does not match '/chat/:room'"):
        await lobby.get_or_create_channel("/news/1")

    assert lobby.channel_count == 0


async def test_a_closed_lobby_makes_no_channel(lobby):
    await lobby.close()

    with pytest.raises(Unavailable, match="the lobby is closed"):
        await lobby.get_or_create_channel("/chat/1")

    assert lobby.channel_count == 0


async def test_an_ended_channel_is_forgotten(lobby, enter):
    (ann,) = await enter("ann")
    first = await lobby.get_channel("/chat/1")

    await ann.leave()

    assert not await lobby.has_channel("/chat/1")
    assert await lobby.get_or_create_channel("/chat/1") is not first


async def test_a_connected_user_can_be_added_by_the_server(
    endpoint, lobby, connect, log
):
    lobby.on_message("say", log("handled"))
    ann = await connect(endpoint, "ann")
    channel = await lobby.get_or_create_channel("/chat/1")

    await channel.add_user(ann.transport)
    await ann.say("say")

    assert len(log.entries) == 1


async def test_a_broadcast_reaches_a_channel_by_its_name(lobby, enter):
    (ann,) = await enter("ann")
    (bob,) = await enter("bob", channel="/chat/2")

    await lobby.broadcast("/chat/1", "news", {"n": 1})

    assert await ann.heard() == [("BROADCAST", "news", {"n": 1})]
    assert await bob.heard() == []


async def test_a_broadcast_to_a_channel_that_does_not_live_makes_none(lobby):
    await lobby.broadcast("/chat/1", "news", {})

    assert lobby.channel_count == 0


# Other nodes


@pytest.fixture
def network():
    return NotingNetwork()


@pytest.fixture
def networked(network):
    """A lobby with other nodes."""
    endpoint = Endpoint(
        path="/socket",
        connection_handler=lambda context: context.accept(),
        network=network,
    )
    return endpoint.create_channel("/chat/:room", accept)


async def test_a_broadcast_goes_to_other_nodes_if_the_channel_does_not_live_here(
    networked, network
):
    await networked.broadcast("/chat/1", "news", {"n": 1})

    ((path, name, sent),) = network.emitted
    assert (path, name, sent.recipients) == ("/socket", "/chat/1", AllUsers())
    event = sent.frame.event
    assert (event.action, event.event, event.channel_name, event.payload) == (
        "BROADCAST", "news", "/chat/1", {"n": 1}
    )  # fmt: skip


async def test_a_broadcast_to_other_nodes_is_limited_like_any_other(network):
    limiter = TokenBucketRateLimiter(rate=0.001, capacity=1)
    endpoint = Endpoint(
        path="/socket",
        connection_handler=lambda context: context.accept(),
        options=Options(hooks=Hooks(channel_rate_limiter=limiter)),
        network=network,
    )
    lobby = endpoint.create_channel("/chat/:room", accept)
    await lobby.broadcast("/chat/1", "news", {})

    with pytest.raises(TooManyRequests):
        await lobby.broadcast("/chat/1", "news", {})

    assert len(network.emitted) == 1


async def test_a_broadcast_of_a_living_channel_is_announced_by_the_channel(
    networked, network
):
    await networked.get_or_create_channel("/chat/1")

    await networked.broadcast("/chat/1", "news", {"n": 1})

    assert network.emitted == []


@pytest.mark.parametrize(
    ("channel", "event", "payload"),
    [
        ("/chat/*", "news", {}),
        ("/chat/1", "ACKNOWLEDGE", {}),
        ("/chat/1", "news", {"x": object()}),
    ],
    ids=["name", "event", "payload"],
)
async def test_what_cannot_be_told_to_other_nodes_is_not_broadcast(
    networked, network, channel, event, payload
):
    with pytest.raises(BadRequest):
        await networked.broadcast(channel, event, payload)

    assert network.emitted == []


async def test_a_name_that_cannot_be_told_to_other_nodes_makes_no_channel(networked):
    with pytest.raises(BadRequest, match="must not hold a star"):
        await networked.get_or_create_channel("/chat/*")

    assert networked.channel_count == 0


async def test_closing_ends_every_channel(lobby, enter, log):
    lobby.on_leave(log("left"))
    await enter("ann")
    await enter("bob", channel="/chat/2")

    await lobby.close()
    await lobby.close()

    assert lobby.channel_count == 0
    assert [context.reason for _, context in log.entries] == [
        LeaveReason.CONNECTION_CLOSED,
        LeaveReason.CONNECTION_CLOSED,
    ]


# Outgoing handlers


async def test_an_outgoing_handler_runs_once_for_each_recipient(lobby, enter, log):
    lobby.on_outgoing("news/:kind", log("out"))
    ann, bob = await enter("ann", "bob")

    await lobby.broadcast("/chat/1", "news/local", {"n": 1})

    assert await ann.heard() == [("BROADCAST", "news/local", {"n": 1})]
    assert await bob.heard() == [("BROADCAST", "news/local", {"n": 1})]
    contexts = [context for _, context in log.entries]
    assert sorted(context.user.id for context in contexts) == ["ann", "bob"]
    assert {context.transport for context in contexts} == {ann.transport, bob.transport}
    assert {context.route.param("kind") for context in contexts} == {"local"}


async def test_of_several_outgoing_handlers_the_first_that_matches_runs(
    lobby, enter, log
):
    lobby.on_outgoing("other", log("other"))
    lobby.on_outgoing("*", log("first"))
    lobby.on_outgoing("news", log("second"))
    (ann,) = await enter("ann")

    await lobby.broadcast("/chat/1", "news", {})

    await ann.heard()
    assert [name for name, _ in log.entries] == ["first"]


async def test_an_event_that_no_outgoing_handler_matches_goes_out_at_once(
    lobby, enter, log
):
    lobby.on_outgoing("other", log("out"))
    (ann,) = await enter("ann")

    await lobby.broadcast("/chat/1", "news", {})

    assert await ann.heard() == [("BROADCAST", "news", {})]
    assert log.entries == []


async def test_outgoing_handlers_see_broadcasts_and_presences_and_nothing_else(
    endpoint, lobby, client
):
    seen = []
    lobby.on_outgoing("*", lambda context: seen.append(context.get_event()))

    async def busy(context):
        await context.track({"n": 1})
        await context.reply("answer", {})
        await context.broadcast("news", {})
        await context.update_presence({"n": 2})
        await context.untrack()
        await context.evict("spam")

    lobby.on_message("busy", busy)
    ann = client("ann")
    await endpoint.register_transport(ann.transport)
    await ann.join()
    await ann.say("nonsense")
    await ann.say("busy")

    assert seen == ["JOIN", "news", "UPDATE", "LEAVE"]
    assert [name for _, name, _ in await ann.heard()] == [
        "CONNECTION", "ACKNOWLEDGE", "HANDLER_NOT_FOUND", "JOIN", "answer", "news",
        "UPDATE", "LEAVE", "EVICTED",
    ]  # fmt: skip


async def test_a_transform_shows_at_its_recipient_only(lobby, enter):
    def personal(context):
        if context.user.id == "ann":
            context.transform({**context.get_payload(), "you": "ann"})

    lobby.on_outgoing("news", personal)
    ann, bob = await enter("ann", "bob")

    await lobby.broadcast("/chat/1", "news", {"n": 1})

    assert await ann.heard() == [("BROADCAST", "news", {"n": 1, "you": "ann"})]
    assert await bob.heard() == [("BROADCAST", "news", {"n": 1})]


async def test_changing_the_payload_in_place_shows_nowhere(lobby, enter):
    def meddling(context):
        context.get_payload()["deep"].append(context.user.id)
        context.event.event = "other"

    lobby.on_outgoing("news", meddling)
    payload = {"deep": []}
    ann, bob = await enter("ann", "bob")

    await lobby.broadcast("/chat/1", "news", payload)

    assert await ann.heard() == [("BROADCAST", "news", {"deep": []})]
    assert await bob.heard() == [("BROADCAST", "news", {"deep": []})]
    assert payload == {"deep": []}


async def test_a_handler_sees_the_payload_as_it_was_when_it_was_sent(lobby, enter):
    seen = []
    lobby.on_outgoing("news", lambda context: seen.append(context.get_payload()))
    (ann,) = await enter("ann")
    payload = {"n": 1}

    await lobby.broadcast("/chat/1", "news", payload)
    payload["n"] = 2
    await lobby.broadcast("/chat/1", "news", payload)

    await ann.heard()
    assert seen == [{"n": 1}, {"n": 2}]


async def test_a_presence_can_be_transformed_too(lobby, enter):
    lobby.on_outgoing("JOIN", lambda context: context.transform({"hidden": True}))
    (ann,) = await enter("ann")
    channel = await lobby.get_channel("/chat/1")

    await channel.track_presence("ann", {"n": 1})

    assert await ann.heard() == [("PRESENCE", "JOIN", {"hidden": True})]


async def test_a_blocked_delivery_reaches_the_others(lobby, enter, collector):
    async def block(context):
        if context.user.id == "ann":
            context.block()

    lobby.on_outgoing("news", block)
    ann, bob = await enter("ann", "bob")

    await lobby.broadcast("/chat/1", "news", {})

    assert await ann.heard() == []
    assert await bob.heard() == [("BROADCAST", "news", {})]
    assert collector.of("count") == []


async def test_what_is_unblocked_is_delivered_after_all(lobby, enter):
    lobby.on_outgoing("news", lambda context: context.block().unblock())
    (ann,) = await enter("ann")

    await lobby.broadcast("/chat/1", "news", {})

    assert await ann.heard() == [("BROADCAST", "news", {})]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no database"),
        PondError("no", 403),
        asyncio.CancelledError(),
        BaseExceptionGroup("many", [ValueError()]),
    ],
    ids=repr,
)
async def test_an_outgoing_handler_that_raises_blocks_that_one_delivery(
    lobby, enter, error, collector, caplog
):
    def failing(context):
        if context.user.id == "ann":
            raise error

    lobby.on_outgoing("news", failing)
    ann, bob = await enter("ann", "bob")

    await lobby.broadcast("/chat/1", "news", {})

    assert await ann.heard() == []
    assert await bob.heard() == [("BROADCAST", "news", {})]
    assert ("count", "outgoing_failed", 1) in collector.calls
    assert collector.of("error") == [["outgoing_handler", error]]
    assert "outgoing handler for 'news' failed" in caplog.text
    assert ann.transport.is_active()


async def test_an_outgoing_handler_that_hangs_blocks_that_one_delivery(
    lobby, enter, collector, flying_time
):
    async def hanging(context):
        if context.user.id == "ann":
            await stuck(context)

    lobby.on_outgoing("news", hanging)
    ann, bob = await enter("ann", "bob")

    await lobby.broadcast("/chat/1", "news", {})
    await lobby.broadcast("/chat/1", "more", {})

    assert [name for _, name, _ in await bob.heard()] == ["news", "more"]
    last = await ann.transport.receive_sent(wait=lobby.options.handler_timeout + 1)
    assert last.event == "more"
    assert ("count", "outgoing_failed", 1) in collector.calls


@pytest.mark.parametrize("payload", [{"x": object()}, ["no object"]])
async def test_a_transform_that_cannot_travel_blocks_the_delivery(
    lobby, enter, payload, collector
):
    lobby.on_outgoing("news", lambda context: context.transform(payload))
    (ann,) = await enter("ann")

    await lobby.broadcast("/chat/1", "news", {})

    assert await ann.heard() == []
    assert ("count", "outgoing_failed", 1) in collector.calls
    assert ann.transport.is_active()


async def test_what_is_sent_after_an_intercepted_message_does_not_overtake_it(
    lobby, enter
):
    gate = asyncio.Event()

    async def slow(context):
        await gate.wait()

    lobby.on_outgoing("slow", slow)
    (ann,) = await enter("ann")

    await lobby.broadcast("/chat/1", "slow", {})
    await lobby.broadcast("/chat/1", "fast", {})
    assert await ann.heard() == []
    gate.set()

    assert [name for _, name, _ in await ann.heard()] == ["slow", "fast"]


async def test_who_left_meanwhile_is_known_by_its_connection(lobby, enter, log):
    lobby.on_outgoing("news", log("out"))
    ann, _ = await enter("ann", "bob")
    ann.transport.set_assign("role", "admin")
    channel = await lobby.get_channel("/chat/1")

    await channel.broadcast_to("news", {}, "ann")
    await channel.remove_user("ann")

    assert await ann.heard() == [("BROADCAST", "news", {})]
    ((_, context),) = log.entries
    assert context.user.id == "ann"
    assert context.user.assigns == {"role": "admin"}


async def test_outgoing_middlewares_run_around_the_handler(lobby, enter, log):
    async def handler(context):
        log.entries.append("handler")

    lobby.on_outgoing("news", handler, named(log, "a"))
    (ann,) = await enter("ann")

    await lobby.broadcast("/chat/1", "news", {})

    assert await ann.heard() == [("BROADCAST", "news", {})]
    assert log.entries == ["a in", "handler", "a out"]


async def test_an_outgoing_middleware_that_does_not_go_on_leaves_it_as_it_is(
    lobby, enter, log
):
    lobby.on_outgoing("news", log("out"), stopping)
    (ann,) = await enter("ann")

    await lobby.broadcast("/chat/1", "news", {})

    assert await ann.heard() == [("BROADCAST", "news", {})]
    assert log.entries == []


async def test_an_outgoing_handler_can_be_registered_by_decorator(lobby, enter):
    @lobby.on_outgoing("news")
    async def out(context):
        context.block()

    (ann,) = await enter("ann")
    await lobby.broadcast("/chat/1", "news", {})

    assert await ann.heard() == []


async def test_all_is_quiet_in_the_log_when_all_is_well(lobby, enter, caplog, log):
    lobby.on_outgoing("news", log("out"))
    lobby.on_leave(log("left"))
    with caplog.at_level(logging.INFO, logger="pondsocket"):
        (ann,) = await enter("ann")
        await lobby.broadcast("/chat/1", "news", {})
        await ann.heard()
        await ann.leave()

    assert caplog.text == ""
