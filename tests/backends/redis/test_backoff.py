"""How long to wait before the next attempt to connect."""

from pondsocket_redis.backoff import Backoff


def upper(low, high):
    return high


def test_the_limit_doubles_up_to_the_cap():
    backoff = Backoff(first=0.1, cap=0.5, uniform=upper)

    delays = [backoff.next_delay() for _ in range(5)]

    assert delays == [0.1, 0.2, 0.4, 0.5, 0.5]


def test_a_delay_is_anything_from_zero_to_the_limit():
    asked = []
    backoff = Backoff(first=0.1, uniform=lambda *limits: asked.append(limits) or 0)

    backoff.next_delay()

    assert asked == [(0.0, 0.1)]


def test_a_good_connection_begins_the_delays_again():
    backoff = Backoff(first=0.1, uniform=upper)
    backoff.next_delay()

    backoff.reset()

    assert backoff.next_delay() == 0.1
