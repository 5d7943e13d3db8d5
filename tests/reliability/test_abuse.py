"""Cases 22, 24, 25, 26 and 39: what a client may ask for has an end.

What a server can do about a client that connects and then says nothing, or only half of
a handshake, is its host's business: no application hears of it. Here it is only shown
that it costs nothing of ours. Behind a proxy such clients never get that far.
"""

import asyncio
import time
from collections import Counter

import pytest

from pondsocket import ConnectionContext, EventContext, JoinContext, Options, PondSocket
from tests.reliability.clients import (
    PATH,
    EventStreamClient,
    WebSocketClient,
    Wire,
    eventually,
    head,
    make_message,
    request,
)
from tests.reliability.hosts import WEBSOCKETS, server_process, serving

# uvicorn's oldest implementation, in use
pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.filterwarnings("ignore:remove second argument of ws_handler"),
]

MIB = 1 << 20
MANY = 20_000
WARM_UP = 5000  # of these, until the process has taken what memory it needs
AT_ONCE = 100  # requests under way; the inbox takes 256
LEAK = 2 * MIB  # one small object for each of MANY would take more
HANDSHAKE = 0.2  # seconds
KINDS = pytest.mark.parametrize(
    "kind", [WebSocketClient, EventStreamClient], ids=lambda kind: kind.kind
)


def build(**options) -> PondSocket:
    """Return an application whose rooms show presences."""
    pond = PondSocket(options=Options(**options))
    endpoint = pond.create_endpoint("/live", lambda ctx: ctx.accept())

    async def join(context: JoinContext) -> None:
        await context.accept()

    async def track(context: EventContext) -> None:
        await context.track(context.get_payload())

    async def count(context: EventContext) -> None:
        presence = await context.get_all_presence()
        await context.reply("counted", {"presences": len(presence)})

    lobby = endpoint.create_channel("/room/:name", join)
    lobby.on_message("track", track)
    lobby.on_message("count", count)
    return pond


# 22 and 24: many names


async def ask_many(
    client: WebSocketClient, numbers: range, *actions: str
) -> Counter[str]:
    """Send each of some actions for each number; count the answers by event name."""
    client.received.clear()
    for start in numbers[::AT_ONCE]:
        messages = [
            make_message(action, f"/room/{number}", "e", {})
            for action in actions
            for number in range(start, start + AT_ONCE)
        ]
        expected = len(client.received) + len(messages)
        client.send_at_once(messages)
        await client.until(lambda expected=expected: len(client.received) == expected)
    return Counter(each["event"] for each in client.received)


async def test_twenty_thousand_joins_of_one_socket_end_at_its_limit():
    async with server_process(
        max_messages_per_second=0, max_channels_per_connection=256
    ) as server:
        client = await WebSocketClient.open(server.port)
        first = await ask_many(client, range(WARM_UP), "JOIN_CHANNEL")
        before = server.resident
        rest = await ask_many(client, range(WARM_UP, MANY), "JOIN_CHANNEL")
        stats = await server.ask("stats")

        assert first["ACKNOWLEDGE"] == stats["channels"] == 256
        assert first["UNAUTHORIZED"] + rest["UNAUTHORIZED"] == MANY - 256
        assert server.resident - before < LEAK


async def test_twenty_thousand_channels_that_come_and_go_leave_nothing_behind():
    async with server_process(max_messages_per_second=0) as server:
        client = await WebSocketClient.open(server.port)
        visit = ("JOIN_CHANNEL", "LEAVE_CHANNEL")
        idle = await server.ask("stats")
        await ask_many(client, range(WARM_UP), *visit)
        before = server.resident
        rest = await ask_many(client, range(WARM_UP, MANY), *visit)
        stats = await server.ask("stats")

        assert rest["ACKNOWLEDGE"] == rest["EXIT_ACKNOWLEDGE"] == MANY - WARM_UP
        assert stats["leaves"] == MANY
        assert (stats["channels"], stats["tasks"]) == (0, idle["tasks"])
        assert server.resident - before < LEAK


@pytest.mark.parametrize("event", ["unknown", "never/"])
async def test_twenty_thousand_event_names_leave_nothing_behind(event):
    async with server_process(max_messages_per_second=0) as server:
        client = await WebSocketClient.open(server.port)
        await client.join("/room/0")
        await say_many(client, event, range(WARM_UP))
        before = server.resident
        await say_many(client, event, range(WARM_UP, MANY))

        assert server.resident - before < LEAK


async def say_many(client: WebSocketClient, event: str, numbers: range) -> None:
    """Send messages of different events, each group with something that is answered."""
    for start in numbers[::AT_ONCE]:
        client.send_at_once(
            make_message("BROADCAST", "/room/0", f"{event}{number}", {})
            for number in range(start, start + AT_ONCE)
        )
        await client.ask("BROADCAST", "/room/0", "echo")
    client.received.clear()
    client.answers.clear()


# 25: what never ends


@pytest.mark.parametrize(
    ("kind", "ws"),
    [
        *(pytest.param(WebSocketClient, ws, id=ws) for ws in WEBSOCKETS),
        pytest.param(EventStreamClient, WEBSOCKETS[0], id="sse"),
    ],
)
async def test_a_connection_handler_that_hangs_ends_at_the_deadline(kind, ws):
    ended = asyncio.Event()

    async def hang(context: ConnectionContext) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    pond = PondSocket(options=Options(handshake_timeout=HANDSHAKE))
    pond.create_endpoint("/live", hang)
    async with serving(pond, ws) as port:
        client = await kind.open(port)

        assert client.status == 504
        assert ended.is_set()
        assert pond.stats().connections == 0


@pytest.mark.parametrize("ws", WEBSOCKETS)
@pytest.mark.parametrize(
    "said", ["", "GET /live HT", "GET /live HTTP/1.1\r\nHost: x\r\n"]
)
async def test_who_says_nothing_or_half_a_handshake_costs_nothing_of_ours(said, ws):
    pond = build()
    async with serving(pond, ws) as port:
        silent = await Wire.dial(port)
        silent.write(said.encode())
        member = await WebSocketClient.open(port)
        answer = await member.join("/room/one")

        assert answer["event"] == "ACKNOWLEDGE"
        assert pond.stats().connections == 1
        await eventually(lambda: not task_names())


def task_names() -> list[str]:
    names = (task.get_name() for task in asyncio.all_tasks())
    return sorted(name for name in names if name.startswith("pond-"))


async def post_slowly(client: EventStreamClient, *, dribble: bool) -> tuple[int, float]:
    """Post a body that has no end; return the answer's status and the seconds."""
    poster = await EventStreamClient.dial(client.port)
    fields = {"X-Connection-ID": client.secret, "Content-Length": "1000"}
    started = time.monotonic()
    poster.write(head("POST", PATH, client.port, fields) + b'{"action":')
    while not poster.status and time.monotonic() - started < 5:
        if dribble:
            poster.write(b" ")
        await asyncio.sleep(HANDSHAKE / 10)
    return poster.status, time.monotonic() - started


@pytest.mark.parametrize("dribble", [False, True], ids=["silent", "dribbling"])
async def test_a_post_that_never_ends_is_answered_at_the_deadline(dribble):
    pond = build(handshake_timeout=HANDSHAKE)
    async with serving(pond) as port:
        client = await EventStreamClient.open(port)
        status, seconds = await post_slowly(client, dribble=dribble)

        assert status == 408
        assert HANDSHAKE <= seconds < HANDSHAKE + 2
        assert (await client.join("/room/one"))["event"] == "ACKNOWLEDGE"


async def test_a_post_to_a_connection_that_ends_meanwhile_is_answered():
    pond = build()
    async with serving(pond) as port:
        client = await EventStreamClient.open(port)
        poster = await EventStreamClient.dial(port)
        fields = {"X-Connection-ID": client.secret, "Content-Length": "2"}
        poster.write(head("POST", PATH, port, fields) + b"{")
        assert await client.delete() == 204
        poster.write(b"}")
        await poster.until(lambda: bool(poster.status))

        assert poster.status == 404


# 26: a megabyte where a few bytes are meant


@KINDS
async def test_a_presence_of_a_megabyte_is_refused(kind):
    async with serving(build(max_message_size=4 * MIB)) as port:
        client = await kind.open(port)
        await client.join("/room/one")
        refused = await client.ask("BROADCAST", "/room/one", "track", is_="x" * MIB)
        counted = await client.ask("BROADCAST", "/room/one", "count")

        assert (refused["event"], refused["payload"]["code"]) == ("INTERNAL_ERROR", 400)
        assert counted["payload"] == {"presences": 0}
        assert client.named("JOIN") == []


@KINDS
@pytest.mark.parametrize("member", ["requestId", "event", "channelName"])
async def test_a_megabyte_in_place_of_a_name_is_refused_and_not_sent_back(member, kind):
    message = {
        "action": "BROADCAST",
        "event": "e",
        "channelName": "/room/one",
        "requestId": "r",
        "payload": {},
    }
    async with serving(build(max_message_size=4 * MIB)) as port:
        client = await kind.open(port)
        await client.send({**message, member: "x" * MIB})
        await client.until(lambda: len(client.received) > 1)
        answer = client.received[1]

        assert answer["event"] == "INVALID_MESSAGE"
        assert member in answer["payload"]["error"]
        assert len(str(answer)) < 1000


@KINDS
async def test_a_join_with_a_name_of_a_megabyte_is_refused(kind):
    async with serving(build(max_message_size=4 * MIB)) as port:
        client = await kind.open(port)
        answer = await client.join("/room/" + "x" * MIB)

        assert (answer["event"], answer["payload"]["code"]) == ("UNAUTHORIZED", 400)


# 39: a long path


@pytest.mark.parametrize("path", ["/" + "a" * 100_000, "/a" * 50_000, "/%61" * 25_000])
async def test_a_request_with_a_path_of_100_kb_is_answered_at_once(path):
    pond = build()
    for pattern in ("/:a/:b", "/x/:a/y/*", "/room-:name/:b/:c"):
        pond.create_endpoint(pattern, lambda ctx: ctx.accept())
    async with serving(pond, http="h11", h11_max_incomplete_event_size=MIB) as port:
        started = time.monotonic()
        answer = await request(port, "GET", path)
        seconds = time.monotonic() - started

        assert answer.status == 404
        assert seconds < 0.5


@pytest.mark.parametrize("ws", ["websockets", "wsproto"])
async def test_a_handshake_with_a_path_of_100_kb_is_refused(ws):
    async with serving(build(), ws) as port:
        client = await WebSocketClient.open(port, "/a" * 50_000)

        assert client.status in {400, 404, 414}


async def test_a_handshake_that_the_host_leaves_unanswered_costs_nothing_of_ours():
    pond = build()
    async with serving(pond, "websockets-sansio") as port:
        # above 8 KiB uvicorn only logs that it refused
        unheard = await WebSocketClient.dial(port)
        unheard.shake_hands("/a" * 50_000)
        member = await WebSocketClient.open(port)

        assert (await member.join("/room/one"))["event"] == "ACKNOWLEDGE"
        assert pond.stats().connections == 1
