"""Digests: divided into parts and put together again."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pondsocket.distributed.digests import MAX_PARTS, DigestParts, to_parts

ROW = ("chat", "/room/1", "1000-a", 7)

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def test_a_digest_of_no_channel_is_one_empty_part():
    assert to_parts([]) == [[]]


def test_a_small_digest_is_one_part():
    assert to_parts([ROW, ROW]) == [[ROW, ROW]]


def test_a_channel_too_long_for_any_part_has_one_to_itself():
    long = ("chat", "x" * 70_000, "1000-a", 7)

    assert to_parts([long, ROW]) == [[long], [ROW]]


@given(
    st.lists(st.tuples(names, names, names, st.integers(0, 2**53 - 1)), max_size=30),
    st.integers(1, 400),
)
def test_each_part_leaves_room_for_its_envelope_in_64_kibibytes(rows, times):
    parts = to_parts(rows * times)

    assert [row for part in parts for row in part] == rows * times
    assert max(len(msgspec.json.encode(part)) for part in parts) <= 60_002


@given(st.data())
def test_parts_in_any_order_and_repeated_make_the_whole_once_all_are_there(data):
    rows = [("chat", f"/room/{n}", "1000-a", n) for n in range(4000)]
    parts = to_parts(rows)
    order = data.draw(st.lists(st.sampled_from(range(len(parts))), max_size=6))
    order += range(len(parts))
    digest, seen = DigestParts(), set()

    for index in order:
        seen.add(index)
        whole = digest.add(5, index + 1, len(parts), parts[index])
        expected = {(e, c) for e, c, _, _ in rows} if len(seen) == len(parts) else None
        assert whole == expected


def test_a_part_of_an_older_digest_is_ignored():
    digest = DigestParts()
    digest.add(5, 1, 2, [ROW])

    assert digest.add(4, 1, 1, [ROW]) is None
    assert digest.add(5, 2, 2, []) == {("chat", "/room/1")}


def test_a_newer_digest_does_away_with_half_of_an_older_one():
    digest = DigestParts()
    digest.add(5, 1, 2, [ROW])

    assert digest.add(6, 2, 2, []) is None


@pytest.mark.parametrize(
    ("part", "parts"), [(0, 1), (2, 1), (1, MAX_PARTS + 1), (2**53 - 1, 2**53 - 1)]
)
def test_a_part_that_cannot_be_is_ignored(part, parts):
    digest = DigestParts()

    assert digest.add(5, part, parts, [ROW]) is None
    assert digest.number == 0


def test_two_digests_in_a_row_that_rise_again_are_believed():
    parts = DigestParts()
    parts.add(900, 1, 1, [])

    assert parts.add(5, 1, 1, [("chat", "/room", "1-a", 1)]) is None
    assert parts.add(4, 1, 1, []) is None
    assert parts.add(6, 1, 1, [("chat", "/room", "1-a", 1)]) == {("chat", "/room")}


def test_an_older_digest_between_newer_ones_changes_nothing():
    parts = DigestParts()
    parts.add(900, 1, 1, [])
    parts.add(5, 1, 1, [])
    parts.add(901, 1, 1, [])

    assert parts.add(6, 1, 1, []) is None
