"""What may be defined twice in the body of an endpoint class, and what may not."""

import functools
import types

import pytest

from pondsocket_asgi.endpoints import Handler, WebSocketHandlingEndpoint, on_event
from pondsocket_asgi.endpoints.class_body import ClassBody


@pytest.fixture
def body():
    return ClassBody("Greeter")


@on_event("hello")
def greet():
    """Greet."""


@on_event("hello")
def greet_again():
    """Greet."""


def traced(function):
    @functools.wraps(function)
    def wrapper():
        return function()

    return wrapper


@pytest.mark.parametrize(
    "value",
    [
        greet_again,
        staticmethod(greet_again),
        on_event("bye")(lambda: None),
        Handler("hello", greet),
        lambda: None,
        None,
    ],
)
def test_a_handler_is_not_replaced_by_another_definition(value, body):
    body["greet"] = greet

    with pytest.raises(
        ValueError, match="Greeter: greet handles 'hello' and is defined again"
    ):
        body["greet"] = value

    assert body["greet"] is greet


@pytest.mark.parametrize("value", [greet, staticmethod(greet), traced(greet)])
def test_a_handler_may_be_replaced_by_what_wraps_it(value, body):
    body["greet"] = greet
    body["greet"] = value

    assert body["greet"] is value


def test_a_handler_that_was_deleted_may_be_defined_again(body):
    body["greet"] = greet
    del body["greet"]
    body["greet"] = greet_again

    assert body["greet"] is greet_again


def test_what_is_no_handler_may_be_replaced(body):
    body["greet"] = len
    body["greet"] = greet

    assert body["greet"] is greet


def test_two_handlers_of_one_name_are_refused_where_the_second_is_defined():
    text = r"locals>\.Twice: greet handles 'greet' and is defined again"
    with pytest.raises(ValueError, match=text):

        class Twice(WebSocketHandlingEndpoint):
            @on_event
            def greet(self):
                """Greet."""

            @on_event("hello")
            def greet(self, name):  # noqa: F811 - that is the mistake
                """Greet."""


def test_a_held_handler_is_not_replaced_either():
    with pytest.raises(ValueError, match="Twice: greet handles 'hello'"):

        class Twice(WebSocketHandlingEndpoint):
            greet = Handler("hello", greet)
            greet = Handler("hello", greet_again)


def test_a_subclass_may_define_a_handler_anew():
    class Base(WebSocketHandlingEndpoint):
        @on_event
        def greet(self, name):
            """Greet."""

    class Derived(Base):
        @on_event
        def greet(self, surname):
            """Greet."""

    assert list(Derived.handlers["greet"].model.model_fields) == ["type", "surname"]


def test_a_class_may_be_made_by_a_program():
    made = types.new_class(
        "Made", (WebSocketHandlingEndpoint,), {}, lambda body: body.update(greet=greet)
    )

    assert list(made.handlers) == ["hello"]
