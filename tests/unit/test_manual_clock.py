"""A clock that stands still."""

import pytest

from pondsocket.testing import ManualClock


def test_a_manual_clock_moves_when_it_is_told():
    clock = ManualClock(5.0)

    clock.advance(2.5)

    assert (clock(), clock.now()) == (7.5, 7.5)


def test_a_manual_clock_does_not_go_back():
    with pytest.raises(ValueError, match="must not be negative"):
        ManualClock().advance(-1)
