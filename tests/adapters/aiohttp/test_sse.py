"""Event streams over real sockets: their requests, their headers, their end."""

import asyncio
import logging
import re

import httpx
import pytest

ACCEPT = {"accept": "text/event-stream"}
CHUNKED = (
    b"POST /socket HTTP/1.1\r\nhost: x\r\nx-connection-id: ID\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


@pytest.fixture
async def client(chat, serve):
    port = await serve(chat)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        yield client


async def open_stream(dial, port, request):
    """Return the reader, the writer, and the connection's id."""
    reader, writer = await dial(port, request)
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readuntil(b"\n\n")
    return reader, writer, re.search(rb"(?i)x-connection-id: (\S+)", head)[1]


async def test_a_stream_begins_with_the_greeting(client):
    async with client.stream("GET", "/socket", headers=ACCEPT) as answer:
        lines = answer.aiter_lines()
        first = [await anext(lines) for _ in range(2)]

    assert first[0] == "event: CONNECTION"
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache, no-transform"


async def test_a_posted_message_is_answered_on_the_stream(client, message):
    async with client.stream("GET", "/socket", headers=ACCEPT) as answer:
        lines = answer.aiter_lines()
        header = {"x-connection-id": answer.headers["x-connection-id"]}
        posted = await client.post(
            "/socket", content=message("JOIN_CHANNEL"), headers=header
        )
        read = [await anext(lines) for _ in range(5)]

    assert (posted.status_code, posted.content) == (204, b"")
    assert "content-type" not in posted.headers
    assert read[3] == "event: ACKNOWLEDGE"


async def test_a_deleted_stream_ends_properly(client, chat, until):
    async with client.stream("GET", "/socket", headers=ACCEPT) as answer:
        header = {"x-connection-id": answer.headers["x-connection-id"]}
        deleted = await client.delete("/socket", headers=header)
        await answer.aread()  # a chunk is missing otherwise, which raises

    assert deleted.status_code == 204
    await until(lambda: not chat.connected)


async def test_a_decline_is_a_plain_answer(client):
    answer = await client.get("/socket?decline=403", headers=ACCEPT)

    assert (answer.status_code, answer.text) == (403, "not today")


async def test_a_method_that_nobody_knows_is_405(client):
    for method in ("PUT", "HEAD", "PATCH"):
        answer = await client.request(method, "/socket")

        assert answer.status_code == 405
        assert answer.headers["allow"] == "GET, POST, DELETE, OPTIONS"


async def test_a_foreign_page_may_ask_only_where_it_is_allowed(make_chat, serve):
    port = await serve(await make_chat(allowed_origins=["https://a.example"]))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        good = await client.options("/socket", headers={"origin": "https://a.example"})
        bad = await client.options("/socket", headers={"origin": "https://b.example"})

    assert good.status_code == 204
    assert good.headers["access-control-allow-origin"] == "https://a.example"
    assert bad.status_code == 403


async def test_a_body_above_the_limit_is_413_before_its_end(
    make_chat, serve, dial, stream_request
):
    chat = await make_chat(max_message_size=1000)
    port = await serve(chat)
    *_, connection_id = await open_stream(dial, port, stream_request)

    reader, writer = await dial(port, CHUNKED.replace(b"ID", connection_id))
    writer.write(b"800\r\n" + b"x" * 0x800 + b"\r\n")

    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")


async def test_a_body_may_be_larger_than_what_aiohttp_allows_by_itself(
    make_chat, serve, dial, stream_request
):
    chat = await make_chat(max_message_size=5_000_000)
    port = await serve(chat)
    *_, connection_id = await open_stream(dial, port, stream_request)

    async with httpx.AsyncClient() as client:
        answer = await client.post(
            f"http://127.0.0.1:{port}/socket",
            content=b"x" * 4_000_000,
            headers={"x-connection-id": connection_id},
        )

    assert answer.status_code == 204


async def test_a_body_that_cannot_be_read_is_400(
    chat, serve, dial, stream_request, until
):
    port = await serve(chat)
    *_, connection_id = await open_stream(dial, port, stream_request)
    request = CHUNKED.replace(b"ID", connection_id + b"\r\ncontent-encoding: gzip")

    reader, writer = await dial(port, request)
    await until(lambda: len(chat.requests) == 2)
    writer.write(b"5\r\nabcde\r\n")

    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")


async def test_a_body_that_takes_too_long_is_408(
    make_chat, serve, dial, stream_request
):
    port = await serve(await make_chat(handshake_timeout=0.1))
    *_, connection_id = await open_stream(dial, port, stream_request)

    reader, _ = await dial(port, CHUNKED.replace(b"ID", connection_id))

    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")


async def test_a_body_that_never_ends_is_no_error_in_the_log(
    chat, serve, dial, stream_request, until, caplog
):
    port = await serve(chat)
    *_, connection_id = await open_stream(dial, port, stream_request)
    _, writer = await dial(port, CHUNKED.replace(b"ID", connection_id))
    await until(lambda: len(chat.requests) == 2)

    with caplog.at_level(logging.DEBUG, "pondsocket_aiohttp"):
        writer.transport.abort()
        await until(lambda: "before its end" in caplog.text)

    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


# The end of the client


@pytest.mark.parametrize("is_polite", [True, False])
@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_a_client_that_leaves_is_noticed_without_a_write(
    is_polite, is_cancelled, chat, serve, dial, stream_request, until, caplog
):
    port = await serve(chat, handler_cancellation=is_cancelled)
    _, writer, _ = await open_stream(dial, port, stream_request)
    assert chat.connected == 1

    if is_polite:
        writer.close()
    else:
        writer.transport.abort()

    await until(lambda: not chat.connected)
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


async def test_what_a_client_sends_beside_its_stream_is_not_kept(
    chat, serve, dial, stream_request, until
):
    port = await serve(chat)
    _, writer, _ = await open_stream(dial, port, stream_request)

    writer.write(b"GET / HTTP/1.1\r\n" + b"x" * 1_000_000)
    await writer.drain()
    assert chat.connected == 1
    writer.close()

    await until(lambda: not chat.connected)


async def test_a_client_that_left_before_its_stream_began_is_gone(
    chat, serve, dial, stream_request, until
):
    port = await serve(chat)
    request = stream_request.replace(b"/socket", b"/socket?hold=1")
    _, writer = await dial(port, request)
    await until(lambda: chat.contexts)

    writer.transport.abort()
    await until(lambda: chat.requests[0].transport is None)
    chat.gate.set()

    await until(lambda: chat.ended == 1)


async def test_a_client_that_does_not_read_is_cut_off(
    make_chat, serve, deaf, stream_request, big_frame, until, count_sockets
):
    chat = await make_chat(send_timeout=0.3)
    port = await serve(chat, send_buffer=4096)
    await deaf(port, stream_request)
    await until(lambda: chat.connected)

    chat.session.write((big_frame,))

    await until(lambda: not chat.connected)
    await until(lambda: not count_sockets(port))
    assert chat.counts["slow_consumer_closed"] == 1


async def test_a_quiet_stream_is_kept_alive(make_chat, serve, dial, stream_request):
    port = await serve(await make_chat(ping_interval=0.02))
    reader, *_ = await open_stream(dial, port, stream_request)

    async with asyncio.timeout(5):
        await reader.readuntil(b": keep-alive\n\n")
