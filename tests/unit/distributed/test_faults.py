"""What can be wrong with a message, where `decode` does not lead to it."""

from typing import Any

import msgspec
import pytest

from pondsocket.distributed.faults import (
    MalformedMessage,
    UnknownType,
    check_depth,
    check_head,
    data_to_text,
    find_fault,
    read_payload,
)

HEAD = '"protocol":"pondsocket.distributed","version":1'


class Greeting(msgspec.Struct):
    """A message of one member, which may hold anything."""

    words: Any = None
    size: int = 0


TYPES = {"GREETING": Greeting}


def fault_in(text):
    return find_fault(text, TYPES, ValueError("the whole is wrong"))


@pytest.mark.parametrize(
    ("text", "member", "words"),
    [
        ("", "", "not valid JSON"),
        ("[]", "", "expected a JSON object"),
        ('{"a":' + "[" * 100_000, "", "nested too deeply"),
        ("{\ud800}", "", "lone surrogate"),
        ("{}", "protocol", "missing"),
        ('{"protocol":"secret"}', "protocol", "'pondsocket.distributed'"),
        (f"{{{HEAD}}}", "type", "missing"),
        (f'{{{HEAD},"type":1}}', "type", "got `int`"),
        (f'{{{HEAD},"type":"GREETING","size":"1"}}', "size", "got `str`"),
        (f'{{{HEAD},"type":"GREETING","size":1}}', "", "the whole is wrong"),
    ],
)
def test_a_fault_names_the_member_and_what_is_wrong(text, member, words):
    fault = fault_in(text)

    assert fault.member == member
    assert words in str(fault)


def test_the_type_of_a_later_node_is_told_apart():
    fault = fault_in(f'{{{HEAD},"type":"NEWS"}}')

    assert isinstance(fault, UnknownType)
    assert fault.type == "NEWS"


def test_a_member_that_only_just_fits_the_stack_is_too_deep(monkeypatch):
    # Each member is read with less of the stack left than all of them were.
    def exhausted(raw, **options):
        if options["type"] is Any:
            raise RecursionError
        return decode(raw, **options)

    decode = msgspec.json.decode
    monkeypatch.setattr(msgspec.json, "decode", exhausted)

    fault = fault_in(f'{{{HEAD},"type":"GREETING","words":[]}}')

    assert str(fault) == "words: nested too deeply"


def test_a_head_of_this_protocol_and_version_passes():
    check_head(f"{{{HEAD}}}")


def test_any_other_head_does_not():
    with pytest.raises(ValueError, match="version"):
        check_head('{"protocol":"pondsocket.distributed"}')


@pytest.mark.parametrize("data", [b"\xc3\xa9", "é"])
def test_data_of_exactly_the_size_is_text(data):
    assert data_to_text(data, 2) == "é"


@pytest.mark.parametrize("data", [b"\xc3\xa9", "é", "ab", "\ud800"])
def test_longer_data_is_refused(data):
    with pytest.raises(MalformedMessage, match="at most 1 bytes"):
        data_to_text(data, 1)


def test_invalid_bytes_are_refused_where_they_stand():
    with pytest.raises(MalformedMessage, match="at byte 1"):
        data_to_text(b"a\xff", 9)


def test_a_payload_is_read_as_an_object():
    assert read_payload(msgspec.Raw('{"a":[1]}')) == {"a": [1]}


@pytest.mark.parametrize("payload", ["[]", "null", '{"a":1e400}', '{"a":"\\ud800"}'])
def test_any_other_payload_is_refused(payload):
    with pytest.raises(MalformedMessage, match="payload"):
        read_payload(msgspec.Raw(payload))


@pytest.mark.parametrize("text", ["[[[]]]", '{"a":{"b":[]}}', "[[],[],[],[],[]]"])
def test_nesting_of_the_limit_passes(text):
    check_depth(text, 3)


@pytest.mark.parametrize("text", ["[[[[]]]]", '{"a":{"b":[{}]}}', "[1,[],[2,[[]]]]"])
def test_nesting_beyond_the_limit_is_refused(text):
    with pytest.raises(MalformedMessage, match="deeper than 3 levels"):
        check_depth(text, 3)


def test_content_that_is_known_is_not_decoded_again():
    with pytest.raises(MalformedMessage, match="deeper than 1 levels"):
        check_depth("[[]]", 1, [[]])
