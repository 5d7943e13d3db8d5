"""The two callables of an application, with a queue and a stream and nothing else."""

import asyncio
import contextlib
import socket

import pytest

from pondsocket_asgi.ws_bridge import (
    ClientDisconnected,
    WSProtocol,
    create_ws_receive,
    create_ws_send,
)
from pondsocket_asgi.ws_bridge.callables import Sender
from tests.adapters.bridge.serving import CLOSE, TEXT, Client, close_frame

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 1.3

ACCEPT = {"type": "websocket.accept"}
CLOSING = {"type": "websocket.close"}
START = {"type": "websocket.http.response.start", "status": 401}
BODY = {"type": "websocket.http.response.body"}
STAGES = {
    "undecided": [],
    "accepted": [ACCEPT],
    "denying": [START],
    "denied": [START, BODY],
    "refused": [CLOSING],
    "closed": [ACCEPT, CLOSING],
}


def saying(**content):
    return {"type": "websocket.send", **content}


class Wire:
    """What ``send`` writes to, and the client at its other end."""

    def __init__(self, near, far):
        self.reader, self.writer = near
        self.client = Client(*far)
        self.protocol = WSProtocol(subprotocols=["chat", "news"])
        self.accepted = asyncio.Event()
        self.closed = asyncio.Event()
        self.send = create_ws_send(
            self.writer,
            self.protocol,
            KEY,
            accept_event=self.accepted,
            close_event=self.closed,
        )

    async def go_to(self, stage):
        for message in STAGES[stage]:
            await self.send(message)

    async def read_all(self):
        """Hang up and return what was written until then."""
        self.writer.close()
        return await self.client.read_rest()


@contextlib.asynccontextmanager
async def make_wire():
    left, right = socket.socketpair()
    near = await asyncio.open_connection(sock=left)
    far = await asyncio.open_connection(sock=right)
    yield Wire(near, far)
    for _, writer in (near, far):
        writer.transport.abort()


@pytest.fixture
async def wire():
    async with make_wire() as made:
        yield made


# receive


async def test_events_are_handed_out_in_their_order():
    events = asyncio.Queue()
    receive = create_ws_receive(events)
    for number in range(3):
        events.put_nowait({"type": "websocket.receive", "text": str(number)})

    assert [(await receive())["text"] for _ in range(3)] == ["0", "1", "2"]


async def test_receive_waits_for_an_event():
    events = asyncio.Queue()
    waiting = asyncio.ensure_future(create_ws_receive(events)())
    await asyncio.wait({waiting}, timeout=0)

    events.put_nowait({"type": "websocket.connect"})

    assert await waiting == {"type": "websocket.connect"}


async def test_after_the_disconnect_there_is_nothing_to_receive():
    events = asyncio.Queue()
    receive = create_ws_receive(events)
    events.put_nowait({"type": "websocket.disconnect", "code": 1000})
    await receive()

    with pytest.raises(RuntimeError, match=r"after websocket\.disconnect"):
        await receive()


async def test_a_receive_that_is_cancelled_loses_no_event():
    events = asyncio.Queue()
    receive = create_ws_receive(events)
    waiting = asyncio.ensure_future(receive())
    await asyncio.wait({waiting}, timeout=0)
    waiting.cancel()
    await asyncio.wait({waiting})

    events.put_nowait({"type": "websocket.connect"})

    assert (await receive())["type"] == "websocket.connect"


# websocket.accept


async def test_an_acceptance_is_the_answer_to_the_key(wire):
    await wire.send(ACCEPT)

    head = await wire.client.read_head()
    assert head.startswith("HTTP/1.1 101 ")
    assert "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
    assert "sec-websocket-protocol" not in head


async def test_an_acceptance_is_told(wire):
    await wire.send(ACCEPT)

    assert (wire.accepted.is_set(), wire.closed.is_set()) == (True, False)


async def test_a_subprotocol_that_was_asked_for_is_agreed_to(wire):
    await wire.send({**ACCEPT, "subprotocol": "news"})

    assert "sec-websocket-protocol: news\r\n" in await wire.client.read_head()


async def test_a_subprotocol_that_nobody_asked_for_is_an_error(wire):
    with pytest.raises(ValueError, match=r"'mail' is none of \['chat', 'news'\]"):
        await wire.send({**ACCEPT, "subprotocol": "mail"})

    assert not wire.accepted.is_set()


async def test_headers_of_the_application_are_sent(wire):
    headers = [(b"Set-Cookie", b"a=1"), [b"set-cookie", b"b=2"]]
    await wire.send({**ACCEPT, "headers": headers})

    head = await wire.client.read_head()
    assert "set-cookie: a=1\r\nset-cookie: b=2\r\n" in head


@pytest.mark.parametrize(
    "header",
    [
        (b"Sec-WebSocket-Accept", b"x"),
        (b"sec-websocket-protocol", b"mail"),
        (b"sec-websocket-extensions", b"permessage-deflate"),
        (b"x-two", b"1\r\nx-three: 2"),
    ],
)
async def test_a_header_that_must_not_be_is_an_error_that_names_it(wire, header):
    with pytest.raises(ValueError, match=header[0].decode().lower()):
        await wire.send({**ACCEPT, "headers": [header]})


async def test_an_acceptance_that_failed_can_be_tried_again(wire):
    with pytest.raises(ValueError, match="mail"):
        await wire.send({**ACCEPT, "subprotocol": "mail"})

    await wire.send(ACCEPT)

    assert wire.accepted.is_set()


# websocket.send


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        ({"text": "hé"}, b"\x81\x03h\xc3\xa9"),
        ({"bytes": b"\x00\xff"}, b"\x82\x02\x00\xff"),
        ({"text": ""}, b"\x81\x00"),
        ({"bytes": b""}, b"\x82\x00"),
        ({"text": "a", "bytes": None}, b"\x81\x01a"),
        ({"text": None, "bytes": b"a"}, b"\x82\x01a"),
        ({"bytes": bytearray(b"a")}, b"\x82\x01a"),
        ({"bytes": memoryview(b"a")}, b"\x82\x01a"),
    ],
)
async def test_a_message_is_one_frame(wire, content, sent):
    await wire.go_to("accepted")
    await wire.client.read_head()

    await wire.send(saying(**content))

    assert await wire.read_all() == sent


@pytest.mark.parametrize("content", [{}, {"text": None}, {"text": None, "bytes": None}])
async def test_a_message_needs_a_content(wire, content):
    await wire.go_to("accepted")

    with pytest.raises(RuntimeError, match="text or bytes"):
        await wire.send(saying(**content))


@pytest.mark.parametrize(
    ("stage", "message", "complaint"),
    [
        ("accepted", saying(text=b"hello"), "text: expected str, got bytes"),
        ("accepted", saying(bytes="hello"), "bytes: expected bytes, got str"),
        ("undecided", {"type": START["type"]}, "status: expected int, got NoneType"),
        ("undecided", {**START, "status": "401"}, "status: expected int, got str"),
        ("undecided", {**START, "headers": [("a", b"b")]}, "headers: expected bytes"),
        ("denying", {**BODY, "body": "hello"}, "body: expected bytes, got str"),
    ],
    ids=str,
)
async def test_content_of_another_type_is_an_error(wire, stage, message, complaint):
    await wire.go_to(stage)

    with pytest.raises(TypeError, match=complaint):
        await wire.send(message)


async def test_a_message_to_somebody_who_has_closed_is_a_disconnect(wire):
    await wire.go_to("accepted")
    wire.protocol.receive(close_frame(1000), now=0.0)

    with pytest.raises(ClientDisconnected) as caught:
        await wire.send(saying(text="late"))

    assert isinstance(caught.value, OSError)


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ("undecided", ACCEPT),
        ("undecided", START),
        ("denying", BODY),
        ("accepted", saying(text="late")),
    ],
    ids=lambda value: value if isinstance(value, str) else value["type"],
)
async def test_what_nobody_gets_any_more_is_a_disconnect(wire, stage, message):
    await wire.go_to(stage)
    wire.writer.close()

    with pytest.raises(ClientDisconnected, match="gone"):
        await wire.send(message)


async def test_a_message_waits_until_the_client_takes_it(wire):
    await wire.go_to("accepted")
    wire.writer.transport.set_write_buffer_limits(high=1)
    size = 8_000_000
    sending = asyncio.ensure_future(wire.send(saying(bytes=bytes(size))))
    await asyncio.wait({sending}, timeout=0.1)
    assert not sending.done()

    await wire.client.read_head()
    await wire.client.read_frame()

    await sending


async def test_several_may_wait_at_once_until_the_client_takes_it(wire):
    await wire.go_to("accepted")
    wire.writer.transport.set_write_buffer_limits(high=1)
    message = saying(bytes=bytes(1_000_000))
    sending = [asyncio.ensure_future(wire.send(message)) for _ in range(3)]
    await asyncio.wait(sending, timeout=0.1)
    await wire.client.read_head()

    sizes = [len((await wire.client.read_frame())[1]) for _ in sending]

    await asyncio.gather(*sending)
    assert sizes == [1_000_000] * 3


async def test_who_waits_while_the_client_is_lost_gets_a_disconnect():
    far = socket.create_server(("127.0.0.1", 0))
    near = socket.create_connection(far.getsockname())
    accepted, _ = far.accept()
    far.close()
    wire = Wire(
        await asyncio.open_connection(sock=near),
        await asyncio.open_connection(sock=accepted),
    )
    await wire.go_to("accepted")
    wire.writer.transport.set_write_buffer_limits(high=1)
    sending = asyncio.ensure_future(wire.send(saying(bytes=bytes(8_000_000))))
    await asyncio.wait({sending}, timeout=0.1)

    wire.client.reset()

    with pytest.raises(ClientDisconnected):
        await sending
    wire.writer.transport.abort()


# websocket.close


async def test_a_close_before_the_acceptance_is_a_403(wire):
    await wire.send(CLOSING)

    assert (await wire.read_all()).startswith(b"HTTP/1.1 403 ")
    assert (wire.accepted.is_set(), wire.closed.is_set()) == (False, True)


@pytest.mark.parametrize(
    ("fields", "payload"),
    [
        ({}, b"\x03\xe8"),
        ({"code": None, "reason": None}, b"\x03\xe8"),
        ({"code": 4001, "reason": "bye"}, b"\x0f\xa1bye"),
        ({"code": 1011, "reason": ""}, b"\x03\xf3"),
    ],
)
async def test_a_close_is_a_close_frame(wire, fields, payload):
    await wire.go_to("accepted")
    await wire.client.read_head()

    await wire.send({**CLOSING, **fields})

    assert await wire.client.read_frame() == (CLOSE, payload)
    assert wire.closed.is_set()


@pytest.mark.parametrize("code", [0, 999, 1004, 1006, 1015, 2999, 5000])
async def test_a_code_that_must_not_be_sent_is_an_error_that_names_it(wire, code):
    await wire.go_to("accepted")

    with pytest.raises(ValueError, match=str(code)):
        await wire.send({**CLOSING, "code": code})

    assert not wire.closed.is_set()


async def test_a_close_to_somebody_who_has_closed_is_no_error(wire):
    await wire.go_to("accepted")
    await wire.client.read_head()
    wire.protocol.receive(close_frame(1000), now=0.0)

    await wire.send(CLOSING)

    assert await wire.read_all() == b""
    assert wire.closed.is_set()


@pytest.mark.parametrize("stage", ["undecided", "accepted"])
@pytest.mark.parametrize("code", [1000, 1006])
async def test_a_close_to_somebody_who_is_gone_is_no_error(wire, stage, code):
    await wire.go_to(stage)
    wire.writer.close()

    await wire.send({**CLOSING, "code": code})  # Litestar hands on what it was told

    assert wire.closed.is_set()


async def test_the_stream_stays_open_for_the_answer_of_the_client(wire):
    await wire.go_to("closed")

    assert not wire.writer.is_closing()


# The denial response


async def test_a_denial_is_told_by_its_head_and_its_body(wire):
    await wire.send({**START, "headers": [(b"WWW-Authenticate", b"Basic")]})
    await wire.send({**BODY, "body": b"who are you?"})

    head, _, body = (await wire.read_all()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert b"www-authenticate: Basic" in head
    assert body == b"who are you?"


async def test_a_denial_may_come_in_pieces(wire):
    await wire.send(START)
    await wire.send({**BODY, "body": b"who ", "more_body": True})
    was_closed = wire.closed.is_set()
    await wire.send({**BODY, "body": b"are you?", "more_body": False})

    assert (await wire.read_all()).endswith(b"\r\n\r\nwho are you?")
    assert (was_closed, wire.closed.is_set()) == (False, True)


async def test_a_denial_without_body_is_one_too(wire):
    await wire.go_to("denied")

    assert (await wire.read_all()).endswith(b"\r\n\r\n")


async def test_a_denial_cannot_be_an_acceptance(wire):
    with pytest.raises(ValueError, match="101"):
        await wire.send({**START, "status": 101})


# Order

OUT_OF_ORDER = {
    "undecided": [saying(text="x"), BODY],
    "accepted": [ACCEPT, START, BODY],
    "denying": [ACCEPT, saying(text="x"), CLOSING, START],
    "denied": [ACCEPT, saying(text="x"), CLOSING, START, BODY],
    "refused": [ACCEPT, saying(text="x"), CLOSING, START, BODY],
    "closed": [ACCEPT, saying(text="x"), CLOSING, START, BODY],
}
EXPECTED = {
    "undecided": r"expected websocket\.accept, websocket\.close or",
    "accepted": r"expected websocket\.send or websocket\.close",
    "denying": r"expected websocket\.http\.response\.body",
    "denied": "after the end",
    "refused": "after the end",
    "closed": "after the end",
}


@pytest.mark.parametrize(
    ("stage", "message"),
    [(stage, each) for stage, messages in OUT_OF_ORDER.items() for each in messages],
    ids=lambda value: value if isinstance(value, str) else value["type"],
)
async def test_a_message_out_of_order_is_an_error_that_says_so(wire, stage, message):
    await wire.go_to(stage)

    with pytest.raises(RuntimeError, match=EXPECTED[stage]) as caught:
        await wire.send(message)

    assert repr(message["type"]) in str(caught.value)


async def test_a_message_of_no_known_type_is_an_error_that_names_it(wire):
    with pytest.raises(RuntimeError, match=r"'websocket\.wave'"):
        await wire.send({"type": "websocket.wave"})


@pytest.mark.parametrize("stage", STAGES)
async def test_a_sender_knows_whether_the_client_has_an_answer(stage):
    async with make_wire() as wire:
        sender = Sender(
            wire.writer,
            wire.protocol,
            KEY,
            accept_event=wire.accepted,
            close_event=wire.closed,
        )
        for message in STAGES[stage]:
            await sender.send(message)

        assert sender.has_answered is (stage != "undecided")


# Together, as in a server of another make


async def test_an_application_runs_on_a_queue_and_a_stream_alone(wire):
    async def greet(scope, receive, send):
        assert (await receive())["type"] == "websocket.connect"
        await send(ACCEPT)
        name = (await receive())["text"]
        await send(saying(text=f"hello {name}"))
        await send(CLOSING)

    events = asyncio.Queue()
    events.put_nowait({"type": "websocket.connect"})
    events.put_nowait({"type": "websocket.receive", "text": "Ann"})

    await greet({"type": "websocket"}, create_ws_receive(events), wire.send)

    await wire.client.read_head()
    assert await wire.client.read_frame() == (TEXT, b"hello Ann")
    assert await wire.client.read_close() == (1000, "")
