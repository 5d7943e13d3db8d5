import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pondsocket.distributed.broadcasts import BroadcastWriter
from pondsocket.distributed.messages import (
    UserMessage,
    decode,
    descriptor_of,
    sender_of,
)
from pondsocket.frame import Frame
from pondsocket.types import (
    AllExceptSender,
    AllUsers,
    Event,
    ServerActions,
    ToUsers,
)

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
RECIPIENTS = (
    st.just(AllUsers())
    | st.builds(AllExceptSender, WORDS)
    | st.builds(ToUsers, st.lists(WORDS).map(tuple))
)
PAYLOADS = st.dictionaries(
    WORDS | st.just('","payload":{'), st.integers(-9, 9) | WORDS | st.none()
)


@given(WORDS, WORDS, WORDS, WORDS, RECIPIENTS, PAYLOADS)
def test_it_says_what_an_encoded_message_says(
    node, endpoint, channel, name, recipients, payload
):
    frame = Frame(Event(ServerActions.BROADCAST, channel, "r", name, payload))

    written = BroadcastWriter(node, endpoint, "17-1").write(
        frame, recipients, "id-1", 5, 1767225600000
    )

    assert decode(written) == UserMessage(
        message_id="id-1",
        source_node_id=node,
        endpoint_name=endpoint,
        channel_name=channel,
        timestamp=1767225600000,
        source_epoch="17-1",
        source_seq=5,
        from_user_id=sender_of(recipients),
        event=name,
        payload=msgspec.Raw(frame.payload),
        request_id="r",
        recipient_descriptor=descriptor_of(recipients),
    )


@pytest.mark.parametrize("payload", ['{"a":[1,2]}', '{"event":"x","payload":{}}'])
def test_a_relayed_frame_is_written_too(payload):
    event = Event(ServerActions.BROADCAST, "/room", "r", "said")

    written = BroadcastWriter("n", "chat", "17-1").write(
        Frame.relayed(event, payload), AllUsers(), "id-1", 1, 0
    )

    assert bytes(decode(written).payload).decode() == payload
