"""A PondSocket behind ``websockets.serve`` as its users call it themselves."""

import asyncio
import contextlib
import json

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve as serve_library
from websockets.exceptions import ConnectionClosed, InvalidStatus

from pondsocket_websockets import PondHandler


@pytest.fixture
async def start(make_chat):
    """Serve a chat by the library's own ``serve``; gives chat, handler and URL."""
    async with contextlib.AsyncExitStack() as stack:

        async def start_one(make_settings=lambda handler: handler.settings, **options):
            chat = make_chat(**options)
            handler = PondHandler(chat.pond)
            server = await stack.enter_async_context(
                serve_library(handler, "127.0.0.1", 0, **make_settings(handler))
            )
            stack.push_async_callback(handler.close)
            port = server.sockets[0].getsockname()[1]
            return chat, handler, f"ws://127.0.0.1:{port}/socket"

        yield start_one


async def test_a_client_connects_joins_and_talks(start, message):
    chat, _, url = await start()

    async with connect(f"{url}?name=Ada%20L") as client:
        assert json.loads(await client.recv())["event"] == "CONNECTION"
        await client.send(message("JOIN_CHANNEL"))
        assert json.loads(await client.recv())["event"] == "ACKNOWLEDGE"
        await client.send(message(payload={"n": 1}))
        assert json.loads(await client.recv())["payload"] == {"n": 1}

    assert chat.contexts[0].query == {"name": "Ada L"}
    assert chat.contexts[0].address == "127.0.0.1"


async def test_the_request_alone_is_enough(start):
    _, _, url = await start(lambda each: {"process_request": each.process_request})

    async with connect(url) as client:
        assert "CONNECTION" in await client.recv()


async def test_a_refusal_has_its_status_and_its_text(start):
    _, _, url = await start()

    with pytest.raises(InvalidStatus) as caught:
        await connect(f"{url}?decline=418")

    assert caught.value.response.status_code == 418
    assert caught.value.response.body == b"not today"


async def test_a_refusal_may_have_a_status_without_a_name(start):
    _, _, url = await start()

    with pytest.raises(InvalidStatus) as caught:
        await connect(f"{url}?decline=599")

    assert caught.value.response.status_code == 599


async def test_a_path_without_an_endpoint_is_not_found(start):
    _, _, url = await start()

    with pytest.raises(InvalidStatus) as caught:
        await connect(f"{url}/nowhere")

    assert caught.value.response.status_code == 404


async def test_nobody_is_told_which_library_serves(start):
    _, _, url = await start()

    async with connect(url) as client:
        assert "server" not in client.response.headers


async def test_of_the_subprotocols_offered_none_is_chosen(start):
    _, _, url = await start()

    async with connect(url, subprotocols=["chat", "superchat"]) as client:
        assert client.subprotocol is None
        assert "CONNECTION" in await client.recv()


async def test_a_subprotocol_of_the_users_own_is_negotiated(start):
    _, _, url = await start(lambda each: each.settings | {"subprotocols": ["chat"]})

    async with connect(url, subprotocols=["chat"]) as client:
        assert client.subprotocol == "chat"


async def test_several_messages_come_in_one_frame_if_asked_for(start, message):
    _, _, url = await start()

    async with connect(f"{url}?pond.frames=batch") as client:
        await client.recv()
        await client.send(message("JOIN_CHANNEL"))
        await client.recv()
        for _ in range(20):
            await client.send(message())
        received = []
        while len(received) < 20:
            received += (await client.recv()).split("\n")

    assert {json.loads(each)["event"] for each in received} == {"echo"}


# A handshake that is none


HANDSHAKE_HEADERS = {
    "connection": "upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


@pytest.mark.parametrize(
    "broken",
    [
        {"sec-websocket-version": "12"},
        {"sec-websocket-key": "too short"},
        {"connection": "close"},
        {"upgrade": "h2c"},
    ],
)
async def test_no_handler_sees_a_malformed_handshake(start, broken):
    chat, _, url = await start()

    async with httpx.AsyncClient() as client:
        headers = HANDSHAKE_HEADERS | broken
        answer = await client.get(url.replace("ws", "http", 1), headers=headers)

    assert answer.status_code in {400, 426}
    assert chat.contexts == []


@pytest.mark.parametrize(
    ("method", "status", "header"),
    [
        ("GET", 426, ("upgrade", "websocket")),
        ("POST", 405, ("allow", "GET")),
        ("DELETE", 405, ("allow", "GET")),
        ("OPTIONS", 405, ("allow", "GET")),
    ],
)
async def test_who_asks_for_a_stream_is_told_what_there_is(
    start, method, status, header
):
    _, _, url = await start()

    async with httpx.AsyncClient() as client:
        headers = {"accept": "text/event-stream", "x-connection-id": "x"}
        path = url.replace("ws", "http", 1)
        answer = await client.request(method, path, headers=headers)

    assert answer.status_code == status
    assert answer.headers[header[0]] == header[1]
    assert "no event streams (SSE)" in answer.text


# A process_request of the user's own


async def test_a_request_can_be_decided_before(start):
    def with_health(handler):
        async def process_request(connection, request):
            if request.path == "/health":
                return connection.respond(200, "fine\n")
            return await handler.process_request(connection, request)

        return handler.settings | {"process_request": process_request}

    _, _, url = await start(with_health)

    async with httpx.AsyncClient() as client:
        health = url.replace("ws", "http", 1).replace("/socket", "/health")
        answer = await client.get(health)
    async with connect(url) as websocket:
        greeting = await websocket.recv()

    assert answer.text == "fine\n"
    assert "CONNECTION" in greeting


async def test_a_handler_without_its_request_says_what_is_missing(start, caplog):
    _, _, url = await start(lambda _: {})

    async with connect(url) as client:
        with pytest.raises(ConnectionClosed):
            await client.recv()

    assert client.close_code == 1011
    async with asyncio.timeout(5):  # no event tells when the library logs
        while "expected process_request=handler.process_request" not in caplog.text:
            await asyncio.sleep(0.01)


# The end


async def test_closing_tells_everybody_to_come_back(start):
    chat, handler, url = await start()
    async with connect(url) as client:
        await client.recv()

        await handler.close()
        with pytest.raises(ConnectionClosed):
            await client.recv()

    assert client.close_code == 1012
    assert chat.connected == 0


async def test_a_connection_handler_is_not_waited_for(start):
    chat, handler, url = await start()
    arriving = asyncio.create_task(arrive(f"{url}?wait"))
    async with asyncio.timeout(5):
        await chat.asked.wait()

        await handler.close()
        answer = await arriving

    assert answer.status_code == 503


async def arrive(url):
    """Return what the handshake is refused with."""
    with pytest.raises(InvalidStatus) as caught:
        await connect(url)
    return caught.value.response


async def test_who_arrives_after_the_end_is_refused(start):
    _, handler, url = await start()
    await handler.close()

    assert (await arrive(url)).status_code == 503


async def test_closing_again_does_nothing(start):
    _, handler, _ = await start()

    await handler.close()
    await handler.close()
