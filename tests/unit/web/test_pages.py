"""The pages beside the endpoints, as answers."""

import pytest

from pondsocket.web import HTTPAnswer, PageAnswers

PAGE = HTTPAnswer(200, [("content-type", "text/html")], b"<h1>hi</h1>")


@pytest.fixture
def answers():
    return PageAnswers({"/": ("text/html", b"<h1>hi</h1>")})


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_page_is_found_by_its_path(answers, method):
    assert answers.find(method, "/") == PAGE


def test_a_page_can_only_be_got(answers):
    assert answers.find("POST", "/") is None


def test_another_path_is_no_page(answers):
    assert answers.find("GET", "/socket") is None


def test_a_server_with_routes_of_its_own_gets_them_by_path(answers):
    assert answers.by_path == {"/": PAGE}


def test_there_may_be_none():
    answers = PageAnswers(None)

    assert answers.find("GET", "/") is None
    assert answers.by_path == {}
