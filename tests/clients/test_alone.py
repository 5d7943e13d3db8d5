"""What one person meets alone: doors that open or not, answers and errors."""

import asyncio

import pytest

from tests.clients.chat import REFUSAL
from tests.clients.meetings import ALONE, meetings

pytestmark = pytest.mark.asyncio(loop_scope="session")

everywhere = pytest.mark.parametrize("meeting", ALONE)


@everywhere
async def test_a_connection_is_told_its_ids(meeting, meet):
    (person,) = await meet(meeting)

    payload = (await person.gets("CONNECTION"))["payload"]

    assert payload.keys() == {"id", "connectionId"}
    assert (payload["id"] == payload["connectionId"]) == (meeting.kinds != ("sse",))


@everywhere
async def test_a_refused_handshake_is_an_error_and_no_connection(
    meeting, open_person, servers
):
    url = await servers(meeting.host)
    person = await open_person(*meeting.kinds, "ann", url, params={"refuse": "402"})

    await person.connect()

    error = await person.notes.next("error")
    await person.disconnect()
    status = "403" if meeting.host == "daphne" else "402"  # daphne knows no other
    assert status in error or meeting.kinds != ("python",)  # JavaScript tells no reason
    assert "connected" not in person.notes.unread("connection")


async def test_a_join_is_acknowledged(person, channel):
    room = await person.enter(channel, {"name": "ann"})

    states = await room.becomes("JOINED")

    assert states[-1:] == ["JOINING"]
    answer = await person.gets("ACKNOWLEDGE")
    assert answer["channelName"] == channel
    assert answer["payload"] == {}


@everywhere
async def test_the_parameters_of_connection_and_join_reach_the_server(
    meeting, meet, channel
):
    (person,) = await meet(meeting, params={"device": "Gerät & Söhne"})
    room = await person.join(channel)

    answer = await room.ask("who-am-i", {})

    assert answer == {
        "id": (await person.gets("CONNECTION"))["payload"]["id"],
        "name": "ann",
        "device": "Gerät & Söhne",
        "room": channel,
    }


@pytest.mark.parametrize(
    ("closed", "payload"),
    [
        ("/members/1", {"code": 403, "message": REFUSAL}),
        ("/broken/1", {"code": 500, "message": "Internal server error"}),
        ("/silent/1", {"code": 401, "message": "Join handler did not respond"}),
    ],
)
async def test_a_join_that_is_not_accepted_is_declined(person, closed, payload):
    room = await person.enter(closed, {"name": "ann"})

    await room.becomes("DECLINED")

    assert (await person.gets("UNAUTHORIZED"))["payload"] == payload


async def test_a_declined_person_may_still_join_elsewhere(person, channel):
    closed = await person.enter("/members/1", {"name": "ann"})
    await closed.becomes("DECLINED")

    room = await person.join(channel)

    assert await room.ask("echo", {"n": 1}) == {"n": 1}


async def test_a_channel_that_no_pattern_matches_is_not_found(person, channel):
    await person.enter("/nowhere/1", {"name": "ann"})

    answer = await person.gets("NOT_FOUND")

    assert answer["channelName"] == "/nowhere/1"
    assert answer["payload"] == {"channel": "/nowhere/1"}


async def test_an_answer_resolves_the_request_that_it_belongs_to(person, channel):
    room = await person.join(channel)

    answers = await asyncio.gather(*(room.ask("echo", {"n": n}) for n in range(10)))

    assert answers == [{"n": n} for n in range(10)]


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        (
            "object",
            {
                "code": 409,
                "message": "the seat is taken",
                "details": {"seat": 7},
                "temporary": True,
            },
        ),
        (
            "crash",
            {
                "code": 500,
                "message": "Internal server error",
                "details": None,
                "temporary": False,
            },
        ),
    ],
)
async def test_a_handler_that_raises_answers_the_request(
    person, event, payload, channel
):
    room = await person.join(channel)

    assert await room.ask(event, {}) == payload


async def test_an_event_without_a_handler_answers_the_request(person, channel):
    room = await person.join(channel)

    answer = await room.ask("sing", {})

    assert answer["code"] == 404
    assert "sing" in answer["message"]


async def test_an_error_harms_nobody(person, channel):
    room = await person.join(channel)
    await room.ask("crash", {})
    await room.ask("sing", {})

    assert await room.ask("echo", {"still": "here"}) == {"still": "here"}


async def test_a_malformed_message_is_told_to_the_connection(person, channel):
    room = await person.join(channel)

    await room.say("e" * 257, {})

    answer = await person.gets("INVALID_MESSAGE")
    assert answer["action"] == "ERROR"
    assert answer["channelName"] == "GATEWAY"
    assert "257" in answer["payload"]["error"]
    assert await room.ask("echo", {"still": "here"}) == {"still": "here"}


async def test_what_is_said_before_the_door_opens_is_heard_after(person, channel):
    room = await person.enter(channel, {"name": "ann"})
    await room.say("say", {"text": "too early?"})

    assert await room.hears("said") == {"text": "too early?"}


async def test_broadcasts_arrive_in_the_order_in_which_they_were_made(person, channel):
    room = await person.join(channel)

    await room.say("count", {"to": 100})

    heard = [(await room.hears("number"))["n"] for _ in range(100)]
    assert heard == list(range(100))


async def test_a_message_nearly_as_large_as_the_limit_comes_back(person, channel):
    room = await person.join(channel)
    payload = {"text": "ü" * 170_000}  # 1.02 MB as the Python client escapes it

    assert await room.ask("echo", payload) == payload


@pytest.mark.parametrize("meeting", meetings(["serve-asgi"], [("javascript",)]))
async def test_the_keep_alive_of_the_javascript_client_is_no_message(
    meeting, meet, channel
):
    (person,) = await meet(meeting, options={"pingInterval": 5})
    room = await person.join(channel)

    for _ in range(3):
        await person.node.notes.next("interval")

    assert await room.ask("echo", {"n": 1}) == {"n": 1}
    assert person.notes.unread("received", "INVALID_MESSAGE") == []
