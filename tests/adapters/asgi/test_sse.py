"""Server-Sent Events over HTTP: opening, feeding and ending a stream."""

import asyncio
import json

import pytest

from pondsocket import PondSocket, SSEServerTransport
from pondsocket_asgi import PondASGIApp
from pondsocket_asgi.testing import ASGITestDriver

OWN = {"origin": "http://testserver"}
FOREIGN = {"origin": "https://evil.example"}
LISTED = {"origin": "https://app.example"}
EVERYTHING = "GET, POST, DELETE, OPTIONS"


def join(room="/chat/1"):
    return {
        "action": "JOIN_CHANNEL",
        "event": "join",
        "channelName": room,
        "requestId": "1",
        "payload": {},
    }


@pytest.fixture
async def stream(chat):
    session = await chat.driver.connect_sse("/socket")
    greeting = await session.receive_event()
    session.user_id = greeting["payload"]["id"]
    yield session
    if not session.app_task.done():
        await session.disconnect()


# GET


async def test_the_headers_keep_proxies_from_buffering(stream):
    assert stream.status == 200
    headers = stream.headers
    assert headers.get("content-type") == "text/event-stream; charset=utf-8"
    assert headers.get("cache-control") == "no-cache, no-transform"
    assert headers.get("x-accel-buffering") == "no"


async def test_the_connection_id_is_a_secret_beside_the_users_id(chat):
    session = await chat.driver.connect_sse("/socket")

    greeting = await session.receive_event()

    assert greeting["payload"] == {
        "id": chat.contexts[0].user_id,
        "connectionId": session.connection_id,
    }
    assert session.connection_id != greeting["payload"]["id"]
    assert len(session.connection_id) >= 22  # 128 bits in base64
    await session.disconnect()


async def test_an_event_has_a_name_line_and_a_data_line(chat):
    session = await chat.driver.connect_sse("/socket")

    name, data, *rest = (await session.receive_frame_bytes()).decode().split("\n")

    assert name == "event: CONNECTION"
    assert json.loads(data.removeprefix("data: "))["event"] == "CONNECTION"
    assert rest == ["", ""]
    await session.disconnect()


async def test_the_name_line_can_be_left_out(chat):
    driver = ASGITestDriver(PondASGIApp(chat.pond, sse_event_names=False))
    session = await driver.connect_sse("/socket")

    assert (await session.receive_frame_bytes()).startswith(b"data: {")
    await session.disconnect()


@pytest.mark.parametrize("accept", ["text/html", "*/*", "", "text/event-streams"])
async def test_who_does_not_ask_for_a_stream_gets_none(accept, chat):
    answer = await chat.driver.request("GET", "/socket", headers={"accept": accept})

    assert answer.status == 406
    assert b"text/event-stream" in answer.body
    assert chat.contexts == []


@pytest.mark.parametrize(
    "accept", ["text/html, text/event-stream;q=0.9", "Text/Event-Stream"]
)
async def test_a_stream_may_be_one_of_several_wishes(accept, chat):
    session = await chat.driver.connect_sse("/socket", headers={"accept": accept})

    assert session.accepted
    await session.disconnect()


async def test_an_unknown_endpoint_is_not_found(chat):
    session = await chat.driver.connect_sse("/nowhere")

    assert (session.status, session.body) == (404, b"endpoint not found")


@pytest.mark.parametrize(("declined", "status"), [(401, 401), (4001, 403), (99, 403)])
async def test_a_refusal_is_a_plain_answer(declined, status, chat):
    session = await chat.driver.connect_sse("/socket", query={"decline": str(declined)})

    assert (session.status, session.body) == (status, b"not today")
    assert session.headers.get("content-type") == "text/plain; charset=utf-8"
    assert session.connection_id == ""


async def test_a_foreign_origin_is_forbidden(chat):
    session = await chat.driver.connect_sse("/socket", headers=FOREIGN)

    assert session.status == 403
    assert session.headers.get("access-control-allow-origin") is None
    assert chat.contexts == []


async def test_a_connection_that_cannot_be_registered_is_refused(chat, monkeypatch):
    monkeypatch.setattr(type(chat.endpoint.connections), "is_full", True)
    monkeypatch.setattr(chat.endpoint, "_refusal", lambda headers: None)

    session = await chat.driver.connect_sse("/socket")

    assert session.status == 503
    assert await chat.endpoint.connection_count() == 0


async def test_a_client_that_leaves_leaves_its_rooms(chat, stream):
    await chat.driver.sse_push(stream.connection_id, join())
    await stream.receive_event_named("ACKNOWLEDGE")

    await stream.disconnect()

    assert chat.left == [(stream.user_id, "connection_closed")]
    assert await chat.pond.find_connection(stream.connection_id) is None


async def test_closing_the_pond_ends_the_stream(chat, stream):
    await chat.pond.close()

    with pytest.raises(EOFError):
        await stream.receive_event()
    await stream.app_task


async def test_a_host_that_cancels_the_call_leaves_nothing_behind(chat, stream):
    stream.app_task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stream.app_task

    assert await chat.endpoint.connection_count() == 0


# POST


async def test_a_message_is_queued_and_answered_on_the_stream(chat, stream):
    status, body = await chat.driver.sse_push(stream.connection_id, join())

    assert (status, body) == (204, b"")
    ack = await stream.receive_event()
    assert (ack["event"], ack["requestId"]) == ("ACKNOWLEDGE", "1")


async def test_websocket_and_stream_are_members_alike(chat, stream, message):
    await chat.driver.sse_push(stream.connection_id, join())
    await stream.receive_event_named("ACKNOWLEDGE")
    session = await chat.driver.connect_websocket("/socket")
    await session.send_text(message("JOIN_CHANNEL"))
    await session.send_text(message(event="message", payload={"n": 1}))

    heard = await stream.receive_event_named("message")

    assert heard["payload"] == {"n": 1}
    await session.disconnect()


async def test_any_path_below_the_mount_will_do(chat, stream):
    answer = await chat.driver.request(
        "POST",
        "/elsewhere",
        headers={"x-connection-id": stream.connection_id},
        body=json.dumps(join()).encode(),
    )

    assert answer.status == 204
    assert (await stream.receive_event())["event"] == "ACKNOWLEDGE"


async def test_a_malformed_message_is_answered_on_the_stream(chat, stream):
    status, _ = await chat.driver.sse_push(stream.connection_id, {"action": "FLY"})

    assert status == 204
    answer = await stream.receive_event()
    assert (answer["action"], answer["event"]) == ("ERROR", "INVALID_MESSAGE")


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_an_id_that_is_none_is_not_found(method, chat, stream):
    guesses = ["", "nonsense", stream.user_id]  # other users see a user's id
    headers = [{"x-connection-id": guess} for guess in guesses] + [{}]

    statuses = [
        (await chat.driver.request(method, "/socket", headers=each)).status
        for each in headers
    ]

    assert statuses == [404] * 4


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_nobody_speaks_for_a_websocket_by_http(method, chat):
    session = await chat.driver.connect_websocket("/socket")
    greeting = await session.receive_json()

    answer = await chat.driver.request(
        method,
        "/socket",
        headers={"x-connection-id": greeting["payload"]["connectionId"]},
    )

    assert answer.status == 404
    await session.disconnect()


async def post_in_parts(chat, connection_id, *parts, headers=()):
    """Post a body of which the last part never comes; return the status."""
    inbox = asyncio.Queue()
    for part in parts:
        inbox.put_nowait({"type": "http.request", "body": part, "more_body": True})
    sent = []

    async def send(message):
        sent.append(message)

    fields = [(b"x-connection-id", connection_id.encode()), *headers]
    scope = {"type": "http", "method": "POST", "path": "/socket", "headers": fields}
    await chat.app(scope, inbox.get, send)
    return sent[0]["status"]


async def open_stream(chat):
    session = await chat.driver.connect_sse("/socket")
    await session.receive_event()
    return session


async def test_a_body_above_the_limit_is_refused_while_it_comes(make_chat):
    chat = await make_chat(max_message_size=10)
    stream = await open_stream(chat)

    assert await post_in_parts(chat, stream.connection_id, b"x" * 6, b"x" * 6) == 413
    await stream.disconnect()


@pytest.mark.parametrize("said", [b"11", b"9" * 5000], ids=len)
async def test_a_body_that_says_it_is_too_long_is_not_read(make_chat, said):
    chat = await make_chat(max_message_size=10)
    stream = await open_stream(chat)
    length = (b"content-length", said)

    assert await post_in_parts(chat, stream.connection_id, headers=[length]) == 413
    await stream.disconnect()


async def test_a_body_that_never_ends_times_out(make_chat):
    chat = await make_chat(handshake_timeout=0.05)
    stream = await open_stream(chat)
    length = (b"content-length", b"nonsense")

    assert await post_in_parts(chat, stream.connection_id, headers=[length]) == 408
    await stream.disconnect()


async def test_a_body_of_exactly_the_limit_is_taken(make_chat):
    body = json.dumps(join()).encode()
    chat = await make_chat(max_message_size=len(body))
    stream = await open_stream(chat)

    answer = await chat.driver.request(
        "POST", "/", headers={"x-connection-id": stream.connection_id}, body=body
    )

    assert answer.status == 204
    assert (await stream.receive_event())["event"] == "ACKNOWLEDGE"
    await stream.disconnect()


async def test_a_client_may_leave_amid_its_body(chat, stream, make_host):
    host = make_host({"type": "http.disconnect"})
    fields = [(b"x-connection-id", stream.connection_id.encode())]

    await chat.app(
        {"type": "http", "method": "POST", "path": "/", "headers": fields},
        host.receive,
        host.send,
    )

    assert host.sent == []


async def test_a_stream_that_ends_while_the_body_comes_is_not_found(
    chat, stream, make_host
):
    host = make_host()
    fields = [(b"x-connection-id", stream.connection_id.encode())]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": fields}
    posting = asyncio.create_task(chat.app(scope, host.receive, host.send))
    await asyncio.sleep(0)

    await stream.disconnect()
    host.tell("http.request", body=b"{}")
    await posting

    assert host.sent[0]["status"] == 404


async def test_a_full_inbox_is_too_many_requests(make_chat):
    chat = await make_chat(inbound_max_messages=1, max_concurrent_handlers=1)
    entered, go = asyncio.Event(), asyncio.Event()

    async def hang(ctx):
        entered.set()
        await go.wait()

    chat.lobby.on_message("hang", hang)
    stream = await open_stream(chat)
    await chat.driver.sse_push(stream.connection_id, join())
    await stream.receive_event_named("ACKNOWLEDGE")
    hanging = {**join(), "action": "BROADCAST", "event": "hang"}
    await chat.driver.sse_push(stream.connection_id, hanging)
    await entered.wait()

    statuses = [
        (await chat.driver.sse_push(stream.connection_id, hanging))[0] for _ in range(2)
    ]

    assert statuses == [204, 429]
    go.set()
    await stream.disconnect()


# DELETE


async def test_a_stream_can_be_ended(chat, stream):
    await chat.driver.sse_push(stream.connection_id, join())
    await stream.receive_event_named("ACKNOWLEDGE")

    assert await chat.driver.sse_disconnect(stream.connection_id) == (204, b"")

    with pytest.raises(EOFError):
        await stream.receive_event()
    await stream.app_task
    assert chat.left == [(stream.user_id, "connection_closed")]


async def test_a_stream_ends_once(chat, stream):
    await chat.driver.sse_disconnect(stream.connection_id)

    assert (await chat.driver.sse_disconnect(stream.connection_id))[0] == 404


async def test_a_stream_of_another_adapter_can_be_fed_and_ended(chat):
    transport = SSEServerTransport(id="ada")
    await chat.endpoint.register_transport(transport)
    await transport.next_event()

    status, _ = await chat.driver.sse_push(transport.connection_id, join())
    ack = await transport.next_event()

    assert (status, ack.event) == (204, "ACKNOWLEDGE")
    assert (await chat.driver.sse_disconnect(transport.connection_id))[0] == 204
    assert not transport.is_active()


# Origin and CORS


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_a_foreign_page_may_not_use_a_stolen_id(method, chat, stream):
    answer = await chat.driver.request(
        method, "/socket", headers={"x-connection-id": stream.connection_id, **FOREIGN}
    )

    assert answer.status == 403
    assert answer.headers.get("access-control-allow-origin") is None
    assert (await chat.pond.find_connection(stream.connection_id)).is_active()


async def test_a_listed_page_may_read_every_answer(make_chat):
    chat = await make_chat(allowed_origins=["https://app.example"])
    stream = await chat.driver.connect_sse("/socket", headers=LISTED)
    secret = {"x-connection-id": stream.connection_id, **LISTED}
    refused = await chat.driver.request("GET", "/socket", headers=LISTED)
    unknown = await chat.driver.request("POST", "/socket", headers=LISTED)
    ended = await chat.driver.request("DELETE", "/socket", headers=secret)

    assert [x.status for x in (stream, refused, unknown, ended)] == [200, 406, 404, 204]
    for answer in (stream, refused, unknown, ended):
        headers = answer.headers
        assert headers.get("access-control-allow-origin") == "https://app.example"
        assert headers.get("access-control-allow-credentials") == "true"
        assert headers.get("access-control-expose-headers") == "x-connection-id"
        assert headers.get("vary") == "origin"


async def test_where_every_page_may_read_none_may_bring_cookies(make_chat):
    chat = await make_chat(allowed_origins=["*"])

    answer = await chat.driver.request("OPTIONS", "/socket", headers=LISTED)

    assert answer.headers.get("access-control-allow-origin") is not None
    assert answer.headers.get("access-control-allow-credentials") is None


async def test_without_an_origin_there_are_no_cors_headers(stream):
    names = [name for name, _ in stream.headers.items()]

    assert [name for name in names if name.startswith("access-control")] == []


async def test_a_preflight_tells_a_listed_page_what_it_may_send(make_chat):
    chat = await make_chat(allowed_origins=["https://app.example"])

    answer = await chat.driver.request("OPTIONS", "/any/path", headers=LISTED)

    assert answer.status == 204
    headers = answer.headers
    assert headers.get("access-control-allow-origin") == "https://app.example"
    assert headers.get("access-control-allow-methods") == "GET, POST, DELETE"
    assert headers.get("access-control-allow-headers") == "content-type,x-connection-id"


async def test_a_preflight_of_a_foreign_page_is_forbidden(chat):
    answer = await chat.driver.request("OPTIONS", "/socket", headers=FOREIGN)

    assert answer.status == 403
    assert answer.headers.get("access-control-allow-origin") is None


async def test_a_question_for_options_that_is_no_preflight_is_answered(chat):
    answer = await chat.driver.request("OPTIONS", "/socket")

    assert (answer.status, answer.headers.get("allow")) == (204, EVERYTHING)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "HEAD", "BREW"])
async def test_another_method_is_not_allowed(method, chat):
    answer = await chat.driver.request(method, "/socket")

    assert (answer.status, answer.headers.get("allow")) == (405, EVERYTHING)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_a_pond_without_endpoints_has_nothing_to_find(method):
    driver = ASGITestDriver(PondASGIApp(PondSocket()))

    answer = await driver.request(method, "/socket", headers=FOREIGN)

    assert answer.status == 404


async def test_a_host_may_raise_when_the_client_left_before_its_answer(chat, make_host):
    host = make_host()
    host.fault = OSError("gone")

    await chat.app(
        {"type": "http", "method": "GET", "path": "/nowhere"}, host.receive, host.send
    )

    assert host.sent == []
