import pytest
from hypothesis import given
from hypothesis import strategies as st

from pondsocket.distributed.topics import Topics, is_safe_channel_name
from pondsocket.pubsub import match_topic


def test_a_channel_has_the_topic_of_published_nodes():
    assert Topics().channel("/chat", "/room/1") == "pondsocket:v1:default:chat:/room/1"


def test_heartbeats_have_the_topic_of_published_nodes():
    assert Topics().heartbeat() == "pondsocket:v1:default:__heartbeat__"


def test_an_application_has_topics_of_its_own():
    topics = Topics("staging", "shop")

    assert [topics.channel("chat", "a"), topics.heartbeat()] == [
        "shop:v1:staging:chat:a",
        "shop:v1:staging:__heartbeat__",
    ]


@pytest.mark.parametrize("name", [".*", "a.*", "/room/.*"])
def test_a_name_that_would_be_a_wildcard_is_not_safe(name):
    assert not is_safe_channel_name(name)


@pytest.mark.parametrize("name", ["\ud800", "/room/\udfff/a"])
def test_a_name_that_cannot_be_written_is_not_safe(name):
    assert not is_safe_channel_name(name)


@pytest.mark.parametrize("name", ["", "*", "a*", ".*a", "a.", ">", "a b", "[a]", "é"])
def test_any_other_name_is_safe(name):
    assert is_safe_channel_name(name)


@given(st.text().filter(is_safe_channel_name), st.text())
def test_the_topic_of_a_safe_name_matches_itself_alone(name, other):
    topic = Topics().channel("chat", name)

    assert match_topic(topic, topic + other) == (not other)
