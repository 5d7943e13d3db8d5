"""WebSocket applications of Starlette, FastAPI and Litestar, with two clients.

Each framework has the same routes, so that one list of tests is for all of them.
"""

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.adapters.bridge import fastapi_app, litestar_app, starlette_app
from tests.adapters.bridge.serving import left_over, until

ALL = {"starlette": starlette_app, "fastapi": fastapi_app, "litestar": litestar_app}


@pytest.fixture
def serve(start):
    async def serve_framework(name, **settings):
        app = ALL[name].make_app()
        server = await start(app, lifespan="on", **settings)
        server.left = app.state.left
        return server

    return serve_framework


@pytest.fixture(params=ALL)
async def server(request, serve):
    return await serve(request.param)


@pytest.fixture(params=["starlette", "fastapi"])
async def starlette_server(request, serve):
    """Serve what those have that Litestar has not."""
    return await serve(request.param)


@pytest.fixture
async def fastapi_server(serve):
    return await serve("fastapi")


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as made:
        yield made


async def closed_of(client):
    """Return the close code and reason that a client of ``websockets`` gets."""
    with pytest.raises(ConnectionClosed):
        await client.recv()
    return client.close_code, client.close_reason


async def refusal_of(server, path, **settings):
    """Return the response that a client of ``websockets`` gets for its handshake."""
    with pytest.raises(InvalidStatus) as caught:
        await server.connect(path, **settings)
    return caught.value.response


# With the client ``websockets``


async def test_texts_come_back(server):
    async with server.connect("/text") as client:
        await client.send("hé")

        assert await client.recv() == "hé"


async def test_bytes_come_back(server):
    async with server.connect("/bytes") as client:
        await client.send(b"\x00\xff")

        assert await client.recv() == b"\x00\xff"


async def test_json_comes_back(server):
    async with server.connect("/json") as client:
        await client.send('{"a": [1, null]}')

        assert (await client.recv()).replace(" ", "") == '{"got":{"a":[1,null]}}'


async def test_messages_are_iterated_until_the_client_leaves(server):
    async with server.connect("/iterate") as client:
        await client.send("a")
        assert await client.recv() == "A"

    await until(lambda: server.left == ["iterate"])


async def test_a_class_or_a_listener_answers_each_message(server):
    async with server.connect("/shout") as client:
        for text in ("a", "b"):
            await client.send(text)
            assert await client.recv() == text.upper()


async def test_a_subprotocol_is_agreed_on(server):
    settings = {"subprotocols": ["chat", "news"]}
    async with server.connect("/subprotocol", **settings) as client:
        assert client.subprotocol == "news"
        assert (await client.recv()).replace(" ", "") == '["chat","news"]'


async def test_headers_go_both_ways(server):
    headers = {"X-Question": "6x7"}
    async with server.connect("/headers", additional_headers=headers) as client:
        assert client.response.headers["x-answer"] == "42"
        assert await client.recv() == "6x7"


async def test_parameters_are_read_from_path_and_query(server):
    async with server.connect("/rooms/the%20hall?color=r%C3%A9d") as client:
        received = await client.recv()

    assert received.replace(" ", "").encode().decode("unicode_escape") in {
        '["thehall","réd"]',
        '["thehall","rÃ©d"]',  # sent as UTF-8 instead of an escape
    }


async def test_what_is_mounted_is_found(server):
    async with server.connect("/mounted/text") as client:
        await client.send("deep")

        assert await client.recv() == "deep"


async def test_the_peer_and_the_url_are_known(server):
    async with server.connect("/peer") as client:
        received = await client.recv()

    assert received.replace(" ", "") == '["127.0.0.1","ws","/peer"]'


async def test_a_close_has_its_code_and_reason(server):
    async with server.connect("/close") as client:
        assert await closed_of(client) == (4001, "enough")


async def test_an_exception_of_the_framework_is_a_close_with_its_code(server):
    async with server.connect("/close-by-exception") as client:
        code, reason = await closed_of(client)

    assert (code, reason) == (4003, "not you")


async def test_a_close_before_the_acceptance_is_a_403(server):
    assert (await refusal_of(server, "/close-before")).status_code == 403


async def test_a_path_that_does_not_exist_is_refused(server):
    assert (await refusal_of(server, "/nowhere")).status_code in {403, 404}


async def test_a_failure_tells_the_client_nothing(server, caplog):
    async with server.connect("/fail") as client:
        code, reason = await closed_of(client)

    assert code in {1011, 4500}  # Litestar closes by itself
    if code == 1011:
        assert "secret" not in reason


@pytest.mark.parametrize(
    "server",
    [
        "starlette",
        "fastapi",
        "litestar",
    ],
    indirect=True,
)
async def test_who_leaves_without_a_word_has_not_broken_anything(server, caplog):
    client = await server.open("/text")

    client.reset()
    await until(lambda: "pond-ws" not in left_over())

    assert "Traceback" not in caplog.text


async def test_the_end_of_the_server_ends_the_application(server):
    async with server.connect("/text") as client:
        await server.end()

        assert (await closed_of(client))[0] == 1012


# What Starlette and FastAPI alone can do


async def test_an_http_exception_is_a_denial_with_its_text(starlette_server):
    response = await refusal_of(starlette_server, "/deny")

    assert response.status_code == 401
    assert b"who are you?" in response.body
    assert response.headers["x-why"] == "unknown"


async def test_a_websocket_exception_before_the_acceptance_is_a_403(starlette_server):
    assert (await refusal_of(starlette_server, "/deny-with-code")).status_code == 403


async def test_the_close_code_of_the_client_is_told(starlette_server):
    async with starlette_server.connect("/shout") as client:
        await client.close(4010)

    await until(lambda: starlette_server.left == [4010])


# Dependencies of FastAPI


async def test_a_dependency_lets_in(fastapi_server):
    async with fastapi_server.connect("/token?token=right") as client:
        assert await client.recv() == "right"


async def test_a_dependency_may_deny_with_a_status(fastapi_server):
    response = await refusal_of(fastapi_server, "/token?token=forbidden")

    assert (response.status_code, b"no entry" in response.body) == (403, True)


async def test_a_dependency_may_deny_with_a_close_code(fastapi_server):
    response = await refusal_of(fastapi_server, "/token?token=wrong")

    assert response.status_code == 403


# With the client of aiohttp


def url_of(server, path):
    return f"http://127.0.0.1:{server.port}{path}"


async def test_aiohttp_talks_text_bytes_and_json(server, session):
    async with session.ws_connect(url_of(server, "/text")) as client:
        await client.send_str("hé")
        assert await client.receive_str() == "hé"
    async with session.ws_connect(url_of(server, "/bytes")) as client:
        await client.send_bytes(b"\x00\xff")
        assert await client.receive_bytes() == b"\x00\xff"
    async with session.ws_connect(url_of(server, "/json")) as client:
        await client.send_json([1])
        assert await client.receive_json() == {"got": [1]}


async def test_aiohttp_agrees_on_a_subprotocol(server, session):
    url = url_of(server, "/subprotocol")

    async with session.ws_connect(url, protocols=["news"]) as client:
        assert client.protocol == "news"


async def test_aiohttp_is_told_the_close_code(server, session):
    async with session.ws_connect(url_of(server, "/close")) as client:
        message = await client.receive()

    assert (message.data, message.extra) == (4001, "enough")
    assert client.close_code == 4001


async def test_aiohttp_is_told_of_a_refusal(server, session):
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await session.ws_connect(url_of(server, "/close-before"))

    assert caught.value.status == 403


async def test_aiohttp_may_compress(serve, session):
    server = await serve("starlette", compression=True)

    async with session.ws_connect(url_of(server, "/text"), compress=15) as client:
        await client.send_str("x" * 100_000)

        assert await client.receive_str() == "x" * 100_000
        assert client.compress
