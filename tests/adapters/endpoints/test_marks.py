"""What `on_event` takes, and what it leaves behind."""

import functools

import pytest
from pydantic import BaseModel

from pondsocket_asgi.endpoints import on_event
from pondsocket_asgi.endpoints.marks import Mark, default_event, find_mark


class Reply(BaseModel):
    text: str


def on_greet():
    """Greet."""


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("greet", "greet"),
        ("on_greet", "greet"),
        ("handle_greet", "greet"),
        ("on_handle_greet", "handle_greet"),
        ("only", "only"),
        ("on_", "on_"),
    ],
)
def test_an_event_is_called_as_its_function(name, event):
    def function():
        """Greet."""

    function.__name__ = name

    assert default_event(function) == event


@pytest.mark.parametrize(
    ("decorate", "mark"),
    [
        (on_event, Mark("greet", None)),
        (on_event(), Mark("greet", None)),
        (on_event("hello"), Mark("hello", None)),
        (on_event(event="hello"), Mark("hello", None)),
        (on_event(response_model=Reply), Mark("greet", Reply)),
        (on_event("hello", Reply), Mark("hello", Reply)),
        (lambda f: on_event(staticmethod(f)), Mark("greet", None)),
        (lambda f: staticmethod(on_event(f)), Mark("greet", None)),
        (lambda f: on_event(classmethod(f)), Mark("greet", None)),
        (lambda f: classmethod(on_event(f)), Mark("greet", None)),
        (lambda f: on_event("hello")(functools.partial(f)), Mark("hello", None)),
    ],
)
def test_a_function_is_marked_in_every_form(decorate, mark):
    def on_greet():
        """Greet."""

    assert find_mark(decorate(on_greet)) == mark


def test_a_marked_function_is_the_function():
    assert on_event(on_greet) is on_greet


def test_what_has_no_name_needs_one():
    with pytest.raises(TypeError, match="give the event one"):
        on_event(response_model=Reply)(functools.partial(on_greet))


def test_what_cannot_be_marked_is_refused():
    with pytest.raises(TypeError, match="attach_handler"):
        on_event("size")(len)


def test_what_was_not_marked_has_no_mark():
    assert find_mark(len) is None
