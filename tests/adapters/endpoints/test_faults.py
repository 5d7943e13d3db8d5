"""What clients are told of exceptions, and what the log is."""

import datetime as dt
import json
from json import JSONDecodeError
from typing import Annotated, Any

import pytest
from fastapi import HTTPException as FastAPIHTTPException
from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    TypeAdapter,
    ValidationError,
    model_serializer,
)
from pydantic_core import PydanticCustomError
from starlette.exceptions import HTTPException

from pondsocket_asgi.endpoints import faults

INTERNAL = {"type": "internal_error", "loc": [], "msg": "Internal server error"}


def refuse(annotation, value):
    """Return what pydantic says of a value."""
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(annotation).validate_python(value)
    return refused.value


def fail_with(exception):
    def fail(value):
        raise exception

    return Annotated[Any, AfterValidator(fail)]


def test_an_entry_has_type_place_message_and_context_but_no_input():
    exc = refuse(dict[str, Annotated[int, Field(ge=0)]], {"age": -1})

    assert faults.describe(exc) == [
        {
            "type": "greater_than_equal",
            "loc": ["age"],
            "msg": "Input should be greater than or equal to 0",
            "ctx": {"ge": 0},
        }
    ]


CIRCLE = {}
CIRCLE["again"] = CIRCLE


def nest(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value", [object(), "x" * 1_000, ["\ud800"], CIRCLE, nest(500), b"\xff"]
)
def test_a_context_that_is_no_short_json_is_left_out(value):
    exc = refuse(fail_with(PydanticCustomError("odd", "Odd", {"value": value})), 1)

    assert faults.describe(exc) == [{"type": "odd", "loc": [], "msg": "Odd"}]


def test_a_number_that_json_has_not_is_null_in_a_context():
    exc = refuse(fail_with(PydanticCustomError("odd", "Odd", {"x": float("nan")})), 1)

    assert faults.describe(exc)[0]["ctx"] == {"x": None}


@pytest.mark.parametrize("count", [1, 101])
def test_an_error_whose_text_is_no_text_is_logged_and_not_told(count, caplog):
    odd = fail_with(PydanticCustomError("odd", "{x}", {"x": "\ud800"}))

    entries = faults.describe(refuse(list[odd], [1] * count))

    assert entries == [INTERNAL]
    assert "UnicodeEncodeError" in caplog.text


def test_what_a_validator_raised_is_told_by_its_text():
    (entry,) = faults.describe(refuse(fail_with(ValueError("not this")), 1))

    assert entry == {
        "type": "value_error", "loc": [], "msg": "Value error, not this"
    }  # fmt: skip


def test_of_many_errors_a_hundred_are_told_and_the_rest_counted():
    *entries, last = faults.describe(refuse(list[str], [1] * 101))

    assert [each["loc"] for each in entries] == [[n] for n in range(100)]
    assert entries[0] == {
        "type": "string_type", "loc": [0], "msg": "Input should be a valid string"
    }  # fmt: skip
    assert last == {"type": "too_many_errors", "loc": [], "msg": "1 more errors"}


def test_a_hundred_errors_are_all_told():
    entries = faults.describe(refuse(list[str], [1] * 100))

    assert [each["type"] for each in entries] == ["string_type"] * 100


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (dict[str, dict[str, int]], {"k" * 9_000: dict.fromkeys(map(str, range(99)))}),
        (dict[str, dict[str, int]], {"k" * 9_000: dict.fromkeys(map(str, range(999)))}),
        (dict[str, int], {"k" * 900_000: None} | dict.fromkeys(map(str, range(100)))),
        (list[str], [1] * 100_000),
        (fail_with(ValueError("x" * 100_000)), 1),
    ],
)
def test_what_is_told_is_short_whatever_the_client_sent(annotation, value):
    entries = faults.describe(refuse(annotation, value))

    assert len(json.dumps(entries)) < 50_000
    assert len(entries) <= 101


def test_a_long_place_is_cut():
    annotation = int
    value = "x"
    for _ in range(50):
        annotation, value = list[annotation], [value]

    (entry,) = faults.describe(refuse(annotation, value))

    assert entry["loc"] == [0] * 20


def test_entries_that_are_cut_are_counted_among_the_rest():
    keys = [str(number) * 3_000 for number in range(10, 210)]

    *entries, last = faults.describe(refuse(dict[str, int], dict.fromkeys(keys)))

    assert last["msg"] == f"{200 - len(entries)} more errors"
    assert all(each["msg"] == "Input should be a valid integer" for each in entries)


def test_malformed_json_is_told_without_its_text():
    (entry,) = faults.describe(JSONDecodeError("Expecting value", "secret", 3))

    assert entry == {
        "type": "json_invalid",
        "loc": [],
        "msg": "Invalid JSON: Expecting value at line 1 column 4",
    }


@pytest.mark.parametrize(
    ("exc", "text"),
    [
        (HTTPException(403, "not you"), "not you"),
        (HTTPException(404), "Not Found"),
        (FastAPIHTTPException(403, {"why": "because"}), "Forbidden"),
        (FastAPIHTTPException(799, ["because"]), "Error"),
    ],
)
def test_an_http_exception_is_told_with_its_status_and_detail(exc, text):
    assert faults.describe(exc) == [
        {
            "type": "http_error",
            "loc": [],
            "msg": text,
            "status": exc.status_code,
            "detail": exc.detail,
        }
    ]


def test_a_detail_is_told_as_json_has_it():
    detail = {"when": dt.date(2026, 11, 1), "more": (x for x in [float("nan"), 1])}

    (entry,) = faults.describe(FastAPIHTTPException(404, detail))

    assert entry["detail"] == {"when": "2026-11-01", "more": [None, 1]}


def test_a_long_text_is_told_by_its_beginning():
    (entry,) = faults.describe(HTTPException(404, "x" * 1_000_000))

    assert entry["detail"] == "x" * 19_999 + "…"
    assert entry["msg"] == "x" * 499 + "…"


class Odd(BaseModel):
    @model_serializer
    def fail(self):
        raise LookupError


@pytest.mark.parametrize(
    "detail",
    [
        *(object(), "\ud800", {"x": "\ud800"}, CIRCLE, nest(500), b"\xff", [10**5_000]),
        *(ValueError("secret"), Odd(), ["x" * 20_000]),
    ],
)
def test_a_detail_that_cannot_be_told_is_logged_instead(detail, caplog):
    entries = faults.describe(FastAPIHTTPException(404, detail))

    assert entries == [INTERNAL]
    assert [each.message for each in caplog.records] == [
        "an exception could not be told"
    ]
    assert caplog.records[0].exc_info


def test_a_status_that_cannot_be_told_is_logged_instead(caplog):
    assert faults.describe(HTTPException(object(), "secret")) == [INTERNAL]
    assert "Unable to serialize" in caplog.text


@pytest.mark.parametrize(
    "exc",
    [
        KeyError("secret"),
        faults.HandlerError("secret"),
        ExceptionGroup("s", [OSError()]),
    ],
)
def test_nothing_is_told_of_other_exceptions(exc):
    assert faults.describe(exc) == [INTERNAL]


def raised(exception):
    try:
        raise exception
    except type(exception) as exc:
        return exc


def test_a_failure_is_logged_with_its_traceback(caplog):
    exc = raised(KeyError("secret"))

    faults.log_failure(exc)

    assert caplog.records[0].exc_info[1] is exc
    assert "in raised" in caplog.text


@pytest.mark.parametrize(
    "exc", [JSONDecodeError("no", "", 0), HTTPException(404), refuse(int, "x")]
)
def test_what_the_client_is_told_is_not_logged(exc, caplog):
    faults.log_failure(exc)

    assert caplog.records == []


def test_a_traceback_in_the_log_is_cut_in_its_middle(caplog):
    faults.log_failure(raised(ValueError("x" * 1_000_000 + "end")))

    assert len(caplog.text) < 25_000
    assert "in raised" in caplog.text
    assert "[...]" in caplog.text
    assert caplog.text.rstrip().endswith("end")
