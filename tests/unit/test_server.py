"""The root: endpoints by path, who is connected anywhere, start and end."""

import asyncio

import pytest

from pondsocket.errors import BadRequest, NotFound, PubSubClosedError
from pondsocket.hooks import Hooks
from pondsocket.local_pubsub import LocalPubSub
from pondsocket.metrics import COUNTERS, NoopMetrics
from pondsocket.options import Options
from pondsocket.pubsub import format_heartbeat_topic, format_topic
from pondsocket.server import EndpointMatch, PondSocket
from pondsocket.transports import SSEServerTransport
from pondsocket.types import Event, IncomingConnection, Route
from tests.unit.doubles import other_tasks, settle

NAME = "/chat/1"


def accept(context):
    return context.accept()


async def join(context):
    await context.accept()


@pytest.fixture
def pond():
    return PondSocket()


@pytest.fixture
def endpoint(pond):
    return pond.create_endpoint("/socket", accept)


@pytest.fixture
def lobby(endpoint):
    return endpoint.create_channel("/chat/:room", join)


# Assembly


def test_it_makes_do_without_options(pond):
    assert pond.options == Options()
    assert pond.pubsub is None
    assert pond.endpoints == []


def test_its_options_are_those_given():
    options = Options(max_connections=7)

    assert PondSocket(options=options).options is options


def test_its_endpoints_are_listed_in_order(pond):
    first = pond.create_endpoint("/a", accept)
    second = pond.create_endpoint("/b", accept)
    pond.endpoints.clear()

    assert pond.endpoints == [first, second]


def test_an_endpoint_shares_options_and_figures(pond):
    endpoint = pond.create_endpoint("/socket", accept)

    assert endpoint.path == "/socket"
    assert endpoint.options is pond.options
    assert endpoint.telemetry is pond.telemetry


def test_a_path_has_one_endpoint(pond, endpoint):
    with pytest.raises(ValueError, match="an endpoint for '/socket' already"):
        pond.create_endpoint("/socket", accept)

    assert pond.endpoints == [endpoint]


def test_a_malformed_path_is_refused(pond):
    with pytest.raises(ValueError, match="stands twice"):
        pond.create_endpoint("/:a/:a", accept)

    assert pond.endpoints == []


async def test_middlewares_of_an_endpoint_run_before_its_handler(pond, log):
    async def note(context, go_on):
        log.entries.append("in")
        await go_on()

    endpoint = pond.create_endpoint("/socket", log("handler"), note)

    await endpoint.request_connection(IncomingConnection("c1", "127.0.0.1"))

    assert [entry if entry == "in" else entry[0] for entry in log.entries] == [
        "in", "handler"
    ]  # fmt: skip


def test_a_path_leads_to_the_first_endpoint_that_matches(pond):
    first = pond.create_endpoint("/:tenant/socket", accept)
    pond.create_endpoint("*", accept)

    match = pond.match_endpoint("/acme/socket?token=t1")

    assert match == EndpointMatch(first, Route({"tenant": "acme"}, {"token": ["t1"]}))


def test_a_path_may_lead_nowhere(pond, endpoint):
    assert pond.match_endpoint("/other") is None
    assert PondSocket().match_endpoint("/socket") is None


# Other nodes


def test_a_single_node_has_no_id(pond):
    assert pond.options.node_id == ""


def test_with_a_pubsub_a_node_gets_an_id_of_its_own():
    options = Options(max_connections=7)
    first = PondSocket(options=options, pubsub=LocalPubSub())
    second = PondSocket(options=options, pubsub=LocalPubSub())

    assert first.options.node_id
    assert first.options.node_id != second.options.node_id
    assert first.options.max_connections == 7
    assert options.node_id == ""


def test_an_id_that_was_given_stays():
    pond = PondSocket(options=Options(node_id="node-1"), pubsub=LocalPubSub())

    assert pond.options.node_id == "node-1"


async def test_a_pubsub_of_the_application_stays_open():
    pubsub = LocalPubSub()
    pond = PondSocket(pubsub=pubsub)
    assert pond.pubsub is pubsub

    await pond.close()

    await pubsub.publish("topic", b"still open")
    await pubsub.close()


async def test_a_pubsub_opened_by_its_url_is_closed_with_it():
    pond = PondSocket(pubsub="memory://test-server")

    await pond.close()

    with pytest.raises(PubSubClosedError):
        await pond.pubsub.publish("topic", b"")


def test_a_pubsub_without_a_backend_is_refused():
    with pytest.raises(ValueError, match="pubsub URL must begin with"):
        PondSocket(pubsub="pigeon://roof")


@pytest.fixture
async def nodes():
    """Two nodes that share a PubSub, each with an endpoint and a lobby."""
    pubsub = LocalPubSub()
    nodes = [
        PondSocket(options=Options(node_id=name), pubsub=pubsub)
        for name in ("node-1", "node-2")
    ]
    for node in nodes:
        node.create_endpoint("/socket", accept).create_channel("/chat/:room", join)
    yield nodes
    for node in nodes:
        await node.close()
    await pubsub.close()
    assert not other_tasks()


async def test_members_on_several_nodes_are_in_one_channel(nodes, connect):
    ann, bob = [
        await connect(node.endpoints[0], user)
        for node, user in zip(nodes, ("ann", "bob"), strict=True)
    ]
    for user in (ann, bob):
        await user.join()
        await user.heard()
    (lobby,) = nodes[0].endpoints[0].lobbies
    channel = await lobby.get_channel(NAME)

    await channel.broadcast("news", {"n": 1})

    assert await ann.heard() == [("BROADCAST", "news", {"n": 1})]
    assert await bob.heard() == [("BROADCAST", "news", {"n": 1})]


async def test_a_broadcast_reaches_members_that_only_another_node_has(nodes, connect):
    ann = await connect(nodes[0].endpoints[0], "ann")
    await ann.join()
    await ann.heard()

    await nodes[1].broadcast("/socket", NAME, "news", {"n": 1})

    assert await ann.heard() == [("BROADCAST", "news", {"n": 1})]


async def test_a_node_counts_the_others_that_it_hears(nodes, connect):
    for node in nodes:
        await (await connect(node.endpoints[0], "ann")).join()

    await settle()

    assert [node.stats().nodes for node in nodes] == [1, 1]


async def test_a_node_speaks_from_its_first_channel_on(nodes, connect):
    topics = []
    await nodes[0].pubsub.subscribe("pond.*", lambda topic, _: topics.append(topic))
    ann = await connect(nodes[0].endpoints[0], "ann")
    await settle()
    assert topics == []

    await ann.join()
    await settle()

    assert set(topics) == {format_heartbeat_topic(), format_topic("socket", NAME)}


async def test_a_name_that_would_be_a_wildcard_is_refused(nodes, connect):
    ann = await connect(nodes[0].endpoints[0], "ann")

    await ann.join("/chat/a.*")

    ((action, name, payload),) = await ann.heard()
    assert (action, name, payload["code"]) == ("SYSTEM", "UNAUTHORIZED", 400)
    assert nodes[0].stats().channels == 0


async def test_a_broadcast_to_a_name_that_would_be_a_wildcard_is_refused(nodes):
    with pytest.raises(BadRequest, match="must not end in"):
        await nodes[0].broadcast("/socket", "/chat/a.*", "news", {})


async def test_on_a_single_node_any_name_does(pond, endpoint, lobby, connect):
    ann = await connect(endpoint, "ann")

    await ann.join("/chat/a.*")

    assert await ann.heard() == [("SYSTEM", "ACKNOWLEDGE", {})]


# Who is there


async def test_a_transport_is_found_on_any_endpoint(pond, endpoint, connect):
    other = pond.create_endpoint("/other", accept)
    ann, bob = await connect(endpoint, "ann"), await connect(other, "bob")

    assert await pond.find_transport("ann") is ann.transport
    assert await pond.find_transport("bob") is bob.transport
    assert await pond.find_transport("cid") is None


async def test_a_connection_is_found_by_its_secret_and_never_by_its_user(
    pond, endpoint, connect
):
    other = pond.create_endpoint("/other", accept)
    await connect(endpoint, "ann")
    stream = SSEServerTransport(id="bob", connection_id="secret")
    await other.register_transport(stream)

    assert await pond.find_connection("secret") is stream
    assert await pond.find_connection("bob") is None
    assert await pond.find_connection("ann") is None


async def test_a_broadcast_reaches_a_channel_of_an_endpoint(
    pond, endpoint, lobby, connect
):
    other = pond.create_endpoint("/other", accept)
    other.create_channel("/chat/:room", join)
    ann, bob = await connect(endpoint, "ann"), await connect(other, "bob")
    for user in (ann, bob):
        await user.join()
        await user.heard()

    await pond.broadcast("/other", NAME, "news", {"n": 1})

    assert await bob.heard() == [("BROADCAST", "news", {"n": 1})]
    assert await ann.heard() == []


async def test_a_broadcast_to_an_endpoint_that_does_not_exist_is_not_found(pond, lobby):
    with pytest.raises(NotFound, match="no endpoint '/other'"):
        await pond.broadcast(
            endpoint_path="/other", channel=NAME, event="news", payload={}
        )


# Stats


async def test_stats_of_an_idle_root_are_zero(pond, lobby):
    stats = pond.stats()

    assert (stats.connections, stats.channels, stats.nodes) == (0, 0, 0)
    assert (stats.inbox_messages, stats.outbox_messages, stats.outbox_bytes) == (
        0,
        0,
        0,
    )
    assert stats.counts == dict.fromkeys(COUNTERS, 0)


async def test_stats_tell_what_is_held_now(pond, endpoint, lobby, connect, client):
    async def stuck(context):
        await asyncio.Event().wait()

    lobby.on_message("stuck", stuck)
    ann = await connect(endpoint, "ann")
    await ann.join()
    for _ in range(3):
        await ann.say("stuck")
    slow = client("slow")
    slow.transport._max_frames = 1
    await endpoint.register_transport(slow.transport)
    endpoint.connections.find_user("slow").send(
        Event("SYSTEM", NAME, "r1", "waiting", {})
    )
    await ann.heard()

    stats = pond.stats()

    assert (stats.connections, stats.channels) == (2, 1)
    assert stats.inbox_messages == 2
    assert stats.outbox_messages == 1
    assert stats.outbox_bytes > 50
    await pond.close()


async def test_stats_tell_what_was_counted(pond, endpoint, lobby, connect):
    ann, bob = await connect(endpoint, "ann"), await connect(endpoint, "bob")
    await ann.join()

    await bob.say("hello")

    assert pond.stats().counts["not_member"] == 1


# The end


@pytest.fixture
async def member(endpoint, lobby, connect, log):
    """A connected member of a channel, whose leaving is noted."""
    lobby.on_leave(log("left"))
    ann = await connect(endpoint, "ann")
    await ann.join()
    await ann.heard()
    return ann


async def test_draining_lets_go_of_all_clients(pond, endpoint, member, log):
    await pond.drain(0)
    await pond.drain(0)

    assert len(log.entries) == 1
    assert not member.transport.is_active()
    context = await endpoint.request_connection(IncomingConnection("c1", "127.0.0.1"))
    assert context.decline_info == (503, "The server is shutting down")


async def test_all_endpoints_drain_at_the_same_time(
    pond, endpoint, connect, flying_time
):
    other = pond.create_endpoint("/other", accept)
    for each in (endpoint, other):
        await connect(each, "ann")
        await connect(each, "bob")
    began = flying_time()

    await pond.drain(10.0)

    assert flying_time() - began == pytest.approx(5.0, abs=0.5)
    assert pond.stats().connections == 0


async def test_closing_lets_everybody_leave_once(pond, lobby, member, log):
    await pond.close()
    await pond.close()

    assert len(log.entries) == 1
    assert pond.stats().connections == 0
    assert pond.stats().channels == 0
    assert not member.transport.is_active()


async def test_draining_and_then_closing_lets_everybody_leave_once(pond, member, log):
    await pond.drain(0)
    await pond.close()

    assert len(log.entries) == 1


async def test_closing_what_was_never_used_is_fine(pond):
    await pond.close()
    await pond.drain(1)


async def test_what_is_closed_makes_no_endpoint(pond):
    await pond.close()

    with pytest.raises(ValueError, match="the PondSocket is closed"):
        pond.create_endpoint("/socket", accept)

    assert pond.endpoints == []


async def test_it_closes_at_the_end_of_a_with_block(connect, log):
    async with PondSocket() as pond:
        endpoint = pond.create_endpoint("/socket", accept)
        ann = await connect(endpoint, "ann")

    assert not ann.transport.is_active()


async def test_it_closes_when_a_with_block_raises(connect):
    transports = []

    async def serve():
        async with PondSocket() as pond:
            ann = await connect(pond.create_endpoint("/socket", accept), "ann")
            transports.append(ann.transport)
            raise ValueError("no database")

    with pytest.raises(ValueError, match="no database"):
        await serve()

    assert not transports[0].is_active()


async def test_a_handler_can_stop_the_server(pond, lobby, member, log):
    async def stop(context):
        await pond.drain(0)
        await pond.close()
        log.entries.append("stopped")

    lobby.on_message("stop", stop)

    await member.say("stop")

    assert log.entries[-1] == "stopped"


# Collectors


class Broken:
    """A collector that raises whatever it is told."""

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)

        def fail(*args):
            failed.add(name)
            raise RuntimeError("no metrics today")

        failed = self.__dict__.setdefault("failed", set())
        return fail

    def count(self, name, amount=1, **labels):
        raise RuntimeError("no metrics today")


async def test_a_collector_that_raises_everywhere_harms_nothing(connect):
    broken = Broken()
    pond = PondSocket(options=Options(hooks=Hooks(metrics=broken)))
    endpoint = pond.create_endpoint("/socket", accept)
    lobby = endpoint.create_channel("/chat/:room", join)
    lobby.on_message("say", lambda context: context.broadcast("said", {}))
    lobby.on_message("fail", lambda context: 1 / 0)
    ann = await connect(endpoint, "ann")

    await ann.join()
    await ann.say("say")
    await ann.say("fail")
    await ann.leave()
    heard = await ann.heard()
    await pond.close()

    assert [name for _, name, _ in heard] == [
        "ACKNOWLEDGE", "said", "INTERNAL_ERROR", "EXIT_ACKNOWLEDGE"
    ]  # fmt: skip
    assert broken.failed == {
        "connection_opened", "connection_closed", "message_received", "message_sent",
        "message_broadcast", "channel_joined", "channel_left", "channel_created",
        "channel_destroyed", "handler_duration", "queue_depth", "error",
    }  # fmt: skip
    assert pond.stats().counts["metrics_failed"] > len(broken.failed)
    assert pond.stats().counts["handler_failed"] == 1


@pytest.mark.parametrize("hooks", [None, Hooks(), Hooks(metrics=NoopMetrics())])
def test_without_a_collector_nothing_is_measured(hooks):
    assert PondSocket(options=Options(hooks=hooks)).telemetry.measuring is False
