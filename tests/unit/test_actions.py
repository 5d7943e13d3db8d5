"""What the server answers to each message of a client, as the protocol's table says."""

import asyncio
import logging

import pytest

from pondsocket import actions as actions_module
from pondsocket.actions import Actions
from pondsocket.endpoint import Endpoint
from pondsocket.errors import Conflict, Forbidden, PondError, TooManyRequests
from pondsocket.hooks import Hooks
from pondsocket.metrics import Telemetry
from pondsocket.middleware import with_metrics, with_rate_limiter
from pondsocket.options import Options
from pondsocket.ratelimit import TokenBucketRateLimiter
from pondsocket.session import Session
from pondsocket.types import Event, User
from tests.unit.doubles import NotingNetwork, settle

NAME = "/chat/1"


async def accept(context):
    await context.accept()


async def stuck(context):
    await asyncio.Event().wait()


@pytest.fixture
def hooks(collector):
    return Hooks(metrics=collector)


@pytest.fixture
def make(hooks):
    """Make an endpoint with one lobby, whose join handler accepts by default."""

    def make(join=accept, *, pattern="/chat/:room", hooks=hooks, **options):
        endpoint = Endpoint(
            path="/socket",
            connection_handler=lambda context: context.accept(),
            options=Options(hooks=hooks, **options),
        )
        endpoint.create_channel(pattern, join)
        return endpoint

    return make


@pytest.fixture
def endpoint(make):
    return make()


@pytest.fixture
def lobby(endpoint):
    return endpoint.lobbies[0]


@pytest.fixture
async def ann(endpoint, connect):
    """A connected user that is in no channel."""
    return await connect(endpoint, "ann")


@pytest.fixture
async def member(ann):
    """The same user as a member of the channel."""
    await ann.join()
    await ann.heard()
    return ann


def counts(endpoint):
    return {name: n for name, n in endpoint.telemetry.counts().items() if n}


# Join


async def test_an_accepted_join_is_acknowledged(ann):
    await ann.join(request_id="j7")

    (answer,) = await ann.events()
    assert (answer.action, answer.event, answer.channel_name, answer.request_id) == (
        "SYSTEM", "ACKNOWLEDGE", NAME, "j7"
    )  # fmt: skip
    assert answer.payload == {}


async def test_the_acknowledgement_comes_before_anything_else_of_the_channel(
    make, connect
):
    async def join(context):
        await context.accept()
        await context.reply("welcome", {})
        await context.track({"n": 1})
        await context.broadcast("news", {})

    ann = await connect(make(join), "ann")

    await ann.join()

    assert [name for _, name, _ in await ann.heard()] == [
        "ACKNOWLEDGE", "welcome", "JOIN", "news"
    ]  # fmt: skip


async def test_a_declined_join_is_told_why(make, connect):
    async def join(context):
        await context.decline(403, "members only")

    ann = await connect(make(join), "ann")

    await ann.join(request_id="j7")

    (answer,) = await ann.events()
    assert (answer.action, answer.event, answer.channel_name, answer.request_id) == (
        "SYSTEM", "UNAUTHORIZED", NAME, "j7"
    )  # fmt: skip
    assert answer.payload == {"code": 403, "message": "members only"}


async def test_a_join_handler_that_raises_declines_with_the_errors_code(make, connect):
    def join(context):
        raise Forbidden(NAME, "members only")

    ann = await connect(make(join), "ann")

    await ann.join()

    told = {"code": 403, "message": "members only"}
    assert await ann.heard() == [("SYSTEM", "UNAUTHORIZED", told)]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("secret"),
        asyncio.CancelledError("secret"),
        BaseExceptionGroup("secret", [ValueError("secret")]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_a_join_handler_raises_declines_and_leaks_nothing(
    make, connect, error, caplog
):
    def join(context):
        raise error

    endpoint = make(join)
    ann = await connect(endpoint, "ann")

    await ann.join()

    told = {"code": 500, "message": "Internal server error"}
    assert await ann.heard() == [("SYSTEM", "UNAUTHORIZED", told)]
    assert counts(endpoint) == {"handler_failed": 1}
    assert "join_handler failed" in caplog.text


async def test_a_join_handler_that_does_not_respond_declines(make, connect):
    ann = await connect(make(lambda context: None), "ann")

    await ann.join()

    told = {"code": 401, "message": "Join handler did not respond"}
    assert await ann.heard() == [("SYSTEM", "UNAUTHORIZED", told)]


async def test_a_join_handler_that_raises_after_it_accepted_has_accepted(
    make, connect, caplog
):
    async def join(context):
        await context.accept()
        raise ValueError("too late")

    endpoint = make(join)
    ann = await connect(endpoint, "ann")

    await ann.join()

    assert await ann.heard() == [("SYSTEM", "ACKNOWLEDGE", {})]
    assert counts(endpoint) == {"handler_failed": 1}


async def test_a_declined_join_leaves_no_channel_behind(make, connect):
    endpoint = make(lambda context: context.decline(403, "members only"))
    ann = await connect(endpoint, "ann")

    await ann.join()

    assert endpoint.lobbies[0].channel_count == 0


async def test_a_join_that_matches_no_pattern_is_not_found(ann):
    await ann.join("/news/1", request_id="j7")

    (answer,) = await ann.events()
    assert (answer.action, answer.event, answer.channel_name, answer.request_id) == (
        "SYSTEM", "NOT_FOUND", "/news/1", "j7"
    )  # fmt: skip
    assert answer.payload == {"channel": "/news/1"}


async def test_a_second_join_is_acknowledged_and_runs_no_handler(make, connect, log):
    async def join(context):
        log.entries.append(context)
        await context.accept()

    ann = await connect(make(join), "ann")
    await ann.join()
    await ann.heard()

    await ann.join(request_id="j8")

    (answer,) = await ann.events()
    assert (answer.event, answer.request_id, answer.payload) == (
        "ACKNOWLEDGE",
        "j8",
        {},
    )
    assert len(log.entries) == 1


async def test_who_left_can_join_again(member):
    await member.leave()
    await member.heard()

    await member.join()

    assert await member.heard() == [("SYSTEM", "ACKNOWLEDGE", {})]


async def test_a_join_handler_learns_who_wants_what(make, connect, log):
    ann = await connect(make(log("join")), "ann", role="admin")

    await ann.join(color="blue")

    ((_, context),) = log.entries
    assert context.join_params == {"color": "blue"}
    assert context.route.param("room") == "1"
    assert context.channel.name == NAME
    assert context.transport is ann.transport
    assert context.user == User("ann", {"role": "admin"})


async def test_join_middlewares_run_around_the_join_handler(endpoint, connect, log):
    async def note(context, go_on):
        log.entries.append("in")
        await go_on()
        log.entries.append("out")

    async def refuse(context, go_on):
        await context.decline(403, "not today")

    endpoint.create_channel("/noted", accept, note)
    endpoint.create_channel("/refused", accept, refuse)
    ann = await connect(endpoint, "ann")

    await ann.join("/noted")
    await ann.join("/refused")

    assert log.entries == ["in", "out"]
    assert [name for _, name, _ in await ann.heard()] == ["ACKNOWLEDGE", "UNAUTHORIZED"]


async def test_a_connection_is_in_so_many_channels_and_no_more(make, connect):
    endpoint = make(max_channels_per_connection=2)
    ann = await connect(endpoint, "ann")
    await ann.join("/chat/1")
    await ann.join("/chat/2")
    await ann.heard()

    await ann.join("/chat/3", request_id="j7")

    (answer,) = await ann.events()
    assert (answer.event, answer.channel_name, answer.request_id) == (
        "UNAUTHORIZED", "/chat/3", "j7"
    )  # fmt: skip
    assert answer.payload == {
        "code": 429, "message": "at most 2 channels for a connection"
    }  # fmt: skip
    assert counts(endpoint) == {"refused": 1}


async def test_joins_in_progress_count_for_that_limit(make, connect):
    ann = await connect(make(stuck, max_channels_per_connection=2), "ann")

    for room in range(3):
        await ann.join(f"/chat/{room}")

    (answer,) = await ann.events()
    assert (answer.channel_name, answer.payload["code"]) == ("/chat/2", 429)


async def test_a_join_counts_once_while_its_accepted_handler_goes_on(make, connect):
    async def accept_and_stay(context):
        await context.accept()
        await asyncio.Event().wait()

    ann = await connect(make(accept_and_stay, max_channels_per_connection=2), "ann")

    for room in range(3):
        await ann.join(f"/chat/{room}")

    assert [answer.event for answer in await ann.events()] == [
        "ACKNOWLEDGE", "ACKNOWLEDGE", "UNAUTHORIZED"
    ]  # fmt: skip


async def test_who_left_a_channel_can_join_another(make, connect):
    ann = await connect(make(max_channels_per_connection=1), "ann")
    await ann.join("/chat/1")
    await ann.leave("/chat/1")
    await ann.heard()

    await ann.join("/chat/2")

    assert await ann.heard() == [("SYSTEM", "ACKNOWLEDGE", {})]


async def test_a_declined_join_does_not_count_for_the_limit(make, connect):
    async def join(context):
        if context.route.param("room") == "1":
            await context.decline(403, "members only")
        else:
            await context.accept()

    ann = await connect(make(join, max_channels_per_connection=1), "ann")
    await ann.join("/chat/1")
    await ann.heard()

    await ann.join("/chat/2")

    assert await ann.heard() == [("SYSTEM", "ACKNOWLEDGE", {})]


async def test_zero_is_no_limit(make, connect):
    ann = await connect(
        make(max_channels_per_connection=0, max_channel_name_length=0), "ann"
    )

    await ann.join("/chat/" + "x" * 10_000)

    assert await ann.heard() == [("SYSTEM", "ACKNOWLEDGE", {})]


async def test_the_length_of_a_channels_name_counts_in_bytes(make, connect):
    endpoint = make(max_channel_name_length=10)
    ann = await connect(endpoint, "ann")

    await ann.join("/chat/éé")
    await ann.join("/chat/ééé", request_id="j7")

    first, second = await ann.events()
    assert first.event == "ACKNOWLEDGE"
    assert (second.event, second.channel_name, second.request_id) == (
        "UNAUTHORIZED", "/chat/ééé", "j7"
    )  # fmt: skip
    assert second.payload == {
        "code": 400, "message": "channelName is longer than 10 bytes"
    }  # fmt: skip
    assert counts(endpoint) == {"refused": 1}


@pytest.mark.parametrize("name", ["/chat/a\nb", "/chat/\0", "\t/chat/1"])
async def test_a_channels_name_with_a_control_character_is_refused(ann, name):
    await ann.join(name)

    told = {"code": 400, "message": "channelName holds a control character"}
    assert await ann.heard() == [("SYSTEM", "UNAUTHORIZED", told)]


async def test_a_name_that_other_nodes_cannot_be_told_is_refused(connect):
    endpoint = Endpoint(
        path="/socket",
        connection_handler=lambda context: context.accept(),
        network=NotingNetwork(),
    )
    lobby = endpoint.create_channel("/chat/:room", accept)
    ann = await connect(endpoint, "ann")

    await ann.join("/chat/*", request_id="j7")

    (answer,) = await ann.events()
    assert (answer.event, answer.channel_name, answer.request_id) == (
        "UNAUTHORIZED", "/chat/*", "j7"
    )  # fmt: skip
    assert answer.payload == {
        "code": 400, "message": "channelName must not hold a star"
    }  # fmt: skip
    assert counts(endpoint) == {"refused": 1}
    assert lobby.channel_count == 0


async def test_a_channels_name_may_hold_any_other_character(ann):
    await ann.join("/chat/ \x7f é *>{}[.")

    assert await ann.heard() == [("SYSTEM", "ACKNOWLEDGE", {})]


async def test_an_accepted_join_counts_once_while_it_is_in_progress(make, connect):
    async def join(context):
        await context.accept()
        await stuck(context)

    ann = await connect(make(join, max_channels_per_connection=2), "ann")

    for room in range(3):
        await ann.join(f"/chat/{room}")

    assert [(name, payload.get("code")) for _, name, payload in await ann.heard()] == [
        ("ACKNOWLEDGE", None), ("ACKNOWLEDGE", None), ("UNAUTHORIZED", 429)
    ]  # fmt: skip


async def test_a_join_of_who_became_a_member_meanwhile_is_refused_as_a_conflict(
    make, connect
):
    async def join(context):
        await context.channel.add_user(context.transport)
        await context.accept()

    ann = await connect(make(join), "ann")

    await ann.join()

    ((_, name, payload),) = await ann.heard()
    assert (name, payload["code"]) == ("UNAUTHORIZED", Conflict.status)


async def test_a_connection_that_ends_during_its_join_becomes_no_member(
    make, connect, flying_time
):
    gate = asyncio.Event()

    async def join(context):
        await gate.wait()
        await context.accept()

    endpoint = make(join)
    ann = await connect(endpoint, "ann")
    await ann.join()

    await ann.transport.close()
    gate.set()
    await settle()
    await asyncio.sleep(60)

    assert endpoint.lobbies[0].channel_count == 0
    assert await endpoint.connection_count() == 0
    assert counts(endpoint).keys() <= {"refused", "outbound_dropped"}


async def test_a_join_of_a_channel_that_ends_meanwhile_is_refused(make, connect):
    gate = asyncio.Event()

    async def join(context):
        await gate.wait()
        await context.accept()

    endpoint = make(join)
    ann = await connect(endpoint, "ann")
    await ann.join()

    await endpoint.lobbies[0].close()
    gate.set()

    ((_, name, payload),) = await ann.heard()
    assert (name, payload["code"]) == ("UNAUTHORIZED", 503)
    assert endpoint.lobbies[0].channel_count == 0


# Leave


async def test_a_leave_is_acknowledged(member, lobby):
    await member.leave(request_id="l7")

    (answer,) = await member.events()
    assert (answer.action, answer.event, answer.channel_name, answer.request_id) == (
        "SYSTEM", "EXIT_ACKNOWLEDGE", NAME, "l7"
    )  # fmt: skip
    assert answer.payload == {}
    assert lobby.channel_count == 0


async def test_a_second_leave_gets_no_answer(member):
    await member.leave()
    await member.heard()

    await member.leave()

    assert await member.heard() == []


@pytest.mark.parametrize("name", [NAME, "/news/1"])
async def test_a_leave_of_a_channel_never_joined_gets_no_answer(
    endpoint, member, connect, name
):
    bob = await connect(endpoint, "bob")

    await bob.leave(name)

    assert await bob.heard() == []


async def test_a_leave_waits_for_the_messages_before_it(endpoint, lobby, member):
    gate = asyncio.Event()

    async def slow(context):
        await gate.wait()
        await context.reply("done", {})

    lobby.on_message("slow", slow)
    await member.say("slow")
    await member.leave()
    assert await member.heard() == []

    gate.set()

    assert [name for _, name, _ in await member.heard()] == ["done", "EXIT_ACKNOWLEDGE"]


# Messages


async def test_a_message_runs_its_handler(lobby, member, log):
    lobby.on_message("say", log("handled"))

    await member.say("say", {"text": "hi"}, request_id="r7")

    ((_, context),) = log.entries
    assert context.event_name == "say"
    assert context.get_payload() == {"text": "hi"}
    assert context.request_id == "r7"
    assert context.user.id == "ann"
    assert context.channel is await lobby.get_channel(NAME)


async def test_a_reply_answers_the_request(lobby, member):
    lobby.on_message("ask", lambda context: context.reply("answer", {"n": 42}))

    await member.say("ask", request_id="r7")

    (answer,) = await member.events()
    assert (answer.action, answer.event, answer.channel_name, answer.request_id) == (
        "SYSTEM", "answer", NAME, "r7"
    )  # fmt: skip
    assert answer.payload == {"n": 42}


async def test_a_broadcast_has_a_fresh_id(lobby, member):
    lobby.on_message("say", lambda context: context.broadcast("said", {"n": 1}))

    await member.say("say", request_id="r7")

    (message,) = await member.events()
    assert (message.action, message.event, message.channel_name, message.payload) == (
        "BROADCAST", "said", NAME, {"n": 1}
    )  # fmt: skip
    assert message.request_id != "r7"


@pytest.mark.parametrize("name", ["/chat/2", "/news/1"])
async def test_a_message_to_a_channel_that_does_not_exist_is_not_found(member, name):
    await member.say("say", channel=name, request_id="r7")

    (answer,) = await member.events()
    assert (answer.action, answer.event, answer.channel_name, answer.request_id) == (
        "SYSTEM", "NOT_FOUND", name, "r7"
    )  # fmt: skip
    assert answer.payload == {"channel": name}


async def test_who_is_no_member_learns_nothing(endpoint, lobby, member, connect, log):
    lobby.on_message("say", log("handled"))
    bob = await connect(endpoint, "bob")

    await bob.say("say")

    assert await bob.heard() == []
    assert log.entries == []
    assert counts(endpoint) == {"not_member": 1}


async def test_a_lobby_that_comes_later_takes_no_channel_from_an_earlier_one(
    endpoint, lobby, member, log
):
    lobby.on_message("say", log("first"))
    await member.say("say")

    endpoint.create_channel(NAME, accept).on_message("say", log("second"))
    await member.say("say")

    assert [name for name, _ in log.entries] == ["first", "first"]


async def test_a_channel_that_ended_is_not_found_although_its_lobby_is_known(
    lobby, member, log
):
    lobby.on_message("say", log("handled"))
    await member.say("say")
    await member.leave()
    await member.heard()

    await member.say("say")

    assert await member.heard() == [("SYSTEM", "NOT_FOUND", {"channel": NAME})]


async def test_the_lobbies_of_many_channels_are_remembered_up_to_a_bound(
    endpoint, lobby, member, log, monkeypatch
):
    monkeypatch.setattr(actions_module, "REMEMBERED_CHANNELS", 2)
    actions = endpoint.connections._perform.__self__
    lobby.on_message("say", log("handled"))
    names = [f"/chat/{number}" for number in range(1, 6)]
    for name in names:
        await member.join(name)

    sizes = set()
    for name in (*names, *names):
        await member.say("say", channel=name)
        sizes.add(len(actions._lobbies))

    assert sizes == {1, 2}
    assert [context.channel.name for _, context in log.entries] == [*names, *names]


async def test_who_was_evicted_is_no_member(endpoint, lobby, member, connect, log):
    lobby.on_message("say", log("handled"))
    await (await connect(endpoint, "bob")).join()
    await (await lobby.get_channel(NAME)).evict_user("ann", "spam")
    await member.heard()

    await member.say("say")

    assert await member.heard() == []
    assert log.entries == []


async def test_a_message_that_no_handler_matches_is_told_so(lobby, member, log):
    lobby.on_message("say", log("handled"))

    await member.say("shout", request_id="r7")

    (answer,) = await member.events()
    assert (answer.action, answer.event, answer.channel_name, answer.request_id) == (
        "ERROR", "HANDLER_NOT_FOUND", NAME, "r7"
    )  # fmt: skip
    assert answer.payload == {"code": 404, "message": "No handler for event 'shout'"}


async def test_a_handler_that_raises_is_told_with_all_that_the_error_says(
    endpoint, lobby, member, caplog
):
    def fail(context):
        raise PondError("later", 503, temporary=True, details={"after": 5})

    lobby.on_message("say", fail)

    await member.say("say", request_id="r7")

    (answer,) = await member.events()
    assert (answer.action, answer.event, answer.channel_name, answer.request_id) == (
        "SYSTEM", "INTERNAL_ERROR", NAME, "r7"
    )  # fmt: skip
    assert answer.payload == {
        "code": 503, "message": "later", "details": {"after": 5}, "temporary": True
    }  # fmt: skip
    assert counts(endpoint) == {"refused": 1}
    assert not caplog.records


@pytest.mark.parametrize(
    ("code", "counted"),
    [(403, "refused"), (499, "refused"), (503, "refused"), (500, "handler_failed")],
)
async def test_an_error_below_500_is_a_refusal_and_no_failure(
    endpoint, lobby, member, caplog, code, counted
):
    def fail(context):
        raise PondError("not you", code)

    lobby.on_message("say", fail)

    await member.say("say")

    ((_, name, payload),) = await member.heard()
    assert (name, payload["code"], payload["message"]) == (
        "INTERNAL_ERROR", code, "not you"
    )  # fmt: skip
    assert counts(endpoint) == {counted: 1}
    alarms = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(alarms) == (counted == "handler_failed")


async def test_what_cannot_be_encoded_is_the_servers_failure(endpoint, lobby, member):
    lobby.on_message("say", lambda context: context.broadcast("said", {"x": object()}))

    await member.say("say")

    ((_, name, payload),) = await member.heard()
    assert (name, payload["code"]) == ("INTERNAL_ERROR", 500)
    assert "object" not in payload["message"]
    assert counts(endpoint) == {"handler_failed": 1}


async def test_a_join_that_cannot_be_encoded_is_the_servers_failure(make, connect):
    async def join(context):
        await context.channel.broadcast("news", {"x": object()})

    endpoint = make(join)
    ann = await connect(endpoint, "ann")

    await ann.join()

    told = {"code": 500, "message": "Internal server error"}
    assert await ann.heard() == [("SYSTEM", "UNAUTHORIZED", told)]
    assert counts(endpoint) == {"handler_failed": 1}


@pytest.mark.parametrize(
    "error",
    [
        ValueError("secret"),
        asyncio.CancelledError("secret"),
        BaseExceptionGroup("secret", [KeyError("secret")]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_else_a_handler_raises_leaks_nothing(
    lobby, member, error, collector
):
    def fail(context):
        raise error

    lobby.on_message("say", fail)
    lobby.on_message("ask", lambda context: context.reply("answer", {}))

    await member.say("say")
    await member.say("ask")

    told = {
        "code": 500,
        "message": "Internal server error",
        "details": None,
        "temporary": False,
    }
    assert await member.heard() == [
        ("SYSTEM", "INTERNAL_ERROR", told),
        ("SYSTEM", "answer", {}),
    ]
    assert collector.of("error") == [["message_handler", error]]


async def test_who_is_no_member_any_more_gets_its_answers_in_order(
    endpoint, lobby, member, connect, log
):
    async def refuse(context):
        await context.evict("enough")
        await context.reply("first", {})
        raise Forbidden(NAME, "then")

    lobby.on_message("say", refuse)
    await (await connect(endpoint, "bob")).join()

    await member.say("say")

    events = [event.event for event in await member.events()]
    assert events == ["EVICTED", "first", "INTERNAL_ERROR"]


async def test_details_that_cannot_travel_are_left_out(lobby, member, caplog):
    def fail(context):
        raise PondError("no", 409, details={"what": object()})

    lobby.on_message("say", fail)

    await member.say("say")

    told = {"code": 409, "message": "no", "details": None, "temporary": False}
    assert await member.heard() == [("SYSTEM", "INTERNAL_ERROR", told)]
    (record,) = caplog.records
    assert record.getMessage() == "an error's details cannot be encoded"
    assert record.exc_info is not None


async def test_messages_of_a_channel_are_handled_one_at_a_time_in_order(lobby, member):
    gate = asyncio.Event()

    async def slow(context):
        await gate.wait()
        await context.reply(context.get_payload()["n"], {})

    lobby.on_message("slow", slow)
    for n in "123":
        await member.say("slow", {"n": n})
    assert await member.heard() == []

    gate.set()

    assert [name for _, name, _ in await member.heard()] == ["1", "2", "3"]


async def test_channels_of_one_connection_do_not_wait_for_each_other(lobby, member):
    lobby.on_message("stuck", stuck)
    lobby.on_message("ask", lambda context: context.reply("answer", {}))
    await member.join("/chat/2")
    await member.heard()

    await member.say("stuck", channel="/chat/1")
    await member.say("ask", channel="/chat/2")

    assert await member.heard() == [("SYSTEM", "answer", {})]


@pytest.mark.parametrize("action", ["JOIN_CHANNEL", "LEAVE_CHANNEL", "BROADCAST"])
async def test_messages_to_the_gateway_are_reserved(make, connect, action, log):
    endpoint = make(log("join"), pattern="/:any")
    ann = await connect(endpoint, "ann")

    await ann.ask(action, channel="GATEWAY", request_id="r7")

    (answer,) = await ann.events()
    assert (answer.action, answer.event, answer.channel_name, answer.request_id) == (
        "SYSTEM", "NOT_FOUND", "GATEWAY", "r7"
    )  # fmt: skip
    assert answer.payload == {"channel": "GATEWAY"}
    assert log.entries == []


async def test_an_action_that_does_not_exist_is_a_malformed_message(
    endpoint, ann, collector
):
    await ann.ask("SHOUT" * 100, request_id="r7")

    (answer,) = await ann.events()
    assert (answer.action, answer.event, answer.channel_name, answer.request_id) == (
        "ERROR", "INVALID_MESSAGE", "GATEWAY", "r7"
    )  # fmt: skip
    expected = "action: expected JOIN_CHANNEL, LEAVE_CHANNEL, BROADCAST, got 'SHOUT"
    assert answer.payload["error"].startswith(expected)
    assert len(answer.payload["error"]) < 200
    assert counts(endpoint) == {"malformed": 1}
    assert collector.of("error") == []


async def test_a_failure_of_the_library_itself_is_answered_and_reported(
    client, collector, caplog
):
    error = RuntimeError("a bug")

    def find_lobby(name):
        raise error

    ann = client("ann")
    telemetry = Telemetry(collector)
    session = Session(ann.transport, Options(), telemetry)
    actions = Actions(find_lobby, Options(), telemetry)

    await actions.perform(session, Event("JOIN_CHANNEL", NAME, "j1", "join", {}))

    ((_, name, payload),) = await ann.heard()
    assert (name, payload["code"]) == ("INTERNAL_ERROR", 500)
    assert collector.of("error") == [["action", error]]


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
async def test_the_end_of_the_process_travels_on(client, error):
    def find_lobby(name):
        raise error

    session = Session(client("ann").transport, Options(), Telemetry())
    actions = Actions(find_lobby, Options(), Telemetry())

    with pytest.raises(error):
        await actions.perform(session, Event("JOIN_CHANNEL", NAME, "j1", "join", {}))


async def test_the_cancellation_of_a_handlers_task_travels_on(lobby, member, collector):
    lobby.on_message("stuck", stuck)
    await member.say("stuck")
    (task,) = (t for t in asyncio.all_tasks() if t.get_name() == "pond-inbox-ann")

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await member.heard() == []
    assert collector.of("error") == []


# Hooks


async def test_hooks_surround_a_join(make, hooks, connect, log):
    async def join(context):
        log.entries.append("handler")
        await context.accept({"seat": 1})

    hooks.before_join = log("before")
    hooks.after_join = log("after")
    ann = await connect(make(join), "ann", role="admin")

    await ann.join()

    user = User("ann", {"role": "admin"})
    assert log.entries == [("before", user, NAME), "handler", ("after", user, NAME)]


@pytest.mark.parametrize("join", [lambda c: c.decline(403, "no"), lambda c: None])
async def test_there_is_no_after_join_without_an_accepted_one(
    make, hooks, connect, log, join
):
    hooks.before_join = log("before")
    hooks.after_join = log("after")
    ann = await connect(make(join), "ann")

    await ann.join()

    assert [name for name, *_ in log.entries] == ["before"]


async def test_hooks_surround_a_message(endpoint, hooks, lobby, member, log):
    hooks.before_message = log("before")
    hooks.after_message = log("after")
    lobby.on_message("say", lambda context: log.entries.append("handler"))

    await member.say("say")

    (_, before), handler, (_, after, error) = log.entries
    assert handler == "handler"
    assert before is after
    assert before.event == "say"
    assert error is None


async def test_hooks_surround_a_message_without_a_handler(hooks, member, log):
    hooks.before_message = log("before")
    hooks.after_message = log("after")

    await member.say("shout")

    assert [name for name, *_ in log.entries] == ["before", "after"]
    assert [name for _, name, _ in await member.heard()] == ["HANDLER_NOT_FOUND"]


async def test_after_message_sees_what_the_handler_raised(hooks, lobby, member, log):
    error = ValueError("no database")
    hooks.after_message = log("after")
    lobby.on_message("say", log("handled", error))

    await member.say("say")

    assert log.entries[-1][2] is error


async def test_before_message_drops_a_message_by_raising(hooks, lobby, member, log):
    error = Forbidden(NAME, "not now")
    hooks.before_message = log("before", error)
    hooks.after_message = log("after")
    lobby.on_message("say", log("handled"))

    await member.say("say")

    assert [name for name, *_ in log.entries] == ["before", "after"]
    assert log.entries[-1][2] is error
    ((_, name, payload),) = await member.heard()
    assert (name, payload["code"]) == ("INTERNAL_ERROR", 403)


@pytest.mark.parametrize("error", [ValueError("secret"), asyncio.CancelledError()])
async def test_whatever_before_message_raises_leaks_nothing(
    hooks, lobby, member, log, error
):
    hooks.before_message = log("before", error)
    lobby.on_message("say", log("handled"))

    await member.say("say")

    assert [name for name, *_ in log.entries] == ["before"]
    ((_, name, payload),) = await member.heard()
    assert (name, payload["message"]) == ("INTERNAL_ERROR", "Internal server error")


@pytest.mark.parametrize("hook", ["before_message", "after_message"])
async def test_a_message_hook_that_hangs_is_cut_off(
    endpoint, hooks, lobby, member, hook, flying_time
):
    async def hang(*args):
        await stuck(args)

    setattr(hooks, hook, hang)
    lobby.on_message("say", lambda context: context.reply("answer", {}))
    await member.say("say")

    await asyncio.sleep(endpoint.options.handler_timeout + 1)
    setattr(hooks, hook, None)
    await member.say("say")

    assert [name for _, name, _ in await member.heard()][-1] == "answer"


@pytest.mark.parametrize("hook", ["before_join", "after_join", "after_message"])
async def test_a_hook_that_raises_breaks_nothing(
    make, hooks, connect, log, hook, collector
):
    error = ValueError("no database")
    setattr(hooks, hook, log(hook, error))
    endpoint = make()
    endpoint.lobbies[0].on_message("ask", lambda context: context.reply("answer", {}))
    ann = await connect(endpoint, "ann")

    await ann.join()
    await ann.say("ask")

    assert [name for _, name, _ in await ann.heard()] == ["ACKNOWLEDGE", "answer"]
    assert [name for name, *_ in log.entries] == [hook]
    assert counts(endpoint) == {"hook_failed": 1}
    assert collector.of("error") == [["hook", error]]


async def test_without_hooks_all_works_the_same(make, connect):
    endpoint = make(hooks=None)
    endpoint.lobbies[0].on_message("ask", lambda context: context.reply("answer", {}))
    ann = await connect(endpoint, "ann")

    await ann.join()
    await ann.say("ask")
    await ann.leave()

    assert [name for _, name, _ in await ann.heard()] == [
        "ACKNOWLEDGE", "answer", "EXIT_ACKNOWLEDGE"
    ]  # fmt: skip


# Figures and middlewares


async def test_the_collector_is_told_how_long_a_handler_ran(lobby, member, collector):
    lobby.on_message("say/:what", lambda context: None)

    await member.say("say/hello")

    ((name, seconds),) = collector.of("handler_duration")
    assert name == "say/hello"
    assert 0 <= seconds < 1


async def test_a_handler_that_raises_has_a_duration_too(lobby, member, collector, log):
    lobby.on_message("say", log("handled", ValueError()))

    await member.say("say")

    assert [name for name, _ in collector.of("handler_duration")] == ["say"]


async def test_the_middleware_for_metrics_reports_nothing_twice(
    hooks, lobby, member, collector, log
):
    error = ValueError()
    lobby.on_message("say", log("handled", error), with_metrics(hooks))

    await member.say("say")

    assert len(collector.of("handler_duration")) == 1
    assert collector.of("error") == [["message_handler", error]]


async def test_the_rate_limiter_is_asked_by_the_middleware_only(hooks, lobby, member):
    hooks.rate_limiter = TokenBucketRateLimiter(rate=1, capacity=1, clock=lambda: 0)
    lobby.on_message("free", lambda context: context.reply("answer", {}))

    await member.say("free")
    await member.say("free")

    assert [name for _, name, _ in await member.heard()] == ["answer", "answer"]


async def test_a_message_that_the_limiter_denies_is_told_so(
    endpoint, hooks, lobby, member, collector, log
):
    hooks.rate_limiter = TokenBucketRateLimiter(rate=1, capacity=1, clock=lambda: 0)
    lobby.on_message("say", log("handled"), with_rate_limiter(hooks))

    await member.say("say")
    await member.say("say")

    assert len(log.entries) == 1
    ((_, name, payload),) = await member.heard()
    assert (name, payload["code"], payload["temporary"]) == (
        "INTERNAL_ERROR",
        429,
        True,
    )
    (((component, error)),) = collector.of("error")
    assert component == "rate_limiter"
    assert isinstance(error, TooManyRequests)


async def test_the_key_of_a_limit_can_be_chosen(hooks, lobby, member, log):
    hooks.rate_limiter = TokenBucketRateLimiter(rate=1, capacity=1, clock=lambda: 0)
    by_event = with_rate_limiter(hooks, key_fn=lambda message: message.event.event)
    lobby.on_message("say/:what", log("handled"), by_event)

    await member.say("say/a")
    await member.say("say/b")
    await member.say("say/a")

    assert [context.event_name for _, context in log.entries] == ["say/a", "say/b"]


async def test_a_broadcast_that_the_channels_limiter_denies_is_told_to_the_sender(
    endpoint, hooks, lobby, member
):
    hooks.channel_rate_limiter = TokenBucketRateLimiter(
        rate=1, capacity=1, clock=lambda: 0
    )
    lobby.on_message("say", lambda context: context.broadcast("said", {}))

    await member.say("say")
    await member.say("say")

    (_, first, _), (_, second, payload) = await member.heard()
    assert (first, second, payload["code"]) == ("said", "INTERNAL_ERROR", 429)
