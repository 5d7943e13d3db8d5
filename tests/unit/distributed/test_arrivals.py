"""Arrivals: what is lost, late and twice among one sender's numbers."""

from hypothesis import given
from hypothesis import strategies as st

from pondsocket.distributed.arrivals import MAX_GAPS, MAX_LEAP, Arrival, Arrivals

HUGE = 2**53 - 1


def take(*numbers, baseline=0):
    arrivals = Arrivals(baseline)
    return arrivals, [arrivals.note(number) for number in numbers]


def test_numbers_in_order_are_all_new():
    arrivals, found = take(1, 2, 3)

    assert found == [Arrival.NEW] * 3
    assert (arrivals.highest, arrivals.lost) == (3, 0)


def test_a_number_that_is_skipped_is_lost():
    arrivals, _ = take(1, 4)

    assert (arrivals.highest, arrivals.lost) == (4, 2)


def test_a_lost_number_that_comes_after_all_is_late_and_lost_no_more():
    arrivals, found = take(1, 4, 2)

    assert found[-1] is Arrival.LATE
    assert arrivals.lost == 1


def test_a_late_number_that_comes_again_is_a_duplicate():
    arrivals, found = take(1, 4, 2, 2)

    assert found[-1] is Arrival.DUPLICATE
    assert arrivals.lost == 1


def test_numbers_that_the_sender_says_it_used_are_lost():
    arrivals = Arrivals()

    arrivals.expect(7)

    assert (arrivals.highest, arrivals.lost) == (7, 7)


def test_to_expect_what_is_known_changes_nothing():
    arrivals, _ = take(1, 2, 3)

    arrivals.expect(2)

    assert (arrivals.highest, arrivals.lost) == (3, 0)


def test_what_was_used_before_anyone_listened_is_not_lost():
    arrivals, _ = take(11, baseline=10)

    assert arrivals.lost == 0


def test_what_was_used_before_anyone_listened_may_still_come_late():
    arrivals, found = take(11, 10, 10, baseline=10)

    assert found == [Arrival.NEW, Arrival.LATE, Arrival.DUPLICATE]
    assert arrivals.lost == 0


def test_only_so_many_gaps_are_remembered():
    arrivals, _ = take(*range(2, 4 * MAX_GAPS, 2))

    assert len(arrivals._gaps) == MAX_GAPS


def test_what_a_forgotten_gap_lacked_stays_lost():
    arrivals, _ = take(*range(2, 4 * MAX_GAPS, 2))
    before = arrivals.lost

    found = arrivals.note(1)

    assert found is Arrival.DUPLICATE
    assert arrivals.lost == before


def test_a_gap_that_late_numbers_tear_apart_makes_no_more_gaps_than_that():
    arrivals, _ = take(*range(1, 4 * MAX_GAPS, 2), baseline=HUGE)

    assert len(arrivals._gaps) == MAX_GAPS


def test_a_forged_number_is_not_believed_to_mean_a_loss():
    arrivals, found = take(1, HUGE)

    assert found[-1] is Arrival.NEW
    assert arrivals.lost == 0


def test_the_longest_outage_that_is_believed_counts():
    arrivals, _ = take(1, MAX_LEAP + 2)

    assert arrivals.lost == MAX_LEAP


def test_after_a_forged_number_the_true_ones_are_late():
    _, found = take(1, HUGE, 2, 3, 2)

    assert found[2:] == [Arrival.LATE, Arrival.LATE, Arrival.DUPLICATE]


@given(
    st.integers(0, 5),
    st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=60),
)
def test_it_agrees_with_a_set_of_numbers(baseline, steps):
    arrivals, heard, highest = Arrivals(baseline), set(), baseline
    for is_note, number in steps:
        if not is_note:
            arrivals.expect(number)
        else:
            expected = Arrival.DUPLICATE if number in heard else Arrival.LATE
            assert arrivals.note(number) is (
                Arrival.NEW if number > highest else expected
            )
            heard.add(number)
        highest = max(highest, number)
        missing = set(range(baseline + 1, highest + 1)) - heard
        assert (arrivals.highest, arrivals.lost) == (highest, len(missing))


@given(st.lists(st.integers(1, HUGE), max_size=600))
def test_whatever_comes_the_gaps_are_bounded_and_no_less_than_nothing_is_lost(numbers):
    arrivals = Arrivals()
    for number in numbers:
        before = arrivals.lost
        arrivals.note(number)
        assert 0 <= arrivals.lost <= before + MAX_LEAP

    assert len(arrivals._gaps) <= MAX_GAPS
