"""What a topic or wildcard is called on the server."""

from hypothesis import given
from hypothesis import strategies as st

from pondsocket import match_topic
from pondsocket_redis.names import EXACT, WILDCARD, Name, is_wildcard, to_glob, to_name

hostile = st.text(st.sampled_from("ab*?[]^-\\.{}\n é"), max_size=8)


def take_apart(glob):
    """Return the literal text of a glob and whether a bare star ends it."""
    literal, rest = "", iter(glob)
    for character in rest:
        if character == "*":
            assert next(rest, None) is None, "a bare star before the end"
            return literal, True
        assert character not in "?[", "a character that means more than itself"
        literal += next(rest) if character == "\\" else character
    return literal, False


def test_a_topic_is_subscribed_by_its_name():
    assert to_name("a*b?") == Name(EXACT, b"a*b?")


def test_a_wildcard_is_subscribed_by_a_glob():
    assert to_name("a[1].*") == Name(WILDCARD, rb"a\[1\]*")


@given(hostile)
def test_what_stands_before_the_end_means_only_itself(stem):
    assert take_apart(to_glob(stem + ".*")) == (stem, True)


@given(hostile, hostile)
def test_the_server_matches_what_match_topic_matches(pattern, topic):
    if not is_wildcard(pattern):
        assert match_topic(pattern, topic) == (pattern == topic)
        return
    literal, _ = take_apart(to_glob(pattern))

    assert match_topic(pattern, topic) == topic.startswith(literal)
