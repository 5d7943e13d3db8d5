import json
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pondsocket.client_message import (
    check_limits,
    read_message,
    read_within,
    wire_to_event,
)
from pondsocket.errors import ValidationError
from pondsocket.types import Event, Limits

MESSAGE = {
    "action": "BROADCAST",
    "event": "message",
    "channelName": "/chat/42",
    "requestId": "r1",
    "payload": {"text": "hi"},
}
EVENT = Event("BROADCAST", "/chat/42", "r1", "message", {"text": "hi"})


def text_of(**members):
    return json.dumps({**MESSAGE, **members})


def text_without(name):
    return json.dumps({key: MESSAGE[key] for key in MESSAGE if key != name})


def text_with_payload(raw):
    return text_of(payload={"x": "RAW"}).replace('"RAW"', raw)


def fault_of(data):
    with pytest.raises(ValidationError) as caught:
        read_message(data)
    return caught.value


def test_a_message_becomes_one_event():
    assert read_message(json.dumps(MESSAGE)) == [EVENT]


def test_a_binary_message_of_json_is_the_same_as_text():
    assert read_message(json.dumps(MESSAGE).encode()) == [EVENT]


def test_unknown_members_are_ignored():
    assert read_message(text_of(offset=7, meta={"a": [1]}, zz=None)) == [EVENT]


def test_white_space_around_a_message_is_ignored():
    assert read_message(f"\r\n {json.dumps(MESSAGE)}\t\n") == [EVENT]


def test_the_last_of_two_equal_members_counts():
    text = json.dumps(MESSAGE).replace("{", '{"event":5,', 1)

    assert read_message(text) == [EVENT]


def test_a_keep_alive_ping_is_no_event():
    assert read_message('{"action":"ping"}') == []


def test_a_ping_with_an_event_is_not_a_ping():
    assert fault_of(text_of(action="ping")).path == "action"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("[]", "an array"),
        ("[{}]", "an array"),
        ("12", "a number"),
        ("-1.5", "a number"),
        ('"text"', "a string"),
        ("true", "a boolean"),
        ("false", "a boolean"),
        (" \n null ", "null"),
    ],
)
def test_json_that_is_no_object_is_refused_by_its_kind(text, kind):
    assert str(fault_of(text)) == f"expected an object, got {kind}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "hello",
        "{",
        "{}{}",
        json.dumps(MESSAGE) + "x",
        json.dumps(MESSAGE) + "\0",
        json.dumps(MESSAGE) * 2,
        "\ufeff" + json.dumps(MESSAGE),
        json.dumps(MESSAGE).replace('"', "'"),
        json.dumps(MESSAGE)[:-1] + ",}",
        text_with_payload("NaN"),
        text_with_payload("Infinity"),
        text_with_payload("-Infinity"),
        text_with_payload("01"),
        text_with_payload("0x10"),
        text_with_payload('"\n"'),
        text_with_payload('"\\ud800"'),
        text_with_payload('"\\udc00\\ud800"'),
    ],
)
@pytest.mark.parametrize("form", [str, str.encode])
def test_what_is_no_json_is_refused_as_a_whole(form, text):
    fault = fault_of(form(text))

    assert str(fault).startswith("not valid JSON: ")
    assert fault.path == ""
    assert fault.request_id is None


@pytest.mark.parametrize("name", MESSAGE)
def test_a_missing_member_is_named(name):
    fault = fault_of(text_without(name))

    assert str(fault) == f"{name}: missing"


@pytest.mark.parametrize("name", ["action", "event", "channelName", "requestId"])
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "null"),
        (True, "a boolean"),
        (7, "a number"),
        (1.5, "a number"),
        (["a"], "an array"),
        ({"a": 1}, "an object"),
    ],
)
def test_a_name_that_is_no_string_is_named_by_its_kind(name, value, kind):
    fault = fault_of(text_of(**{name: value}))

    assert str(fault) == f"{name}: expected a string, got {kind}"


@pytest.mark.parametrize("name", ["action", "event", "channelName", "requestId"])
def test_an_empty_name_is_refused(name):
    assert str(fault_of(text_of(**{name: ""}))) == f"{name}: must not be empty"


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (None, "null"),
        (False, "a boolean"),
        (0, "a number"),
        ("", "a string"),
        ([], "an array"),
    ],
)
def test_a_payload_that_is_no_object_is_named_by_its_kind(payload, kind):
    fault = fault_of(text_of(payload=payload))

    assert str(fault) == f"payload: expected an object, got {kind}"


def test_an_unknown_action_is_quoted():
    assert str(fault_of(text_of(action="SYSTEM"))) == (
        "action: expected JOIN_CHANNEL, LEAVE_CHANNEL or BROADCAST, got 'SYSTEM'"
    )


def test_an_unknown_action_is_quoted_on_one_line_and_in_part():
    fault = fault_of(text_of(action="\r\n\x1b[31m" + "x" * 10_000))

    assert str(fault).endswith("got '\\r\\n\\x1b[31m" + "x" * 93 + "'…")
    assert len(str(fault)) < 200


def test_an_error_carries_the_id_of_the_request():
    assert fault_of(text_of(event=7)).request_id == "r1"


@pytest.mark.parametrize("request_id", [7, "", "x" * 257, "é" * 129])
def test_an_error_carries_no_id_that_an_answer_cannot_carry(request_id):
    assert fault_of(text_of(requestId=request_id, action="x")).request_id is None


@pytest.mark.parametrize("request_id", ["x" * 256, "é" * 128])
def test_an_error_carries_an_id_of_up_to_256_bytes(request_id):
    assert fault_of(text_of(requestId=request_id, action="x")).request_id == request_id


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 5000, "-" + "9" * 5000])
def test_a_number_out_of_range_is_refused_with_its_member(number):
    fault = fault_of(text_with_payload(number))

    assert str(fault) == "payload: holds a number out of range"
    assert fault.request_id == "r1"


def test_a_number_out_of_range_as_the_id_leaves_the_answer_without_one():
    fault = fault_of(text_of(requestId="RAW").replace('"RAW"', "1e400"))

    assert (fault.path, fault.request_id) == ("requestId", None)


@pytest.mark.parametrize("number", ["18446744073709551616", "9" * 4300, "1e308", "-0"])
def test_a_number_that_python_can_hold_is_taken(number):
    [event] = read_message(text_with_payload(number))

    assert event.payload == {"x": json.loads(number)}


@pytest.mark.parametrize("name", ["__proto__", "__class__", "constructor", ""])
def test_special_names_are_plain_data(name):
    [event] = read_message(text_of(payload={name: {name: 1}}))

    assert event.payload == {name: {name: 1}}


@pytest.mark.parametrize("text", ["\0", "\u2028\u2029", "\x7f", "😀", "é"])
def test_unusual_characters_are_plain_data(text):
    message = {**MESSAGE, "event": text, "payload": {text: text}}

    for raw in (json.dumps(message), json.dumps(message, ensure_ascii=text == "\0")):
        [event] = read_message(raw)
        assert (event.event, event.payload) == (text, {text: text})


def test_a_lone_surrogate_in_a_string_is_refused():
    fault = fault_of(text_with_payload('"\ud800"'))

    assert str(fault) == "not valid Unicode: a lone surrogate"


@pytest.mark.parametrize(
    "wrong",
    [b"\xff", b"\xc0\xaf", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"],
    ids=["no byte", "overlong /", "overlong NUL", "surrogate", "beyond Unicode"],
)
@pytest.mark.parametrize("name", ["payload", "ignored"])
def test_bytes_that_are_not_utf_8_are_refused_even_where_nobody_looks(wrong, name):
    data = text_of(**{name: {"x": "?"}}).encode().replace(b"?", wrong)

    assert str(fault_of(data)) == f"not valid UTF-8 at byte {data.index(wrong)}"


@pytest.mark.parametrize("first", range(9))
def test_binary_messages_below_tab_are_reserved(first):
    fault = fault_of(bytes([first]) + json.dumps(MESSAGE).encode())

    assert str(fault) == "binary messages of this kind are reserved"


def test_the_first_byte_of_json_is_not_reserved():
    assert read_message(b"\t" + json.dumps(MESSAGE).encode()) == [EVENT]


@pytest.mark.parametrize(
    "deep", ["[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000]
)
@pytest.mark.parametrize("name", ["payload", "event", "ignored"])
def test_a_hundred_thousand_levels_are_refused(name, deep):
    text = text_of(**{name: "RAW"}).replace('"RAW"', deep)

    assert str(fault_of(text)) == "nested too deeply"


@given(st.one_of(st.text(), st.binary()))
def test_whatever_comes_in_is_an_event_or_a_validation_error(data):
    try:
        events = read_message(data)
    except ValidationError:
        return
    assert all(isinstance(event, Event) for event in events)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from([*MESSAGE, "other"]),
        st.sampled_from(["BROADCAST", "ping", "", "é"]) | JSON_VALUES,
    )
)
def test_whatever_object_comes_in_is_an_event_or_names_a_member(message):
    try:
        events = read_message(json.dumps(message))
    except ValidationError as error:
        fault = error
    else:
        assert events == [] or events == [wire_to_event(message)]
        return
    assert fault.path in {*MESSAGE, ""}
    assert len(str(fault)) < 300


def test_a_parsed_message_becomes_an_event():
    assert wire_to_event(MESSAGE) == EVENT


def test_a_parsed_message_may_be_any_mapping():
    assert wire_to_event(MappingProxyType(MESSAGE)) == EVENT


def test_what_is_parsed_and_no_mapping_is_refused():
    with pytest.raises(ValidationError, match=r"^expected an object, got an array$"):
        wire_to_event([])


def test_a_parsed_value_that_json_does_not_know_is_named_by_its_type():
    with pytest.raises(ValidationError, match=r"^event: expected a string, got bytes$"):
        wire_to_event({**MESSAGE, "event": b"message"})


def test_an_event_within_all_limits_passes():
    check_limits(EVENT, Limits())


NAMES = [
    ("event", "event", "max_event_name_length"),
    ("request_id", "requestId", "max_request_id_length"),
    ("channel_name", "channelName", "max_channel_name_length"),
]


def event_with(**members):
    names = {"action": "BROADCAST", "channel_name": "c", "request_id": "r"}
    return Event(**{"event": "e", **names, **members})


@pytest.mark.parametrize(("attribute", "member", "limit"), NAMES)
@pytest.mark.parametrize("name", ["x" * 10, "é" * 5, "😀😀xx"])
def test_a_name_as_long_as_its_limit_passes(attribute, member, limit, name):
    check_limits(event_with(**{attribute: name}), Limits(**{limit: 10}))


@pytest.mark.parametrize(("attribute", "member", "limit"), NAMES)
@pytest.mark.parametrize("name", ["x" * 11, "é" * 5 + "x", "😀😀xxx"])
def test_a_name_above_its_limit_is_refused_by_its_bytes(attribute, member, limit, name):
    with pytest.raises(ValidationError) as caught:
        check_limits(event_with(**{attribute: name}), Limits(**{limit: 10}))

    assert str(caught.value) == f"{member}: at most 10 bytes, got 11"


@pytest.mark.parametrize(("attribute", "member", "limit"), NAMES)
def test_a_name_is_not_measured_without_a_limit(attribute, member, limit):
    check_limits(event_with(**{attribute: "x" * 100_000}), Limits(**{limit: 0}))


def test_a_name_with_a_lone_surrogate_is_measured_all_the_same():
    with pytest.raises(ValidationError, match="at most 2 bytes, got 3"):
        check_limits(event_with(event="\ud800"), Limits(max_event_name_length=2))


def test_the_channel_of_a_join_is_left_to_the_endpoint():
    event = event_with(action="JOIN_CHANNEL", channel_name="x" * 1000)

    check_limits(event, Limits(max_channel_name_length=10))


def test_an_error_about_a_limit_carries_the_id_of_the_request():
    with pytest.raises(ValidationError) as caught:
        check_limits(event_with(event="x" * 257), Limits())

    assert caught.value.request_id == "r"


def test_an_id_of_a_megabyte_is_refused_and_not_sent_back():
    with pytest.raises(ValidationError) as caught:
        check_limits(event_with(request_id="x" * 1_000_000), Limits())

    assert caught.value.path == "requestId"
    assert caught.value.request_id is None


def nested(depth, wrap=lambda inner: {"a": inner}):
    value = wrap(1)
    for _ in range(depth - 1):
        value = wrap(value)
    return value


@pytest.mark.parametrize("wrap", [lambda inner: {"a": inner}, lambda inner: [inner]])
@pytest.mark.parametrize("limit", [2, 3, 64])
def test_a_payload_as_deep_as_the_limit_passes(limit, wrap):
    event = event_with(payload={"x": nested(limit - 1, wrap)})

    check_limits(event, Limits(max_nesting_depth=limit))


@pytest.mark.parametrize("wrap", [lambda inner: {"a": inner}, lambda inner: [inner]])
@pytest.mark.parametrize("limit", [1, 2, 64])
def test_a_payload_deeper_than_the_limit_is_refused(limit, wrap):
    event = event_with(payload={"x": nested(limit, wrap)})

    with pytest.raises(ValidationError) as caught:
        check_limits(event, Limits(max_nesting_depth=limit))

    assert str(caught.value) == f"payload: nested deeper than {limit} levels"


def test_an_empty_object_counts_as_a_level():
    with pytest.raises(ValidationError, match="nested deeper than 1 levels"):
        check_limits(event_with(payload={"x": {}}), Limits(max_nesting_depth=1))


@pytest.mark.parametrize("payload", [{}, {"a": 1}, None])
def test_a_flat_payload_or_none_is_never_too_deep(payload):
    check_limits(event_with(payload=payload), Limits(max_nesting_depth=1))


def test_depth_does_not_matter_without_a_limit():
    check_limits(event_with(payload=nested(5000)), Limits(max_nesting_depth=0))


def test_measuring_the_depth_is_no_recursion():
    with pytest.raises(ValidationError):
        check_limits(
            event_with(payload=nested(50_000)), Limits(max_nesting_depth=49_999)
        )


# Reading and checking at once.

SHORT = st.text(st.sampled_from('ab{["\\é😀'), max_size=6)
DEEP = st.recursive(
    SHORT | st.integers(0, 9),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(SHORT, inner, max_size=2)
    ),
    max_leaves=6,
)
SMALL_LIMITS = st.builds(
    Limits,
    max_channel_name_length=st.integers(0, 20),
    max_event_name_length=st.integers(0, 20),
    max_request_id_length=st.integers(0, 20),
    max_nesting_depth=st.integers(0, 6),
)


def outcome(read, data, limits):
    try:
        return read(data, limits)
    except ValidationError as fault:
        return str(fault), fault.path, fault.request_id


def read_then_check(data, limits):
    events = read_message(data)
    for event in events:
        check_limits(event, limits)
    return events


@given(
    members=st.fixed_dictionaries(
        {
            "action": st.sampled_from(["BROADCAST", "JOIN_CHANNEL", "LEAVE_CHANNEL"]),
            "event": SHORT,
            "channelName": SHORT,
            "requestId": SHORT,
            "payload": st.dictionaries(SHORT, DEEP, max_size=3),
        },
        optional={"zz": DEEP},
    ),
    limits=SMALL_LIMITS,
    form=st.sampled_from([str, str.encode]),
)
def test_reading_within_limits_is_reading_and_then_checking(members, limits, form):
    data = form(json.dumps(members, ensure_ascii=False))

    assert outcome(read_within, data, limits) == outcome(read_then_check, data, limits)


@pytest.mark.parametrize(
    "data",
    [
        '{"action":"ping"}',
        "nonsense",
        b"\xff",
        b"\x01",
        "[" * 100_000,
        json.dumps({**MESSAGE, "event": 5}),
        json.dumps({**MESSAGE, "event": ""}),
        json.dumps(MESSAGE).replace("{", '{"event":5,', 1),
        json.dumps({**MESSAGE, "event": "e" * 257}).replace("{", '{"event":5,', 1),
        text_with_payload("[" * 5000 + "]" * 5000),
    ],
    ids=lambda data: data[:20],
)
def test_what_the_typed_decoder_refuses_is_the_same_when_read_within_limits(data):
    limits = Limits()

    assert outcome(read_within, data, limits) == outcome(read_then_check, data, limits)


@given(payload=st.dictionaries(SHORT, DEEP, max_size=3), limit=st.integers(1, 6))
def test_a_payload_is_let_through_up_to_the_depth_that_a_naive_walk_finds(
    payload, limit
):
    def depth_of(node):
        inner = node.values() if isinstance(node, dict) else node
        nested = [depth_of(each) for each in inner if isinstance(each, dict | list)]
        return 1 + max(nested, default=0)

    found = outcome(
        read_within, text_of(payload=payload), Limits(max_nesting_depth=limit)
    )

    assert isinstance(found, list) is (depth_of(payload) <= limit)


def test_an_event_that_was_read_has_all_that_a_constructed_one_has():
    (event,) = read_message(json.dumps(MESSAGE))

    assert repr(event) == repr(EVENT)


def test_events_that_were_read_share_nothing():
    (first,), (second,) = read_message(text_of()), read_message(text_of())

    first.recipients.append("ann")
    first.payload["text"] = "ho"

    assert second == EVENT
