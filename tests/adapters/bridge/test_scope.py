"""What an application is told of a handshake."""

import ssl

import pytest

from pondsocket_asgi.scope import read_request
from pondsocket_asgi.ws_bridge.config import ServerConfig
from pondsocket_asgi.ws_bridge.request import RequestReceived
from pondsocket_asgi.ws_bridge.scope import build_ws_scope

CLIENT = ("192.0.2.1", 4711)
SERVER = ("192.0.2.2", 80)


def scope_of(target=b"/", headers=(), **config):
    request = RequestReceived(target, tuple(headers))
    return build_ws_scope(request, ServerConfig(**config), CLIENT, SERVER)


def test_a_scope_has_everything_that_asgi_asks_for():
    scope = scope_of(b"/socket?a=1", [(b"host", b"x")])

    assert scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/socket",
        "raw_path": b"/socket",
        "query_string": b"a=1",
        "root_path": "",
        "headers": [(b"host", b"x")],
        "subprotocols": [],
        "client": CLIENT,
        "server": SERVER,
        "extensions": {"websocket.http.response": {}},
    }


def test_the_scheme_tells_of_encryption():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    assert scope_of(ssl=context)["scheme"] == "wss"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/", "/"),
        (b"/a%20b", "/a b"),
        (b"/caf%C3%A9", "/caf\xe9"),
        (b"/%F0%9F%A6%86", "/\U0001f986"),
        (b"/a%2Fb", "/a/b"),
        (b"/a%3Fb", "/a?b"),
        (b"/a%253Fb", "/a%3Fb"),  # decoded once
        (b"/a+b", "/a+b"),
        (b"/100%", "/100%"),
        (b"/%zz", "/%zz"),
        (b"/%ff", "/\ufffd"),
        (b"/%C3", "/\ufffd"),
        (b"/\xff", "/\ufffd"),  # as another reader of requests might let it through
        (b"//host/x", "//host/x"),
        (b"http://host/a%20b", "/a b"),
        (b"http://host", "/"),
    ],
)
def test_the_path_is_decoded_to_what_can_be_encoded_again(target, path):
    assert scope_of(target)["path"] == path


def test_the_raw_path_loses_nothing():
    assert scope_of(b"/caf%C3%A9%2f%ff?x")["raw_path"] == b"/caf%C3%A9%2f%ff"


@pytest.mark.parametrize(
    ("target", "query_string"),
    [
        (b"/", b""),
        (b"/?", b""),
        (b"/?a=%20&b", b"a=%20&b"),
        (b"/?a?b", b"a?b"),
        (b"http://host/x?a=1", b"a=1"),
    ],
)
def test_the_query_string_stays_encoded(target, query_string):
    assert scope_of(target)["query_string"] == query_string


def test_the_path_begins_with_the_mount_that_a_proxy_cut_off():
    scope = scope_of(b"/a%20b", root_path="/ws")

    assert scope["root_path"] == "/ws"
    assert scope["path"] == "/ws/a b"
    assert scope["raw_path"] == b"/a%20b"


def test_our_own_adapter_finds_the_path_below_the_mount():
    assert read_request(scope_of(b"/socket", root_path="/ws")).path == "/socket"


def test_subprotocols_come_in_the_order_of_the_client():
    headers = [
        (b"sec-websocket-protocol", b"b, a"),
        (b"sec-websocket-protocol", b"c"),
    ]

    assert scope_of(headers=headers)["subprotocols"] == ["b", "a", "c"]


def test_every_scope_has_values_of_its_own():
    request = RequestReceived(b"/", ((b"host", b"x"),))
    first, second = (
        build_ws_scope(request, ServerConfig(), CLIENT, SERVER) for _ in range(2)
    )

    first["headers"].clear()
    first["extensions"].clear()
    first["asgi"].clear()
    first["subprotocols"].append("x")

    assert second == scope_of(headers=[(b"host", b"x")])
