"""Which handlers a class has."""

import functools

import pytest
from pydantic import BaseModel

from pondsocket_asgi.endpoints import (
    Handler,
    HandlingEndpointMeta,
    WebSocketHandlingEndpoint,
    on_event,
)


class Reply(BaseModel):
    text: str


class Greeter(WebSocketHandlingEndpoint):
    @on_event("hello", response_model=Reply)
    async def greet(self, name: str):
        """Greet."""


class Mixin:
    @on_event
    def ping(self):
        """Answer."""


def fields_of(endpoint, event):
    return list(endpoint.handlers[event].model.model_fields)[1:]


def test_a_class_has_the_handlers_of_its_functions():
    class Endpoint(WebSocketHandlingEndpoint):
        @on_event
        def method(self, a):
            """Handle."""

        @on_event
        @staticmethod
        def static(b):
            """Handle."""

        @on_event
        @classmethod
        def of_class(cls, c):
            """Handle."""

        bound = on_event("partial")(functools.partial(lambda e, d: None, 1))
        made = Handler("made", lambda f: None)

    wanted = {
        "method": "a",
        "static": "b",
        "of_class": "c",
        "partial": "d",
        "made": "f",
    }
    assert type(Endpoint) is HandlingEndpointMeta
    assert {event: fields_of(Endpoint, event) for event in Endpoint.handlers} == {
        event: [field] for event, field in wanted.items()
    }


async def test_a_class_method_gets_the_class_that_it_is_called_on(host):
    class Named(WebSocketHandlingEndpoint):
        @on_event
        @classmethod
        async def name(cls):
            return {"name": cls.__name__}

    class Derived(Named):
        pass

    assert (await host.run(Derived, {"type": "name"}))[0]["name"] == "Derived"


def test_handlers_are_inherited_from_endpoints_and_plain_mixins():
    class Derived(Mixin, Greeter):
        pass

    assert set(Derived.handlers) == {"hello", "ping"}
    assert set(Greeter.handlers) == {"hello"}
    assert WebSocketHandlingEndpoint.handlers == {}


@pytest.mark.parametrize("name", ["hail", "other"])
def test_two_functions_of_one_event_are_refused(name):
    with pytest.raises(ValueError, match=f"Twice: greet and {name} handle 'hello'"):
        HandlingEndpointMeta(
            "Twice", (Greeter,), {name: on_event("hello")(lambda self: None)}
        )


def test_two_functions_of_one_event_in_one_class_are_refused():
    with pytest.raises(ValueError, match="first and second handle 'x'"):

        class Twice(WebSocketHandlingEndpoint):
            @on_event("x")
            def first(self):
                """Handle."""

            @on_event("x")
            def second(self):
                """Handle."""


def test_a_function_that_is_defined_anew_stays_a_handler():
    class Derived(Greeter):
        async def greet(self, surname: str):
            """Greet."""

    assert fields_of(Derived, "hello") == ["surname"]
    assert fields_of(Greeter, "hello") == ["name"]
    assert Derived.handlers["hello"].response_model is Reply


def test_a_function_that_is_marked_anew_is_what_the_new_mark_says():
    class Derived(Greeter):
        @on_event
        async def greet(self):
            """Greet."""

    assert set(Derived.handlers) == {"greet"}


def test_none_takes_a_handler_away():
    class Derived(Greeter):
        greet = None

    class Again(Derived):
        def greet(self):
            """Handle nothing."""

    assert Derived.handlers == Again.handlers == {}


def test_a_handler_that_a_class_holds_may_be_replaced_by_a_function():
    class Held(WebSocketHandlingEndpoint):
        greet = Handler("hello", lambda a: None)

    class Derived(Held):
        def greet(self, b):
            """Greet."""

    assert fields_of(Derived, "hello") == ["b"]


def test_what_replaces_a_function_must_be_one():
    with pytest.raises(TypeError, match="'hello' must be callable"):

        class Derived(Greeter):
            greet = 1


@pytest.mark.parametrize(
    "name", ["on_receive", "dispatch", "send_json", "on_event", "handlers", "websocket"]
)
def test_a_handler_cannot_stand_in_for_the_life_cycle(name):
    with pytest.raises(TypeError, match=f"Wrong.{name} is part of an endpoint's life"):
        HandlingEndpointMeta(
            "Wrong",
            (WebSocketHandlingEndpoint,),
            {name: on_event("x")(lambda self: None)},
        )


@pytest.mark.parametrize("name", ["dispatch", "handlers", "websocket"])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_handler_of_a_mixin_cannot_either(name, is_first):
    mixin = type("Wrong", (), {name: Handler("x", lambda: None)})
    bases = (mixin, WebSocketHandlingEndpoint)

    with pytest.raises(TypeError, match=f"Wrong.{name} is part of an endpoint's life"):
        HandlingEndpointMeta("Endpoint", bases if is_first else bases[::-1], {})


@pytest.fixture
def family():
    """A base, and two classes derived from it."""

    class Base(WebSocketHandlingEndpoint):
        @on_event
        def greet(self, a):
            """Greet."""

    class First(Base):
        pass

    class Second(Base):
        pass

    return Base, First, Second


def test_what_is_attached_is_nobody_elses_that_exists(family):
    base, first, second = family

    @first.on_event
    def ping():
        """Answer."""

    assert "ping" in first.handlers
    assert not {"ping"} & (base.handlers.keys() | second.handlers.keys())
    assert "ping" not in WebSocketHandlingEndpoint.handlers


def test_what_is_attached_to_a_base_is_not_in_classes_that_exist(family):
    base, first, _ = family

    base.attach_handler(Handler("ping", lambda: None))

    assert "ping" not in first.handlers


def test_what_is_attached_is_in_classes_that_are_derived_later(family):
    base, _, _ = family
    base.attach_handler(Handler("ping", lambda: None))
    base.attach_handler(Handler("greet", lambda b: None), overwrite_existing=True)

    class Later(base):
        pass

    assert Later.handlers == base.handlers
    assert fields_of(Later, "greet") == ["b"]


@pytest.mark.parametrize("event", ["greet", "ping"])
def test_what_exists_is_not_overwritten_by_accident(event, family):
    base, _, _ = family
    base.attach_handler(Handler("ping", lambda: None))
    existing = base.handlers[event]

    with pytest.raises(ValueError, match=f"handles '{event}'"):
        base.attach_handler(Handler(event, lambda: None))

    assert base.handlers[event] is existing


def test_what_exists_is_overwritten_on_demand(family):
    base, _, _ = family

    for _ in range(2):
        handler = Handler("greet", lambda: None)
        base.attach_handler(handler, overwrite_existing=True)
        assert base.handlers["greet"] is handler


def test_two_bases_that_were_given_the_same_event_are_refused(family):
    _, first, second = family
    second.attach_handler(Handler("ping", lambda: None))
    first.attach_handler(Handler("ping", lambda: None))
    first.attach_handler(Handler("ping", lambda: None), overwrite_existing=True)

    with pytest.raises(ValueError, match="handle 'ping'"):
        HandlingEndpointMeta("Both", (first, second), {})


@pytest.mark.parametrize(
    ("arguments", "event", "model"),
    [
        ({}, "ping", None),
        ({"event": "pong"}, "pong", None),
        ({"response_model": Reply}, "ping", Reply),
    ],
)
def test_a_function_is_attached_in_every_form(arguments, event, model, family):
    base, _, _ = family

    @base.on_event(**arguments)
    def on_ping():
        """Answer."""

    assert base.handlers[event].method is on_ping
    assert model in {None, base.handlers[event].response_model}


async def test_attached_functions_get_the_endpoint_if_they_ask_for_it(family, host):
    base, _, _ = family

    @base.on_event
    async def with_endpoint(self, name):
        return {"name": name, "endpoint": type(self).__name__}

    @base.on_event
    async def without(name):
        return {"name": name}

    answers = await host.run(
        base,
        {"type": "with_endpoint", "name": "Ada"},
        {"type": "without", "name": "Bob"},
    )

    assert [x.get("endpoint") for x in answers] == ["Base", None]
    assert [x["name"] for x in answers] == ["Ada", "Bob"]
