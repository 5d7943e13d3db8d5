"""Messages between nodes: both ways, and whatever else may come in."""

import json
import math
from contextlib import suppress
from types import MappingProxyType

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pondsocket.distributed.messages import (
    MAX_DEPTH,
    AssignsUpdate,
    EvictUser,
    MalformedMessage,
    NodeDigest,
    NodeHeartbeat,
    PresenceRemoved,
    PresenceUpdate,
    StateRequest,
    StateResponse,
    StateUser,
    UnknownType,
    UserGetRequest,
    UserGetResponse,
    UserJoined,
    UserLeft,
    UserMessage,
    UserRemove,
    decode,
    descriptor_of,
    encode,
    is_addressed_to,
    recipients_of,
    sender_of,
)
from pondsocket.errors import EncodingError
from pondsocket.types import AllExceptSender, AllUsers, ToUsers

ENVELOPE = {
    "message_id": "m1",
    "source_node_id": "node-1",
    "endpoint_name": "chat",
    "channel_name": "/room/1",
    "timestamp": 1_767_225_600_000,
}
LEFT = UserLeft(**ENVELOPE, user_id="ann")


def said(payload="{}", descriptor="ALL_USERS"):
    return UserMessage(
        **ENVELOPE,
        from_user_id="ann",
        event="said",
        payload=msgspec.Raw(payload),
        request_id="r",
        recipient_descriptor=descriptor,
    )


def nested(levels):
    """Return the text of an array of so many levels."""
    return "[" * levels + "]" * levels


ids = st.text(min_size=1)
naturals = st.integers(0, 2**53 - 1)
ordinals = st.integers(1, 2**53 - 1)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)
objects = st.dictionaries(st.text(), values, max_size=3)
unset = st.just(msgspec.UNSET)
envelopes = {
    "message_id": ids,
    "source_node_id": ids,
    "endpoint_name": st.text(),
    "channel_name": st.text(),
    "timestamp": naturals,
    "source_epoch": unset | ids,
    "source_seq": unset | naturals,
    "to_node": unset | ids,
}
users = st.builds(StateUser, id=ids, assigns=objects, presence=objects | st.none())
OWN_MEMBERS = {
    UserMessage: {
        "from_user_id": st.text(),
        "event": ids,
        "payload": objects.map(lambda value: msgspec.Raw(json.dumps(value))),
        "request_id": st.text(),
        "recipient_descriptor": st.sampled_from(["ALL_USERS", "ALL_EXCEPT_SENDER"])
        | st.lists(st.text()),
    },
    PresenceUpdate: {"user_id": ids, "presence": objects | st.none()},
    PresenceRemoved: {"user_id": ids},
    AssignsUpdate: {"user_id": ids, "assigns": objects},
    UserJoined: {"user_id": ids, "presence": objects, "assigns": objects},
    UserLeft: {"user_id": ids},
    EvictUser: {"user_id": ids, "reason": st.text()},
    UserRemove: {"user_id": ids},
    UserGetRequest: {"user_id": ids, "request_id": ids, "from_node": ids},
    UserGetResponse: {
        "user_id": ids,
        "request_id": ids,
        "assigns": objects,
        "presence": objects,
    },
    StateRequest: {"from_node": ids},
    StateResponse: {"users": st.lists(users, max_size=3), "part": ordinals},
    NodeHeartbeat: {"node_id": ids},
    NodeDigest: {
        "digest": naturals,
        "parts": ordinals,
        "channels": st.lists(st.tuples(st.text(), st.text(), ids, naturals)),
    },
}
OWN_MEMBERS[StateResponse]["parts"] = st.just(2**53 - 1)
any_message = st.one_of(
    st.builds(kind, **envelopes, **members) for kind, members in OWN_MEMBERS.items()
) | st.builds(AssignsUpdate, **envelopes, user_id=ids, key=st.text(), value=values)


@given(any_message)
def test_what_was_encoded_decodes_to_itself(message):
    assert decode(encode(message)) == message


@given(any_message)
def test_text_decodes_as_bytes_do(message):
    assert decode(encode(message).decode()) == message


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_anything_at_all_is_malformed_and_nothing_worse(data):
    with pytest.raises(MalformedMessage):
        decode(data)


@given(any_message, st.data())
def test_a_message_with_other_bytes_in_it_is_read_or_malformed(message, data):
    text = bytearray(encode(message))
    text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))

    with suppress(MalformedMessage):
        assert decode(bytes(text)).message_id


@settings(max_examples=20)
@given(any_message)
def test_a_message_cut_short_anywhere_is_malformed(message):
    data = encode(message)

    for end in range(len(data)):
        with pytest.raises(MalformedMessage):
            decode(data[:end])


def test_a_payload_is_relayed_as_it_was_written():
    payload = '{ "a" : 1.0e2 , "b":"\\u00e9" }'

    assert bytes(decode(encode(said(payload))).payload).decode() == payload


def test_additions_that_are_unset_are_not_written():
    written = json.loads(encode(LEFT))

    assert written.keys().isdisjoint({"sourceEpoch", "sourceSeq", "toNode"})


def test_null_is_a_value_that_an_assign_can_have():
    message = AssignsUpdate(**ENVELOPE, user_id="ann", key="a", value=None)

    assert decode(encode(message)).value is None


@pytest.mark.parametrize("members", [{}, {"key": "a"}, {"value": 1}])
def test_assigns_to_update_must_be_given(members):
    with pytest.raises(ValueError, match="has"):
        AssignsUpdate(**ENVELOPE, user_id="ann", **members)


@pytest.mark.parametrize("numbers", [{"part": 2}, {"part": 3, "parts": 2}])
def test_no_part_is_beyond_the_last(numbers):
    with pytest.raises(ValueError, match="beyond its parts"):
        StateResponse(**ENVELOPE, users=[], **numbers)


class Text(str):
    __slots__ = ()


class Count(int):
    __slots__ = ()


class Share(float):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Text("a"), "a"),
        (Count(1), 1),
        (Share(0.5), 0.5),
        (MappingProxyType({"b": 1}), {"b": 1}),
        (math.nan, None),
    ],
)
def test_what_clients_can_be_shown_nodes_can_be_told(value, expected):
    message = PresenceUpdate(**ENVELOPE, user_id="ann", presence={"a": value})

    assert decode(encode(message)).presence == {"a": expected}


@pytest.mark.parametrize("value", [object(), "\ud800", {(): 1}])
def test_what_has_no_json_form_is_a_mistake_of_the_application(value):
    message = PresenceUpdate(**ENVELOPE, user_id="ann", presence={"a": value})

    with pytest.raises(EncodingError, match="no JSON form"):
        encode(message)


def test_a_type_that_is_not_known_is_told_apart_and_quoted_in_brief():
    data = encode(LEFT).replace(b"USER_LEFT", b"\\n" + b"X" * 1000)

    with pytest.raises(UnknownType) as caught:
        decode(data)

    assert len(str(caught.value)) < 80
    assert "\n" not in str(caught.value)


def test_a_message_of_exactly_the_size_is_read():
    data = encode(LEFT)

    assert decode(data, max_size=len(data)) == LEFT


def test_a_longer_message_is_not_read():
    data = encode(LEFT)

    with pytest.raises(MalformedMessage, match=f"at most {len(data) - 1} bytes"):
        decode(data, max_size=len(data) - 1)


def test_the_size_of_text_is_that_of_its_bytes():
    data = encode(UserLeft(**ENVELOPE, user_id="é"))

    with pytest.raises(MalformedMessage, match=f"got {len(data)}"):
        decode(data.decode(), max_size=len(data) - 1)


@pytest.mark.parametrize("levels", [1, MAX_DEPTH - 2])
def test_nesting_up_to_the_limit_is_read(levels):
    message = said(f'{{"a":{nested(levels)}}}')

    assert decode(encode(message)) == message


@pytest.mark.parametrize("levels", [MAX_DEPTH, 100_000])
def test_deeper_nesting_is_refused_in_a_payload(levels):
    data = encode(said(f'{{"a":{nested(levels)}}}'))

    with pytest.raises(MalformedMessage, match="nested"):
        decode(data)


def test_no_nesting_of_a_member_that_is_not_known_does_harm():
    data = encode(LEFT).decode().replace('"userId"', f'"x":{nested(100_000)},"userId"')

    with pytest.raises(MalformedMessage, match="nested too deeply"):
        decode(data)


def test_deeper_nesting_is_refused_in_a_presence():
    presence = json.loads(f'{{"a":{nested(MAX_DEPTH)}}}')
    message = PresenceUpdate(**ENVELOPE, user_id="ann", presence=presence)

    with pytest.raises(MalformedMessage, match="nested deeper than"):
        decode(encode(message))


def test_many_values_beside_each_other_are_not_deep():
    message = said(json.dumps({"a": [{}] * (3 * MAX_DEPTH)}))

    assert decode(encode(message)) == message


def test_no_error_repeats_what_a_message_holds():
    data = encode(said('{"a":1}', ["ann"])).replace(b'["ann"]', b'"secret"')

    with pytest.raises(MalformedMessage) as caught:
        decode(data)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("recipients", "descriptor", "sender"),
    [
        (AllUsers(), "ALL_USERS", "CHANNEL"),
        (AllExceptSender("ann"), "ALL_EXCEPT_SENDER", "ann"),
        (ToUsers(("ann", "bob")), ["ann", "bob"], "CHANNEL"),
    ],
)
def test_recipients_are_written_as_published_nodes_do(recipients, descriptor, sender):
    assert (descriptor_of(recipients), sender_of(recipients)) == (descriptor, sender)


@pytest.mark.parametrize(
    "recipients", [AllUsers(), AllExceptSender("ann"), ToUsers(("bob",)), ToUsers(())]
)
def test_recipients_are_read_as_they_were_written(recipients):
    message = said(descriptor=descriptor_of(recipients))

    assert recipients_of(decode(encode(message))) == recipients


@pytest.mark.parametrize(("node", "expected"), [("node-2", True), ("node-3", False)])
def test_a_message_that_names_a_node_is_for_that_one(node, expected):
    message = UserRemove(**ENVELOPE, user_id="ann", to_node="node-2")

    assert is_addressed_to(message, node) is expected


def test_a_message_that_names_no_node_is_for_all():
    assert is_addressed_to(LEFT, "node-2")
