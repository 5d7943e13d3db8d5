"""The handshake of a WebSocket: refusals, limits and clients that leave meanwhile."""

import asyncio
import logging

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus


def url(port, query=""):
    return f"ws://127.0.0.1:{port}/socket{query}"


@pytest.mark.parametrize("status", [401, 418, 503])
async def test_a_refusal_has_its_own_status(status, chat, serve):
    port = await serve(chat)

    with pytest.raises(InvalidStatus) as refused:
        await connect(url(port, f"?decline={status}"))

    assert refused.value.response.status_code == status
    assert refused.value.response.body == b"not today"


async def test_an_unknown_endpoint_is_not_found(chat, serve):
    port = await serve(chat)

    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws://127.0.0.1:{port}/nowhere")

    assert refused.value.response.status_code == 404


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"version: 13", b"version: 12"),
        (b"sec-websocket-key: ", b"sec-websocket-key: short"),
        (b"sec-websocket-key: ", b"x-no-key: "),
        (b"connection: upgrade", b"connection: keep-alive"),
        (b"GET", b"POST"),
    ],
)
async def test_a_malformed_handshake_runs_no_handler(
    old, new, chat, serve, dial, handshake
):
    port = await serve(chat)

    reader, _ = await dial(port, handshake.replace(old, new))

    status = await asyncio.wait_for(reader.readline(), 5)
    assert status.startswith(b"HTTP/1.1 400 ")
    assert chat.contexts == []


async def test_no_subprotocol_is_negotiated_nor_logged(chat, serve, caplog):
    port = await serve(chat)

    with caplog.at_level(logging.WARNING):
        async with connect(url(port), subprotocols=["chat.v1"]) as websocket:
            assert websocket.subprotocol is None
            assert "CONNECTION" in await websocket.recv()

    assert caplog.text == ""


@pytest.mark.parametrize("compression", [False, True])
async def test_compression_is_negotiated_only_if_asked_for(
    compression, make_chat, serve, message
):
    port = await serve(await make_chat(compression=compression))

    async with connect(url(port), compression="deflate") as websocket:
        assert bool(websocket.protocol.extensions) is compression
        await websocket.send(message("JOIN_CHANNEL"))
        await websocket.send(message(payload={"text": "x" * 50_000}))
        answers = [await websocket.recv() for _ in range(3)]

    assert "x" * 50_000 in answers[2]


@pytest.mark.parametrize("excess", [1, 100_000])
async def test_a_message_above_the_limit_closes_with_1009(excess, make_chat, serve):
    port = await serve(await make_chat(max_message_size=1000))

    async with connect(url(port)) as websocket:
        await websocket.send("x" * 1000)
        assert "CONNECTION" in await websocket.recv()
        assert "INVALID_MESSAGE" in await websocket.recv()
        await websocket.send("x" * (1000 + excess))
        with pytest.raises(ConnectionClosed):
            await websocket.recv()

    assert websocket.close_code == 1009


async def test_a_limit_of_zero_is_none(make_chat, serve):
    port = await serve(await make_chat(max_message_size=0))

    async with connect(url(port)) as websocket:
        await websocket.recv()
        await websocket.send("x" * 20_000_000)

        assert "INVALID_MESSAGE" in await websocket.recv()


async def test_a_client_that_leaves_during_the_handshake_was_never_there(
    chat, serve, dial, handshake, until, caplog
):
    port = await serve(chat)
    _, writer = await dial(port, handshake.replace(b"/socket", b"/socket?hold=1"))
    await until(lambda: chat.contexts)

    writer.transport.abort()
    await until(lambda: chat.requests[0].transport is None)
    with caplog.at_level(logging.DEBUG, "pondsocket_aiohttp"):
        chat.gate.set()
        await until(lambda: "left during its handshake" in caplog.text)

    assert chat.connected == 0
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


async def test_a_handler_that_is_cancelled_while_the_connection_begins_ends_it(
    chat, serve, dial, handshake, until
):
    port = await serve(chat, handler_cancellation=True)
    chat.greets.clear()
    _, writer = await dial(port, handshake)
    await until(lambda: chat.begun)

    writer.transport.abort()

    await until(lambda: chat.ended == 1)
    assert chat.connected == 0


async def test_who_waits_while_the_endpoint_ends_is_refused(chat, serve, until):
    port = await serve(chat)
    connecting = asyncio.create_task(connect(url(port, "?hold=1")).__aenter__())
    await until(lambda: chat.contexts)

    await chat.pond.drain(0.0)
    with pytest.raises(InvalidStatus) as refused:
        await asyncio.wait_for(connecting, 5)

    assert refused.value.response.status_code == 503
