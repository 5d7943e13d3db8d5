"""Requests as the library reads them, answers as it sends them."""

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request

from pondsocket.web import HTTPAnswer
from pondsocket_websockets.exchange import make_response, read_request


class Connection:
    """As much of a connection as is asked for."""

    def __init__(self, peer=("192.0.2.7", 4000)):
        self.remote_address = peer


def read(path="/", peer=("192.0.2.7", 4000), **headers):
    fields = Headers((name.replace("_", "-"), each) for name, each in headers.items())
    return read_request(Connection(peer), Request(path, fields))


# Requests


def test_the_path_is_decoded_once_and_has_no_query():
    request = read("/caf%C3%A9/%2541?a=%41?b")

    assert request.path == "/café/%41"
    assert request.query_string == "a=%41?b"


def test_the_headers_are_all_there():
    request = read(X_One="1", X_Two="2")

    assert request.headers.items() == [("x-one", "1"), ("x-two", "2")]


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        (("192.0.2.7", 4000), "192.0.2.7"),
        (("2001:db8::1", 4000, 0, 0), "2001:db8::1"),
        ("", ""),  # of a Unix socket
        (None, ""),  # of a connection that is over
    ],
)
def test_the_address_is_the_clients(peer, address):
    assert read(peer=peer).address == address


# Answers


def test_an_answer_has_a_status_headers_and_a_body():
    response = make_response(HTTPAnswer.text(404, "no", [("x-one", "1")]))

    assert (response.status_code, response.reason_phrase) == (404, "Not Found")
    assert response.body == b"no"
    assert response.headers["x-one"] == "1"
    assert response.headers["content-length"] == "2"
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["connection"] == "close"
    assert response.headers["date"].endswith("GMT")


def test_a_status_without_a_name_is_sent_without_one():
    assert make_response(HTTPAnswer.text(599, "no")).reason_phrase == ""


def test_an_answer_without_a_body_tells_no_length():
    assert "content-length" not in make_response(HTTPAnswer(204)).headers


def test_an_answer_to_head_has_the_length_of_the_body_that_it_lacks():
    response = make_response(HTTPAnswer(200, (), b"body"), with_body=False)

    assert response.headers["content-length"] == "4"
    assert response.body == b""
