"""One plain HTTP request: its body and its answer."""

import pytest

from pondsocket_asgi.exchange import (
    BodyTooLarge,
    ClientLeft,
    answer,
    answer_text,
    read_body,
)


def part(body, *, more=False):
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_in_parts_is_put_together(make_host):
    host = make_host(part(b"ab", more=True), part(b"", more=True), part(b"c"))

    assert await read_body(host.receive, limit=3, within=5) == b"abc"


async def test_a_request_may_have_no_body(make_host):
    host = make_host({"type": "http.request"})

    assert await read_body(host.receive, limit=3, within=5) == b""


async def test_a_limit_of_zero_is_none(make_host):
    host = make_host(part(b"x" * 100))

    assert await read_body(host.receive, limit=0, within=0) == b"x" * 100


async def test_a_body_is_refused_before_it_is_complete(make_host):
    host = make_host(part(b"abcd", more=True))

    with pytest.raises(BodyTooLarge):
        await read_body(host.receive, limit=3, within=5)


async def test_a_client_may_leave_amid_its_body(make_host):
    host = make_host(part(b"ab", more=True), {"type": "http.disconnect"})

    with pytest.raises(ClientLeft):
        await read_body(host.receive, limit=3, within=5)


async def test_a_body_that_never_ends_times_out(make_host):
    host = make_host(part(b"ab", more=True))

    with pytest.raises(TimeoutError):
        await read_body(host.receive, limit=3, within=0.01)


async def test_an_answer_says_how_long_it_is(host):
    await answer(host.send, 200, "image/png", b"123", [(b"x-a", b"b")])

    assert host.sent == [
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [
                (b"x-a", b"b"),
                (b"content-type", b"image/png"),
                (b"content-length", b"3"),
            ],
        },
        {"type": "http.response.body", "body": b"123"},
    ]


async def test_an_answer_without_a_body_has_no_type(host):
    await answer_text(host.send, 204)

    assert host.sent[0]["headers"] == []


async def test_a_text_is_sent_as_utf_8(host):
    await answer_text(host.send, 400, "né")

    assert host.sent[1]["body"] == "né".encode()
    assert (b"content-type", b"text/plain; charset=utf-8") in host.sent[0]["headers"]
