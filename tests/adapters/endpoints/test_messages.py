"""Frames become messages, or say why not."""

import pytest
from pydantic import ValidationError

from pondsocket_asgi.endpoints.messages import read_message, unknown_event


@pytest.mark.parametrize("encode", [str, str.encode])
def test_a_message_keeps_every_field(encode):
    message = read_message(encode('{"type": "greet", "self": "Å", "json": [1]}'))

    assert dict(message) == {"type": "greet", "self": "Å", "json": [1]}


@pytest.mark.parametrize(
    ("raw", "kind", "place"),
    [
        ("{", "json_invalid", ()),
        ("", "json_invalid", ()),
        (b"\xff", "json_invalid", ()),
        ("[" * 100_000, "json_invalid", ()),
        ('{"type": "\\ud800"}', "json_invalid", ()),
        ("[]", "model_type", ()),
        ("null", "model_type", ()),
        ("{}", "missing", ("type",)),
        ('{"type": 1}', "string_type", ("type",)),
        (f'{{"type": "x", "{"k" * 9_000}": [{"1," * 9_000}1]}}', "too_heavy", ()),
    ],
)
def test_what_is_no_message_says_why(raw, kind, place):
    with pytest.raises(ValidationError) as refused:
        read_message(raw)

    (error,) = refused.value.errors()
    assert (error["type"], error["loc"]) == (kind, place)


@pytest.mark.parametrize(
    ("known", "text"),
    [
        (["greet", "leave"], "Input should be 'greet' or 'leave'"),
        ([], "Input should be nothing: there are no events"),
    ],
)
def test_an_unknown_event_is_told_the_known_ones(known, text):
    (error,) = unknown_event(known).errors()

    assert (error["type"], error["loc"]) == ("literal_error", ("type",))
    assert error["msg"] == text


@pytest.mark.parametrize("encode", [str, str.encode])
def test_a_message_above_the_limit_is_refused_before_it_is_read(encode):
    with pytest.raises(ValidationError) as refused:
        read_message(encode("[" * 101), 100)

    [error] = refused.value.errors()
    assert (error["type"], error["ctx"]) == ("too_large", {"limit": 100})
    assert error["msg"] == "Message should have at most 100 bytes"


@pytest.mark.parametrize("limit", [0, 18])
def test_a_message_within_the_limit_is_read(limit):
    assert read_message('{"type": "greet" }', limit).type == "greet"
