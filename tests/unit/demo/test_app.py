"""The demo as its clients see it, and the pages it serves."""

import asyncio
import re

import pytest

from pondsocket import Event, Headers, IncomingConnection, JoinContext, Unavailable
from pondsocket.demo import build_demo
from pondsocket.demo.rooms import MAX_ROOMS
from tests.unit.doubles import settle

LOBBY = "/rooms/lobby"
STATS = "/metrics"


@pytest.fixture
async def demo():
    demo = build_demo(interval=0.001)
    async with demo.pond:
        yield demo


@pytest.fixture
def enter(demo, connect):
    """Connect somebody and let them join the lobby; returns the client."""
    [endpoint] = demo.pond.endpoints

    async def enter(user_id, name="Ann", channel=LOBBY):
        client = await connect(endpoint, user_id)
        await client.join(channel, name=name)
        return client

    return enter


@pytest.fixture
def watch(demo, connect):
    """Connect somebody and let them join the live numbers."""
    [endpoint] = demo.pond.endpoints

    async def watch(user_id):
        client = await connect(endpoint, user_id)
        await client.transport.push_inbound(join_of(STATS))
        return client

    return watch


def join_of(channel):
    return Event("JOIN_CHANNEL", channel, "j1", "join", {})


async def refuse(context, assigns=None):
    raise Unavailable(context.channel.name, "not now")


async def next_of(client, event_name):
    """Wait for the next message of this name and return its payload."""
    while True:
        event = await client.transport.receive_sent()
        if event.event == event_name:
            return event.payload


def answers(heard, event_name):
    return [payload for _, event, payload in heard if event == event_name]


async def test_who_joins_is_acknowledged_told_the_history_and_shown(enter):
    ann = await enter("u1")

    acknowledge, history, presence = await ann.heard()

    assert acknowledge == ("SYSTEM", "ACKNOWLEDGE", {})
    assert history == ("SYSTEM", "history", {"messages": []})
    assert presence[:2] == ("PRESENCE", "JOIN")
    [shown] = presence[2]["presence"]
    assert (shown["id"], shown["name"], shown["typing"]) == ("u1", "Ann", False)


async def test_a_message_reaches_everybody_and_is_confirmed_to_its_sender(enter):
    ann, bob = await enter("u1"), await enter("u2", "Bob")
    await ann.heard()
    await bob.heard()

    await ann.say("message", {"text": " hello ", "nonce": "n1"}, channel=LOBBY)

    (_, _, message), (action, sent, confirmation) = await ann.heard()
    assert (message["text"], message["nonce"]) == ("hello", "n1")
    assert message["user"]["name"] == "Ann"
    assert (action, sent) == ("SYSTEM", "sent")
    assert confirmation == {"id": message["id"]}
    assert await bob.heard() == [("BROADCAST", "message", message)]


async def test_who_comes_later_reads_what_was_said(enter):
    ann = await enter("u1")
    for text in ("one", "two"):
        await ann.say("message", {"text": text}, channel=LOBBY)

    bob = await enter("u2", "Bob")

    [history] = answers(await bob.heard(), "history")
    assert [message["text"] for message in history["messages"]] == ["one", "two"]


async def test_the_history_ends_with_the_room(enter):
    ann = await enter("u1")
    await ann.say("message", {"text": "secret"}, channel=LOBBY)
    await ann.leave(LOBBY)

    bob = await enter("u2", "Bob")

    assert answers(await bob.heard(), "history") == [{"messages": []}]


@pytest.mark.parametrize("name", [None, "", "x" * 33])
async def test_a_bad_name_is_declined_with_a_reason(enter, name):
    ann = await enter("u1", name)

    assert await ann.heard() == [
        (
            "SYSTEM",
            "UNAUTHORIZED",
            {"code": 400, "message": "A name has 1 to 32 characters."},
        )
    ]


@pytest.mark.parametrize("channel", ["/rooms/No!", "/rooms//lobby", "/rooms/lobb%79"])
async def test_a_bad_room_is_declined_and_leaves_nothing_behind(demo, enter, channel):
    ann = await enter("u1", channel=channel)

    [(_, event, payload)] = await ann.heard()

    assert (event, payload["code"]) == ("UNAUTHORIZED", 400)
    assert demo.pond.stats().channels == 0


async def test_a_join_that_fails_after_the_door_leaves_no_member(enter, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(JoinContext, "accept", refuse)
        ann = await enter("u1")
    await ann.heard()

    await ann.join(LOBBY, name="Ann")

    assert answers(await ann.heard(), "ACKNOWLEDGE") == [{}]


async def test_there_is_a_limit_to_rooms(enter):
    for n in range(MAX_ROOMS):
        await enter(f"u{n}", channel=f"/rooms/r{n}")

    ann = await enter("ann", channel="/rooms/more")

    [(_, event, payload)] = await ann.heard()
    assert (event, payload["code"]) == ("UNAUTHORIZED", 503)


async def test_nobody_alone_can_take_all_rooms(enter):
    ann = await enter("u1", channel="/rooms/r0")
    for n in range(1, MAX_ROOMS):
        await ann.join(f"/rooms/r{n}", name="Ann")
    bob = await enter("u2", channel="/rooms/more")

    assert answers(await bob.heard(), "ACKNOWLEDGE") == [{}]


@pytest.mark.parametrize("text", [None, "", "  ", "x" * 2001])
async def test_a_bad_message_is_answered_to_its_sender_alone(enter, text):
    ann, bob = await enter("u1"), await enter("u2", "Bob")
    await ann.heard()
    await bob.heard()

    await ann.say("message", {"text": text}, channel=LOBBY)

    [(_, event, payload)] = await ann.heard()
    assert (event, payload["code"]) == ("INTERNAL_ERROR", 400)
    assert payload["message"] == "A message has 1 to 2000 characters."
    assert await bob.heard() == []


async def test_too_many_messages_are_refused(enter):
    ann = await enter("u1")
    await ann.heard()

    for n in range(40):
        await ann.say("message", {"text": str(n)}, channel=LOBBY)

    heard = await ann.heard()
    refusals = answers(heard, "INTERNAL_ERROR")
    assert len(answers(heard, "sent")) + len(refusals) == 40
    assert {payload["code"] for payload in refusals} == {429}


async def test_typing_is_shown_once_and_ends_with_the_message(enter):
    ann, bob = await enter("u1"), await enter("u2", "Bob")
    await bob.heard()

    for _ in range(3):
        await ann.say("typing", {"typing": True}, channel=LOBBY)
    [(_, update, started)] = await bob.heard()
    await ann.say("message", {"text": "hi"}, channel=LOBBY)
    _, (_, _, ended) = await bob.heard()

    assert update == "UPDATE"
    assert started["changed"]["typing"] is True
    assert ended["changed"]["typing"] is False


async def test_a_new_name_is_shown_and_signs_the_next_message(enter):
    ann, bob = await enter("u1"), await enter("u2", "Bob")
    await ann.heard()
    await bob.heard()

    await ann.say("rename", {"name": " Anna "}, channel=LOBBY)
    await ann.say("message", {"text": "it is me"}, channel=LOBBY)

    assert answers(await ann.heard(), "renamed") == [{"name": "Anna"}]
    (_, _, shown), (_, _, message) = await bob.heard()
    assert shown["changed"]["name"] == message["user"]["name"] == "Anna"


async def test_a_bad_new_name_changes_nothing(enter):
    ann = await enter("u1")
    await ann.heard()

    await ann.say("rename", {"name": ""}, channel=LOBBY)

    [(_, event, payload)] = await ann.heard()
    assert (event, payload["code"]) == ("INTERNAL_ERROR", 400)


async def test_a_lost_connection_is_shown_as_left(enter):
    ann, bob = await enter("u1"), await enter("u2", "Bob")
    await bob.heard()

    await ann.transport.close()

    [(_, event, payload)] = await bob.heard()
    assert (event, payload["changed"]["name"]) == ("LEAVE", "Ann")
    assert [member["name"] for member in payload["presence"]] == ["Bob"]


async def test_the_numbers_tell_of_connections_and_rooms(enter, watch):
    await enter("u1")
    await enter("u2", "Bob")
    await enter("u3", "Cid", "/rooms/frogs")
    eve = await watch("u4")

    first = await next_of(eve, "stats")
    later = await next_of(eve, "stats")

    assert (first["connections"], first["channels"]) == (4, 3)
    assert first["rooms"] == [
        {"name": "lobby", "members": 2},
        {"name": "frogs", "members": 1},
    ]
    assert later.keys() == first.keys()
    await eve.transport.close()


async def test_the_numbers_rest_while_nobody_watches(demo, watch):
    def running():
        return [t for t in asyncio.all_tasks() if t.get_name() == "demo numbers"]

    assert running() == []
    eve = await watch("u1")
    await next_of(eve, "stats")
    assert len(running()) == 1

    await eve.transport.close()

    assert running() == []


async def test_numbers_that_could_not_be_joined_rest(watch, monkeypatch):
    monkeypatch.setattr(JoinContext, "accept", refuse)

    eve = await watch("u1")
    await settle()

    assert answers(await eve.heard(), "UNAUTHORIZED") == [
        {"code": 503, "message": "not now"}
    ]
    assert "demo numbers" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_everybody_may_connect(demo):
    [endpoint] = demo.pond.endpoints
    incoming = IncomingConnection("c1", "127.0.0.1", Headers([]), {}, {}, {})

    context = await endpoint.request_connection(incoming)

    assert context.is_accepted


async def test_closing_the_pond_ends_the_numbers(demo, watch):
    await next_of(await watch("u1"), "stats")

    await demo.pond.close()

    assert "demo numbers" not in {task.get_name() for task in asyncio.all_tasks()}


def test_the_pages_are_complete():
    pages = build_demo().pages

    assert {path: kind for path, (kind, _) in pages.items()} == {
        "/": "text/html; charset=utf-8",
        "/app.js": "text/javascript; charset=utf-8",
        "/pondsocket.js": "text/javascript; charset=utf-8",
        "/style.css": "text/css; charset=utf-8",
        "/view.js": "text/javascript; charset=utf-8",
    }


def test_the_pages_need_nothing_from_elsewhere():
    pages = build_demo().pages
    text = b"".join(body for _, body in pages.values()).decode()
    named = {"'http://www.w3.org/2000/svg'"}  # a name, not an address

    assert set(re.findall(r"""['"(]https?://[^'")\s]+['")]""", text)) <= named
    for path in re.findall(r'(?:src|href)="([\w./]+)"', pages["/"][1].decode()):
        assert f"/{path}" in pages


def test_no_page_turns_text_into_markup():
    text = b"".join(body for _, body in build_demo().pages.values()).decode()

    for sink in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"):
        assert sink not in text
