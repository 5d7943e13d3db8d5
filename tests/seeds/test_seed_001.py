"""The examples of the core's seed document run as they stand there.

One liberty: the example for several nodes finds its server on another port than 6379,
which may be taken.
"""

import ast
import asyncio
import inspect

import pytest
import redis.asyncio

import pondsocket_redis
from pondsocket import Event, IncomingConnection, InMemoryTransport
from pondsocket.distributed import RedisPubSub
from tests.backends.servers import valkey_server

MINIMAL_EXAMPLE = """
from pondsocket import ConnectionContext, EventContext, JoinContext, PondSocket


async def auth(ctx: ConnectionContext) -> None:
    if ctx.query.get("token") != "secret":
        ctx.decline(401, "Invalid token")
        return
    ctx.accept(user_id=ctx.query.get("uid", "anon"))


async def on_join(ctx: JoinContext) -> None:
    await ctx.accept()
    await ctx.track({"status": "online"})


async def on_message(ctx: EventContext) -> None:
    await ctx.broadcast(ctx.event_name, ctx.get_payload())


pond = PondSocket()
endpoint = pond.create_endpoint("/api/socket", auth)
lobby = endpoint.create_channel("/chat/:room_id", on_join)
lobby.on_message("message", on_message)
"""

SEVERAL_NODES = """
from redis.asyncio import Redis
from pondsocket import PondSocket
from pondsocket.distributed import RedisPubSub

redis = Redis(host="localhost", port=6379)
pubsub = RedisPubSub(redis, owns_client=True)
pond = PondSocket(pubsub=pubsub)
"""

HOOKS_AND_METRICS = """
from pondsocket import Hooks, NoopMetrics, Options, PondSocket, TokenBucketRateLimiter

hooks = Hooks(
    rate_limiter=TokenBucketRateLimiter(rate=10, capacity=20),
    metrics=NoopMetrics(),
)
pond = PondSocket(options=Options(hooks=hooks))
"""

MIDDLEWARE_FACTORIES = """
from pondsocket import with_metrics, with_rate_limiter

lobby.on_message(
    "message",
    on_message,
    with_rate_limiter(hooks, key_fn=lambda msg: msg.user.id),
    with_metrics(hooks),
)
"""

TESTING = """
from pondsocket import InMemoryTransport

t = InMemoryTransport("alice")
await endpoint.register_transport(t)

await t.push_inbound(some_event)
sent = await t.receive_sent()
"""

JOIN = Event("JOIN_CHANNEL", "/chat/1", "j1", "join", {})


async def run(example, names):
    """Run an example among `names`, where it leaves what it defines."""
    code = compile(example, "seed 001", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    waiting = eval(code, names)  # noqa: S307 - the examples above
    if inspect.isawaitable(waiting):
        await waiting


@pytest.fixture
async def names():
    """What the minimal example defines."""
    names = {}
    await run(MINIMAL_EXAMPLE, names)
    yield names
    await names["pond"].close()


@pytest.fixture
async def nodes(monkeypatch):
    """What two runs of the example for several nodes define, with a room each."""

    def to_server(*, host, port):
        assert (host, port) == ("localhost", 6379)
        return client(host="127.0.0.1", port=server.port)

    client = redis.asyncio.Redis
    nodes = []
    async with valkey_server() as server:
        monkeypatch.setattr("redis.asyncio.Redis", to_server)
        for _ in range(2):
            names = {}
            await run(MINIMAL_EXAMPLE, names)
            await run(SEVERAL_NODES, names)
            endpoint = names["pond"].create_endpoint("/api/socket", names["auth"])
            room = endpoint.create_channel("/chat/:room_id", names["on_join"])
            room.on_message("message", names["on_message"])
            nodes.append(names | {"endpoint": endpoint})
        yield nodes
        for names in nodes:
            await names["pond"].close()
            await names["pubsub"].close()


async def joined(endpoint, user_id):
    """Connect a user, let it join, and take away what it heard of that."""
    transport = InMemoryTransport(user_id)
    await endpoint.register_transport(transport)
    await transport.push_inbound(JOIN)
    for name in ("CONNECTION", "ACKNOWLEDGE", "JOIN"):
        assert (await transport.receive_sent()).event == name
    return transport


async def say(transport):
    message = Event("BROADCAST", "/chat/1", "r1", "message", {"text": "hi"})
    await transport.push_inbound(message)


async def test_the_minimal_example_declines_without_the_token(names):
    request = IncomingConnection("c1", "127.0.0.1", query={"token": "guess"})

    context = await names["endpoint"].request_connection(request)

    assert context.decline_info == (401, "Invalid token")


@pytest.mark.parametrize(
    ("query", "user"), [({"uid": "ann"}, "ann"), ({}, "anon")], ids=["named", "anon"]
)
async def test_the_minimal_example_accepts_with_the_token(names, query, user):
    request = IncomingConnection("c1", "127.0.0.1", query={"token": "secret", **query})

    context = await names["endpoint"].request_connection(request)

    assert context.is_accepted
    assert context.get_assign("user_id") == user
    assert context.user_id == "c1"


async def test_the_minimal_example_shows_who_joined(names):
    transport = InMemoryTransport("ann")
    await names["endpoint"].register_transport(transport)
    await transport.receive_sent()

    await transport.push_inbound(JOIN)

    acknowledgement = await transport.receive_sent()
    presence = await transport.receive_sent()
    assert acknowledgement.event == "ACKNOWLEDGE"
    assert (presence.action, presence.event) == ("PRESENCE", "JOIN")
    assert presence.payload == {
        "presence": [{"status": "online"}],
        "changed": {"status": "online"},
    }


async def test_the_minimal_example_passes_messages_on_to_everybody(names):
    ann = await joined(names["endpoint"], "ann")
    bob = await joined(names["endpoint"], "bob")
    await ann.receive_sent()

    await say(bob)

    for transport in (ann, bob):
        message = await transport.receive_sent()
        assert (message.action, message.event, message.payload) == (
            "BROADCAST", "message", {"text": "hi"}
        )  # fmt: skip


async def test_the_example_for_several_nodes_makes_them_one(nodes):
    first, second = nodes
    ann = await joined(first["endpoint"], "ann")
    bob = InMemoryTransport("bob")
    await second["endpoint"].register_transport(bob)
    await bob.push_inbound(JOIN)
    presence = await ann.receive_sent()

    await say(ann)

    assert (presence.event, len(presence.payload["presence"])) == ("JOIN", 2)
    async with asyncio.timeout(5):
        while (message := await bob.receive_sent()).event != "message":
            pass
    assert message.payload == {"text": "hi"}


def test_the_example_for_several_nodes_gives_each_a_name(nodes):
    first, second = (names["pond"].options.node_id for names in nodes)

    assert first
    assert second
    assert first != second


def test_both_places_of_the_class_are_one():
    assert RedisPubSub is pondsocket_redis.RedisPubSub


async def test_the_example_for_hooks_and_metrics_runs():
    names = {}

    await run(HOOKS_AND_METRICS, names)

    assert names["pond"].options.hooks is names["hooks"]


async def test_the_example_for_middleware_factories_limits_each_user(names):
    names["lobby"] = names["endpoint"].create_channel("/other/:id", names["on_join"])
    hooks = {}
    await run(HOOKS_AND_METRICS, hooks)
    names["hooks"] = hooks["hooks"]
    await run(MIDDLEWARE_FACTORIES, names)
    ann = InMemoryTransport("ann")
    await names["endpoint"].register_transport(ann)
    await ann.push_inbound(Event("JOIN_CHANNEL", "/other/1", "j1", "join", {}))
    for _ in range(3):
        await ann.receive_sent()

    for _ in range(100):
        await ann.push_inbound(Event("BROADCAST", "/other/1", "r1", "message", {}))
    heard = [(await ann.receive_sent()).event for _ in range(100)]

    assert heard[:20] == ["message"] * 20
    assert heard[-1] == "INTERNAL_ERROR"


async def test_the_example_for_testing_runs(names):
    names["some_event"] = JOIN

    await run(TESTING, names)

    assert names["sent"].event == "CONNECTION"
    assert (await names["t"].receive_sent()).event == "ACKNOWLEDGE"
