"""``serve``: a PondSocket on the library's server, from its start to its end."""

import asyncio
import json
import ssl

import psutil
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from pondsocket import Event, Frame
from pondsocket_websockets import serve


@pytest.fixture
def big_frame():
    return Frame(Event("BROADCAST", "/c", "1", "news", {"text": "x" * 8_000_000}))


def sockets_of(server):
    """Return how many connections the server still holds, by the system's count."""
    return sum(
        each.laddr.port == server.port and each.status != psutil.CONN_LISTEN
        for each in psutil.Process().net_connections("tcp4")
    )


# What it takes


async def test_host_and_port_are_those_of_the_library(make_chat):
    async with serve(make_chat().pond, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}/socket") as client:
            assert "CONNECTION" in await client.recv()


async def test_it_can_be_awaited_as_the_librarys_can(make_chat):
    chat = make_chat()
    server = await serve(chat.pond, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with connect(f"ws://127.0.0.1:{port}/socket") as client:
        await client.recv()
        await chat.pond.close()
        server.close()
        async with asyncio.timeout(5):
            await server.wait_closed()
        with pytest.raises(ConnectionClosed):
            await client.recv()

    assert client.close_code == 1012


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_request_of_ones_own_is_asked_first(start, is_async):
    def decide(connection, request):
        if request.path == "/health":
            return connection.respond(200, "fine\n")
        return None

    async def decide_later(connection, request):
        return decide(connection, request)

    server = await start(process_request=decide_later if is_async else decide)

    answer = await server.ask(b"GET /health HTTP/1.1\r\n\r\n")
    async with server.connect() as client:
        assert "CONNECTION" in await client.recv()

    assert answer.startswith("HTTP/1.1 200 OK")


async def test_a_keyword_of_the_library_replaces_an_option(start):
    server = await start({"compression": False}, compression="deflate")

    async with server.connect() as client:
        assert client.protocol.extensions


def without_certificate(protocol):
    """Return a TLS context for loopback that needs no key."""
    context = ssl.SSLContext(protocol)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AECDH-AES256-SHA:@SECLEVEL=0")
    return context


async def test_tls_is_passed_on(start):
    server = await start(ssl=without_certificate(ssl.PROTOCOL_TLS_SERVER))

    url = f"wss://127.0.0.1:{server.port}/socket"
    here = without_certificate(ssl.PROTOCOL_TLS_CLIENT)
    async with connect(url, ssl=here) as client:
        assert "CONNECTION" in await client.recv()


# Limits


@pytest.mark.parametrize("excess", [1, 100_000])
async def test_a_message_above_the_limit_closes_with_1009(start, excess):
    server = await start({"max_message_size": 1000})

    async with server.connect() as client:
        await client.send("x" * 1000)
        assert "CONNECTION" in await client.recv()
        assert "INVALID_MESSAGE" in await client.recv()
        await client.send("x" * (1000 + excess))
        with pytest.raises(ConnectionClosed):
            await client.recv()

    assert client.close_code == 1009


async def test_a_limit_of_zero_is_none(start):
    server = await start({"max_message_size": 0})

    async with server.connect() as client:
        await client.recv()
        await client.send("x" * 20_000_000)

        assert "INVALID_MESSAGE" in await client.recv()


@pytest.mark.parametrize("compression", [False, True])
async def test_compression_is_negotiated_only_if_asked_for(start, compression):
    server = await start({"compression": compression})

    async with server.connect(compression="deflate") as client:
        assert bool(client.protocol.extensions) is compression


async def test_a_handler_that_takes_too_long_is_a_refusal(start):
    server = await start({"handshake_timeout": 0.2})

    with pytest.raises(InvalidStatus) as caught:
        await server.connect("/socket?wait")

    assert caught.value.response.status_code >= 500


# Clients that are gone, or might as well be


async def test_a_client_that_answers_no_ping_is_gone(start, deaf):
    server = await start({"ping_interval": 0.1, "pong_wait": 0.1, "send_timeout": 0.4})
    await deaf(server)
    await server.until(lambda: server.chat.connected)

    await server.until(lambda: not server.chat.connected)


async def test_a_client_that_hangs_up_without_a_word_has_left(start, message):
    server = await start()
    async with server.connect() as client:
        await client.recv()
        await client.send(message("JOIN_CHANNEL"))
        await client.recv()
        client.transport.abort()

        await server.until(lambda: not server.chat.connected)

    assert len(server.chat.left) == 1


async def test_the_socket_of_a_deaf_client_really_ends(start, deaf, big_frame):
    server = await start({"send_timeout": 0.4}, send_buffer=4096)
    await deaf(server)
    await server.until(lambda: server.chat.connected)
    (session,) = server.chat.endpoint.connections.sessions()
    assert sockets_of(server) == 1

    session.write((big_frame, big_frame))
    await server.until(lambda: not server.chat.connected)

    await server.until(lambda: not sockets_of(server))


async def test_a_deaf_client_delays_nobody(start, deaf, big_frame, message):
    server = await start({"send_timeout": 5.0}, send_buffer=4096)
    await deaf(server)
    await server.until(lambda: server.chat.connected)
    (session,) = server.chat.endpoint.connections.sessions()
    session.write((big_frame,))

    async with server.connect() as client:
        await client.recv()
        await client.send(message("JOIN_CHANNEL"))
        async with asyncio.timeout(2):
            assert json.loads(await client.recv())["event"] == "ACKNOWLEDGE"


# The end


async def test_leaving_tells_everybody_to_come_back(start, message):
    server = await start()
    async with server.connect() as client:
        await client.recv()
        await client.send(message("JOIN_CHANNEL"))
        await client.recv()

        await server.close()
        with pytest.raises(ConnectionClosed):
            await client.recv()

    assert client.close_code == 1012
    assert len(server.chat.left) == 1
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", server.port)


async def test_who_has_said_nothing_yet_does_not_delay_the_end(start):
    server = await start({"handshake_timeout": 30.0})
    reader, writer = await server.say(b"GET /so")
    async with server.connect() as client:  # the server has seen both by then
        await client.recv()

    async with asyncio.timeout(5):
        await server.close()
        assert await reader.read() == b""
    writer.close()


async def test_who_is_being_decided_about_is_refused_at_the_end(start):
    server = await start({"handshake_timeout": 30.0})

    async def arrive():
        with pytest.raises(InvalidStatus) as caught:
            await server.connect("/socket?wait")
        return caught.value.response.status_code

    arriving = asyncio.create_task(arrive())
    async with asyncio.timeout(5):
        await server.chat.asked.wait()
        await server.close()

        assert await arriving == 503


async def test_a_deaf_client_does_not_keep_the_server_from_ending(
    start, deaf, big_frame
):
    server = await start({"send_timeout": 0.4}, send_buffer=4096)
    await deaf(server)
    await server.until(lambda: server.chat.connected)
    (session,) = server.chat.endpoint.connections.sessions()
    session.write((big_frame,))

    await server.close()

    assert not sockets_of(server)
