"""setup and routes: where a PondSocket is inside an application, and how it ends."""

import httpx
import pytest
from aiohttp import web
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

import pondsocket_aiohttp
from pondsocket_aiohttp import routes, setup


async def own(request):
    return web.Response(text="the application's own")


def url(port, path):
    return f"ws://127.0.0.1:{port}{path}"


async def get(port, path):
    async with httpx.AsyncClient() as client:
        return await client.get(f"http://127.0.0.1:{port}{path}")


def test_the_front_door_has_all_public_names():
    assert sorted(pondsocket_aiohttp.__all__) == [
        "AiohttpWebSocketTransport",
        "routes",
        "setup",
    ]
    assert all(hasattr(pondsocket_aiohttp, name) for name in pondsocket_aiohttp.__all__)


@pytest.mark.parametrize("prefix", ["/live", "/live/", "/a/b"])
async def test_endpoints_are_below_the_prefix(prefix, chat, serve_app):
    app = web.Application()
    setup(app, chat.pond, prefix)
    port = await serve_app(app)

    async with connect(url(port, f"{prefix.rstrip('/')}/socket")) as websocket:
        assert "CONNECTION" in await websocket.recv()
    assert (await get(port, "/socket")).status_code == 404


async def test_an_endpoint_may_be_the_prefix_itself(chat, serve_app):
    chat.pond.create_endpoint("/", lambda ctx: ctx.accept())
    app = web.Application()
    setup(app, chat.pond, "/live")
    port = await serve_app(app)

    for path in ("/live", "/live/"):
        async with connect(url(port, path)) as websocket:
            assert "CONNECTION" in await websocket.recv()
    assert (await get(port, "/lively")).status_code == 404


@pytest.mark.parametrize(
    "prefix", ["live", "/{x}", "/{x", "/a b", "/é", "/a?b", "/a#b", "/a%20b"]
)
def test_a_prefix_that_is_none_is_an_error(prefix, chat):
    with pytest.raises(ValueError, match="expected a plain prefix such as '/live'"):
        setup(web.Application(), chat.pond, prefix)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/rooms/a%20b", "a b"),
        ("/rooms/a%0Ab", "a\nb"),
        ("/rooms/%E9", "\ufffd"),
        ("/rooms/%25E9", "%E9"),
        ("/rooms/%C3%A9", "é"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "/live"])
async def test_a_path_is_decoded_as_on_every_host(prefix, path, name, chat, serve_app):
    names = []

    def note(ctx):
        names.append(ctx.params["name"])
        ctx.accept()

    chat.pond.create_endpoint("/rooms/:name", note)
    app = web.Application()
    setup(app, chat.pond, prefix)
    port = await serve_app(app)

    async with connect(url(port, prefix + path)):
        pass

    assert names == [name]


@pytest.mark.parametrize("is_first", [True, False])
async def test_routes_of_the_application_go_on_working(is_first, chat, serve_app):
    app = web.Application()
    if is_first:
        app.router.add_get("/status", own)
        app.router.add_get("/", own)
    setup(app, chat.pond)
    if not is_first:
        app.router.add_get("/status", own)
    port = await serve_app(app)

    assert (await get(port, "/status")).text == "the application's own"
    if is_first:
        assert (await get(port, "/")).text == "the application's own"
    async with connect(url(port, "/socket")) as websocket:
        assert "CONNECTION" in await websocket.recv()


async def test_what_the_path_holds_is_decoded_once(chat, serve_app):
    seen = []
    chat.pond.create_endpoint(
        "/of/:name", lambda ctx: (seen.append(ctx.params["name"]), ctx.accept())
    )
    app = web.Application()
    setup(app, chat.pond, "/live")
    port = await serve_app(app)

    for path in ("/live/of/a%20b", "/live/of/%C3%A9", "/live/of/50%2525"):
        async with connect(url(port, path)):
            pass

    assert seen == ["a b", "é", "50%25"]


async def test_a_sub_application_has_its_endpoints_below_its_mount(chat, serve_app):
    app, inner = web.Application(), web.Application()
    setup(inner, chat.pond, "/live")
    app.add_subapp("/ws", inner)
    app.router.add_get("/status", own)
    port = await serve_app(app)

    async with connect(url(port, "/ws/live/socket")) as websocket:
        assert "CONNECTION" in await websocket.recv()
    assert (await get(port, "/status")).text == "the application's own"


@pytest.mark.parametrize("mount", ["", "/ws"])
async def test_shutdown_closes_with_1012_and_leaves_once(
    mount, chat, serve_app, message
):
    app, inner = web.Application(), web.Application()
    setup(inner, chat.pond)
    if mount:
        app.add_subapp(mount, inner)
    port = await serve_app(app if mount else inner)
    async with connect(url(port, f"{mount}/socket")) as websocket:
        await websocket.send(message("JOIN_CHANNEL"))
        await websocket.recv()
        await websocket.recv()

        await (app if mount else inner).shutdown()

        with pytest.raises(ConnectionClosed):
            await websocket.recv()
    assert websocket.close_code == 1012
    assert len(chat.left) == 1


async def test_routes_alone_leave_the_end_to_who_adds_them(chat, serve_app):
    app = web.Application()
    app.add_routes(routes(chat.pond, "/live"))
    port = await serve_app(app)

    async with connect(url(port, "/live/socket")) as websocket:
        await websocket.recv()
        await app.shutdown()
        assert chat.connected == 1

        await chat.pond.close()


async def test_event_lines_can_be_left_out(chat, serve_app):
    app = web.Application()
    setup(app, chat.pond, sse_event_names=False)
    port = await serve_app(app)

    async with httpx.AsyncClient() as client:
        accept = {"accept": "text/event-stream"}
        address = f"http://127.0.0.1:{port}/socket"
        async with client.stream("GET", address, headers=accept) as answer:
            line = await anext(answer.aiter_lines())

    assert line.startswith("data: ")
