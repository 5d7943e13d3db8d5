"""The examples of the ASGI seed documents, run as they stand there.

Three liberties: ``import simple_websocket`` names our module (the one change that its
document allows), the message that a document leaves out with ``...`` is filled in, and
indentation, which the documents lost, is restored. The consumer of Django Channels is
missing: it has no receive/send pair to hand over. A plain application in a Channels
router is what works there: ``test_a_plain_application_counts_its_messages``.
"""

import ast
import asyncio
import inspect
import sys
from pathlib import Path

import pytest

import pondsocket_asgi.websocket
from pondsocket_asgi.testing import ASGITestDriver
from pondsocket_asgi.websocket import ConnectionClosed

SEEDS = Path(__file__).parent / "asgi"

MESSAGE = {
    "action": "BROADCAST",
    "event": "message",
    "channelName": "/chat/1",
    "requestId": "1",
    "payload": {},
}


@pytest.fixture
def run_seed(monkeypatch):
    """Run an example in a namespace that several may share."""
    monkeypatch.setitem(sys.modules, "simple_websocket", pondsocket_asgi.websocket)
    namespace = {"MESSAGE": MESSAGE}

    async def run_example(name):
        path = SEEDS / f"{name}.txt"
        code = compile(
            path.read_text(), path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        )
        result = eval(code, namespace)  # noqa: S307 - our own file
        if inspect.iscoroutine(result):
            await result
        return namespace

    return run_example


async def leave(session):
    await session.disconnect()
    assert session.app_task.exception() is None


# 000: pondsocket_asgi


async def test_the_quick_start_is_a_chat(run_seed):
    names = await run_seed("quickstart")
    driver = ASGITestDriver(names["app"])
    sessions = [await driver.connect_websocket("/socket") for _ in range(2)]
    for session in sessions:
        await session.receive_json()
        await session.send_client_message(
            action="JOIN_CHANNEL", channel_name="/chat/1", event="join"
        )
        assert (await session.receive_json())["event"] == "ACKNOWLEDGE"

    await sessions[0].send_client_message(
        action="BROADCAST", channel_name="/chat/1", event="message", payload={"a": 1}
    )

    for session in sessions:
        assert (await session.receive_json())["payload"] == {"a": 1}
        await leave(session)


async def test_it_can_be_mounted_under_fastapi(run_seed):
    await run_seed("quickstart")
    names = await run_seed("fastapi_mount")

    session = await ASGITestDriver(names["app"]).connect_websocket("/ws/socket")

    assert (await session.receive_json())["event"] == "CONNECTION"
    await leave(session)


async def test_the_test_driver_works_as_shown(run_seed):
    await run_seed("quickstart")

    names = await run_seed("testing_websocket")
    assert names["session"].accepted
    assert names["ack"]["event"] in {"CONNECTION", "ACKNOWLEDGE"}

    names = await run_seed("testing_sse")
    assert names["status"] == 204
    assert names["frame"]["payload"]["connectionId"] == names["sse"].connection_id

    names = await run_seed("testing_lifespan")
    assert names["lifespan"].app_task.done()


# 002: WebSocketASGI


async def heard(session):
    return (await session.receive_message())["text"]


@pytest.mark.parametrize(
    ("offered", "chosen"), [(["echo", "chat"], "echo"), (["other"], None), ([], None)]
)
async def test_fastapi_echoes(offered, chosen, run_seed, capsys):
    names = await run_seed("websocket_fastapi")
    session = await ASGITestDriver(names["app"]).connect_websocket(
        "/ws", subprotocols=offered
    )

    await session.send_text("hi")

    assert session.subprotocol == chosen
    assert await heard(session) == "Echo: hi"
    await leave(session)
    assert "Client disconnected" in capsys.readouterr().out


async def test_starlette_tells_text_from_bytes(run_seed, capsys):
    names = await run_seed("websocket_starlette")
    session = await ASGITestDriver(names["app"]).connect_websocket("/ws")

    await session.send_text("")
    await session.send_bytes(b"1234")

    assert await heard(session) == "Welcome to the WebSocket server!"
    assert await heard(session) == "Text received: "
    assert await heard(session) == "Binary data received: 4 bytes"
    await leave(session)
    assert "WebSocket connection closed" in capsys.readouterr().out


async def test_a_plain_application_counts_its_messages(run_seed, capsys):
    names = await run_seed("websocket_raw")
    driver = ASGITestDriver(names["websocket_app"])
    session = await driver.connect_websocket("/", subprotocols=["v2", "v1"])

    await session.send_text("hi")

    assert await heard(session) == "Connected with subprotocol: v2"
    assert ast.literal_eval(await heard(session)) == {
        "message_id": 1,
        "echo": "hi",
        "subprotocol": "v2",
    }
    await leave(session)
    assert "closed after 1 messages" in capsys.readouterr().out
    assert await driver.call_http("/") == (404, b"Not Found")


@pytest.mark.parametrize(
    ("offered", "welcome", "answer"),
    [
        (["chat.v1"], "Welcome to Chat v1!", "[chat.v1] Received: hi"),
        (
            ["chat.v2"],
            "Welcome to Chat v2 with enhanced features!",
            "[chat.v2] Received: hi",
        ),
        (["echo"], "Echo mode activated", "Echo: hi"),
        (["other"], "No subprotocol selected", "[None] Received: hi"),
    ],
)
async def test_subprotocols_are_negotiated(offered, welcome, answer, run_seed):
    names = await run_seed("websocket_subprotocols")
    session = await ASGITestDriver(names["app"]).connect_websocket(
        "/ws", subprotocols=offered
    )

    await session.send_text("hi")

    assert await heard(session) == welcome
    assert await heard(session) == answer
    await leave(session)


async def test_errors_are_told_apart(run_seed, capsys):
    names = await run_seed("websocket_errors")
    session = await ASGITestDriver(names["app"]).connect_websocket("/ws")

    await session.send_text("hi")

    assert await heard(session) == "Received: hi"
    await leave(session)
    assert "Client disconnected normally" in capsys.readouterr().out


async def test_a_message_that_is_none_is_told_apart_too(run_seed, capsys):
    names = await run_seed("websocket_errors")
    driver = ASGITestDriver(names["app"])
    session = await driver.connect_websocket("/ws")

    session._conversation.tell({"type": "websocket.receive"})
    with pytest.raises(ConnectionClosed):
        await session.receive_json()

    async with asyncio.timeout(5):
        await session.app_task
    assert "WebSocket error" in capsys.readouterr().out
