import json
from pathlib import Path

import pytest

from pondsocket.errors import ValidationError
from pondsocket.types import Event
from pondsocket.wire import JSON_CODEC

VECTORS = json.loads(Path(__file__).with_name("wire.json").read_text("utf-8"))


def received(vector):
    return bytes.fromhex(vector["hex"]) if "hex" in vector else vector["text"]


def event_of(wire):
    return Event(
        wire["action"],
        wire["channelName"],
        wire["requestId"],
        wire["event"],
        wire["payload"],
    )


@pytest.mark.parametrize(
    "vector",
    [vector for vector in VECTORS["inbound"] if "event" in vector],
    ids=lambda vector: vector["name"],
)
def test_a_client_message_is_the_event_of_its_vector(vector):
    expected = [] if vector["event"] is None else [event_of(vector["event"])]

    assert JSON_CODEC.decode(received(vector)) == expected


@pytest.mark.parametrize(
    "vector",
    [vector for vector in VECTORS["inbound"] if "error" in vector],
    ids=lambda vector: vector["name"],
)
def test_a_malformed_message_fails_as_its_vector_says(vector):
    with pytest.raises(ValidationError) as caught:
        JSON_CODEC.decode(received(vector))

    fault = caught.value
    expected = {"text": str(fault), **vector["error"]}
    assert {
        "path": fault.path,
        "requestId": fault.request_id,
        "text": str(fault),
    } == expected


@pytest.mark.parametrize(
    "vector", VECTORS["outbound"], ids=lambda vector: vector["name"]
)
def test_an_event_is_the_text_of_its_vector(vector):
    assert JSON_CODEC.encode(event_of(vector["event"])) == vector["text"]
