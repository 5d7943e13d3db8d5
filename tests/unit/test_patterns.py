from time import process_time
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pondsocket.errors import NotFound
from pondsocket.patterns import Pattern, compile_pattern, parse
from pondsocket.types import Route


def match(pattern, path):
    return compile_pattern(pattern).match(path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/chat", "/chat"),
        ("/chat", "chat"),
        ("chat/", "/chat"),
        ("/chat//room", "///chat/room//"),
        ("message", "message"),
        ("a/b", "a/b"),
        ("/", "/"),
        ("/", ""),
        ("", "//"),
        ("/a b", "/a b"),
        ("/caf\u00e9", "/caf\u00e9"),
        ("/%20", "/%20"),
        ("/.", "/."),
        ("/..", "/.."),
    ],
)
def test_literal_segments_match_themselves_whatever_the_slashes(pattern, path):
    assert match(pattern, path) == Route({}, {}, None)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/chat", "/"),
        ("/chat", "/Chat"),
        ("/chat", "/chats"),
        ("/chat", "/chat/1"),
        ("/chat/room", "/chat"),
        ("/chat/room", "/room/chat"),
        ("/", "/chat"),
        ("/a b", "/a%20b"),
        ("/a", "/b/../a"),
        ("/a", "\\a"),
        ("/a", "/a\n"),
        ("/a", "/a\0"),
    ],
)
def test_other_literal_segments_do_not_match(pattern, path):
    assert match(pattern, path) is None


def test_a_name_takes_its_segment():
    assert match("/chat/:room/:user", "/chat/42/alice") == Route(
        {"room": "42", "user": "alice"}, {}, None
    )


def test_a_prefix_with_a_name_takes_the_rest_of_its_segment():
    assert match("/file-:name", "/file-report.txt") == Route({"name": "report.txt"})


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/chat/:room", "/chat"),
        ("/chat/:room", "/chat//"),
        ("/chat/:room", "/chat/1/2"),
        ("/:a/x/:b", "/1//2"),
        ("/file-:name", "/file-"),
        ("/file-:name", "/fil"),
        ("/file-:name", "/File-a"),
        ("/file-:name", "/my-file-a"),
    ],
)
def test_a_name_takes_no_empty_and_no_second_segment(pattern, path):
    assert match(pattern, path) is None


def test_a_name_may_be_of_any_characters():
    assert match("/:room-id/:été", "/1/2") == Route({"room-id": "1", "été": "2"})


@pytest.mark.parametrize("name", ["user:typing", "user:typing:start", "a:b/c:d"])
def test_an_event_name_with_colons_matches_itself(name):
    assert match(name, name) is not None


def test_what_follows_the_last_colon_is_a_name():
    assert match("user:typing:start", "user:typing!").params == {"start": "!"}
    assert match("user:typing", "users").params == {"typing": "s"}
    assert match("user:typing", "user") is None


@pytest.mark.parametrize(
    ("pattern", "path", "rest"),
    [
        ("*", "/", ""),
        ("*", "", ""),
        ("*", "a", "a"),
        ("/*", "/a/b", "a/b"),
        ("/files/*", "/files", ""),
        ("/files/*", "/files/", ""),
        ("/files/*", "/files/a//b/", "a/b"),
        ("/files/*", "/files/a%20b/c%2Fd", "a b/c/d"),
    ],
)
def test_a_star_takes_all_that_is_left_also_nothing(pattern, path, rest):
    assert match(pattern, path).wildcard == rest


def test_a_star_needs_what_stands_before_it():
    assert match("/files/*", "/file/a") is None
    assert match("/:a/*", "/") is None


def test_names_and_a_star_go_together():
    assert match("/:user/v:version/*", "/alice/v2/a/b") == Route(
        {"user": "alice", "version": "2"}, {}, "a/b"
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a%20b", "a b"),
        ("a+b", "a+b"),
        ("a%2Fb", "a/b"),
        ("caf%C3%A9", "café"),
        ("%F0%9F%98%80", "😀"),
        ("%00", "\0"),
        ("%2e%2E", ".."),
        ("%2525", "%25"),
        ("%", "%"),
        ("%4", "%4"),
        ("%zz%41", "%zzA"),
        ("%ff", "\ufffd"),
        ("%c0%af", "\ufffd\ufffd"),
        ("a=b%3Dc", "a=b=c"),
        ("é%C3%A9", "éé"),
    ],
)
def test_values_are_url_decoded_once(path, value):
    assert match(":x", path).params == {"x": value}
    assert match("*", path).wildcard == value


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/?")))
def test_values_are_decoded_as_the_standard_library_does(text):
    assert match("p/*", f"p/{text}").wildcard == unquote(text)


@given(
    st.lists(st.sampled_from(["%", "=", "C3", "%C3%A9", "\r\n", "=\n", "_", "3D", "é"]))
)
def test_stray_percent_and_equals_signs_are_decoded_as_the_standard_library_does(parts):
    text = "".join(parts)

    assert match("p/*", f"p/{text}").wildcard == unquote(text)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_quoted_value_comes_back_as_it_was(text):
    assert match("/x/:value", f"/x/{quote(text, safe='')}").param("value") == text


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("", {}),
        ("a=1", {"a": ["1"]}),
        ("a=1&a=2&b=", {"a": ["1", "2"], "b": [""]}),
        ("a", {"a": [""]}),
        ("a=b+c%20d%26", {"a": ["b c d&"]}),
        ("a=1;b=2", {"a": ["1;b=2"]}),
        ("a?b=c", {"a?b": ["c"]}),
        ("&&=&", {"": [""]}),
        ("a=/*/:b", {"a": ["/*/:b"]}),
    ],
)
@pytest.mark.parametrize(("pattern", "path"), [("/chat", "/chat"), ("/:x", "/1")])
def test_what_follows_a_question_mark_is_the_query(pattern, path, query, values):
    assert match(pattern, f"{path}?{query}").query == values


def test_two_routes_do_not_share_their_values():
    pattern = compile_pattern("message")
    pattern.match("message").params["a"] = "1"

    assert pattern.match("message").params == {}


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("/:", "a parameter has no name"),
        ("/file-:", "a parameter has no name"),
        ("/:a:b", "two parameters in ':a:b'"),
        ("/:a-:b", "two parameters in ':a-:b'"),
        ("/:a/x-:a", "the name 'a' stands twice"),
        ("/*/a", "'*' must be its whole last segment"),
        ("/*/*", "'*' must be its whole last segment"),
        ("/a-*", "'*' must be its whole last segment"),
        ("**", "'*' must be its whole last segment"),
        ("/:a*", "'*' must be its whole last segment"),
        ("/a?b=c", "a query is not part of a pattern"),
        ("/:a?", "a query is not part of a pattern"),
    ],
)
def test_a_pattern_that_makes_no_sense_is_refused_with_the_reason(pattern, reason):
    with pytest.raises(ValueError, match=r"^pattern ") as caught:
        compile_pattern(pattern)

    assert str(caught.value) == f"pattern {pattern!r}: {reason}"


def test_a_pattern_shows_its_source():
    pattern = compile_pattern("/chat/:room")

    assert isinstance(pattern, Pattern)
    assert pattern.source == "/chat/:room"
    assert repr(pattern) == "Pattern('/chat/:room')"


def test_a_path_can_be_parsed_with_a_pattern_at_once():
    assert parse("/chat/:room", "/chat/42?a=1") == Route({"room": "42"}, {"a": ["1"]})


def test_parsing_a_path_that_does_not_match_is_a_404():
    with pytest.raises(NotFound) as caught:
        parse("/chat/:room", "/x")

    assert caught.value.message == (
        "path '/x' does not match the pattern '/chat/:room'"
    )


def test_the_text_of_a_404_holds_a_path_escaped_and_in_part():
    with pytest.raises(NotFound) as caught:
        parse("/chat", "/\r\n\x1b" + "x" * 100_000)

    assert "'/\\r\\n\\x1bxxx" in caught.value.message
    assert len(caught.value.message) < 200


SEGMENTS = st.lists(
    st.sampled_from(["a", "b", ":x", ":y", "a:z", "*", "a*", ":", "?", "", "é"]),
    max_size=5,
)


@given(SEGMENTS, st.text(st.sampled_from("ab/%4*:?&=é\ud800\0"), max_size=30))
def test_matching_never_raises(segments, path):
    try:
        pattern = compile_pattern("/".join(segments))
    except ValueError:
        return
    route = pattern.match(path)

    assert route is None or isinstance(route, Route)


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/?%:*")),
        max_size=5,
    )
)
def test_a_literal_pattern_matches_just_its_own_segments(segments):
    own = "/".join(segments)

    assert match(own, own) is not None
    assert match(own, f"{own}/other") is None
    assert match(f"{own}/other", own) is None


HUNDRED_KILOBYTES = {
    "slashes": "/" * 100_000,
    "segments": "a/" * 50_000,
    "doubled slashes": "a//" * 33_333,
    "many slashes, then segments": "/" * 50_000 + "a/" * 25_000,
    "one segment": "a" * 100_000,
    "escapes": "%41" * 33_333,
    "invalid UTF-8": "%ff" * 33_333,
    "escapes and letters": "a%41" * 25_000,
    "percent signs": "%" * 100_000,
    "broken escapes": "%4" * 50_000,
    "equals signs": "=" * 99_997 + "%41",
    "almost the prefix": "a" * 99_999 + "b",
}


@pytest.mark.parametrize("pattern", ["/a/:b", "*", "/:a/*", "/a/a/a/a", "aaa:b/c"])
@pytest.mark.parametrize("path", HUNDRED_KILOBYTES.values(), ids=HUNDRED_KILOBYTES)
def test_a_path_of_100_kilobytes_takes_about_as_long_as_decoding_one(pattern, path):
    compiled = compile_pattern(pattern)
    escapes = HUNDRED_KILOBYTES["escapes"]

    # Five milliseconds where nothing else runs; seconds, if the cost were quadratic.
    assert any(
        seconds_for(compiled.match, path) < 3 * seconds_for(unquote, escapes)
        for _ in range(20)
    )


def seconds_for(function, argument):
    start = process_time()
    function(argument)
    return process_time() - start
