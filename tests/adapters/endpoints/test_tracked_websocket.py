"""Who closed, and how."""

import asyncio

import pytest
from starlette.exceptions import WebSocketException
from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocketDisconnect

from pondsocket_asgi.endpoints import tracked_websocket as module
from pondsocket_asgi.endpoints.tracked_websocket import TrackedWebSocket


@pytest.fixture
def connection(host, scope):
    return TrackedWebSocket(scope, host.receive, host.send)


@pytest.fixture
async def accepted(connection):
    await connection.accept()
    return connection


def test_a_new_connection_is_pending(connection):
    assert connection.is_pending
    assert not connection.is_open


async def test_an_accepted_connection_is_open(accepted):
    assert accepted.is_open
    assert not accepted.is_pending


async def test_frames_come_as_text_and_bytes(accepted, host):
    host.say("text")
    host.say("data", binary=True)
    host.say("", binary=True)

    frames = [await accepted.next_frame() for _ in range(3)]

    assert frames == ["text", b"data", b""]


@pytest.mark.parametrize(("told", "code"), [(4001, 4001), (None, 1005), (1006, 1006)])
async def test_the_client_leaves_with_its_code(told, code, accepted, host):
    host.leave(told)

    assert await accepted.next_frame() is None
    assert await accepted.next_frame() is None
    assert await accepted.find_close_code() == code


async def test_a_connection_that_was_closed_has_our_code_and_no_frames(accepted, host):
    host.say("text")
    await accepted.close(4002)

    assert await accepted.next_frame() is None
    assert await accepted.find_close_code() == 4002


async def test_a_refused_connection_has_no_code(connection):
    await connection.receive()
    await connection.send_denial_response(PlainTextResponse("no", 401))

    assert not connection.is_pending
    assert await connection.find_close_code() == 1006


async def test_a_send_that_fails_asks_the_host_how_the_client_left(accepted, host):
    host.say("what cannot be answered any more")
    host.leave(4001)
    host.fault = OSError()
    with pytest.raises(WebSocketDisconnect):
        await accepted.send_text("text")

    assert await accepted.find_close_code() == 4001


async def test_a_host_that_does_not_say_is_not_waited_for(accepted, host, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE", 0.01)
    host.fault = OSError()
    with pytest.raises(WebSocketDisconnect):
        await accepted.send_text("text")

    async with asyncio.timeout(5):
        assert await accepted.find_close_code() == 1006


@pytest.mark.parametrize(
    ("exc", "code"),
    [
        (WebSocketException(4001, "enough"), 4001),
        (WebSocketDisconnect(1001, "enough"), 1001),
        (WebSocketDisconnect(1006, "enough"), 1000),
        (WebSocketDisconnect(1005, "enough"), 1000),
    ],
)
async def test_an_exception_closes_with_a_code_that_may_be_sent(
    exc, code, accepted, host
):
    await accepted.end(exc)

    close = {"type": "websocket.close", "code": code, "reason": "enough"}
    assert host.sent[-1] == close
    assert await accepted.find_close_code() == code


@pytest.mark.parametrize("reason", ["x" * 1_000, "é" * 1_000, "\ud800" * 1_000])
async def test_a_reason_is_cut_to_what_a_close_frame_takes(reason, accepted, host):
    await accepted.end(WebSocketException(4001, reason))

    assert 122 <= len(host.sent[-1]["reason"].encode()) <= 123


async def test_what_is_closed_is_not_closed_again(accepted, host):
    await accepted.close(4002)
    await accepted.end(WebSocketException(4001))

    assert host.kinds == ["websocket.accept", "websocket.close"]


async def test_a_client_that_left_is_not_told_to_leave(accepted, host):
    host.leave()
    await accepted.next_frame()
    await accepted.end(WebSocketException(4001))

    assert host.kinds == ["websocket.accept"]


async def test_a_client_that_leaves_while_it_is_told_to_is_no_error(accepted, host):
    host.leave(1001)
    host.fault = OSError()
    await accepted.end(WebSocketException(4001))

    assert await accepted.find_close_code() == 1001
