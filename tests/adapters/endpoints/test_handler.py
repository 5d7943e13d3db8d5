"""A handler: validation, the call, and validation again."""

import asyncio
import functools
import json
import threading
from dataclasses import dataclass

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from pondsocket_asgi.endpoints import Handler, WebSocketEventMessage
from pondsocket_asgi.endpoints.faults import HandlerError


class Reply(BaseModel):
    text: str


class FullReply(Reply):
    secret: str


@dataclass
class Point:
    x: int
    y: int


class Endpoint:
    name = "Ada"

    async def greet(self, greeting: str = "Hello"):
        return {"text": f"{greeting} {self.name}"}

    def __call__(self, name: str):
        return {"text": f"Hello {name}"}


class Waiting:
    async def __call__(self, name: str):
        return {"text": f"Hello {name}"}


def return_coroutine(name):
    return Waiting()(name)


def test_a_handler_shows_what_it_was_made_of():
    async def greet(name):
        """Greet."""

    handler = Handler("greet", greet, Reply)

    assert (handler.event, handler.method) == ("greet", greet)
    assert handler.response_model is Reply
    assert issubclass(handler.model, WebSocketEventMessage)
    assert repr(handler).startswith("Handler('greet', <function")


@pytest.mark.parametrize(
    ("event", "method", "text"),
    [("", print, "has no name"), ("greet", "greet", "must be callable")],
)
def test_what_cannot_be_called_or_named_is_refused(event, method, text):
    with pytest.raises(TypeError, match=text):
        Handler(event, method)


async def test_an_answer_has_the_type_of_its_event(message):
    async def greet(name: str):
        return {"text": name, "json": 1, "_x": 2, "model_config": 3}

    answer = await Handler("greet", greet).handle(message=message(name="Ada"))

    assert isinstance(answer, WebSocketEventMessage)
    assert answer.model_dump() == {
        "type": "greet", "text": "Ada", "json": 1, "_x": 2, "model_config": 3
    }  # fmt: skip


async def test_a_handler_that_returns_none_has_no_answer(message):
    async def greet():
        """Greet."""

    assert await Handler("greet", greet).handle(message()) is None


async def test_a_message_that_does_not_fit_is_never_handled(message):
    called = []

    async def greet(name: str):
        called.append(name)

    with pytest.raises(ValidationError):
        await Handler("greet", greet).handle(message(name=1))

    assert called == []


async def test_a_plain_function_runs_in_a_thread_of_its_own(message):
    def greet(func, args):  # names that whoever calls it might use too
        return {"is_main": threading.current_thread() is threading.main_thread()}

    answer = await Handler("greet", greet).handle(message(func=1, args=2))

    assert answer.is_main is False


@pytest.mark.parametrize(
    "method",
    [
        Endpoint(),
        Waiting(),
        functools.partial(Waiting()),
        return_coroutine,
        functools.partial(
            lambda greeting, name: {"text": f"{greeting} {name}"}, "Hello"
        ),
        staticmethod(lambda name: {"text": f"Hello {name}"}),
    ],
)
async def test_all_that_can_be_called_can_handle(method, message):
    answer = await Handler("greet", method).handle(message(name="Ada"))

    assert answer.text == "Hello Ada"


async def test_a_bound_handler_has_its_endpoint(message):
    handler = Handler("greet", Endpoint.greet)
    answer = await handler.bind(Endpoint()).handle(message())

    assert answer.text == "Hello Ada"


def test_a_bound_handler_is_otherwise_the_same():
    handler = Handler("greet", Endpoint.greet, Reply)

    bound = handler.bind(Endpoint())

    assert bound is not handler
    assert (bound.event, bound.method) == (handler.event, handler.method)
    assert bound.model is handler.model
    assert bound.response_model is Reply


async def test_a_handler_that_lacks_its_endpoint_says_so(message):
    with pytest.raises(TypeError, match="bind"):
        await Handler("greet", Endpoint.greet).handle(message())


def test_a_handler_that_takes_no_endpoint_is_bound_to_all():
    handler = Handler("greet", lambda name: name)

    assert handler.bind(Endpoint()) is handler


class Aliased(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True)
    text: str = Field(serialization_alias="theText")


@pytest.mark.parametrize(
    ("result", "fields"),
    [
        ({"x": 1, 2: Point(3, 4)}, {"x": 1, "2": {"x": 3, "y": 4}}),
        (Point(1, 2), {"x": 1, "y": 2}),
        (Reply(text="hi"), {"text": "hi"}),
        (Aliased(text="hi"), {"theText": "hi"}),
        ({"type": "greet"}, {}),
    ],
)
async def test_without_a_model_anything_with_fields_is_an_answer(
    result, fields, message
):
    answer = await Handler("greet", lambda: result).handle(message())

    assert answer.model_dump() == {"type": "greet", **fields}


@pytest.mark.parametrize(
    "result", ["text", 1, [1], (1,), True, object(), {"type": "other"}]
)
async def test_without_a_model_anything_else_is_the_fault_of_the_handler(
    result, message
):
    with pytest.raises(HandlerError, match="does not fit its response model"):
        await Handler("greet", lambda: result).handle(message())


@pytest.mark.parametrize(
    "result", [{"text": "hi"}, Reply(text="hi"), Aliased(text="hi")]
)
async def test_an_answer_is_an_instance_of_its_model(result, message):
    answer = await Handler("greet", lambda: result, Reply).handle(message())

    assert answer == Reply(text="hi")


async def test_an_answer_has_no_field_that_its_model_has_not(message):
    result = FullReply(text="hi", secret="12345")

    answer = await Handler("greet", lambda: result, Reply).handle(message())

    assert type(answer) is Reply


async def test_a_model_may_take_what_has_no_fields(message):
    answer = await Handler("greet", lambda: [1], RootModel[list[int]]).handle(message())

    assert answer.root == [1]


async def test_an_answer_that_does_not_fit_its_model_is_the_fault_of_the_handler(
    message,
):
    with pytest.raises(HandlerError) as failed:
        await Handler("greet", lambda: {"text": 1}, Reply).handle(message())

    assert isinstance(failed.value.__cause__, ValidationError)


@pytest.mark.parametrize(
    "read", [lambda: Reply.model_validate({}), lambda: json.loads("{")]
)
async def test_what_reads_as_the_fault_of_a_client_is_marked_as_the_handlers(
    read, message
):
    async def greet():
        read()

    with pytest.raises(HandlerError, match="failed at data of its own"):
        await Handler("greet", greet).handle(message())


@pytest.mark.parametrize("exception", [KeyError, asyncio.CancelledError])
async def test_all_other_exceptions_pass(exception, message):
    async def greet():
        raise exception

    with pytest.raises(exception):
        await Handler("greet", greet).handle(message())
