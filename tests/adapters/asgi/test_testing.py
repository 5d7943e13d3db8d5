"""The in-memory host that applications test with."""

import asyncio

import pytest

from pondsocket_asgi.testing import ASGITestDriver, LifespanSession
from pondsocket_asgi.websocket import ConnectionClosed, WebSocketASGI


@pytest.fixture
def drive():
    return ASGITestDriver


async def echo(scope, receive, send):
    websocket = await WebSocketASGI.accept(scope, receive, send, ["echo"])
    while True:
        await websocket.send(await websocket.receive())


async def test_text_and_bytes_go_in_and_come_out(drive):
    session = await drive(echo).connect_websocket("/")

    await session.send_text("text")
    await session.send_bytes(b"bytes")

    assert await session.receive_message() == {
        "type": "websocket.send",
        "text": "text",
    }
    assert (await session.receive_message())["bytes"] == b"bytes"


@pytest.mark.parametrize("as_bytes", [False, True])
async def test_json_may_come_as_text_or_bytes(as_bytes, drive):
    session = await drive(echo).connect_websocket("/")

    if as_bytes:
        await session.send_bytes(b'{"a":1}')
    else:
        await session.send_json({"a": 1})

    assert await session.receive_json() == {"a": 1}


async def test_the_scope_is_what_a_host_would_make(drive):
    session = await drive(echo).connect_websocket(
        "/a%20b",
        headers=[(b"X-One", b"1")],
        query={"c": "d e"},
        client=None,
        subprotocols=["echo"],
    )

    scope = session.scope
    assert (scope["type"], scope["scheme"]) == ("websocket", "ws")
    assert (scope["path"], scope["raw_path"]) == ("/a b", b"/a%20b")
    assert scope["query_string"] == b"c=d+e"
    assert scope["headers"] == [(b"x-one", b"1"), (b"host", b"testserver")]
    assert scope["client"] is None
    assert session.subprotocol == "echo"


@pytest.mark.parametrize("query", ["a=1", b"a=1", {"a": "1"}])
async def test_a_query_may_be_written_in_several_ways(query, drive):
    session = await drive(echo).connect_websocket("/", query=query)

    assert session.scope["query_string"] == b"a=1"


async def test_a_host_of_ones_own_is_kept(drive):
    session = await drive(echo).connect_websocket("/", headers={"Host": "chat.example"})

    assert session.scope["headers"] == [(b"host", b"chat.example")]


async def test_what_the_application_raises_is_raised_in_the_test(drive):
    async def broken(scope, receive, send):
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        await drive(broken).connect_websocket("/")


async def test_an_application_that_says_nonsense_is_an_error(drive):
    async def odd(scope, receive, send):
        await send({"type": "websocket.send", "text": "too early"})

    with pytest.raises(AssertionError, match=r"websocket\.send"):
        await drive(odd).connect_websocket("/")


async def test_an_application_that_returns_says_nothing_more(drive):
    async def brief(scope, receive, send):
        await WebSocketASGI.accept(scope, receive, send)

    session = await drive(brief).connect_websocket("/")

    for _ in range(2):
        with pytest.raises(EOFError):
            await session.receive_message()


async def test_silence_is_a_timeout(drive):
    session = await drive(echo).connect_websocket("/")

    with pytest.raises(TimeoutError):
        await session.receive_message(wait=0.01)


async def test_an_application_that_does_not_notice_its_client_leave_is_cancelled(
    drive,
):
    async def deaf(scope, receive, send):
        await WebSocketASGI.accept(scope, receive, send)
        await asyncio.Event().wait()

    session = await drive(deaf).connect_websocket("/")

    with pytest.raises(TimeoutError):
        await session.disconnect(wait=0.01)

    assert session.app_task.cancelled()


async def test_a_close_by_the_application_shows_at_once_and_is_confirmed(drive):
    confirmed = []

    async def close(scope, receive, send):
        websocket = await WebSocketASGI.accept(scope, receive, send)
        await websocket.close(4000, "bye")
        confirmed.append(await receive())

    session = await drive(close).connect_websocket("/")
    await session.app_task

    assert (session.close_code, session.close_reason) == (4000, "bye")
    assert session.closed
    assert confirmed == [
        {"type": "websocket.disconnect", "code": 4000, "reason": "bye"}
    ]
    with pytest.raises(ConnectionClosed, match="4000 bye"):
        await session.receive_json()


async def test_a_refusal_can_also_be_received(chat):
    session = await chat.driver.connect_websocket("/nowhere")

    assert session.closed
    assert (await session.receive_message())["code"] == 4404


async def test_a_session_is_closed_once_its_client_left(chat):
    session = await chat.driver.connect_websocket("/socket")
    assert not session.is_closed()

    await session.disconnect()

    assert session.is_closed()


async def test_a_client_message_gets_an_id_unless_it_has_one(chat):
    session = await chat.driver.connect_websocket("/socket")
    await session.receive_json()

    made = await session.send_client_message(
        action="LEAVE_CHANNEL", channel_name="/chat/1", event="leave"
    )
    given = await session.send_client_message(
        action="BROADCAST", channel_name="/x", event="e", request_id="mine"
    )

    assert len(made) == 36
    assert given == "mine"
    assert (await session.receive_json())["requestId"] == "mine"
    await session.disconnect()


async def streaming(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    for body in (b": ping\n\nevent: a\nda", b'ta: {"event":"a"}\n\n'):
        await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b'data: {"event":"b"}\n\n'})
    await receive()


async def test_frames_of_a_stream_are_told_apart(drive):
    session = await drive(streaming).connect_sse("/")

    assert await session.receive_frame_bytes() == b": ping\n\n"
    assert await session.receive_frame_bytes() == b'event: a\ndata: {"event":"a"}\n\n'
    assert await session.receive_event() == {"event": "b"}
    with pytest.raises(EOFError):
        await session.receive_event()


async def test_comments_are_no_events(drive):
    session = await drive(streaming).connect_sse("/")

    assert await session.receive_event() == {"event": "a"}


async def test_an_event_can_be_waited_for_by_name(drive):
    session = await drive(streaming).connect_sse("/")

    assert await session.receive_event_named("b") == {"event": "b"}


async def test_an_event_that_does_not_come_in_time_is_an_error(drive):
    session = await drive(streaming).connect_sse("/")

    with pytest.raises(TimeoutError, match="no 'b' among 1 messages"):
        await session.receive_event_named("b", attempts=1)


async def test_a_stream_has_the_scope_of_a_get(chat):
    session = await chat.driver.connect_sse("/socket", query="a=1")

    assert session.scope["method"] == "GET"
    assert session.scope["query_string"] == b"a=1"
    await session.disconnect()


async def test_a_plain_request_has_status_and_body(chat):
    status, body = await chat.driver.call_http("/socket")

    assert status == 406
    assert b"text/event-stream" in body


async def test_a_lifespan_starts_and_shuts_down(chat):
    lifespan = await chat.driver.open_lifespan()

    assert isinstance(lifespan, LifespanSession)
    assert await lifespan.startup() == {"type": "lifespan.startup.complete"}
    assert not lifespan.app_task.done()
    assert await lifespan.shutdown() == {"type": "lifespan.shutdown.complete"}
    assert lifespan.app_task.done()
