"""The adapter on real uvicorn, with each of its WebSocket implementations."""

import asyncio
import base64
import json
import os

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

IMPLEMENTATIONS = ["websockets-sansio", "wsproto", "websockets"]

# uvicorn deprecates its oldest implementation, and that uses a deprecated part of
# websockets; people run it
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::uvicorn.config.UvicornDeprecationWarning"),
]

HANDSHAKE = (
    b"GET /socket HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\n"
    b"connection: upgrade\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: " + base64.b64encode(bytes(16)) + b"\r\n\r\n"
)
STREAM = b"GET /socket HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n"


@pytest.fixture(params=IMPLEMENTATIONS)
def implementation(request):
    return request.param


def masked(text):
    """Return a client's frame of a text of 126 to 65535 bytes; the mask is zero."""
    data = text.encode()
    return b"\x81\xfe" + len(data).to_bytes(2, "big") + bytes(4) + data


async def receive(websocket):
    return json.loads(await websocket.recv())


async def join(websocket, message):
    greeting = await receive(websocket)
    await websocket.send(message("JOIN_CHANNEL"))
    assert (await receive(websocket))["event"] == "ACKNOWLEDGE"
    return greeting["payload"]["id"]


async def until(condition):
    """Wait for a condition that no event tells of: it is uvicorn's."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_message_comes_back(chat, serve, implementation, message):
    server = await serve(chat.app, ws=implementation)

    async with connect(f"ws://127.0.0.1:{server.port}/socket") as websocket:
        await join(websocket, message)
        await websocket.send(message(payload={"n": 1}).encode())

        assert (await receive(websocket))["payload"] == {"n": 1}


async def test_many_frames_arrive_whole_and_in_order(
    chat, serve, implementation, message
):
    server = await serve(chat.app, ws=implementation)

    async with connect(f"ws://127.0.0.1:{server.port}/socket") as websocket:
        await join(websocket, message)
        channel = await chat.lobby.get_channel("/chat/1")
        for number in range(300):
            await channel.broadcast("news", {"n": number})

        numbers = [(await receive(websocket))["payload"]["n"] for _ in range(300)]

    assert numbers == list(range(300))


async def test_a_refusal_is_an_http_answer_with_its_message(
    chat, serve, implementation
):
    server = await serve(chat.app, ws=implementation)

    with pytest.raises(InvalidStatus) as caught:
        await connect(f"ws://127.0.0.1:{server.port}/socket?decline=401")

    assert caught.value.response.status_code == 401
    assert caught.value.response.body == b"not today"


async def test_an_unknown_endpoint_is_not_found(chat, serve, implementation):
    server = await serve(chat.app, ws=implementation)

    with pytest.raises(InvalidStatus) as caught:
        await connect(f"ws://127.0.0.1:{server.port}/nowhere")

    assert caught.value.response.status_code == 404


async def test_the_server_closes_with_code_and_reason(
    chat, serve, implementation, message
):
    server = await serve(chat.app, ws=implementation)

    async with connect(f"ws://127.0.0.1:{server.port}/socket") as websocket:
        user_id = await join(websocket, message)
        transport = await chat.endpoint.get_transport(user_id)
        await transport.close_with(4001, "go away")

        with pytest.raises(ConnectionClosed):
            await websocket.recv()

    assert (websocket.close_code, websocket.close_reason) == (4001, "go away")
    assert len(chat.left) == 1


@pytest.mark.parametrize("excess", [0, 1])
async def test_the_limit_of_a_message_is_exact(
    excess, make_chat, serve, implementation, message
):
    text = message("JOIN_CHANNEL")
    chat = await make_chat(max_message_size=len(text) - excess)
    server = await serve(chat.app, ws=implementation)

    async with connect(f"ws://127.0.0.1:{server.port}/socket") as websocket:
        await websocket.recv()
        await websocket.send(text)
        if excess:
            with pytest.raises(ConnectionClosed):
                await websocket.recv()
            assert websocket.close_code == 1009
        else:
            assert (await receive(websocket))["event"] == "ACKNOWLEDGE"


async def test_a_client_that_vanishes_is_noticed(chat, serve, implementation, message):
    server = await serve(chat.app, ws=implementation)
    websocket = await connect(f"ws://127.0.0.1:{server.port}/socket")
    await join(websocket, message)

    websocket.transport.abort()

    await until(lambda: not chat.connected)
    assert len(chat.left) == 1
    await websocket.wait_closed()


async def test_a_client_that_vanishes_during_the_handshake_leaves_nothing(
    chat, serve, implementation
):
    entered, go = asyncio.Event(), asyncio.Event()

    async def connecting(ctx):
        entered.set()
        await go.wait()
        ctx.accept()

    chat.pond.create_endpoint("/slow", connecting)
    server = await serve(chat.app, ws=implementation)
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(HANDSHAKE.replace(b"/socket", b"/slow"))
    await entered.wait()

    writer.transport.abort()
    await until(lambda: not server.server_state.connections)
    go.set()

    await until(lambda: not server.server_state.tasks)
    assert not chat.connected


@pytest.fixture
async def deaf_member(make_chat, serve, deaf, implementation, message):
    """A chat with a member whose socket takes nothing any more."""
    chat = await make_chat(send_timeout=0.3, outbound_max_bytes=100_000)
    server = await serve(chat.app, ws=implementation, send_buffer=4096)
    client = await deaf(server.port, HANDSHAKE)
    text = message("JOIN_CHANNEL", payload={"padding": "x" * 100})
    await asyncio.get_running_loop().sock_sendall(client, masked(text))
    await until(lambda: chat.pond.stats().channels)
    return chat, server


async def test_a_deaf_client_is_thrown_out_and_costs_the_others_nothing(
    deaf_member, message
):
    chat, server = deaf_member

    async with connect(f"ws://127.0.0.1:{server.port}/socket") as websocket:
        await join(websocket, message)
        channel = await chat.lobby.get_channel("/chat/1")
        assert await channel.user_count() == 2
        for number in range(200):
            await channel.broadcast("news", {"n": number, "text": "x" * 2000})
            assert (await receive(websocket))["payload"]["n"] == number

        await until(lambda: chat.connected == 1)

    assert chat.counts["slow_consumer_closed"] == 1
    # the callable has returned: what is left is for uvicorn to drop
    await until(lambda: not server.server_state.tasks)


async def test_a_deaf_client_that_gets_a_single_message_is_thrown_out_too(
    deaf_member,
):
    chat, server = deaf_member
    channel = await chat.lobby.get_channel("/chat/1")

    await channel.broadcast("news", {"text": os.urandom(500_000).hex()})
    await channel.broadcast("news", {"n": 2})

    await until(lambda: not chat.connected)
    await until(lambda: not server.server_state.tasks)


async def test_a_stream_over_http(chat, serve, message):
    server = await serve(chat.app)
    url = f"http://127.0.0.1:{server.port}/socket"

    async with httpx.AsyncClient() as client:
        accept = {"accept": "text/event-stream"}
        async with client.stream("GET", url, headers=accept) as answer:
            lines = answer.aiter_lines()
            secret = {"x-connection-id": answer.headers["x-connection-id"]}
            posted = await client.post(
                url, content=message("JOIN_CHANNEL"), headers=secret
            )
            seen = [await anext(lines) for _ in range(4)]
            ended = await client.delete(url, headers=secret)
            rest = [line async for line in lines]

    assert (posted.status_code, ended.status_code) == (204, 204)
    assert seen[0] == "event: CONNECTION"
    assert seen[3] == "event: ACKNOWLEDGE"
    assert [line for line in rest if line.startswith("event")] == []


async def test_a_client_that_leaves_its_stream_is_noticed(chat, serve):
    server = await serve(chat.app)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(STREAM)
    await reader.readuntil(b"\r\n\r\n")

    writer.transport.abort()

    await until(lambda: not chat.connected)
    await until(lambda: not server.server_state.tasks)


async def test_a_deaf_client_of_a_stream_is_thrown_out(make_chat, serve, deaf, message):
    chat = await make_chat(send_timeout=0.3)
    server = await serve(chat.app, send_buffer=4096)
    await deaf(server.port, STREAM)
    (session,) = chat.endpoint.connections.sessions()
    await session.transport.push_message(message("JOIN_CHANNEL").encode())
    channel = await chat.lobby.get_channel("/chat/1")

    await channel.broadcast("news", {"text": os.urandom(500_000).hex()})
    await channel.broadcast("news", {"n": 2})

    await until(lambda: not chat.connected)
    await until(lambda: not server.server_state.tasks)


async def test_two_messages_posted_on_one_connection(chat, serve, message):
    server = await serve(chat.app)
    url = f"http://127.0.0.1:{server.port}/socket"

    async with httpx.AsyncClient() as client:
        accept = {"accept": "text/event-stream"}
        async with client.stream("GET", url, headers=accept) as answer:
            secret = {"x-connection-id": answer.headers["x-connection-id"]}
            statuses = [
                (await client.post(url, content=content, headers=secret)).status_code
                for content in (message("JOIN_CHANNEL"), message(), b"{")
            ]

    assert statuses == [204, 204, 204]
