"""What is read from an ASGI scope."""

import time

import pytest

from pondsocket import Headers, Route
from pondsocket_asgi.scope import find_path, read_connection, read_headers

COOKIE_BYTES = 128 * 1024


@pytest.mark.parametrize(
    ("path", "root_path", "found"),
    [
        ("/socket", "", "/socket"),
        ("/ws/socket", "/ws", "/socket"),  # FastAPI, Starlette
        ("/ws/socket", "/ws/", "/socket"),
        ("/ws", "/ws", "/"),
        ("/socket/", "", "/socket/"),  # Litestar
        ("/socket/", "/ws", "/socket/"),
        ("/wsx/socket", "/ws", "/wsx/socket"),
        ("/a/b/socket", "/a/b", "/socket"),
        ("", "", "/"),
        (None, None, "/"),
    ],
)
def test_the_path_is_what_stands_below_the_mount(path, root_path, found):
    assert find_path({"path": path, "root_path": root_path}) == found


def test_a_scope_without_any_path_is_at_the_root():
    assert find_path({}) == "/"


@pytest.mark.parametrize("name", ["a%2Fb", "50%", "what?", "a b", "grüße", "a+b"])
def test_a_parameter_of_the_path_arrives_as_the_host_decoded_it(name, chat):
    chat.pond.create_endpoint("/rooms/:name", lambda ctx: ctx.accept())

    found = chat.pond.match_endpoint(find_path({"path": f"/rooms/{name}"}))

    assert found.route.params == {"name": name}


def test_headers_can_be_asked_for_in_any_case():
    headers = read_headers({"headers": [(b"x-one", b"1"), (b"X-ONE", b"2")]})

    assert headers.get_all("X-One") == ["1", "2"]


@pytest.mark.parametrize("scope", [{}, {"headers": None}, {"headers": ()}])
def test_a_scope_may_have_no_headers(scope):
    assert read_headers(scope) == Headers()


def connection_of(**scope):
    return read_connection(scope, read_headers(scope), Route({"room": "1"}))


def test_the_address_is_that_of_the_client():
    assert connection_of(client=("192.0.2.1", 4711)).address == "192.0.2.1"


@pytest.mark.parametrize("scope", [{}, {"client": None}, {"client": ()}])
def test_a_host_may_not_know_the_address(scope):
    assert connection_of(**scope).address == ""


def test_each_connection_gets_an_id_of_its_own():
    assert connection_of().id != connection_of().id


def test_the_parameters_of_the_path_are_handed_on():
    assert connection_of().params == {"room": "1"}


@pytest.mark.parametrize(
    ("query_string", "query"),
    [
        (b"", {}),
        (None, {}),
        (b"a=1&b=2", {"a": "1", "b": "2"}),
        (b"a=1&a=2", {"a": "1"}),
        (b"a=&b", {"a": "", "b": ""}),
        (b"a=b%20c+d", {"a": "b c d"}),
        (b"a=%C3%A9", {"a": "é"}),
        ("a=é".encode(), {"a": "é"}),
        (b"a=%FF&b=\xff", {"a": "\ufffd", "b": "\ufffd"}),
    ],
)
def test_of_each_query_parameter_the_first_value_counts(query_string, query):
    assert connection_of(query_string=query_string).query == query


@pytest.mark.parametrize(
    ("lines", "cookies"),
    [
        ([], {}),
        ([b"a=1"], {"a": "1"}),
        ([b"a=1; b=2;c=3"], {"a": "1", "b": "2", "c": "3"}),
        ([b"a=1", b"b=2"], {"a": "1", "b": "2"}),  # HTTP/2 splits them
        ([b"a=1; a=2"], {"a": "1"}),
        ([b'a="b\\073c"'], {"a": "b;c"}),
        ([b'a="\\"b\\\\\\0737\\9"'], {"a": '"b\\;79'}),
        ([b'a="'], {"a": '"'}),
        ([b'a=""'], {"a": ""}),
        ([b'a="b'], {"a": '"b'}),
        ([b'a="b\\"'], {"a": "b\\"}),
        ([b"a=b=c; =d; e; ;"], {"a": "b=c"}),
        ([b"a=\xe9"], {"a": "é"}),
    ],
)
def test_cookies_are_read_by_name(lines, cookies):
    headers = [(b"cookie", line) for line in lines]

    assert connection_of(headers=headers).cookies == cookies


@pytest.mark.parametrize("escape", [b"\\", b"\\073", b'\\"'])
def test_a_long_cookie_of_escapes_is_read_in_linear_time(escape):
    headers = [(b"cookie", b'a="' + escape * (COOKIE_BYTES // len(escape)) + b'"')]
    started = time.perf_counter()

    assert connection_of(headers=headers).cookies["a"]
    assert time.perf_counter() - started < 2  # seconds; by the square it would be many
