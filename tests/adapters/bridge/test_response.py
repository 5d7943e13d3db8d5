"""The bytes that answer a handshake."""

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pondsocket_asgi.ws_bridge.response import (
    render_acceptance,
    render_head,
    render_response,
)

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 1.3


def accept(*headers, subprotocol=None, extensions=None):
    return render_acceptance(
        KEY, subprotocol=subprotocol, extensions=extensions, headers=headers
    )


def read_by_client(data):
    """Return what a client that only knows HTTP makes of it: head and body."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    client.receive_data(b"")
    head = client.next_event()
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    return head, body


# The 101


def test_the_acceptance_is_that_of_the_rfc():
    assert accept() == (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"upgrade: websocket\r\n"
        b"connection: upgrade\r\n"
        b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        b"\r\n"
    )


def test_the_acceptance_names_what_was_agreed_on():
    lines = accept(subprotocol="chat", extensions="permessage-deflate").split(b"\r\n")

    assert b"sec-websocket-protocol: chat" in lines
    assert b"sec-websocket-extensions: permessage-deflate" in lines


def test_headers_of_the_application_come_last_and_in_their_order():
    data = accept((b"Set-Cookie", b"a=1"), (b"set-cookie", b" b=2\t"), (b"x-e", b""))

    assert data.endswith(
        b"\r\nset-cookie: a=1\r\nset-cookie: b=2\r\nx-e: \r\n\r\n",
    )


@pytest.mark.parametrize(
    "name",
    [
        b"Sec-WebSocket-Accept",
        b"sec-websocket-extensions",
        b"sec-websocket-protocol",
        b"connection",
        b"upgrade",
    ],
)
def test_the_application_cannot_set_what_the_handshake_sets(name):
    with pytest.raises(ValueError, match=f"{name.lower()!r}: the handshake sets it"):
        accept((name, b"x"))


@pytest.mark.parametrize(
    ("name", "value"), [(b"content-length", b"0"), (b"transfer-encoding", b"chunked")]
)
def test_an_acceptance_has_no_body(name, value):
    with pytest.raises(ValueError, match=f"{name!r}: the handshake sets it"):
        accept((name, value))


@pytest.mark.parametrize("subprotocol", ["", "a b", "a,b", "caf\xe9", "a\r\nx: y"])
def test_a_subprotocol_is_a_token(subprotocol):
    with pytest.raises(ValueError, match="expected a token as subprotocol"):
        accept(subprotocol=subprotocol)


def test_extensions_cannot_begin_a_line_of_their_own():
    with pytest.raises(ValueError, match="b'sec-websocket-extensions'"):
        accept(extensions="permessage-deflate\r\nx-evil: 1")


# What cannot be sent


def respond(header):
    return render_response(403, [header], b"")


def begin(header):
    return render_head(403, [header])


every_renderer = pytest.mark.parametrize("render", [accept, respond, begin])


@every_renderer
@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"x-a", b"1\r\nx-evil: 1"),
        (b"x-a", b"1\nx-evil: 1"),
        (b"x-a", b"1\rx-evil: 1"),
        (b"x-a", b"1\r\n"),
        (b"x-a", b"1\x00"),
        (b"x-a\r\nx-evil", b"1"),
        (b"x-a\n", b"1"),
        (b"x-a\x00", b"1"),
        (b"x-a:", b"1"),
        (b"x a", b"1"),
        (b" x-a", b"1"),
        (b"x-\xe4", b"1"),
        (b"", b"1"),
    ],
)
def test_a_header_that_is_none_is_refused_by_its_name(render, name, value):
    with pytest.raises(ValueError, match="header ") as caught:
        render((name, value))

    assert str(caught.value).startswith(f"header {name!r}: ")


@every_renderer
@example(header=(b"x-a", b"1\r\n\r\n2"))
@given(header=st.tuples(st.binary(), st.binary()))
def test_no_header_can_begin_a_line_of_its_own(render, header):
    without = render((b"x-plain", b"1"))
    try:
        data = render(header)
    except ValueError:
        return
    lines = without.count(b"\n")
    assert data.count(b"\n") in {lines, lines - 1}  # less one that was dropped
    assert data.count(b"\r") == data.count(b"\n")
    assert b"\x00" not in data


@pytest.mark.parametrize("status", [-1, 0, 99, 100, 101, 199, 600, 1000])
def test_a_status_that_ends_no_request_is_refused(status):
    with pytest.raises(ValueError, match="expected a status of 200 to 599"):
        render_response(status, [], None)
    with pytest.raises(ValueError, match="expected a status of 200 to 599"):
        render_head(status, [])


# A whole response


def test_a_response_tells_its_length_and_that_it_is_the_last():
    data = render_response(403, [(b"Content-Type", b"text/plain")], b"not today")

    assert data == (
        b"HTTP/1.1 403 Forbidden\r\n"
        b"content-type: text/plain\r\n"
        b"connection: close\r\n"
        b"content-length: 9\r\n"
        b"\r\n"
        b"not today"
    )


@pytest.mark.parametrize("body", [None, b""])
def test_a_response_may_have_nothing_to_say(body):
    head, said = read_by_client(render_response(403, [], body))

    assert (b"content-length", b"0") in list(head.headers)
    assert said == b""


def test_the_length_of_a_body_is_measured_not_believed():
    head, body = read_by_client(
        render_response(403, [(b"Content-Length", b"1")], b"no")
    )

    assert body == b"no"
    assert [value for name, value in head.headers if name == b"content-length"] == [
        b"2"
    ]


def test_a_status_may_have_no_name():
    assert render_response(499, [], None).startswith(b"HTTP/1.1 499 \r\n")


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_has_no_length(status):
    assert b"content-length" not in render_response(status, [], None)


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_cannot_have_one(status):
    with pytest.raises(ValueError, match=f"no body with status {status}"):
        render_response(status, [], b"x")


@pytest.mark.parametrize("render", [respond, begin])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"Connection", b"keep-alive"),
        (b"keep-alive", b"timeout=5"),
        (b"proxy-connection", b"keep-alive"),
        (b"te", b"trailers"),
        (b"trailer", b"x"),
        (b"Transfer-Encoding", b"gzip, chunked"),
        (b"upgrade", b"h2c"),
    ],
)
def test_the_connection_is_no_matter_of_the_application(render, name, value):
    lines = render((name, value)).split(b"\r\n")

    assert b"connection: close" in lines
    assert not any(value in line for line in lines)


def test_who_must_upgrade_is_told_to_what():
    lines = render_response(426, [(b"upgrade", b"websocket")], None).split(b"\r\n")

    assert b"upgrade: websocket" in lines
    assert b"connection: close, upgrade" in lines


# A response in pieces


def test_a_head_leaves_the_end_of_the_body_to_the_connection():
    head = render_head(403, [(b"x-a", b"1")])

    assert head == b"HTTP/1.1 403 Forbidden\r\nx-a: 1\r\nconnection: close\r\n\r\n"
    assert read_by_client(head + b"not " + b"today")[1] == b"not today"


def test_a_head_keeps_the_length_that_the_application_promised():
    head = render_head(403, [(b"content-length", b"9")])

    assert b"\r\ncontent-length: 9\r\n" in head


@pytest.mark.parametrize("lengths", [[b"1", b"2"], [b"1", b"1"], [b"1, 2"], [b"x"]])
def test_a_head_promises_one_length(lengths):
    with pytest.raises(ValueError, match="b'content-length'"):
        render_head(403, [(b"content-length", length) for length in lengths])
