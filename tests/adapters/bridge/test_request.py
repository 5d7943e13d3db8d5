"""The head of a handshake: how it is read, and which ones are refused."""

import base64
import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pondsocket_asgi.ws_bridge.config import ServerConfig
from pondsocket_asgi.ws_bridge.request import (
    HandshakeError,
    RequestReader,
    RequestReceived,
    check_handshake,
    find_extension_offers,
    find_subprotocols,
    is_token,
)

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = {
    "Host": "example.com",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY.decode(),
    "Sec-WebSocket-Version": "13",
}


def head(*more, line="GET /socket?a=1 HTTP/1.1", without=(), **changed):
    """Return a request: a good handshake, some headers less, others more."""
    replaced = {
        name.replace("_", "-").lower(): value for name, value in changed.items()
    }
    lines = [line]
    for name, value in HANDSHAKE.items():
        if name not in without:
            lines.append(f"{name}: {replaced.get(name.lower(), value)}")
    return "\r\n".join([*lines, *more, "", ""]).encode("latin-1")


def read(data, **config):
    request = RequestReader(ServerConfig(**config)).receive(data)
    assert request is not None
    return request


def handshake(*more, **changed):
    return check_handshake(read(head(*more, **changed)))


def refusal(act, *args, **kwargs):
    """Return what a client would be told."""
    with pytest.raises(HandshakeError) as caught:
        act(*args, **kwargs)
    return caught.value


# How a head is read


def test_a_head_is_read_as_it_came():
    request = read(head("X-One:  1 ", "x-one: 2"))

    assert request == RequestReceived(
        target=b"/socket?a=1",
        headers=(
            (b"host", b"example.com"),
            (b"upgrade", b"websocket"),
            (b"connection", b"Upgrade"),
            (b"sec-websocket-key", KEY),
            (b"sec-websocket-version", b"13"),
            (b"x-one", b"1"),
            (b"x-one", b"2"),
        ),
        method=b"GET",
        http_version="1.1",
    )


def test_headers_with_one_name_are_all_found():
    request = read(head("X-One: 1", "x-one: 2"))

    assert request.get_all(b"x-one") == [b"1", b"2"]
    assert request.get_all(b"x-two") == []


def test_a_head_may_come_byte_by_byte():
    reader = RequestReader(ServerConfig())
    *first, last = (bytes([byte]) for byte in head())

    assert [reader.receive(byte) for byte in first] == [None] * len(first)
    assert reader.receive(last) == read(head())


def test_an_empty_piece_changes_nothing():
    reader = RequestReader(ServerConfig())

    assert reader.receive(b"") is None
    assert reader.receive(head()) == read(head())


@example(data=b"\x81\x85\x00\x00\x00\x00hello", cuts=[1, 2, 3])
@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 200)))
def test_however_a_head_is_split_it_reads_the_same(data, cuts):
    whole = head("Cookie: a=1; b=2", "X-Text: caf\xe9")
    edges = [0, *sorted(min(cut, len(whole) - 1) for cut in cuts), len(whole)]
    pieces = [whole[i:j] for i, j in itertools.pairwise(edges)]
    pieces[-1] += data
    reader = RequestReader(ServerConfig())

    *none, request = [reader.receive(piece) for piece in pieces]

    assert set(none) <= {None}
    assert request == read(whole)
    assert reader.trailing == data


def test_nothing_is_behind_a_head_that_came_alone():
    reader = RequestReader(ServerConfig())
    reader.receive(head())

    assert reader.trailing == b""


@given(data=st.binary())
@example(data=b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")  # TLS
@example(data=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
@example(data=b"\r\n\r\n")
@example(data=b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n")
def test_nothing_but_a_refusal_is_raised_whatever_comes(data):
    reader = RequestReader(ServerConfig(max_header_bytes=64))

    try:
        request = reader.receive(data)
        answer = check_handshake(request) if request else None
    except HandshakeError as error:
        answer = error

    assert answer is None or 400 <= answer.status < 500


# Heads that are none


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\r\nGET / HTTP/1.1\r\n\r\n", id="empty line first"),
        pytest.param(b"GET /\r\n\r\n", id="HTTP/0.9"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="no Host"),
        pytest.param(head("Host: other"), id="two Hosts"),
        pytest.param(head("no colon"), id="no colon"),
        pytest.param(head("X-A : 1"), id="space before colon"),
        pytest.param(head(": 1"), id="no name"),
        pytest.param(head("X-\xe4: 1"), id="name not ASCII"),
        pytest.param(head("X-A: 1\x002"), id="NUL in value"),
        pytest.param(head("X-\x00A: 1"), id="NUL in name"),
        pytest.param(head("X-A: 1\r2"), id="lone CR"),
        pytest.param(head("\x00", line="GET /\x00 HTTP/1.1"), id="NUL in target"),
        pytest.param(head(line="GET /caf\xe9 HTTP/1.1"), id="target not ASCII"),
        pytest.param(head(line="GET /a b HTTP/1.1"), id="space in target"),
        pytest.param(head(line="GET  / HTTP/1.1"), id="two spaces"),
        pytest.param(head(line="G(T / HTTP/1.1"), id="method no token"),
        pytest.param(head(line=" folded"), id="line begins with space"),
        pytest.param(head("Content-Length: x"), id="length no number"),
        pytest.param(head("Content-Length: -1"), id="length below 0"),
        pytest.param(
            head("Content-Length: 0", "Content-Length: 1"), id="lengths differ"
        ),
        pytest.param(head("Transfer-Encoding: gzip"), id="unknown coding"),
        pytest.param(b"\x16\x03\x01\x02\x00", id="TLS"),
        pytest.param(b"\x00", id="NUL"),
    ],
)
def test_a_malformed_head_is_refused(data):
    error = refusal(read, data)

    assert (error.status, error.message) == (400, "the request is malformed")


def test_what_a_client_did_wrong_is_there_for_the_log():
    error = refusal(read, head("no colon"))

    assert "no colon" in str(error.__cause__)
    assert "no colon" not in str(error)


@pytest.mark.parametrize("version", ["1.0", "0.9", "1.2", "2.0"])
def test_another_version_of_http_is_refused(version):
    request = read(head(line=f"GET / HTTP/{version}"))
    error = refusal(check_handshake, request)

    assert (error.status, error.message) == (400, "expected HTTP/1.1")


@pytest.mark.parametrize(
    "header", ["Content-Length: 5", "Content-Length: 00", "Transfer-Encoding: chunked"]
)
def test_a_handshake_with_a_body_is_refused(header):
    error = refusal(check_handshake, read(head(header) + b"5\r\nhello"))

    assert error.status == 400
    assert error.message == "expected a request without a body"


def test_a_body_of_no_bytes_is_none():
    assert handshake("Content-Length: 0") == KEY


def test_a_folded_header_is_read_as_one_line():  # RFC 9112 5.2
    request = read(head("X-A: 1", "\t 2", "X-B: 3"))

    assert request.headers[-2:] == ((b"x-a", b"1 2"), (b"x-b", b"3"))


def test_lines_may_end_without_a_carriage_return():  # RFC 9112 2.2
    reader = RequestReader(ServerConfig())

    assert reader.receive(head().replace(b"\r\n", b"\n") + b"\n") == read(head())
    assert reader.trailing == b"\n"


# Limits


def in_pieces(data, size, **config):
    reader = RequestReader(ServerConfig(**config))
    for start in range(0, len(data), size):
        request = reader.receive(data[start : start + size])
    return request


@pytest.mark.parametrize("size", [1, 100, 1_000_000])
def test_a_head_may_be_as_long_as_the_limit(size):
    data = head()

    assert in_pieces(data, size, max_header_bytes=len(data)) == read(data)


@pytest.mark.parametrize("size", [1, 100, 1_000_000])
def test_a_head_beyond_the_limit_is_refused(size):
    data = head()

    error = refusal(in_pieces, data, size, max_header_bytes=len(data) - 1)

    assert (error.status, error.message) == (431, "the request head is too long")


@pytest.mark.parametrize("size", [1024, 1_000_000])
def test_a_header_of_64_kib_is_refused(size):
    error = refusal(in_pieces, head("X-A: " + "a" * 65_536), size)

    assert error.status == 431


def test_a_line_without_end_is_refused_as_soon_as_it_is_too_long():
    reader = RequestReader(ServerConfig())
    reader.receive(b"GET /")

    assert refusal(reader.receive, b"a" * 16_384).status == 431


def test_what_follows_the_head_does_not_count_as_head():
    data = head()
    reader = RequestReader(ServerConfig(max_header_bytes=len(data)))

    assert reader.receive(data + bytes(100_000)) == read(data)
    assert len(reader.trailing) == 100_000


def test_there_may_be_as_many_headers_as_the_limit():
    data = head(*(f"X-{number}: 1" for number in range(95)))

    assert len(read(data).headers) == 100


@pytest.mark.parametrize("count", [96, 200])
def test_more_headers_than_the_limit_are_refused(count):
    data = head(*(f"X-{number}: 1" for number in range(count)))

    error = refusal(read, data)

    assert (error.status, error.message) == (431, "too many headers")


# What makes a handshake


def test_the_key_of_a_good_handshake_is_returned():
    assert handshake() == KEY


@pytest.mark.parametrize("upgrade", ["WebSocket", "h2c, websocket", "websocket,"])
def test_the_upgrade_is_found_in_any_case_among_others(upgrade):
    assert handshake(upgrade=upgrade) == KEY


@pytest.mark.parametrize("connection", ["upgrade", "keep-alive, UPGRADE"])
def test_the_connection_may_have_other_options(connection):
    assert handshake(connection=connection) == KEY


def test_the_options_of_a_connection_may_come_in_two_headers():
    assert handshake("Connection: upgrade", connection="keep-alive") == KEY


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_a_plain_request_is_told_what_is_spoken_here(method):
    error = refusal(
        handshake, line=f"{method} / HTTP/1.1", without=["Upgrade", "Connection"]
    )

    assert error.status == 426
    assert error.message == "expected a WebSocket handshake"
    assert error.headers == ((b"upgrade", b"websocket"),)


@pytest.mark.parametrize("version", ["12", "8", "0", "14", "", "13, 13", "013", "x"])
def test_another_version_of_the_protocol_is_told_ours(version):
    error = refusal(handshake, sec_websocket_version=version)

    assert error.status == 426
    assert (b"sec-websocket-version", b"13") in error.headers
    assert (b"upgrade", b"websocket") in error.headers


def test_a_draft_without_a_version_is_told_ours():
    error = refusal(handshake, without=["Sec-WebSocket-Version"])

    assert error.status == 426


@pytest.mark.parametrize("method", ["POST", "get", "CONNECT", "OPTIONS"])
def test_a_handshake_is_a_get(method):
    error = refusal(handshake, line=f"{method} /socket HTTP/1.1")

    assert (error.status, error.message) == (400, "expected the method GET")


@pytest.mark.parametrize(
    "target", ["*", "example.com:80", "socket", "?a=1", "http:///"]
)
def test_a_target_without_a_path_is_refused(target):
    error = refusal(handshake, line=f"GET {target} HTTP/1.1")

    assert (error.status, error.message) == (400, "expected a path")


@pytest.mark.parametrize(
    "target",
    ["http://example.com/socket", "https://a:1/", "ws://a", "WSS://[::1]:80?a=1"],
)
def test_a_target_may_name_scheme_and_host(target):
    assert handshake(line=f"GET {target} HTTP/1.1") == KEY


def test_two_upgrades_are_refused():
    error = refusal(handshake, "Upgrade: websocket")

    assert (error.status, error.message) == (400, "expected 'Upgrade: websocket'")


@pytest.mark.parametrize("upgrade", ["", "h2c", "websockets", "web socket"])
def test_an_upgrade_to_something_else_is_refused(upgrade):
    error = refusal(handshake, upgrade=upgrade)

    assert (error.status, error.message) == (400, "expected 'Upgrade: websocket'")


@pytest.mark.parametrize(
    "change",
    [{"connection": "keep-alive"}, {"connection": ""}, {"without": ["Connection"]}],
)
def test_a_connection_that_is_not_to_be_upgraded_is_refused(change):
    error = refusal(handshake, **change)

    assert (error.status, error.message) == (400, "expected 'Connection: Upgrade'")


@pytest.mark.parametrize("second", ["13", "12"])
def test_two_versions_are_refused(second):
    error = refusal(handshake, f"Sec-WebSocket-Version: {second}")

    assert error.status == 400
    assert error.message == "expected one Sec-WebSocket-Version header"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "short",
        "A" * 22,
        "A" * 23 + "=",
        "A" * 24,
        base64.b64encode(bytes(15)).decode(),
        base64.b64encode(bytes(17)).decode(),
        KEY.decode().replace("G", "!"),
        KEY.decode().replace("=", " "),
        "\xe4" * 24,
        f"{KEY.decode()}, {KEY.decode()}",
    ],
)
def test_a_key_that_is_not_16_bytes_in_base64_is_refused(key):
    error = refusal(handshake, sec_websocket_key=key)

    assert error.status == 400
    assert "16 bytes in base64" in error.message


@pytest.mark.parametrize(
    ("more", "change"),
    [
        ([], {"without": ["Sec-WebSocket-Key"]}),
        ([f"Sec-WebSocket-Key: {KEY.decode()}"], {}),
    ],
)
def test_a_handshake_has_one_key(more, change):
    error = refusal(handshake, *more, **change)

    assert error.status == 400
    assert error.message == "expected one Sec-WebSocket-Key header"


@pytest.mark.parametrize(
    "subprotocols", ["chat\xe9", "\u00fc", "a b", "a;q=1", '"a"', "a, b c", "http://x"]
)
def test_a_subprotocol_that_is_no_token_is_refused(subprotocols):
    error = refusal(handshake, f"Sec-WebSocket-Protocol: {subprotocols}")

    assert error.status == 400
    assert error.message == "expected a token for each subprotocol"


@pytest.mark.parametrize("second", ["a, a", "b, a"])
def test_a_subprotocol_that_comes_twice_is_refused(second):
    error = refusal(
        handshake, "Sec-WebSocket-Protocol: a", f"Sec-WebSocket-Protocol: {second}"
    )

    assert (error.status, error.message) == (400, "expected each subprotocol once")


# A request that somebody else read


GOOD = read(head())


def test_a_request_read_elsewhere_may_be_a_handshake():
    assert check_handshake(RequestReceived(GOOD.target, GOOD.headers)) == KEY


@pytest.mark.parametrize(
    "headers",
    [GOOD.headers[1:], (*GOOD.headers, (b"host", b"other"))],
    ids=["none", "two"],
)
def test_a_request_read_elsewhere_must_have_one_host(headers):
    error = refusal(check_handshake, RequestReceived(b"/", headers))

    assert (error.status, error.message) == (400, "expected one Host header")


@pytest.mark.parametrize(
    "header", [(b"content-length", b"5"), (b"transfer-encoding", b"gzip")]
)
def test_a_request_read_elsewhere_must_have_no_body(header):
    request = RequestReceived(b"/", (*GOOD.headers, header))

    assert refusal(check_handshake, request).status == 400


def test_a_request_read_elsewhere_must_speak_http_1_1():
    request = RequestReceived(b"/", GOOD.headers, http_version="2")

    assert refusal(check_handshake, request).status == 400


# What a client asks for


def asked(name, *values):
    headers = tuple((name, value) for value in values)
    return RequestReceived(b"/", (*GOOD.headers, *headers))


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], []),
        ([b""], []),
        ([b"a"], ["a"]),
        ([b"b, a"], ["b", "a"]),
        ([b"b,a", b"c"], ["b", "a", "c"]),
        ([b",a ,, \t,\tb,"], ["a", "b"]),
        ([b"caf\xe9"], ["caf\xe9"]),
    ],
)
def test_subprotocols_come_in_the_order_of_the_client(values, found):
    assert find_subprotocols(asked(b"sec-websocket-protocol", *values)) == found


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], []),
        ([b"permessage-deflate"], ["permessage-deflate"]),
        ([b"a; b=1; c, d"], ["a; b=1; c", "d"]),
        ([b"a, b", b"c"], ["a", "b", "c"]),
        ([b'a; b="1,2", c'], ['a; b="1,2"', "c"]),
        ([rb'a; b="\",", c'], [r'a; b="\","', "c"]),
        ([b'a; b="1, c', b"d"], ['a; b="1, c', "d"]),
        ([b'a; b="1\\'], ['a; b="1\\']),
        ([b"\xff"], ["\xff"]),
    ],
)
def test_extension_offers_are_told_apart_by_commas_outside_quotes(values, found):
    assert find_extension_offers(asked(b"sec-websocket-extensions", *values)) == found


def test_offers_full_of_quotes_are_read_in_time():  # one pass, however they nest
    request = asked(b"sec-websocket-extensions", b'"\\' * 500_000)

    assert len(find_extension_offers(request)) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("chat", True),
        ("a.b-c_d!~", True),
        ("", False),
        ("a\n", False),
        ("\u0661", False),
    ],
)
def test_a_token_is_ascii_without_separators(text, expected):
    assert is_token(text) is expected


# A target and its parts


@pytest.mark.parametrize(
    ("target", "raw_path", "query_string"),
    [
        (b"/", b"/", b""),
        (b"/a%20b?c=d", b"/a%20b", b"c=d"),
        (b"/?", b"/", b""),
        (b"/a?b?c", b"/a", b"b?c"),
        (b"//host/a", b"//host/a", b""),
        (b"/http://host/a", b"/http://host/a", b""),
        (b"http://host/a?b", b"/a", b"b"),
        (b"http://user@host:80/a", b"/a", b""),
        (b"HTTPS://host?b/c", b"/", b"b/c"),
        (b"ws://host", b"/", b""),
        (b"", b"/", b""),
    ],
)
def test_a_target_is_a_path_and_a_query(target, raw_path, query_string):
    request = RequestReceived(target, ())

    assert (request.raw_path, request.query_string) == (raw_path, query_string)
