"""Mounted in FastAPI, Starlette and Litestar, without a network."""

import json

import fastapi
import litestar
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from pondsocket_asgi import lifespan
from pondsocket_asgi.testing import ASGITestDriver


def in_fastapi(chat):
    app = fastapi.FastAPI(lifespan=lifespan(chat.pond))
    app.mount("/ws", chat.app)
    return app


def in_starlette(chat):
    return Starlette(routes=[Mount("/ws", chat.app)], lifespan=lifespan(chat.pond))


def in_litestar(chat):
    @litestar.asgi("/ws", is_mount=True, copy_scope=False)
    async def sockets(
        scope: litestar.types.Scope,
        receive: litestar.types.Receive,
        send: litestar.types.Send,
    ) -> None:
        await chat.app(scope, receive, send)

    return litestar.Litestar([sockets], lifespan=[lifespan(chat.pond)])


@pytest.fixture(params=[in_fastapi, in_starlette, in_litestar])
def driver(request, chat):
    return ASGITestDriver(request.param(chat))


async def test_a_websocket_is_found_below_the_mount(driver, message):
    session = await driver.connect_websocket("/ws/socket")
    greeting = await session.receive_json()
    await session.send_text(message("JOIN_CHANNEL"))

    assert greeting["event"] == "CONNECTION"
    assert (await session.receive_json())["event"] == "ACKNOWLEDGE"
    await session.disconnect()


async def test_a_refusal_reaches_the_host(driver):
    session = await driver.connect_websocket("/ws/socket", query={"decline": "403"})

    assert (session.accepted, session.close_code) == (False, 4403)


async def test_an_unknown_endpoint_below_the_mount_is_not_found(driver):
    session = await driver.connect_websocket("/ws/nowhere")

    assert session.close_code == 4404


async def test_a_stream_is_opened_fed_and_ended_below_the_mount(driver, message):
    stream = await driver.connect_sse("/ws/socket")
    content = json.loads(message("JOIN_CHANNEL"))

    assert (await driver.sse_push(stream.connection_id, content))[0] == 204
    await stream.receive_event_named("ACKNOWLEDGE")
    assert (await driver.sse_disconnect(stream.connection_id))[0] == 204
    await stream.app_task


async def test_the_end_of_the_application_is_the_end_of_the_pond(driver, chat):
    host = await driver.open_lifespan()
    await host.startup()
    session = await driver.connect_websocket("/ws/socket")

    answer = await host.shutdown()

    assert answer["type"] == "lifespan.shutdown.complete"
    await session.app_task
    assert session.close_code == 1012


async def test_mounts_may_be_nested(chat):
    inner = Starlette(routes=[Mount("/b", chat.app)])
    outer = Starlette(routes=[Mount("/a", inner)])
    driver = ASGITestDriver(outer)

    session = await driver.connect_websocket("/a/b/socket")

    assert session.accepted
    await session.disconnect()
