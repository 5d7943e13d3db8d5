import json
from pathlib import Path

import msgspec
import pytest

from pondsocket.distributed import messages
from pondsocket.distributed.messages import MalformedMessage, decode, encode

HERE = Path(__file__).parent
VECTORS = json.loads((HERE / "nodes.json").read_text("utf-8"))
PUBLISHED = json.loads((HERE / "published_node.json").read_text("utf-8"))


def name_of(vector):
    return vector["name"]


def message_of(value):
    members = dict(value)
    kind = getattr(messages, members.pop("kind"))
    if kind is messages.UserMessage:
        members["payload"] = msgspec.Raw(members["payload"])
    if kind is messages.StateResponse:
        members["users"] = [messages.StateUser(**user) for user in members["users"]]
    if kind is messages.NodeDigest:
        members["channels"] = [tuple(channel) for channel in members["channels"]]
    return kind(**members)


@pytest.mark.parametrize("vector", VECTORS["messages"], ids=name_of)
def test_a_message_is_the_text_of_its_vector(vector):
    assert encode(message_of(vector["value"])).decode() == vector["text"]


@pytest.mark.parametrize("vector", VECTORS["messages"] + VECTORS["read"], ids=name_of)
def test_a_text_is_the_message_of_its_vector(vector):
    assert decode(vector["text"].encode()) == message_of(vector["value"])


@pytest.mark.parametrize("vector", VECTORS["malformed"], ids=name_of)
def test_a_malformed_message_names_the_member_of_its_vector(vector):
    data = bytes.fromhex(vector["hex"]) if "hex" in vector else vector["text"].encode()

    with pytest.raises(MalformedMessage) as caught:
        decode(data)

    assert caught.value.member == vector["member"]


def test_every_type_has_a_vector():
    kinds = {vector["value"]["kind"] for vector in VECTORS["messages"]}

    assert kinds == {kind.__name__ for kind in messages.Message.__args__}


@pytest.mark.parametrize(
    "vector",
    PUBLISHED["messages"],
    ids=lambda vector: vector["step"],
)
def test_what_a_published_node_sends_is_read_with_all_its_members(vector):
    sent = json.loads(vector["text"])

    message = decode(vector["text"].encode())

    assert json.loads(encode(message)) == sent
