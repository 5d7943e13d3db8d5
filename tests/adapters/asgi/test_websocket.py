"""WebSocketASGI over the callables of a host."""

import asyncio

import pytest

from pondsocket_asgi.websocket import ConnectionClosed, WebSocketASGI

CONNECT = {"type": "websocket.connect"}


class WebSocketDisconnect(Exception):
    """As Starlette and Litestar call what they raise in place of an OSError."""


class WebSocketDisconnected(RuntimeError):
    """As Starlette calls what it raises after its own close."""


@pytest.fixture
async def opened(make_host):
    """A host and an accepted connection of it."""
    host = make_host(CONNECT)
    websocket = await WebSocketASGI.accept({}, host.receive, host.send)
    host.sent.clear()
    return host, websocket


async def test_accepting_waits_for_the_host_to_connect(host):
    accepting = asyncio.create_task(WebSocketASGI.accept({}, host.receive, host.send))
    await asyncio.sleep(0)
    assert host.sent == []

    host.tell("websocket.connect")
    websocket = await accepting

    assert host.sent == [{"type": "websocket.accept", "subprotocol": None}]
    assert websocket.connected


@pytest.mark.parametrize("kind", ["websocket.receive", "websocket.disconnect"])
async def test_accepting_anything_but_a_connect_is_an_error(kind, make_host):
    host = make_host({"type": kind})

    with pytest.raises(ValueError, match=kind):
        await WebSocketASGI.accept({}, host.receive, host.send)

    assert host.sent == []


async def test_a_connection_is_not_connected_before_it_is_accepted(host):
    assert not WebSocketASGI({}, host.receive, host.send).connected


@pytest.mark.parametrize(
    ("offered", "supported", "chosen"),
    [
        (["chat", "echo"], ["echo", "chat"], "chat"),
        (["other", "echo"], ["chat", "echo"], "echo"),
        (["other"], ["chat"], None),
        (["chat"], None, None),
        (["chat"], "chat", "chat"),
        ([], ["chat"], None),
        (None, ["chat"], None),
    ],
)
async def test_the_clients_first_supported_subprotocol_is_chosen(
    offered, supported, chosen, make_host
):
    host = make_host(CONNECT)

    websocket = await WebSocketASGI.accept(
        {"subprotocols": offered}, host.receive, host.send, supported
    )

    assert websocket.subprotocol == chosen
    assert host.sent == [{"type": "websocket.accept", "subprotocol": chosen}]


@pytest.mark.parametrize(
    ("members", "received"),
    [
        ({"text": "hi"}, "hi"),
        ({"text": ""}, ""),
        ({"bytes": b"hi"}, b"hi"),
        ({"text": None, "bytes": b""}, b""),
        ({"text": "hi", "bytes": None}, "hi"),
    ],
)
async def test_a_text_frame_is_str_and_a_binary_one_bytes(members, received, opened):
    host, websocket = opened
    host.tell("websocket.receive", **members)

    assert await websocket.receive() == received


@pytest.mark.parametrize(
    "message",
    [{"type": "http.request"}, {"type": "websocket.receive", "text": None}],
)
async def test_a_message_that_is_none_is_an_os_error(message, opened):
    host, websocket = opened
    host.inbox.put_nowait(message)

    with pytest.raises(OSError, match=r"neither text nor bytes|not supported"):
        await websocket.receive()


async def test_a_client_that_leaves_shows_with_code_and_reason(opened):
    host, websocket = opened
    host.tell("websocket.disconnect", code=4001, reason="bye")

    with pytest.raises(ConnectionClosed, match="4001 bye") as caught:
        await websocket.receive()

    assert (caught.value.reason, caught.value.message) == (4001, "bye")
    assert not websocket.connected


@pytest.mark.parametrize("members", [{}, {"code": None}, {"reason": None}])
async def test_a_client_that_leaves_without_a_code_has_1005(members, opened):
    host, websocket = opened
    host.tell("websocket.disconnect", **members)

    with pytest.raises(ConnectionClosed) as caught:
        await websocket.receive()

    assert (caught.value.reason, caught.value.message) == (1005, "")


@pytest.mark.parametrize("fault", [WebSocketDisconnect(), WebSocketDisconnected()])
async def test_a_framework_that_heard_of_the_end_first_closes_the_connection(
    fault, opened
):
    host, websocket = opened
    host.inbox.put_nowait(fault)

    with pytest.raises(ConnectionClosed, match="1006") as caught:
        await websocket.receive()

    assert caught.value.__cause__ is fault
    assert not websocket.connected


async def test_another_fault_in_receiving_is_raised_as_it_is(opened):
    host, websocket = opened
    host.inbox.put_nowait(RuntimeError("out of order"))

    with pytest.raises(RuntimeError, match="out of order"):
        await websocket.receive()

    assert websocket.connected


async def test_after_the_client_left_nothing_more_works(opened):
    host, websocket = opened
    host.tell("websocket.disconnect", code=1001)
    with pytest.raises(ConnectionClosed):
        await websocket.receive()

    for call in (websocket.receive, lambda: websocket.send("x")):
        with pytest.raises(ConnectionClosed) as caught:
            await call()
        assert caught.value.reason == 1001
    await websocket.close()

    assert host.sent == []


async def test_sending_tells_text_from_bytes(opened):
    host, websocket = opened

    await websocket.send("text")
    await websocket.send(b"bytes")

    assert host.sent == [
        {"type": "websocket.send", "text": "text"},
        {"type": "websocket.send", "bytes": b"bytes"},
    ]


@pytest.mark.parametrize(
    "fault", [OSError("gone"), WebSocketDisconnect(), WebSocketDisconnected()]
)
async def test_a_host_that_says_the_client_left_closes_the_connection(fault, opened):
    host, websocket = opened
    host.fault = fault

    with pytest.raises(ConnectionClosed) as caught:
        await websocket.send("x")

    assert caught.value.reason == 1006
    assert caught.value.__cause__ is fault
    assert not websocket.connected


async def test_another_fault_of_the_host_is_raised_as_it_is(opened):
    host, websocket = opened
    host.fault = RuntimeError("out of order")

    with pytest.raises(RuntimeError, match="out of order"):
        await websocket.send("x")

    assert websocket.connected


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [((), 1000, ""), ((4000,), 4000, ""), ((4000, "bye"), 4000, "bye")],
)
async def test_closing_tells_the_host_once(arguments, code, reason, opened):
    host, websocket = opened

    await websocket.close(*arguments)
    await websocket.close(4999)

    assert host.sent == [{"type": "websocket.close", "code": code, "reason": reason}]
    assert not websocket.connected


@pytest.mark.parametrize("fault", [OSError("gone"), WebSocketDisconnect()])
async def test_a_client_that_left_cannot_be_accepted(fault, make_host):
    host = make_host(CONNECT)
    host.fault = fault

    with pytest.raises(ConnectionClosed) as caught:
        await WebSocketASGI.accept({}, host.receive, host.send)

    assert caught.value.__cause__ is fault


async def test_closing_instead_of_accepting_refuses_the_client(host):
    websocket = WebSocketASGI({}, host.receive, host.send)

    await websocket.close(4003)

    assert host.sent == [{"type": "websocket.close", "code": 4003, "reason": ""}]


async def test_a_phrase_too_long_for_a_close_frame_is_cut(opened):
    host, websocket = opened

    await websocket.close(4000, "é" * 100)

    assert host.sent[0]["reason"] == "é" * 61


async def test_a_code_that_the_host_refuses_becomes_1000(opened, caplog):
    _, websocket = opened
    codes = []

    async def send(message):
        codes.append(message["code"])
        if message["code"] != 1000:
            raise ValueError("invalid close code")

    websocket._send = send

    await websocket.close(1003, "text only")

    assert codes == [1003, 1000]
    assert "refused close code 1003" in caplog.text


async def test_a_client_that_left_is_told_nothing_twice(opened):
    _, websocket = opened
    calls = []

    async def send(message):
        calls.append(message)
        raise OSError("gone")

    websocket._send = send

    await websocket.close(4000)

    assert len(calls) == 1


async def test_closing_never_raises(opened):
    host, websocket = opened
    host.fault = RuntimeError("too late")

    await websocket.close()

    assert not websocket.connected


async def test_after_closing_nothing_more_works(opened):
    _, websocket = opened
    await websocket.close(4000, "bye")

    for call in (websocket.receive, lambda: websocket.send("x")):
        with pytest.raises(ConnectionClosed, match="4000 bye"):
            await call()
