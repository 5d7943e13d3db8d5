"""Topics as subjects."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pondsocket import BadRequest
from pondsocket_nats.subjects import LONGEST_SUBJECT, to_subject, to_topic

# surrogates too: a str may hold them
TOPICS = st.text(st.characters(codec=None), max_size=100)


def test_an_ordinary_topic_is_its_own_subject():
    topic = "pondsocket:v1:default:chat:/room_1-a"

    assert to_subject(topic) == topic


@pytest.mark.parametrize(
    ("topic", "subject"),
    [
        ("a.b", "a%2Eb"),
        ("*", "%2A"),
        (">", "%3E"),
        ("a b\r\nPUB c", "a%20b%0D%0APUB%20c"),
        ("100%", "100%25"),
        ("é", "%C3%A9"),
        ("", "%"),
    ],
)
def test_whatever_means_something_to_the_server_is_escaped(topic, subject):
    assert to_subject(topic) == subject


@given(TOPICS)
@example("")
@example("%")
def test_every_topic_is_one_token(topic):
    assert re.fullmatch(r"[A-Za-z0-9_:/%-]+", to_subject(topic))


@given(TOPICS)
@example("")
@example("%")
@example("\ud83d\ude00")
def test_a_subject_tells_its_topic(topic):
    assert to_topic(to_subject(topic)) == topic


@given(TOPICS, TOPICS)
@example("", "%")
@example("%2E", ".")
@example("\ud83d\ude00", "\U0001f600")
def test_different_topics_have_different_subjects(one, other):
    assert (to_subject(one) == to_subject(other)) == (one == other)


@pytest.mark.parametrize(
    "subject", ["a.b", "%2e", "%41", "%FF", "a%", "é", "", "a" * (LONGEST_SUBJECT + 1)]
)
def test_what_no_topic_becomes_is_refused(subject):
    with pytest.raises(ValueError, match="not the subject of a topic"):
        to_topic(subject)


def test_a_topic_that_the_server_would_cut_the_connection_for_is_refused():
    with pytest.raises(BadRequest, match=f"{LONGEST_SUBJECT} bytes .* takes 3843"):
        to_subject("." * (LONGEST_SUBJECT // 3 + 1))


def test_the_longest_subject_is_taken():
    assert len(to_subject("." * (LONGEST_SUBJECT // 3))) == LONGEST_SUBJECT
