"""One plain HTTP request: its body and its answer."""

import asyncio
from types import SimpleNamespace

import pytest

from pondsocket.web import BodyTooLarge, ClientLeft, HTTPAnswer
from pondsocket_asgi.exchange import ASGIStreamResponse, read_body, send_answer


def part(body, *, more=False):
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_in_parts_is_put_together(make_host):
    host = make_host(part(b"ab", more=True), part(b"", more=True), part(b"c"))

    assert await read_body(host.receive, 3) == b"abc"


async def test_a_request_may_have_no_body(make_host):
    host = make_host({"type": "http.request"})

    assert await read_body(host.receive, 3) == b""


async def test_a_limit_of_zero_is_none(make_host):
    host = make_host(part(b"x" * 100))

    assert await read_body(host.receive, 0) == b"x" * 100


async def test_a_body_is_refused_before_it_is_complete(make_host):
    host = make_host(part(b"abcd", more=True))

    with pytest.raises(BodyTooLarge):
        await read_body(host.receive, 3)


async def test_a_client_may_leave_amid_its_body(make_host):
    host = make_host(part(b"ab", more=True), {"type": "http.disconnect"})

    with pytest.raises(ClientLeft):
        await read_body(host.receive, 3)


async def test_an_answer_says_how_long_it_is(host):
    await send_answer(host.send, HTTPAnswer(200, [("x-a", "b")], b"123"))

    assert host.sent == [
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"x-a", b"b"), (b"content-length", b"3")],
        },
        {"type": "http.response.body", "body": b"123"},
    ]


async def test_an_answer_without_a_body_has_no_length(host):
    await send_answer(host.send, HTTPAnswer(204))

    assert host.sent[0]["headers"] == []


async def test_a_header_that_the_wire_cannot_carry_costs_no_answer(host):
    await send_answer(host.send, HTTPAnswer(204, [("x-a", "\N{SNOWMAN}")]))

    assert host.sent[0]["headers"] == [(b"x-a", b"?")]


async def test_a_stream_begins_goes_on_and_ends(host):
    response = ASGIStreamResponse(host.receive, host.send, [("x-a", "b")])

    await response.begin()
    await response.write(b"data")
    await response.end()

    assert host.sent == [
        {"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"b")]},
        {"type": "http.response.body", "body": b"data", "more_body": True},
        {"type": "http.response.body", "body": b"", "more_body": False},
    ]


async def test_a_stream_is_left_when_the_host_says_so(make_host):
    host = make_host(part(b""), {"type": "http.disconnect"})

    async with asyncio.timeout(5):
        await ASGIStreamResponse(host.receive, host.send, []).wait_until_left()


async def test_a_stream_of_uvicorn_is_lost_with_its_connection(host):
    class Cycle:
        transport = SimpleNamespace(is_closing=lambda: True)

        async def send(self, message):
            raise AssertionError("it would be swallowed")

    response = ASGIStreamResponse(host.receive, Cycle().send, [])

    with pytest.raises(OSError, match="closed"):
        await response.write(b"data")
