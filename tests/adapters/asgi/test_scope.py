"""What is read from an ASGI scope."""

import pytest

from pondsocket import Headers
from pondsocket_asgi.scope import read_request


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
    assert read_request({"path": path, "root_path": root_path}).path == found


def test_a_scope_without_any_path_is_at_the_root():
    assert read_request({}).path == "/"


def test_headers_can_be_asked_for_in_any_case():
    headers = [(b"x-one", b"1"), (b"X-ONE", b"2")]

    request = read_request({"headers": headers})

    assert request.headers.get_all("X-One") == ["1", "2"]


@pytest.mark.parametrize("scope", [{}, {"headers": None}, {"headers": ()}])
def test_a_scope_may_have_no_headers(scope):
    assert read_request(scope).headers == Headers()


def test_the_address_is_that_of_the_client():
    assert read_request({"client": ("192.0.2.1", 4711)}).address == "192.0.2.1"


@pytest.mark.parametrize("scope", [{}, {"client": None}, {"client": ()}])
def test_a_host_may_not_know_the_address(scope):
    assert read_request(scope).address == ""


@pytest.mark.parametrize(
    ("query_string", "found"),
    [(None, ""), (b"", ""), (b"a=1", "a=1"), (b"a=\xff", "a=\ufffd")],
)
def test_a_query_string_that_is_no_utf_8_is_read_nevertheless(query_string, found):
    assert read_request({"query_string": query_string}).query_string == found


@pytest.mark.parametrize(
    ("scope", "found"), [({"method": "POST"}, "POST"), ({}, "GET")]
)
def test_the_handshake_of_a_websocket_is_a_get(scope, found):
    assert read_request(scope).method == found
