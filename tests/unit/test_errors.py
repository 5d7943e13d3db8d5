import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pondsocket import errors
from pondsocket.errors import (
    BadRequest,
    Conflict,
    DeadlineExceeded,
    Forbidden,
    InternalError,
    MultiError,
    NotFound,
    PondError,
    PubSubClosedError,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    ValidationError,
    close_code_for,
    http_status_for,
    truncate_reason,
    wrap,
)

BY_STATUS = [
    (BadRequest, 400, False),
    (Unauthorized, 401, False),
    (Forbidden, 403, False),
    (NotFound, 404, False),
    (Conflict, 409, False),
    (TooManyRequests, 429, True),
    (InternalError, 500, False),
    (Unavailable, 503, True),
    (DeadlineExceeded, 504, True),
]


def test_the_text_names_channel_message_and_code():
    err = PondError("it broke", 418, channel_name="/chat/1")

    assert str(err) == "Error in Channel /chat/1: it broke (code: 418)"


def test_the_text_escapes_what_a_terminal_would_obey_in_a_channel_name():
    err = PondError("it broke", 418, channel_name="/chat/\x9b2J\u2028")

    assert str(err) == r"Error in Channel /chat/\x9b2J\u2028: it broke (code: 418)"


def test_the_text_of_an_error_without_a_channel_names_message_and_code():
    assert str(PondError("it broke", 418)) == "it broke (code: 418)"


def test_an_error_has_no_channel_details_or_cause_unless_given():
    err = PondError("it broke", 418)

    assert (err.channel_name, err.temporary, err.details, err.cause) == (
        "",
        False,
        None,
        None,
    )


def test_an_error_keeps_what_it_is_given():
    cause = ValueError()
    err = PondError("m", 418, temporary=True, details={"a": 1}, cause=cause)

    assert (err.message, err.code, err.temporary, err.details) == (
        "m",
        418,
        True,
        {"a": 1},
    )
    assert err.__cause__ is err.cause is cause


def test_a_cause_chained_by_raise_from_is_the_cause():
    cause = ValueError()
    with pytest.raises(PondError) as caught:
        raise NotFound("/c", "no") from cause

    assert caught.value.cause is cause


@pytest.mark.parametrize(("kind", "status", "temporary"), BY_STATUS)
def test_each_class_is_made_of_channel_and_message_and_knows_its_code(
    kind, status, temporary
):
    err = kind("/chat/1", "no")

    assert isinstance(err, PondError)
    assert (err.channel_name, err.message, err.code) == ("/chat/1", "no", status)
    assert err.temporary is temporary


def test_each_class_takes_details_and_a_cause():
    cause = ValueError()
    err = Conflict("/c", "no", details={"a": 1}, cause=cause)

    assert (err.details, err.cause) == ({"a": 1}, cause)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("bad_request", BadRequest),
        ("unauthorized", Unauthorized),
        ("forbidden", Forbidden),
        ("not_found", NotFound),
        ("conflict", Conflict),
        ("too_many_requests", TooManyRequests),
        ("internal", InternalError),
        ("unavailable", Unavailable),
        ("timeout", DeadlineExceeded),
    ],
)
def test_the_lower_case_names_are_the_classes(name, kind):
    assert getattr(errors, name) is kind


def test_a_validation_error_reads_as_member_and_fault():
    err = ValidationError("expected a string, got a number", "event")

    assert str(err) == "event: expected a string, got a number"
    assert (err.path, err.code, err.request_id) == ("event", 400, None)


def test_a_validation_error_of_the_whole_message_reads_as_the_fault():
    assert str(ValidationError("not valid JSON")) == "not valid JSON"


def test_a_validation_error_is_caught_as_a_bad_request():
    assert isinstance(ValidationError("missing", "event"), BadRequest)


def test_a_validation_error_takes_the_id_of_the_request():
    assert ValidationError("missing", "event", request_id="r1").request_id == "r1"


def test_a_closed_pubsub_is_unavailable_for_good():
    err = PubSubClosedError()

    assert (err.code, err.temporary) == (503, False)
    assert str(err) == "the pubsub is closed (code: 503)"


def test_several_errors_are_told_in_the_text_but_not_in_the_message():
    err = MultiError([ValueError("secret"), NotFound("/c", "no"), KeyError()])

    assert str(err) == "secret; Error in Channel /c: no (code: 404); KeyError"
    assert (err.message, err.code) == ("3 errors", 500)
    assert [type(e) for e in err.errors] == [ValueError, NotFound, KeyError]


@pytest.mark.parametrize(
    "err",
    [
        PondError("m", 418, channel_name="/c", details={"a": 1}, temporary=True),
        NotFound("/c", "no"),
        ValidationError("missing", "event", request_id="r1"),
        PubSubClosedError(),
        MultiError([ValueError("a")]),
    ],
    ids=lambda err: type(err).__name__,
)
def test_an_error_survives_copying(err):
    twin = copy.copy(err)

    assert type(twin) is type(err)
    assert str(twin) == str(err)
    assert vars(twin) == vars(err)


def test_wrapping_a_pond_error_keeps_all_but_the_message():
    cause = TooManyRequests("/c", "slow down", details={"a": 1})
    err = wrap(cause, "join")

    assert type(err) is TooManyRequests
    assert (err.message, err.channel_name, err.temporary, err.details) == (
        "join: slow down",
        "/c",
        True,
        {"a": 1},
    )
    assert err.cause is cause


def test_wrapping_a_code_without_a_class_keeps_the_code():
    cause = PondError("teapot", 418, channel_name="/c", temporary=True)
    err = wrap(cause, "join")

    assert type(err) is PondError
    assert (err.message, err.code, err.channel_name, err.temporary) == (
        "join: teapot",
        418,
        "/c",
        True,
    )


def test_wrapping_any_other_exception_tells_nothing_of_it():
    cause = ValueError("secret")
    err = wrap(cause, "join")

    assert type(err) is InternalError
    assert str(err) == "join (code: 500)"
    assert err.cause is cause


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (100, 4100),
        (401, 4401),
        (999, 4999),
        (1000, 1000),
        (1013, 1013),
        (4999, 4999),
        (99, 1008),
        (5000, 1008),
        (0, 1008),
        (-1, 1008),
    ],
)
def test_a_status_stands_for_a_close_code(status, code):
    assert close_code_for(status) == code


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (400, 400),
        (401, 401),
        (599, 599),
        (204, 204),
        (302, 302),
        (199, 403),
        (600, 403),
        (101, 403),
        (4401, 403),
    ],
)
def test_only_a_final_status_refuses_a_handshake_as_it_is(code, status):
    assert http_status_for(code) == status


def test_a_reason_of_123_bytes_stays_whole():
    assert truncate_reason("a" * 123) == "a" * 123


def test_a_reason_is_cut_before_a_character_that_does_not_fit():
    assert truncate_reason("a" * 122 + "é") == "a" * 122


def test_a_lone_surrogate_in_a_reason_becomes_a_question_mark():
    assert truncate_reason("a\ud800") == "a?"


@given(st.text(max_size=200))
def test_a_cut_reason_fits_a_close_frame_and_begins_the_text(text):
    reason = truncate_reason(text)

    assert len(reason.encode()) <= 123
    assert text.encode("utf-8", "replace").decode().startswith(reason)
