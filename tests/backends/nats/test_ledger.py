"""What became of published messages."""

from hypothesis import given
from hypothesis import strategies as st

from pondsocket_nats.ledger import Ledger


def test_what_was_confirmed_is_not_lost():
    ledger = Ledger()
    ledger.published = 3
    ledger.confirm(2)

    assert ledger.write_off() == 1
    assert ledger.lost == 1


def test_nothing_is_lost_twice():
    ledger = Ledger()
    ledger.published = 3
    ledger.write_off()

    assert ledger.write_off() == 0
    assert ledger.lost == 3


@given(st.lists(st.integers(0, 20)), st.integers(0, 20))
def test_an_old_confirmation_takes_nothing_back(marks, published):
    ledger = Ledger()
    ledger.published = published
    for mark in marks:
        ledger.confirm(min(mark, published))

    assert ledger.unconfirmed == published - min(published, max(marks, default=0))
