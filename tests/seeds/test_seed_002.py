"""The examples of WebSocketASGI's document, as they stand there, over real sockets.

Two liberties: ``import simple_websocket`` names our module (the one change that its
document allows), and indentation, which the document lost, is restored.
"""

import ast
import asyncio

import httpx
import pytest
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import UserSettingsHolder, global_settings, settings
from django.urls import path
from django.utils.functional import empty
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus


async def leave_politely(websocket):
    await websocket.close()


async def vanish(websocket):
    websocket.transport.abort()


# FastAPI


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["echo", "chat"], "echo"),
        (["chat"], "chat"),
        (["other", "chat"], "chat"),
        (["other"], None),
        (None, None),
    ],
)
async def test_fastapi_echoes_whatever_subprotocol_is_chosen(
    offered, chosen, run_seed, serve
):
    server = await serve((await run_seed("websocket_fastapi"))["app"])

    async with connect(f"{server.url}/ws", subprotocols=offered) as websocket:
        await websocket.send("hi")

        assert websocket.subprotocol == chosen
        assert await websocket.recv() == "Echo: hi"


async def test_fastapi_tells_text_from_bytes(run_seed, serve, capsys):
    server = await serve((await run_seed("websocket_fastapi"))["app"])

    async with connect(f"{server.url}/ws") as websocket:
        for data in ("hi", "", b"\x00\xff"):
            await websocket.send(data)

        assert await websocket.recv() == "Echo: hi"
        assert await websocket.recv() == "Echo: "
        assert await websocket.recv() == r"Echo: b'\x00\xff'"
    await server.end_of_call()
    assert "Received: hi\nReceived: \nReceived: b'" in capsys.readouterr().out


@pytest.mark.parametrize("leave", [leave_politely, vanish])
async def test_fastapi_notices_a_client_that_leaves(leave, run_seed, serve, capsys):
    server = await serve((await run_seed("websocket_fastapi"))["app"])
    async with connect(f"{server.url}/ws") as websocket:
        await leave(websocket)

        assert await server.end_of_call() is None

    assert capsys.readouterr().out == "Client disconnected\n"


# Starlette


async def test_starlette_tells_text_from_bytes(run_seed, serve):
    server = await serve((await run_seed("websocket_starlette"))["app"])

    async with connect(f"{server.url}/ws", subprotocols=["chat"]) as websocket:
        for data in ("hi", "", b"1234", b""):
            await websocket.send(data)

        assert websocket.subprotocol is None
        assert await websocket.recv() == "Welcome to the WebSocket server!"
        assert await websocket.recv() == "Text received: hi"
        assert await websocket.recv() == "Text received: "
        assert await websocket.recv() == "Binary data received: 4 bytes"
        assert await websocket.recv() == "Binary data received: 0 bytes"


@pytest.mark.parametrize("leave", [leave_politely, vanish])
async def test_starlette_notices_a_client_that_leaves(leave, run_seed, serve, capsys):
    server = await serve((await run_seed("websocket_starlette"))["app"])
    async with connect(f"{server.url}/ws") as websocket:
        await leave(websocket)

        assert await server.end_of_call() is None

    assert capsys.readouterr().out == "WebSocket connection closed\n"


# an ASGI application of one's own


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["v1"], "v1"),
        (["v2", "v1"], "v2"),
        (["v1", "v2"], "v1"),
        (["v3"], None),
        (None, None),
    ],
)
async def test_a_plain_application_counts_its_messages(
    offered, chosen, run_seed, serve
):
    server = await serve((await run_seed("websocket_raw"))["websocket_app"])

    async with connect(server.url, subprotocols=offered) as websocket:
        greeting = await websocket.recv()
        answers = []
        for data in ("hi", b"hi"):
            await websocket.send(data)
            answers.append(ast.literal_eval(await websocket.recv()))

        assert websocket.subprotocol == chosen
    assert greeting == f"Connected with subprotocol: {chosen}"
    assert answers == [
        {"message_id": 1, "echo": "hi", "subprotocol": chosen},
        {"message_id": 2, "echo": b"hi", "subprotocol": chosen},
    ]


@pytest.mark.parametrize("leave", [leave_politely, vanish])
async def test_a_plain_application_says_how_many_there_were(
    leave, run_seed, serve, capsys
):
    server = await serve((await run_seed("websocket_raw"))["websocket_app"])
    async with connect(server.url) as websocket:
        await websocket.send("hi")
        await websocket.recv()
        await websocket.recv()
        await leave(websocket)

        assert await server.end_of_call() is None

    assert capsys.readouterr().out == "Connection closed after 1 messages\n"


@pytest.mark.parametrize("serve", ["uvicorn"], indirect=True)  # the bridge has no HTTP
async def test_a_plain_application_has_no_page(run_seed, serve):
    server = await serve((await run_seed("websocket_raw"))["websocket_app"])

    async with httpx.AsyncClient() as client:
        answer = await client.get(server.url.replace("ws", "http", 1))

    assert (answer.status_code, answer.text) == (404, "Not Found")


# subprotocols


@pytest.mark.parametrize(
    ("offered", "chosen", "welcome", "answer"),
    [
        (
            ["chat.v1", "chat.v2"],
            "chat.v1",
            "Welcome to Chat v1!",
            "[chat.v1] Received: hi",
        ),
        (
            ["chat.v2", "chat.v1"],
            "chat.v2",
            "Welcome to Chat v2 with enhanced features!",
            "[chat.v2] Received: hi",
        ),
        (["other", "echo"], "echo", "Echo mode activated", "Echo: hi"),
        (["other"], None, "No subprotocol selected", "[None] Received: hi"),
        (None, None, "No subprotocol selected", "[None] Received: hi"),
    ],
)
async def test_subprotocols_are_negotiated(
    offered, chosen, welcome, answer, run_seed, serve, capsys
):
    server = await serve((await run_seed("websocket_subprotocols"))["app"])

    async with connect(f"{server.url}/ws", subprotocols=offered) as websocket:
        await websocket.send("hi")

        assert websocket.subprotocol == chosen
        assert await websocket.recv() == welcome
        assert await websocket.recv() == answer
    await server.end_of_call()
    assert capsys.readouterr().out == f"Connection with protocol '{chosen}' closed\n"


# errors


@pytest.mark.parametrize("leave", [leave_politely, vanish])
async def test_a_client_that_leaves_is_no_error(leave, run_seed, serve, capsys):
    server = await serve((await run_seed("websocket_errors"))["app"])
    async with connect(f"{server.url}/ws") as websocket:
        await websocket.send("hi")
        assert await websocket.recv() == "Received: hi"
        await leave(websocket)

        assert await server.end_of_call() is None

    assert capsys.readouterr().out == "Client disconnected normally\n"


async def test_a_message_that_is_none_is_told_apart(run_seed, serve, capsys):
    app = (await run_seed("websocket_errors"))["app"]

    async def without_content(scope, receive, send):
        async def receive_type():
            return {"type": (await receive())["type"]}

        await app(scope, receive_type, send)

    server = await serve(without_content)

    async with connect(f"{server.url}/ws") as websocket:
        await websocket.send("hi")
        with pytest.raises(ConnectionClosed):
            await websocket.recv()

    assert await server.end_of_call() is None
    said = capsys.readouterr().out
    assert said == "WebSocket error: websocket.receive holds neither text nor bytes\n"


async def test_a_connection_that_another_accepted_cannot_be_accepted(
    run_seed, serve, capsys
):
    app = (await run_seed("websocket_errors"))["app"]

    async def accept_first(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await app(scope, receive, send)

    server = await serve(accept_first)

    async with connect(f"{server.url}/ws") as websocket:
        await websocket.send("hi")
        with pytest.raises(ConnectionClosed):
            await websocket.recv()

    assert await server.end_of_call() is None
    said = capsys.readouterr().out
    assert said.startswith("Failed to establish WebSocket connection: Expected ASGI")


async def test_a_client_that_left_meanwhile_cannot_be_accepted(run_seed, serve, capsys):
    app = (await run_seed("websocket_errors"))["app"]
    is_waiting = asyncio.Event()

    async def accept_late(scope, receive, send):
        async def send_late(message):
            is_waiting.set()
            assert (await receive())["type"] == "websocket.disconnect"
            await send(message)

        await app(scope, receive, send_late)

    server = await serve(accept_late)
    connecting = asyncio.create_task(connect(f"{server.url}/ws").__aenter__())
    async with asyncio.timeout(5):
        await is_waiting.wait()

    connecting.cancel()

    assert await server.end_of_call() is None
    said = capsys.readouterr().out
    reason = "Connection closed: 1006 client left"
    assert said == f"Failed to establish WebSocket connection: {reason}\n"


# Django Channels


@pytest.fixture
def django_settings():
    """Settings for one test: what `settings.configure` sets stays for the process."""
    settings._wrapped = UserSettingsHolder(global_settings)
    yield
    settings._wrapped = empty


@pytest.mark.usefixtures("django_settings")
async def test_a_consumer_of_django_channels_has_no_pair_to_hand_over(run_seed, serve):
    """Why that example cannot work, whatever the module behind it.

    Channels takes ``websocket.connect`` from the host before it calls ``connect``, and
    the consumer's ``receive`` is no source of messages: it is what Channels calls with
    each. The first thing that ``accept`` does is call it, so that it looks for the very
    object that ``accept`` is about to return.
    """
    consumer = (await run_seed("websocket_channels"))["SimpleWebSocketConsumer"]
    router = ProtocolTypeRouter(
        {"websocket": URLRouter([path("ws", consumer.as_asgi())])}
    )
    server = await serve(router)

    with pytest.raises(InvalidStatus) as refused:
        await connect(f"{server.url}/ws")

    fault = await server.end_of_call()
    assert isinstance(fault, AttributeError)
    assert fault.name == "ws"
    assert refused.value.response.status_code == 500


@pytest.mark.usefixtures("django_settings")
async def test_a_plain_application_works_in_a_channels_router(run_seed, serve):
    app = (await run_seed("websocket_raw"))["websocket_app"]
    server = await serve(
        ProtocolTypeRouter({"websocket": URLRouter([path("ws", app)])})
    )

    async with connect(f"{server.url}/ws", subprotocols=["v2"]) as websocket:
        assert await websocket.recv() == "Connected with subprotocol: v2"
    assert await server.end_of_call() is None
