"""WebSocket handshakes: accepted, refused, and left by their clients."""

import asyncio
import json

import pytest

from pondsocket import Conflict, Unavailable


async def test_the_handler_sees_what_the_client_sent(chat):
    session = await chat.driver.connect_websocket(
        "/socket",
        headers={"x-token": "secret", "cookie": "a=1"},
        query={"name": "Ada Lovelace"},
        client=("192.0.2.1", 4711),
    )

    ctx = chat.contexts[0]
    assert ctx.headers.get("X-Token") == "secret"
    assert ctx.cookies == {"a": "1"}
    assert ctx.query == {"name": "Ada Lovelace"}
    assert ctx.address == "192.0.2.1"
    await session.disconnect()


async def test_the_handler_sees_the_parameters_of_the_path(chat):
    seen = []

    def connect(ctx):
        seen.append(ctx.params)
        ctx.accept(tenant=ctx.params["tenant"])

    endpoint = chat.pond.create_endpoint("/of/:tenant/socket", connect)
    session = await chat.driver.connect_websocket("/of/acme/socket")

    connection = await session.receive_json()
    transport = await endpoint.get_transport(connection["payload"]["id"])
    assert seen == [{"tenant": "acme"}]
    assert transport.get_assign("tenant") == "acme"
    await session.disconnect()


async def test_a_reply_of_the_handler_follows_the_greeting(chat):
    chat.pond.create_endpoint("/hello", lambda ctx: ctx.reply("hello", {"n": 1}))
    session = await chat.driver.connect_websocket("/hello")

    greeting = await session.receive_json()
    reply = await session.receive_json()

    assert greeting["event"] == "CONNECTION"
    assert (reply["event"], reply["payload"]) == ("hello", {"n": 1})
    await session.disconnect()


async def test_no_subprotocol_is_ever_accepted(chat):
    session = await chat.driver.connect_websocket("/socket", subprotocols=["chat"])

    assert session.accepted
    assert session.subprotocol is None
    await session.disconnect()


@pytest.mark.parametrize(
    ("declined", "code"), [(403, 4403), (401, 4401), (4001, 4001), (7, 1008)]
)
async def test_a_refusal_closes_with_a_code_where_the_host_knows_no_better(
    declined, code, chat
):
    session = await chat.driver.connect_websocket(
        "/socket", query={"decline": str(declined)}
    )

    assert not session.accepted
    assert (session.close_code, session.close_reason) == (code, "not today")
    await session.app_task


@pytest.mark.parametrize(("declined", "status"), [(403, 403), (503, 503), (4001, 403)])
async def test_a_refusal_is_an_http_answer_where_the_host_can_send_one(
    declined, status, chat
):
    session = await chat.driver.connect_websocket(
        "/socket", query={"decline": str(declined)}, http_response=True
    )

    assert not session.accepted
    assert session.response.status == status
    assert session.response.body == b"not today"
    assert session.response.headers.get("content-length") == "9"
    await session.app_task


async def test_an_unknown_endpoint_is_not_found(chat):
    session = await chat.driver.connect_websocket("/nowhere")

    assert session.close_code == 4404


async def test_a_foreign_origin_is_forbidden(chat):
    session = await chat.driver.connect_websocket(
        "/socket", headers={"origin": "https://evil.example", "host": "chat.example"}
    )

    assert session.close_code == 4403
    assert chat.contexts == []


async def test_a_handler_that_fails_tells_nothing_of_why(chat, caplog):
    def connect(ctx):
        raise RuntimeError("password in here")

    chat.pond.create_endpoint("/broken", connect)

    session = await chat.driver.connect_websocket("/broken")

    assert session.close_code == 4500
    assert "password" not in session.close_reason
    assert "password" in caplog.text


async def test_a_reason_is_cut_to_what_a_close_frame_holds(chat):
    chat.pond.create_endpoint("/long", lambda ctx: ctx.decline(403, "é" * 100))

    session = await chat.driver.connect_websocket("/long")

    assert session.close_reason == "é" * 61


async def test_an_endpoint_that_is_full_refuses(make_chat):
    chat = await make_chat(max_connections=1)
    first = await chat.driver.connect_websocket("/socket")
    await first.receive_json()

    second = await chat.driver.connect_websocket("/socket")

    assert second.close_code == 4503
    await first.disconnect()


async def test_a_handshake_in_progress_takes_a_place(make_chat):
    chat = await make_chat(max_connections=1)
    begun, go = asyncio.Event(), asyncio.Event()

    async def decide(ctx):
        begun.set()
        await go.wait()
        ctx.accept()

    chat.pond.create_endpoint("/crowd", decide)
    first = asyncio.create_task(chat.driver.connect_websocket("/crowd"))
    await begun.wait()

    late = await chat.driver.connect_websocket("/crowd")

    go.set()
    assert (await first).accepted
    assert not late.accepted


@pytest.mark.parametrize(
    ("error", "code"), [(Unavailable("", "full"), 1013), (Conflict("", "twice"), 4409)]
)
async def test_a_connection_that_cannot_be_registered_is_closed(
    error, code, chat, monkeypatch
):
    async def fail(transport, context):
        raise error

    monkeypatch.setattr(chat.endpoint, "register_transport", fail)

    session = await chat.driver.connect_websocket("/socket")
    async with asyncio.timeout(5):
        await session.app_task

    assert (session.close_code, session.close_reason) == (code, error.message)


async def test_a_failing_registration_is_the_hosts_to_log(chat, monkeypatch):
    async def fail(transport, context):
        raise RuntimeError("a defect")

    monkeypatch.setattr(chat.endpoint, "register_transport", fail)

    session = await chat.driver.connect_websocket("/socket")

    with pytest.raises(RuntimeError, match="a defect"):
        await session.app_task


# Clients that leave at every stage


SCOPE = {"type": "websocket", "path": "/socket"}
HTTP_SCOPE = {**SCOPE, "extensions": {"websocket.http.response": {}}}


async def nobody_is_left(chat):
    return await chat.endpoint.connection_count() == 0


async def test_a_client_may_leave_before_its_handshake(chat, make_host):
    host = make_host({"type": "websocket.disconnect", "code": 1006})

    await chat.app(SCOPE, host.receive, host.send)

    assert host.sent == []
    assert chat.contexts == []


async def test_a_client_may_leave_while_the_handler_decides(chat, make_host):
    host = make_host({"type": "websocket.connect"}, {"type": "websocket.disconnect"})

    await chat.app(SCOPE, host.receive, host.send)

    assert len(chat.contexts) == 1
    assert await nobody_is_left(chat)


@pytest.mark.parametrize("fault", [OSError("gone"), RuntimeError("after close")])
async def test_a_host_may_say_so_when_the_connection_is_accepted(
    fault, chat, make_host
):
    host = make_host({"type": "websocket.connect"})
    host.fault = fault

    await chat.app(SCOPE, host.receive, host.send)

    assert await nobody_is_left(chat)
    assert chat.counts["send_failed"] == 0


async def test_a_host_may_say_so_when_the_greeting_is_sent(chat, make_host):
    host = make_host({"type": "websocket.connect"})

    async def send(message):
        if message["type"] == "websocket.send":
            raise OSError("gone")

    async with asyncio.timeout(5):
        await chat.app(SCOPE, host.receive, send)

    assert chat.counts["send_failed"] == 1
    async with asyncio.timeout(5):
        while not await nobody_is_left(chat):
            await asyncio.sleep(0)


@pytest.mark.parametrize("scope", [SCOPE, HTTP_SCOPE])
async def test_a_host_may_say_so_when_the_connection_is_refused(scope, chat, make_host):
    host = make_host({"type": "websocket.connect"})
    host.fault = OSError("gone")

    await chat.app({**scope, "query_string": b"decline=403"}, host.receive, host.send)

    assert host.sent == []


async def test_a_host_that_cancels_the_call_leaves_nothing_behind(chat):
    session = await chat.driver.connect_websocket("/socket")
    await session.receive_json()

    session.app_task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await session.app_task

    assert await nobody_is_left(chat)


async def test_messages_share_a_frame_only_for_who_asks(chat, message):
    session = await chat.driver.connect_websocket(
        "/socket", query={"pond.frames": "batch"}
    )
    await session.receive_json()
    await session.send_text(message("JOIN_CHANNEL"))
    await session.receive_json()
    channel = await chat.lobby.get_channel("/chat/1")

    for number in range(3):
        await channel.broadcast("news", {"n": number})
    frame = await session.receive_message()

    lines = [json.loads(line) for line in frame["text"].split("\n")]
    assert [line["payload"]["n"] for line in lines] == [0, 1, 2]
    await session.disconnect()


async def test_the_protocol_version_is_told_to_who_asks(chat):
    session = await chat.driver.connect_websocket(
        "/socket", query_string=b"pond.protocol=1"
    )

    message = await session.receive_message()

    assert json.loads(message["text"])["payload"]["protocol"] == 1
    await session.disconnect()
