"""An endpoint: who may connect, who is connected, and which lobby has a channel."""

import asyncio
import logging

import pytest

from pondsocket.changes import Sent
from pondsocket.endpoint import Endpoint
from pondsocket.errors import BadRequest, Forbidden, NotFound, PondError, Unauthorized
from pondsocket.hooks import Hooks
from pondsocket.metrics import Telemetry
from pondsocket.options import Options
from pondsocket.types import AllUsers, Headers, IncomingConnection, LeaveReason
from tests.unit.doubles import CodedTransport, NotingNetwork

NAME = "/chat/1"
FOREIGN = Headers([("Host", "good.com"), ("Origin", "https://evil.com")])


async def accept(context):
    await context.accept()


async def stuck(context):
    await asyncio.Event().wait()


@pytest.fixture
def make(collector):
    """Make an endpoint, whose connection handler accepts by default."""

    def make(handler=lambda context: context.accept(), *middlewares, **options):
        return Endpoint(
            path="/socket",
            connection_handler=handler,
            connection_middlewares=middlewares,
            options=Options(hooks=Hooks(metrics=collector), **options),
        )

    return make


@pytest.fixture
def endpoint(make):
    return make()


@pytest.fixture
def lobby(endpoint):
    return endpoint.create_channel("/chat/:room", accept)


def incoming(**rest):
    return IncomingConnection("c1", "127.0.0.1", **rest)


def counts(endpoint):
    return {name: n for name, n in endpoint.telemetry.counts().items() if n}


def test_it_shows_its_path_and_its_lobbies(endpoint):
    first = endpoint.create_channel("/chat/:room", accept)
    second = endpoint.create_channel("/news", accept)

    assert endpoint.path == "/socket"
    assert endpoint.lobbies == (first, second)


def test_a_malformed_path_is_refused():
    with pytest.raises(ValueError, match="stands twice"):
        Endpoint(path="/:a/:a", connection_handler=accept)


def test_options_and_telemetry_are_made_if_none_are_given():
    endpoint = Endpoint(path="/socket", connection_handler=accept)

    assert endpoint.options == Options()
    assert endpoint.telemetry.measuring is False


def test_a_telemetry_can_be_shared():
    telemetry = Telemetry()

    endpoint = Endpoint(path="/s", connection_handler=accept, telemetry=telemetry)

    assert endpoint.telemetry is telemetry


# Handshakes


async def test_the_handler_accepts(make):
    endpoint = make(lambda context: context.accept(role="admin"))

    context = await endpoint.request_connection(incoming())

    assert context.is_accepted
    assert context.assigns == {"role": "admin"}
    assert counts(endpoint) == {}


async def test_the_handler_may_be_a_coroutine_function(make):
    async def handler(context):
        context.accept(role="admin")

    context = await make(handler).request_connection(incoming())

    assert context.is_accepted


async def test_the_handler_declines(make):
    endpoint = make(lambda context: context.decline(403, "members only"))

    context = await endpoint.request_connection(incoming())

    assert context.is_declined
    assert context.decline_info == (403, "members only")


async def test_a_handler_that_decides_nothing_declines(make):
    context = await make(lambda context: None).request_connection(incoming())

    assert context.decline_info == (401, "Unauthorized")


async def test_a_handler_that_only_replies_accepts(make):
    endpoint = make(lambda context: context.reply("welcome", {}))

    context = await endpoint.request_connection(incoming())

    assert context.is_accepted


def failing(error):
    def handler(context):
        raise error

    return handler


@pytest.mark.parametrize(
    ("error", "info"),
    [
        (Unauthorized("", "who are you?"), (401, "who are you?")),
        (PondError("odd", 299), (299, "odd")),
        (PondError("later", 503), (503, "later")),
        (PondError("expired", 4001), (4001, "expired")),
    ],
    ids=str,
)
async def test_an_error_of_ours_declines_with_its_code(make, error, info):
    context = await make(failing(error)).request_connection(incoming())

    assert context.decline_info == info


@pytest.mark.parametrize(
    "error",
    [
        ValueError("secret"),
        asyncio.CancelledError("secret"),
        BaseExceptionGroup("secret", [ValueError()]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_any_other_error_declines_and_leaks_nothing(
    make, error, caplog, collector
):
    endpoint = make(failing(error))

    context = await endpoint.request_connection(incoming())

    assert context.decline_info == (500, "Internal server error")
    assert counts(endpoint) == {"handler_failed": 1}
    assert collector.of("error") == [["connection_handler", error]]
    assert "connection handler of '/socket' failed" in caplog.text


@pytest.mark.parametrize(
    ("code", "counted"),
    [(401, "refused"), (499, "refused"), (500, "handler_failed")],
)
async def test_an_error_below_500_is_a_refusal_and_no_failure(
    make, caplog, code, counted
):
    endpoint = make(failing(PondError("no", code)))

    await endpoint.request_connection(incoming())

    assert counts(endpoint) == {counted: 1}
    alarms = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(alarms) == (counted == "handler_failed")


async def test_a_handler_that_fails_after_it_accepted_has_not_accepted(make):
    def handler(context):
        context.accept(role="admin")
        raise ValueError("secret")

    context = await make(handler).request_connection(incoming(), "u1")

    assert context.decline_info == (500, "Internal server error")
    assert not context.is_accepted
    assert context.assigns == {}
    assert context.user_id == "u1"


async def test_a_handler_that_decides_twice_has_not_accepted(make):
    def handler(context):
        context.accept()
        context.accept()

    context = await make(handler).request_connection(incoming())

    code, _ = context.decline_info
    assert code == 400


async def test_a_refusal_stands_whatever_the_handler_does_then(make):
    def handler(context):
        context.decline(403, "members only")
        context.accept()

    context = await make(handler).request_connection(incoming())

    assert context.decline_info == (403, "members only")


async def test_a_handler_that_hangs_declines(make, flying_time, collector):
    endpoint = make(stuck, handshake_timeout=5)
    began = flying_time()

    context = await endpoint.request_connection(incoming())

    assert context.decline_info == (504, "took longer than 5 s")
    assert flying_time() - began == pytest.approx(5, abs=0.5)
    assert counts(endpoint) == {"handler_failed": 1}


async def test_a_timeout_of_the_handlers_own_is_its_failure(make):
    async def handler(context):
        raise TimeoutError("the database")

    context = await make(handler).request_connection(incoming())

    assert context.decline_info == (500, "Internal server error")


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
async def test_the_end_of_the_process_travels_on(make, error):
    with pytest.raises(error):
        await make(failing(error)).request_connection(incoming())


async def test_a_handshake_has_a_user(endpoint):
    ours = await endpoint.request_connection(incoming())
    theirs = await endpoint.request_connection(incoming(), user_id="u1")

    assert ours.user_id == "c1"
    assert theirs.user_id == "u1"


async def test_the_handler_sees_what_the_client_sent(make, log):
    request = incoming(
        headers=Headers([("X-Who", "ann")]),
        cookies={"sid": "s1"},
        query={"token": "t1"},
        params={"tenant": "acme"},
    )

    await make(log("handler")).request_connection(request)

    ((_, context),) = log.entries
    assert context.request is request
    assert context.route.param("tenant") == "acme"
    assert context.route.query_param("token") == ["t1"]


# Middlewares


def noting(log, name):
    async def middleware(context, go_on):
        log.entries.append(f"{name} in")
        await go_on()
        log.entries.append(f"{name} out")

    return middleware


async def test_middlewares_run_around_the_handler_in_order(make, log):
    endpoint = make(lambda context: context.accept(), noting(log, "a"))
    endpoint.use(noting(log, "b"), noting(log, "c"))

    context = await endpoint.request_connection(incoming())

    assert context.is_accepted
    assert log.entries == ["a in", "b in", "c in", "c out", "b out", "a out"]


async def test_a_middleware_that_does_not_go_on_stops_there(make, log):
    endpoint = make(log("handler"), lambda context, go_on: None, noting(log, "b"))

    context = await endpoint.request_connection(incoming())

    assert log.entries == []
    assert context.decline_info == (401, "Unauthorized")


async def test_a_middleware_may_decide_itself(make, log):
    endpoint = make(log("handler"))
    endpoint.use(lambda context, go_on: context.decline(403, "not today") and None)

    context = await endpoint.request_connection(incoming())

    assert log.entries == []
    assert context.decline_info == (403, "not today")


# What is refused before the handler runs


async def test_a_foreign_origin_is_refused_before_the_handler(make, log, caplog):
    endpoint = make(log("handler"))

    context = await endpoint.request_connection(incoming(headers=FOREIGN))

    assert context.decline_info == (403, "Origin not allowed")
    assert log.entries == []
    assert counts(endpoint) == {"refused": 1}
    assert "'https://evil.com'" in caplog.text
    assert "'good.com'" in caplog.text
    assert "allowed_origins" in caplog.text


async def test_a_listed_origin_may_come_in(make):
    endpoint = make(allowed_origins=["https://evil.com"])

    context = await endpoint.request_connection(incoming(headers=FOREIGN))

    assert context.is_accepted


async def test_a_forwarded_host_counts_only_if_it_is_trusted(make):
    headers = Headers([*FOREIGN.items(), ("X-Forwarded-Host", "evil.com")])

    first = await make().request_connection(incoming(headers=headers))
    second = await make(trust_forwarded=True).request_connection(
        incoming(headers=headers)
    )

    assert first.is_declined
    assert second.is_accepted


async def test_a_log_line_of_a_refusal_is_bounded_and_escaped(endpoint, caplog):
    origin = "https://evil.com\r\nERROR all is lost \x1b[31m" + "x" * 10_000

    await endpoint.request_connection(incoming(headers=Headers([("Origin", origin)])))

    (record,) = caplog.records
    assert len(record.getMessage()) < 600
    assert not set("\r\n\x1b") & set(record.getMessage())


async def test_a_full_endpoint_refuses_before_the_handler(make, connect, log):
    endpoint = make(log("handler"), max_connections=1)
    await connect(endpoint, "ann")

    context = await endpoint.request_connection(incoming())

    assert context.decline_info == (503, "The endpoint is full")
    assert log.entries == []
    assert counts(endpoint) == {"refused": 1}


@pytest.mark.parametrize("end", ["close", "drain"])
async def test_a_handshake_that_waits_at_the_end_is_refused(make, end):
    began = asyncio.Event()

    async def wait(context):
        began.set()
        await asyncio.Event().wait()

    endpoint = make(wait)
    asking = asyncio.create_task(endpoint.request_connection(incoming()))
    await began.wait()

    await (endpoint.close() if end == "close" else endpoint.drain(0))
    context = await asking

    assert context.decline_info == (503, "The server is shutting down")
    assert counts(endpoint) == {"refused": 1}


async def test_a_handshake_may_be_decided_while_the_endpoint_drains(make):
    gate = asyncio.Event()

    async def wait(context):
        await gate.wait()
        context.accept()

    endpoint = make(wait)
    slow = CodedTransport("ann")
    await endpoint.register_transport(slow)
    asking = asyncio.create_task(endpoint.request_connection(incoming()))
    await asyncio.sleep(0)
    draining = asyncio.create_task(endpoint.drain(0.05))
    await asyncio.sleep(0)

    gate.set()
    await draining

    assert (await asking).is_accepted


async def test_a_draining_endpoint_refuses_before_the_handler(make, log):
    endpoint = make(log("handler"))
    assert not endpoint.is_draining
    await endpoint.drain(0)
    assert endpoint.is_draining

    context = await endpoint.request_connection(incoming())

    assert context.decline_info == (503, "The server is shutting down")
    assert log.entries == []


def test_the_origin_of_other_requests_can_be_checked(endpoint):
    endpoint.check_origin(Headers([("Host", "good.com")]))
    with pytest.raises(Forbidden) as caught:
        endpoint.check_origin(FOREIGN)

    assert caught.value.code == 403


def test_who_may_read_an_answer_is_told(make):
    own = Headers([("Host", "good.com"), ("Origin", "https://good.com")])
    endpoint = make()

    assert endpoint.cors_origin(own) == "https://good.com"
    assert endpoint.cors_origin(FOREIGN) is None
    assert endpoint.cors_origin(Headers()) is None
    assert make(allowed_origins=["*"]).cors_origin(FOREIGN) == "https://evil.com"


# Who is there


async def test_a_registered_transport_is_there(endpoint, connect):
    ann = await connect(endpoint, "ann")

    assert await endpoint.get_transport("ann") is ann.transport
    assert await endpoint.get_transport("bob") is None
    assert await endpoint.connection_count() == 1


async def test_a_transport_is_registered_with_what_the_handler_decided(make, client):
    endpoint = make(lambda context: context.accept(role="admin").reply("hi", {"n": 1}))
    context = await endpoint.request_connection(incoming(), user_id="ann")
    ann = client("ann")

    await endpoint.register_transport(ann.transport, context)

    assert [(action, name) for action, name, _ in await ann.heard()] == [
        ("CONNECT", "CONNECTION"), ("SYSTEM", "hi")
    ]  # fmt: skip
    assert ann.transport.get_assign("role") == "admin"


async def test_a_connection_can_be_closed_by_its_user(endpoint, lobby, connect, log):
    lobby.on_leave(log("left"))
    ann = await connect(endpoint, "ann")
    await ann.join()

    await endpoint.close_connection("ann")

    assert not ann.transport.is_active()
    assert await endpoint.connection_count() == 0
    assert len(log.entries) == 1


async def test_a_connection_is_closed_as_a_normal_end(endpoint):
    ann = CodedTransport("ann")
    await endpoint.register_transport(ann)

    await endpoint.close_connection("ann")

    assert ann.closings == [(1000, "")]


async def test_what_was_sent_before_it_was_closed_still_arrives(
    endpoint, lobby, connect
):
    ann = await connect(endpoint, "ann")
    await ann.join()
    await ann.heard()

    await lobby.broadcast(NAME, "last", {})
    await endpoint.close_connection("ann")

    assert await ann.heard() == [("BROADCAST", "last", {})]


async def test_closing_who_is_not_there_is_not_found(endpoint):
    with pytest.raises(NotFound) as caught:
        await endpoint.close_connection("ann")

    assert caught.value.code == 404


async def test_a_handler_can_close_its_own_connection(endpoint, lobby, connect, log):
    async def bye(context):
        await endpoint.close_connection(context.user.id)
        log.entries.append("done")

    lobby.on_message("bye", bye)
    ann = await connect(endpoint, "ann")
    await ann.join()

    await ann.say("bye")

    assert log.entries == ["done"]
    assert await endpoint.connection_count() == 0


# Lobbies


async def test_the_first_lobby_that_matches_has_the_channel(endpoint, connect, log):
    endpoint.create_channel("/news", log("news"))
    endpoint.create_channel("/chat/:room", log("first"))
    endpoint.create_channel("*", log("second"))
    ann = await connect(endpoint, "ann")

    await ann.join("/chat/1")
    await ann.join("/other")

    assert [name for name, _ in log.entries] == ["first", "second"]


async def test_a_join_handler_can_be_registered_by_decorator(endpoint, connect):
    @endpoint.create_channel("/chat/:room")
    async def lobby(context):
        await context.accept()

    ann = await connect(endpoint, "ann")
    await ann.join()

    assert endpoint.lobbies == (lobby,)
    assert await ann.heard() == [("SYSTEM", "ACKNOWLEDGE", {})]


def test_a_malformed_channel_pattern_is_refused(endpoint):
    with pytest.raises(ValueError, match=r"'\*' must be"):
        endpoint.create_channel("/*/x", accept)

    assert endpoint.lobbies == ()


# Broadcasting from outside


@pytest.fixture
def network():
    return NotingNetwork()


@pytest.fixture
def networked(network):
    endpoint = Endpoint(
        path="/socket",
        connection_handler=lambda context: context.accept(),
        network=network,
    )
    endpoint.create_channel("/chat/:room", accept)
    return endpoint


async def test_a_broadcast_reaches_the_members_here(networked, network, connect):
    ann = await connect(networked, "ann")
    await ann.join()
    await ann.heard()

    await networked.broadcast(NAME, "news", {"n": 1})

    assert await ann.heard() == [("BROADCAST", "news", {"n": 1})]
    assert network.emitted == []


async def test_a_broadcast_reaches_other_nodes_without_a_member_here(
    networked, network
):
    await networked.broadcast(NAME, "news", {"n": 1})

    ((path, name, change),) = network.emitted
    assert (path, name) == ("/socket", NAME)
    assert isinstance(change, Sent)
    assert change.recipients == AllUsers()
    event = change.frame.event
    assert (event.action, event.event, event.channel_name, event.payload) == (
        "BROADCAST", "news", NAME, {"n": 1}
    )  # fmt: skip
    assert networked.lobbies[0].channel_count == 0


@pytest.mark.parametrize("name", ["/chat/*", "/chat/a.*"])
async def test_a_broadcast_to_a_name_that_nodes_cannot_be_told_is_refused(
    networked, network, name
):
    with pytest.raises(BadRequest, match="must not hold a star"):
        await networked.broadcast(name, "news", {})

    assert network.emitted == []


async def test_a_broadcast_to_a_channel_without_a_pattern_is_not_found(networked):
    with pytest.raises(NotFound):
        await networked.broadcast("/news", "news", {})


@pytest.mark.parametrize(
    ("name", "payload"), [("ACKNOWLEDGE", {}), ("", {}), ("news", {"x": object()})]
)
@pytest.mark.parametrize("is_joined", [True, False])
async def test_a_broadcast_that_cannot_be_sent_is_refused(
    networked, network, connect, name, payload, is_joined
):
    if is_joined:
        await (await connect(networked, "ann")).join()

    with pytest.raises(BadRequest):
        await networked.broadcast(NAME, name, payload)

    assert network.emitted == []


# The end


async def leave(endpoint, channel, ann):
    await ann.leave()


async def evict(endpoint, channel, ann):
    await channel.evict_user("ann", "spam")


async def remove(endpoint, channel, ann):
    await channel.remove_user("ann")


async def close_connection(endpoint, channel, ann):
    await endpoint.close_connection("ann")


async def close_transport(endpoint, channel, ann):
    await ann.transport.close()


async def lose_client(endpoint, channel, ann):
    await ann.transport.peer_gone()


async def drain(endpoint, channel, ann):
    await endpoint.drain(0)


async def close_channel(endpoint, channel, ann):
    await channel.close()


async def close_endpoint(endpoint, channel, ann):
    await endpoint.close()


WAYS = {
    leave: LeaveReason.EXPLICIT_LEAVE,
    remove: LeaveReason.EXPLICIT_LEAVE,
    evict: LeaveReason.EVICTED,
    close_connection: LeaveReason.CONNECTION_CLOSED,
    close_transport: LeaveReason.CONNECTION_CLOSED,
    lose_client: LeaveReason.CONNECTION_CLOSED,
    drain: LeaveReason.CONNECTION_CLOSED,
    close_channel: LeaveReason.CONNECTION_CLOSED,
    close_endpoint: LeaveReason.CONNECTION_CLOSED,
}
each_way = pytest.mark.parametrize("end", WAYS, ids=lambda way: way.__name__)


@each_way
async def test_a_leave_handler_runs_once_however_it_ends(
    endpoint, lobby, connect, log, end
):
    lobby.on_leave(log("left"))
    ann = await connect(endpoint, "ann")
    await ann.join()

    await end(endpoint, await lobby.get_channel(NAME), ann)
    await endpoint.close()

    ((_, context),) = log.entries
    assert (context.user.id, context.reason) == ("ann", WAYS[end])


@each_way
async def test_nothing_is_left_however_it_ends(
    endpoint, lobby, connect, collector, end
):
    ann = await connect(endpoint, "ann")
    await ann.join()
    channel = await lobby.get_channel(NAME)
    await channel.track_presence("ann", {"n": 1})

    await end(endpoint, channel, ann)
    await endpoint.close()

    assert lobby.channel_count == 0
    assert not channel.is_active
    assert await channel.get_presence() == {}
    assert await channel.user_count() == 0
    assert await endpoint.connection_count() == 0
    assert len(collector.of("channel_left")) == 1
    assert len(collector.of("channel_destroyed")) == 1
    assert len(collector.of("connection_closed")) == 1
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_leaving_is_complete_when_the_transport_has_closed(
    endpoint, lobby, connect
):
    async def slow(context):
        for _ in range(10):
            await asyncio.sleep(0)
        left.append(context.channel.name)

    left = []
    lobby.on_leave(slow)
    ann = await connect(endpoint, "ann")
    await ann.join("/chat/1")
    await ann.join("/chat/2")

    await ann.transport.close()

    assert left == ["/chat/1", "/chat/2"]


async def test_closing_ends_the_channels_and_refuses_the_next(endpoint, lobby, connect):
    await (await connect(endpoint, "ann")).join()
    await lobby.get_or_create_channel("/chat/empty")

    await endpoint.close()
    await endpoint.close()

    assert lobby.channel_count == 0
    context = await endpoint.request_connection(incoming())
    assert context.decline_info == (503, "The server is shutting down")
