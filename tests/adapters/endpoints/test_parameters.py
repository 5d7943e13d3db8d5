"""From a function's signature to the model of its messages."""

import functools
import inspect
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Annotated, Literal, Optional

import pytest
from pydantic import BaseModel, Field, ValidationError

from pondsocket_asgi.endpoints.parameters import read_parameters
from tests.adapters.endpoints import postponed


class Color(Enum):
    RED = "red"


class User(BaseModel):
    name: str


@dataclass
class Point:
    x: int
    y: int = 0


@pytest.fixture
def read(message):
    """Read the arguments of a function out of a message's fields."""

    def read(function, **fields):
        return read_parameters("greet", function).read(message(**fields))

    return read


def faults_of(refused):
    return [(each["type"], each["loc"]) for each in refused.value.errors()]


def test_the_type_of_a_message_is_the_event_and_nothing_else(read, message):
    parameters = read_parameters("greet", lambda: None)

    assert parameters.model.model_fields["type"].annotation == Literal["greet"]
    with pytest.raises(ValidationError) as refused:
        parameters.read(message("leave"))
    assert faults_of(refused) == [("literal_error", ("type",))]


def test_a_field_without_annotation_takes_anything(read):
    def greet(name):
        """Greet."""

    assert read(greet, name=[1]) == {"name": [1]}


def test_values_are_made_from_json_as_annotated(read):
    def greet(day: date, color: Color, point: Point, user: User, some: set[int]):
        """Greet."""

    assert read(
        greet,
        day="2024-02-29",
        color="red",
        point={"x": 1},
        user={"name": "Ada"},
        some=[1, 1],
    ) == {
        "day": date(2024, 2, 29),
        "color": Color.RED,
        "point": Point(1),
        "user": User(name="Ada"),
        "some": {1},
    }


def test_defaults_are_kept(read):
    def greet(name: str = "Ada", age: Optional[int] = None, *, loud=False):  # noqa: UP045
        """Greet."""

    assert read(greet) == {"name": "Ada", "age": None, "loud": False}


def test_a_mutable_default_is_copied_for_each_message(read):
    default = [1]

    def greet(numbers: list[int] = default, more: dict = {}):  # noqa: B006
        """Greet."""

    read(greet)["numbers"].append(2)

    assert default == [1]


def test_optional_does_not_mean_that_a_field_may_be_missing(read):
    def greet(name: str | None):
        """Greet."""

    assert read(greet, name=None) == {"name": None}
    with pytest.raises(ValidationError) as refused:
        read(greet)
    assert faults_of(refused) == [("missing", ("name",))]


@pytest.mark.parametrize("age", [-1, 200, "x"])
def test_constraints_hold(age, read):
    def greet(age: Annotated[int, Field(ge=0, le=150)]):
        """Greet."""

    with pytest.raises(ValidationError):
        read(greet, age=age)


def test_a_default_may_be_a_field_of_pydantic(read):
    def greet(name: str = Field(alias="userName", max_length=3)):
        """Greet."""

    assert read(greet, userName="Ada") == {"name": "Ada"}


def test_annotations_may_be_strings(read):
    def greet(user: "User", age: "Annotated[int, Field(ge=0)]" = 0):
        """Greet."""

    assert read(greet, user={"name": "Ada"}) == {"user": User(name="Ada"), "age": 0}
    with pytest.raises(ValidationError):
        read(greet, user={"name": "Ada"}, age=-1)


def test_postponed_annotations_are_read(read):
    assert read(postponed.greet, day="2024-02-29") == {"day": date(2024, 2, 29)}


def test_unknown_fields_are_refused(read):
    def greet(name: str):
        """Greet."""

    with pytest.raises(ValidationError) as refused:
        read(greet, name="Ada", more=1)

    assert faults_of(refused) == [("extra_forbidden", ("more",))]


def test_a_function_with_keywords_gets_unknown_fields(read):
    def greet(name: str, **more):
        """Greet."""

    assert read(greet, name="Ada", more=1) == {"name": "Ada", "more": 1}


def test_the_annotation_of_keywords_holds_for_each(read):
    def greet(**ages: int):
        """Greet."""

    assert read(greet, ada="36") == {"ada": 36}
    with pytest.raises(ValidationError):
        read(greet, ada="x")


def test_keywords_are_never_what_is_settled_otherwise(read):
    def greet(self, secret, name: str = Field(alias="userName"), **more):
        """Greet."""

    bound = functools.partial(greet, secret=1)

    with pytest.raises(ValidationError) as refused:
        read(bound, userName="Ada", self=2, secret=3, name="Bob")

    assert [loc for _, loc in faults_of(refused)] == [("name",), ("secret",), ("self",)]


def pydantics(json, copy, schema, dict, model_dump, model_config, construct):  # noqa: A002
    """Take what pydantic's models call so."""


def private(_one, __two, __pydantic_extra__, __class__):
    """Take what is no field otherwise."""


def confusing(_json, json, field_json, field_json_):
    """Take what other fields might be called."""


def callers(func, args, kwargs, cls, event, message, method, root):
    """Take what those might call so who make models and calls."""


@pytest.mark.parametrize("function", [pydantics, private, confusing, callers])
def test_a_parameter_may_be_called_as_it_likes(function, read):
    names = inspect.signature(function).parameters
    fields = {name: number for number, name in enumerate(names)}

    assert read(function, **fields) == fields


def test_an_error_names_the_parameter_and_not_its_field(read):
    def greet(json: int, _hidden: int):
        """Greet."""

    with pytest.raises(ValidationError) as refused:
        read(greet, json="x")

    assert [loc for _, loc in faults_of(refused)] == [("json",), ("_hidden",)]


def positional(name, /):
    """Greet."""


def starred(*names):
    """Greet."""


def typed(type):  # noqa: A002
    """Greet."""


def unresolved(name: "Missing"):  # noqa: F821
    """Greet."""


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (positional, "positional: the parameter 'name' is positional only"),
        (starred, r"\*names of starred has no fields"),
        (typed, "typed: the parameter 'type' is the name of the event"),
        (unresolved, "unresolved: the annotation 'Missing' is not to be found"),
        (functools.partial(typed), "the parameter 'type'"),
    ],
)
def test_what_no_message_can_hold_is_refused_at_definition(function, text):
    with pytest.raises(TypeError, match=text):
        read_parameters("greet", function)


def test_self_is_the_endpoint_and_no_field(read):
    def greet(self, /, name: str):
        """Greet."""

    parameters = read_parameters("greet", greet)

    assert parameters.takes_endpoint
    assert list(parameters.names) == ["name"]


def test_what_a_partial_function_binds_is_no_field():
    def greet(first: int, second: int, third: int = 3):
        """Greet."""

    parameters = read_parameters("greet", functools.partial(greet, 1, third=4))

    assert list(parameters.names) == ["second"]


class Greeter:
    name: int  # not the parameter of that name

    def __init__(self, name: str = ""):
        pass

    def __call__(self, name: str):
        pass

    def greet(self, name: str):
        pass


@pytest.mark.parametrize(
    "function",
    [
        Greeter(),
        Greeter().greet,
        Greeter,
        staticmethod(lambda name: name),
        functools.partial(Greeter().greet),
    ],
)
def test_all_that_can_be_called_has_parameters(function, read):
    assert read(function, name="Ada") == {"name": "Ada"}
