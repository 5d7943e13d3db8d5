"""What `from pondsocket import ...` gives, and how it behaves as a whole.

Each module has its own tests; here stands what an application sees of them together.
"""

import asyncio
import inspect
from enum import StrEnum

import pytest

import pondsocket
from pondsocket import (
    AllExceptSender,
    AllUsers,
    BaseTransport,
    Channel,
    ChannelOptions,
    ChannelReceiver,
    ClientActions,
    ClosesWithCode,
    Conflict,
    ConnectionContext,
    DistributedMessageType,
    Endpoint,
    ErrorTypes,
    Event,
    EventContext,
    FrameSink,
    HasConnectionId,
    Headers,
    Hooks,
    IncomingConnection,
    InMemoryTransport,
    InternalActions,
    JoinContext,
    LeaveContext,
    LeaveReason,
    Lobby,
    LocalPubSub,
    MetricsCollector,
    NoopMetrics,
    NotFound,
    Options,
    OutgoingContext,
    PondError,
    PondSocket,
    PresenceEventTypes,
    PubSub,
    PubSubClosedError,
    PushableTransport,
    RateLimiter,
    RecipientSpec,
    Route,
    ServerActions,
    SlowConsumerPolicy,
    SSEServerTransport,
    SystemEntity,
    SystemEvents,
    TokenBucketRateLimiter,
    ToUsers,
    Transport,
    TransportType,
    Unavailable,
    User,
    UserData,
    error_event,
    event_to_pubsub_bytes,
    event_to_wire,
    parse,
    parse_inbound_text,
    pubsub_bytes_to_event,
    uuid,
    wire_to_event,
)
from tests.unit.doubles import PlainTransport, settle

NAME = "/chat/1"


@pytest.fixture
def pond():
    return PondSocket()


@pytest.fixture
def endpoint(pond):
    return pond.create_endpoint("/socket", lambda context: context.accept())


@pytest.fixture
def lobby(endpoint):
    return endpoint.create_channel("/chat/:room", lambda context: context.accept())


# Names


def test_a_star_import_gives_every_public_name():
    names = {}

    exec("from pondsocket import *", names)  # noqa: S102 - no function may hold it

    assert set(pondsocket.__all__) <= names.keys()


@pytest.mark.parametrize(
    "name",
    ["TypedLobby", "TypedEventContext", "TypedJoinContext", "typed_lobby"],
)
def test_names_for_typed_handlers_are_reserved(name):
    assert not hasattr(pondsocket, name)
    assert not hasattr(Endpoint, "create_typed_channel")


COROUTINES = {
    PondSocket: "find_transport find_connection broadcast drain close",
    Endpoint: "request_connection register_transport get_transport connection_count "
    "close_connection broadcast close",
    Lobby: "get_channel has_channel get_or_create_channel list_channels broadcast "
    "close",
    Channel: "user_count has_user add_user remove_user get_user get_user_assign "
    "update_assign get_assigns get_presence track_presence update_presence "
    "untrack_presence evict_user broadcast broadcast_to broadcast_from send_system "
    "send_acknowledge start close",
    JoinContext: "accept decline reply track broadcast broadcast_to broadcast_from "
    "set_assign assign get_assign get_all_presence get_all_assigns",
    EventContext: "reply broadcast broadcast_to broadcast_from track update_presence "
    "untrack evict set_assign assign get_assign get_all_presence get_all_assigns",
    OutgoingContext: "refresh_user get_all_presence get_all_assigns",
    LeaveContext: "remaining_user_count get_all_presence get_all_assigns broadcast "
    "broadcast_to broadcast_from",
    InMemoryTransport: "send_event close handle_messages push_inbound receive_sent "
    "drain_outbox",
    SSEServerTransport: "send_event close handle_messages push_message next_event "
    "wait_until_closed",
    LocalPubSub: "subscribe unsubscribe publish close",
    TokenBucketRateLimiter: "allow reset reset_all",
}
PLAIN = {
    PondSocket: "create_endpoint match_endpoint stats",
    Endpoint: "use create_channel check_origin",
    Lobby: "on_message on_leave on_outgoing",
    ConnectionContext: "accept decline reply set_assign set_assigns get_assign",
    JoinContext: "get_join_params",
    EventContext: "get_payload get_user has_replied",
    OutgoingContext: "block unblock is_blocked transform has_transformed get_payload "
    "get_event get_user",
    LeaveContext: "get_reason get_user get_assign",
    InMemoryTransport: "get_id get_assign set_assign clone_assigns is_active on_close "
    "on_message transport_type outbox_size",
    BaseTransport: "receive",
}


def each_method(table):
    return pytest.mark.parametrize(
        ("owner", "name"),
        [(owner, name) for owner, names in table.items() for name in names.split()],
        ids=lambda value: getattr(value, "__name__", value),
    )


@each_method(COROUTINES)
def test_a_method_that_may_wait_is_a_coroutine(owner, name):
    assert inspect.iscoroutinefunction(getattr(owner, name))


@each_method(PLAIN)
def test_a_method_that_never_waits_is_plain(owner, name):
    method = getattr(owner, name)

    assert callable(method)
    assert not inspect.iscoroutinefunction(method)


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (PondSocket.__init__, "options pubsub"),
        (PondSocket.create_endpoint, "path handler middlewares"),
        (PondSocket.broadcast, "endpoint_path channel event payload"),
        (PondSocket.drain, "grace"),
        (Endpoint.request_connection, "incoming user_id"),
        (Endpoint.register_transport, "transport context"),
        (Endpoint.create_channel, "pattern handler middlewares"),
        (Lobby.on_message, "event_pattern handler middlewares"),
        (Lobby.on_outgoing, "event_pattern handler middlewares"),
        (Lobby.on_leave, "handler middlewares"),
        (Channel.remove_user, "user_id reason"),
        (Channel.update_assign, "user_id key value"),
        (Channel.track_presence, "user_id data"),
        (Channel.broadcast_from, "event payload exclude_id"),
        (Channel.send_system, "event payload request_id user_ids"),
        (Channel.send_acknowledge, "request_id user_id"),
        (ConnectionContext.decline, "code message"),
        (ConnectionContext.reply, "event payload"),
        (JoinContext.accept, "assigns"),
        (EventContext.evict, "reason user_ids"),
        (OutgoingContext.transform, "payload"),
        (InMemoryTransport.receive_sent, "wait"),
    ],
)
def test_parameters_have_the_names_that_are_documented(function, parameters):
    _, *names = inspect.signature(function).parameters

    assert names == parameters.split()


# A whole conversation


async def test_two_users_talk(pond, endpoint, connect):
    lobby = endpoint.create_channel("/chat/:room", enter)

    @lobby.on_message("say")
    async def say(context):
        await context.broadcast_from("said", {"by": context.user.id})
        await context.reply("ok", {})

    @lobby.on_leave
    async def left(context):
        await context.broadcast("left", {"who": context.user.id})

    ann, bob = await connect(endpoint, "ann"), await connect(endpoint, "bob")
    await ann.join()
    await bob.join()
    await ann.say("say")
    await ann.leave()
    await ann.say("say")

    a, b = {"id": "ann"}, {"id": "bob"}
    assert await ann.heard() == [
        ("SYSTEM", "ACKNOWLEDGE", {}),
        ("PRESENCE", "JOIN", {"presence": [a], "changed": a}),
        ("PRESENCE", "JOIN", {"presence": [a, b], "changed": b}),
        ("SYSTEM", "ok", {}),
        ("SYSTEM", "EXIT_ACKNOWLEDGE", {}),
    ]
    assert await bob.heard() == [
        ("SYSTEM", "ACKNOWLEDGE", {}),
        ("PRESENCE", "JOIN", {"presence": [a, b], "changed": b}),
        ("BROADCAST", "said", {"by": "ann"}),
        ("PRESENCE", "LEAVE", {"presence": [b], "changed": a}),
        ("BROADCAST", "left", {"who": "ann"}),
    ]
    assert pond.stats().counts["not_member"] == 1


async def enter(context):
    await context.accept()
    await context.track({"id": context.transport.get_id()})


# Values


@pytest.mark.parametrize(
    "names",
    [
        ("", "c", "r", "e"),
        ("a", "", "r", "e"),
        ("a", "c", "", "e"),
        ("a", "c", "r", ""),
    ],
)
def test_an_event_needs_its_first_four(names):
    with pytest.raises(ValueError, match="must not be empty"):
        Event(*names)


def test_an_event_is_mutable_and_has_the_documented_defaults():
    event = Event("BROADCAST", NAME, "r1", "say")

    event.payload = {"n": 1}

    assert event == Event(
        action="BROADCAST",
        channel_name=NAME,
        request_id="r1",
        event="say",
        payload={"n": 1},
        node_id="",
        recipients=[],
        recipient_descriptor="ALL_USERS",
        from_user_id="CHANNEL",
        user_id="",
        meta=None,
    )


def test_a_user_makes_its_data():
    assert User("ann", {"a": 1}).to_user_data() == UserData("ann", {"a": 1}, {})


def test_a_handshake_has_the_documented_members():
    incoming = IncomingConnection("c1", "10.0.0.7", Headers(), {}, {"a": "1"}, {})

    assert (incoming.id, incoming.address, incoming.query) == (
        "c1", "10.0.0.7", {"a": "1"}
    )  # fmt: skip


def test_recipients_are_one_of_three():
    for recipients in (AllUsers(), AllExceptSender("ann"), ToUsers(("ann",))):
        assert isinstance(recipients, RecipientSpec)


@pytest.mark.parametrize(
    "kind",
    [
        TransportType, SystemEvents, SystemEntity, InternalActions, ClientActions,
        ServerActions, PresenceEventTypes, ChannelReceiver, LeaveReason, ErrorTypes,
        DistributedMessageType,
    ],
)  # fmt: skip
def test_enums_are_strings(kind):
    assert issubclass(kind, StrEnum)
    assert len(kind) >= 2


def test_ids_are_fresh():
    assert uuid() != uuid()


def test_a_path_is_taken_apart_by_a_pattern():
    route = parse("/:tenant/file-:name/*", "//acme/file-a%20b/x/y?q=1&q=2")

    assert isinstance(route, Route)
    assert (route.param("tenant"), route.param("name"), route.param("z")) == (
        "acme", "a b", ""
    )  # fmt: skip
    assert (route.query_param("q"), route.query_param("z")) == (["1", "2"], [])
    assert route.wildcard == "x/y"


def test_a_path_that_does_not_match_is_not_found():
    with pytest.raises(PondError) as caught:
        parse("/a", "/b")

    assert caught.value.code == 404


def test_the_wire_goes_both_ways():
    event = Event("BROADCAST", NAME, "r1", "say", {"n": 1})

    assert wire_to_event(event_to_wire(event)) == event
    assert parse_inbound_text(pondsocket.event_to_json(event)) == event
    assert pubsub_bytes_to_event(event_to_pubsub_bytes(event)) == event


# Errors


@pytest.mark.parametrize(
    ("name", "alias", "code", "temporary"),
    [
        ("BadRequest", "bad_request", 400, False),
        ("Unauthorized", "unauthorized", 401, False),
        ("Forbidden", "forbidden", 403, False),
        ("NotFound", "not_found", 404, False),
        ("Conflict", "conflict", 409, False),
        ("TooManyRequests", "too_many_requests", 429, True),
        ("InternalError", "internal", 500, False),
        ("Unavailable", "unavailable", 503, True),
        ("DeadlineExceeded", "timeout", 504, True),
    ],
)
def test_there_is_an_error_for_each_thing_one_may_want_to_catch(
    name, alias, code, temporary
):
    error = getattr(pondsocket, name)(NAME, "no")

    assert getattr(pondsocket, alias) is type(error)
    assert isinstance(error, PondError)
    assert (error.code, error.temporary, error.channel_name) == (code, temporary, NAME)
    assert all(part in str(error) for part in (NAME, "no", str(code)))


def test_an_error_makes_an_event():
    event = error_event(NotFound(NAME, "no"))

    assert (event.action, event.event, event.channel_name) == (
        "SYSTEM", "INTERNAL_ERROR", NAME
    )  # fmt: skip
    assert event.payload == {
        "code": 404, "message": "no", "details": None, "temporary": False
    }  # fmt: skip


# Options


def test_a_bad_option_is_named_with_what_is_allowed():
    with pytest.raises(ValueError, match=r"Options\.pong_wait must be a number"):
        Options(pong_wait=0)


def test_an_option_of_the_past_names_what_replaces_it():
    with pytest.warns(DeprecationWarning, match="use max_concurrent_handlers"):
        Options(dispatch_concurrency=32)


# Transports


def test_our_transports_have_the_powers_that_are_documented():
    memory, stream = InMemoryTransport("ann"), SSEServerTransport(id="ann")

    for transport in (memory, stream):
        for power in (Transport, FrameSink, ClosesWithCode, HasConnectionId):
            assert isinstance(transport, power)
    assert isinstance(stream, PushableTransport)
    assert not isinstance(memory, PushableTransport)


def test_a_users_class_with_just_the_methods_is_a_transport():
    assert isinstance(PlainTransport(), Transport)
    assert not isinstance(
        PlainTransport(), FrameSink | ClosesWithCode | HasConnectionId
    )


async def test_a_users_own_transport_works(endpoint, lobby):
    lobby.on_message("ask", lambda context: context.reply("answer", {"n": 42}))
    ann = PlainTransport("ann")
    await endpoint.register_transport(ann)

    await ann.handler(Event("JOIN_CHANNEL", NAME, "j1", "join", {}), ann)
    await ann.handler(Event("BROADCAST", NAME, "r1", "ask", {}), ann)
    await settle()

    assert [event.event for event in ann.sent] == [
        "CONNECTION", "ACKNOWLEDGE", "answer"
    ]  # fmt: skip


async def test_a_users_own_transport_costs_no_task_while_it_is_idle(endpoint, lobby):
    before = asyncio.all_tasks()
    ann = PlainTransport("ann")
    await endpoint.register_transport(ann)
    assert len(asyncio.all_tasks() - before) == 1

    await settle()

    assert asyncio.all_tasks() == before


async def test_a_transport_that_hangs_delays_nobody_and_is_closed(
    pond, endpoint, lobby, connect, flying_time
):
    bob = await connect(endpoint, "bob")
    await bob.join()
    await bob.heard()
    stuck = PlainTransport("ann")
    await endpoint.register_transport(stuck)
    await stuck.handler(Event("JOIN_CHANNEL", NAME, "j1", "join", {}), stuck)
    await settle()
    stuck.gate.clear()

    await lobby.broadcast(NAME, "news", {})

    assert await bob.heard() == [("BROADCAST", "news", {})]
    assert stuck.is_active()
    await asyncio.sleep(pond.options.send_timeout + 1)
    assert not stuck.is_active()
    assert pond.stats().connections == 1
    assert pond.stats().counts["send_timeout"] == 1
    assert pond.stats().counts["slow_consumer_closed"] == 1


async def test_a_client_that_does_not_read_costs_itself_its_connection(connect):
    pond = PondSocket(options=Options(outbound_max_messages=5))
    endpoint = pond.create_endpoint("/socket", lambda context: context.accept())
    lobby = endpoint.create_channel("/chat/:room", lambda context: context.accept())
    slow, bob = InMemoryTransport("slow", capacity=3), await connect(endpoint, "bob")
    await endpoint.register_transport(slow)
    await slow.push_inbound(Event("JOIN_CHANNEL", NAME, "j1", "join", {}))
    await bob.join()
    await bob.heard()

    for n in range(20):
        await lobby.broadcast(NAME, "news", {"n": n})
        await settle()

    assert [payload["n"] for _, _, payload in await bob.heard()] == list(range(20))
    assert not slow.is_active()
    counts = pond.stats().counts
    assert counts["slow_consumer_closed"] == 1
    assert counts["outbound_dropped"] == 6  # 5 in the outbox and the one too many


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        (SlowConsumerPolicy.DROP_OLDEST, [0, 1, 8, 9]),
        (SlowConsumerPolicy.DROP_NEWEST, [0, 1, 2, 3]),
    ],
)
async def test_a_slow_client_may_lose_messages_instead(policy, kept):
    pond = PondSocket(options=Options(outbound_max_messages=2, slow_consumer=policy))
    endpoint = pond.create_endpoint("/socket", lambda context: context.accept())
    lobby = endpoint.create_channel("/chat/:room", lambda context: context.accept())
    slow = InMemoryTransport("slow", capacity=2)
    await endpoint.register_transport(slow)
    await slow.push_inbound(Event("JOIN_CHANNEL", NAME, "j1", "join", {}))
    await slow.drain_outbox()

    for n in range(10):
        await lobby.broadcast(NAME, "news", {"n": n})
        await settle()

    heard = []
    while slow.outbox_size():
        heard += [event.payload["n"] for event in await slow.drain_outbox()]
        await settle()
    assert heard == kept
    assert slow.is_active()
    assert pond.stats().counts["outbound_dropped"] == 6


async def test_the_memory_transport_is_a_client_in_a_test():
    transport = InMemoryTransport("ann", assigns={"role": "admin"})
    event = Event("SYSTEM", NAME, "r1", "hello", {})

    await transport.send_event(event)
    assert transport.outbox_size() == 1
    assert await transport.receive_sent() is event
    with pytest.raises(TimeoutError):
        await transport.receive_sent(wait=1e-6)
    assert await transport.drain_outbox() == []
    await transport.close()
    with pytest.raises(PondError):
        await transport.send_event(event)


async def test_the_sse_transport_is_the_servers_side_of_a_stream(endpoint, lobby):
    stream = SSEServerTransport(id="ann", assigns={"role": "admin"})
    await endpoint.register_transport(stream)
    assert (await stream.next_event()).event == "CONNECTION"

    await stream.push_message(
        b'{"action":"JOIN_CHANNEL","event":"join","channelName":"/chat/1",'
        b'"requestId":"j1","payload":{}}'
    )
    assert (await stream.next_event()).event == "ACKNOWLEDGE"

    await stream.close()
    await stream.wait_until_closed()
    assert await stream.next_event() is None


async def test_a_transport_can_be_built_on_the_base(endpoint, lobby):
    class Wire(BaseTransport):
        def __init__(self, user_id):
            super().__init__(user_id)
            self.sent = []

        async def send_event(self, event):
            self.sent.append(event.event)

    ann = Wire("ann")
    await endpoint.register_transport(ann)

    assert ann.receive("nonsense")
    assert ann.receive(
        '{"action":"JOIN_CHANNEL","event":"join","channelName":"/chat/1",'
        '"requestId":"j1","payload":{}}'
    )
    await settle()

    assert ann.sent == ["CONNECTION", "INVALID_MESSAGE", "ACKNOWLEDGE"]


# Channels by hand


async def test_a_channel_can_be_built_by_hand(log):
    channel = Channel(
        ChannelOptions(
            name=NAME,
            options=Options(),
            leave_handler=log("left"),
            on_destroy=log("destroyed"),
            endpoint_path="/socket",
        )
    )
    ann = InMemoryTransport("ann")

    await channel.start()
    await channel.add_user(ann)
    with pytest.raises(Conflict):
        await channel.add_user(ann)
    await channel.broadcast("news", {})
    assert (await ann.receive_sent()).event == "news"
    await channel.close()

    assert [name for name, *_ in log.entries] == ["left", "destroyed"]
    with pytest.raises(Unavailable):
        await channel.add_user(InMemoryTransport("bob"))


# Pub/sub, hooks and limits


async def test_the_local_pubsub_is_a_pubsub(log):
    pubsub = LocalPubSub(buffer_size=10)
    handler = log("got", asyncio.sleep(0))
    assert isinstance(pubsub, PubSub)

    await pubsub.subscribe("topic", handler)
    with pytest.raises(Conflict):
        await pubsub.subscribe("topic", handler)
    await pubsub.publish("topic", b"data")
    await settle()
    await pubsub.unsubscribe("topic")
    with pytest.raises(NotFound):
        await pubsub.unsubscribe("topic", handler)
    await pubsub.close()

    assert log.entries == [("got", "topic", b"data")]
    with pytest.raises(PubSubClosedError):
        await pubsub.publish("topic", b"data")


def test_hooks_are_all_optional():
    assert Options(hooks=Hooks()).hooks == Hooks()
    assert isinstance(NoopMetrics(), MetricsCollector)
    assert isinstance(TokenBucketRateLimiter(rate=1, capacity=1), RateLimiter)
