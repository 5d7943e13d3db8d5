import json
import math
from collections import OrderedDict, UserDict
from datetime import UTC, datetime
from enum import Enum
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pondsocket.errors import (
    BadRequest,
    MultiError,
    NotFound,
    TooManyRequests,
    ValidationError,
)
from pondsocket.types import Event, Limits, ServerActions, SystemEvents
from pondsocket.wire import (
    JSON_CODEC,
    check_limits,
    error_event,
    event_to_json,
    event_to_pubsub_bytes,
    event_to_wire,
    parse_inbound_text,
    payload_in,
    pubsub_bytes_to_event,
    wire_to_event,
)

WIRE = {
    "action": "BROADCAST",
    "event": "message",
    "channelName": "/chat/42",
    "requestId": "r1",
    "payload": {"text": "hi"},
}
EVENT = Event("BROADCAST", "/chat/42", "r1", "message", {"text": "hi"})

# What JSON can hold: no lone surrogates, no NaN, no infinities.
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NAMES = TEXT.filter(bool)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=10,
)
PAYLOADS = st.dictionaries(TEXT, VALUES, max_size=5)


def event_with(payload):
    return Event("BROADCAST", "/chat/42", "r1", "message", payload)


def test_the_codec_has_a_name_for_the_frames():
    assert JSON_CODEC.name == "json"


def test_the_codec_decodes_a_message_of_a_client():
    assert JSON_CODEC.decode(json.dumps(WIRE)) == [EVENT]


def test_the_codec_decodes_a_ping_to_nothing():
    assert JSON_CODEC.decode('{"action":"ping"}') == []


def test_an_event_is_compact_json_in_the_order_of_the_protocol():
    text = (
        '{"action":"BROADCAST","event":"message","channelName":"/chat/42",'
        '"requestId":"r1","payload":{"text":"hi"}}'
    )

    assert JSON_CODEC.encode(EVENT) == event_to_json(EVENT) == text


def test_an_event_is_a_dict_of_the_five_members():
    assert event_to_wire(EVENT) == WIRE
    assert list(event_to_wire(EVENT)) == list(WIRE)


def test_enum_members_travel_as_their_values():
    event = Event(ServerActions.SYSTEM, "/c", "r", SystemEvents.ACKNOWLEDGE)

    assert json.loads(event_to_json(event))["action"] == "SYSTEM"
    assert json.loads(event_to_json(event))["event"] == "ACKNOWLEDGE"


@pytest.mark.parametrize(
    "encode", [event_to_wire, lambda e: json.loads(event_to_json(e))]
)
def test_no_payload_is_an_empty_object(encode):
    assert encode(event_with(None))["payload"] == {}


@pytest.mark.parametrize(
    "payload",
    [
        OrderedDict(a=1),
        MappingProxyType({"a": 1}),
        UserDict({"a": 1}),
    ],
    ids=lambda payload: type(payload).__name__,
)
@pytest.mark.parametrize(
    "encode", [event_to_wire, lambda e: json.loads(event_to_json(e))]
)
def test_any_mapping_will_do_as_a_payload(encode, payload):
    assert encode(event_with(payload))["payload"] == {"a": 1}


@pytest.mark.parametrize(
    ("payload", "kind"), [([], "list"), ("", "str"), (0, "int"), (False, "bool")]
)
@pytest.mark.parametrize(
    "encode", [event_to_wire, event_to_json, event_to_pubsub_bytes]
)
def test_a_payload_that_is_no_mapping_is_refused(encode, payload, kind):
    with pytest.raises(BadRequest) as caught:
        encode(event_with(payload))

    assert caught.value.channel_name == "/chat/42"
    assert caught.value.message == f"payload must be a mapping, got {kind}"


class Text(str):
    __slots__ = ()

    def __str__(self):
        return "not this"


class Whole(int):
    pass


class Real(float):
    pass


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Text("a"), "a"),
        (Whole(7), 7),
        (Real(1.5), 1.5),
        (UserDict({"a": Whole(1)}), {"a": 1}),
        (Colour.RED, "red"),
        ((1, 2), [1, 2]),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00Z"),
        (math.nan, None),
        (math.inf, None),
    ],
    ids=repr,
)
def test_a_value_near_to_json_takes_its_form(value, expected):
    wire = json.loads(event_to_json(event_with({"x": value})))

    assert wire["payload"] == {"x": expected}


def cyclic():
    payload = {}
    payload["again"] = payload
    return payload


UNENCODABLE = [
    ({"x": object()}, "objects of type object have no JSON form"),
    ({"x": 1j}, "objects of type complex have no JSON form"),
    ({"x": "\ud800"}, "a string in it holds a lone surrogate"),
    ({"\ud800": 1}, "a string in it holds a lone surrogate"),
    (cyclic(), "it holds itself or is nested too deeply"),
]


@pytest.mark.parametrize(
    ("payload", "reason"), UNENCODABLE, ids=lambda v: type(v).__name__
)
@pytest.mark.parametrize("encode", [event_to_json, event_to_pubsub_bytes])
def test_what_json_cannot_hold_is_a_bad_request_with_the_reason(
    encode, payload, reason
):
    with pytest.raises(BadRequest) as caught:
        encode(event_with(payload))

    assert caught.value.channel_name == "/chat/42"
    assert caught.value.message == f"message has no JSON form: {reason}"


@pytest.mark.parametrize("payload", [{(1,): 2}, {None: 1}, {"x": 10**5000}])
def test_a_key_or_number_that_json_cannot_hold_is_a_bad_request(payload):
    with pytest.raises(BadRequest, match="message has no JSON form: "):
        event_to_json(event_with(payload))


def test_a_name_with_a_lone_surrogate_is_a_bad_request():
    with pytest.raises(BadRequest, match="lone surrogate"):
        event_to_json(Event("BROADCAST", "/c", "r", "\ud800"))


@given(NAMES, NAMES, NAMES, PAYLOADS)
def test_what_was_encoded_decodes_to_itself(channel, request_id, name, payload):
    event = Event("BROADCAST", channel, request_id, name, payload)

    assert JSON_CODEC.decode(event_to_json(event)) == [event]
    assert JSON_CODEC.decode(event_to_json(event).encode()) == [event]


@given(NAMES, PAYLOADS)
def test_the_payload_of_what_was_encoded_can_be_read_back(name, payload):
    event = Event("PRESENCE", name, name, name, payload)

    assert payload_in(event_to_json(event)) == payload


@given(NAMES, PAYLOADS)
def test_an_encoded_event_is_one_line(name, payload):
    event = Event("BROADCAST", name, name, name, payload)

    assert not set("\r\n\0") & set(event_to_json(event))


def test_a_message_is_parsed_to_an_event():
    assert parse_inbound_text(json.dumps(WIRE)) == EVENT
    assert parse_inbound_text(json.dumps(WIRE).encode()) == EVENT
    assert wire_to_event(WIRE) == EVENT


@pytest.mark.parametrize(
    ("text", "path"),
    [("", ""), ("[]", ""), ("{}", "action"), ('{"action":"ping"}', "event")],
)
def test_what_is_no_event_fails_to_parse_with_the_member(text, path):
    with pytest.raises(ValidationError) as caught:
        parse_inbound_text(text)

    assert caught.value.path == path


def test_limits_are_checked_here_too():
    with pytest.raises(ValidationError, match="event: at most 6 bytes, got 7"):
        check_limits(EVENT, Limits(max_event_name_length=6))


def test_an_event_for_another_process_is_what_clients_get_and_the_node():
    event = Event("BROADCAST", "/c", "r", "e", {"a": "é"}, node_id="n1")

    assert event_to_pubsub_bytes(event).decode() == (
        '{"action":"BROADCAST","event":"e","channelName":"/c","requestId":"r",'
        '"payload":{"a":"é"},"nodeId":"n1"}'
    )


def test_an_event_for_another_process_carries_what_is_not_the_default():
    event = Event(
        "BROADCAST",
        "/c",
        "r",
        "e",
        None,
        recipients=["alice"],
        recipient_descriptor=("alice",),
        from_user_id="bob",
        user_id="carol",
    )

    assert json.loads(event_to_pubsub_bytes(event)) == {
        "action": "BROADCAST",
        "event": "e",
        "channelName": "/c",
        "requestId": "r",
        "payload": {},
        "nodeId": "",
        "recipients": ["alice"],
        "recipientDescriptor": ["alice"],
        "fromUserId": "bob",
        "userId": "carol",
    }


def test_a_recipient_descriptor_must_be_a_name_or_ids():
    event = Event("BROADCAST", "/c", "r", "e", recipient_descriptor=7)

    with pytest.raises(BadRequest, match="int is no recipient descriptor"):
        event_to_pubsub_bytes(event)


def test_an_event_from_a_process_that_tells_no_node_has_none():
    assert pubsub_bytes_to_event(json.dumps(WIRE).encode()) == EVENT


def test_an_event_from_another_process_may_be_of_any_action():
    event = Event("PRESENCE", "/c", "r", "JOIN", {}, node_id="n1")

    assert pubsub_bytes_to_event(event_to_pubsub_bytes(event)) == event


@given(
    st.builds(
        Event,
        action=NAMES,
        channel_name=NAMES,
        request_id=NAMES,
        event=NAMES,
        payload=PAYLOADS,
        node_id=TEXT,
        recipients=st.lists(TEXT),
        recipient_descriptor=TEXT | st.lists(TEXT),
        from_user_id=TEXT,
        user_id=TEXT,
    )
)
def test_what_goes_to_another_process_comes_back_as_it_was(event):
    assert pubsub_bytes_to_event(event_to_pubsub_bytes(event)) == event


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"junk",
        b"[]",
        b"{}",
        json.dumps({**WIRE, "event": ""}).encode(),
        json.dumps({**WIRE, "payload": None}).encode(),
        json.dumps({**WIRE, "nodeId": 7}).encode(),
        json.dumps({**WIRE, "other": "?"}).encode().replace(b"?", b"\xff"),
        json.dumps({**WIRE, "payload": {"x": "RAW"}})
        .encode()
        .replace(b'"RAW"', b"1e400"),
        b"[" * 100_000,
        b'{"x":' + b"[" * 100_000,
    ],
    ids=lambda data: data[:40],
)
def test_what_is_no_event_of_another_process_is_none(data):
    assert pubsub_bytes_to_event(data) is None


@given(st.binary())
def test_random_bytes_of_another_process_never_raise(data):
    assert pubsub_bytes_to_event(data) is None


def test_no_error_makes_no_event():
    assert error_event(None) is None


def test_a_pond_error_is_told_to_the_client_in_full():
    event = error_event(TooManyRequests("/c", "slow down", details={"in": 5}))

    assert event == Event(
        "SYSTEM",
        "/c",
        event.request_id,
        "INTERNAL_ERROR",
        {
            "code": 429,
            "message": "slow down",
            "details": {"in": 5},
            "temporary": True,
        },
    )


def test_an_error_without_a_channel_is_of_the_gateway():
    assert error_event(NotFound("", "no")).channel_name == "GATEWAY"


def test_two_error_events_have_ids_of_their_own():
    first, second = error_event(NotFound("", "no")), error_event(NotFound("", "no"))

    assert first.request_id != second.request_id


def test_a_validation_error_is_told_with_its_member_and_request():
    fault = ValidationError("missing", "event", request_id="r1")
    event = error_event(fault)

    assert event.request_id == "r1"
    assert (event.payload["code"], event.payload["message"]) == (400, "event: missing")


@pytest.mark.parametrize(
    "err", [ValueError("secret"), MultiError([ValueError("secret")])]
)
def test_nothing_of_any_other_exception_is_told(err):
    event = error_event(err)

    assert "secret" not in event_to_json(event)
    assert event.channel_name == "GATEWAY"
    assert event.payload["code"] == 500


def test_any_other_exception_has_one_fixed_text():
    assert error_event(KeyError("secret")).payload == {
        "code": 500,
        "message": "Internal server error",
        "details": None,
        "temporary": False,
    }
