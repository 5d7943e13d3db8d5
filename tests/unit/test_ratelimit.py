"""Token buckets, driven by a clock that the tests turn."""

import math

import pytest

from pondsocket.ratelimit import RateLimiter, TokenBucket, TokenBucketRateLimiter


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def limiter(clock):
    return TokenBucketRateLimiter(rate=2, capacity=3, clock=clock)


async def take_all(limiter, key):
    """Take until refused; return how many were allowed."""
    allowed = 0
    while await limiter.allow(key):
        allowed += 1
    return allowed


def test_a_bucket_starts_full():
    bucket = TokenBucket(1, 3, now=0)

    assert [bucket.take(0) for _ in range(4)] == [True, True, True, False]


def test_tokens_come_back_at_the_rate():
    bucket = TokenBucket(2, 1, now=0)
    bucket.take(0)

    assert [bucket.take(now) for now in (0.49, 0.5, 0.99, 1.0)] == [
        False,
        True,
        False,
        True,
    ]


def test_refusals_cost_nothing():
    bucket = TokenBucket(1, 1, now=0)
    bucket.take(0)

    assert not any(bucket.take(tenth / 10) for tenth in range(1, 10))
    assert bucket.take(1.1)


def test_a_bucket_never_holds_more_than_its_capacity():
    bucket = TokenBucket(10, 2, now=0)

    assert sum(bucket.take(1e9) for _ in range(10)) == 2


def test_fractions_of_a_token_are_kept():
    bucket = TokenBucket(1, 2.5, now=0)

    assert sum(bucket.take(0) for _ in range(3)) == 2
    assert bucket.take(0.5)


def test_a_clock_that_goes_back_neither_gives_nor_takes():
    bucket = TokenBucket(1, 1, now=10)
    bucket.take(10)

    assert not bucket.take(5)
    assert not bucket.take(5.5)
    assert bucket.take(6)


@pytest.mark.parametrize("kind", [TokenBucketRateLimiter, TokenBucket])
@pytest.mark.parametrize("rate", [0, -1, math.nan, math.inf])
def test_a_rate_that_is_none_is_refused(kind, rate):
    now = {"now": 0} if kind is TokenBucket else {}

    with pytest.raises(ValueError, match=r"rate must be .* above 0, got"):
        kind(rate=rate, capacity=1, **now)


@pytest.mark.parametrize("kind", [TokenBucketRateLimiter, TokenBucket])
@pytest.mark.parametrize("capacity", [0, 0.5, -1, math.nan, math.inf])
def test_a_capacity_that_lets_nothing_or_everything_through_is_refused(kind, capacity):
    now = {"now": 0} if kind is TokenBucket else {}

    with pytest.raises(ValueError, match=r"capacity must be .* at least 1, got"):
        kind(rate=1, capacity=capacity, **now)


def test_a_token_bucket_limiter_is_a_rate_limiter(limiter):
    assert isinstance(limiter, RateLimiter)


async def test_keys_do_not_share_tokens(limiter):
    await take_all(limiter, "ann")

    assert await take_all(limiter, "bob") == 3


async def test_a_key_gets_the_rate_in_the_long_run(limiter, clock):
    await take_all(limiter, "ann")
    clock.now += 1

    assert await take_all(limiter, "ann") == 2


async def test_a_reset_key_starts_anew_and_no_other(limiter):
    await take_all(limiter, "ann")
    await take_all(limiter, "bob")

    await limiter.reset("ann")

    assert await limiter.allow("ann")
    assert not await limiter.allow("bob")


async def test_resetting_an_unknown_key_is_no_error(limiter):
    await limiter.reset("nobody")

    assert len(limiter) == 0


async def test_all_keys_can_be_reset_at_once(limiter):
    await take_all(limiter, "ann")

    await limiter.reset_all()

    assert len(limiter) == 0
    assert await limiter.allow("ann")


async def test_a_key_is_forgotten_when_its_bucket_is_full_again(limiter, clock):
    await take_all(limiter, "ann")
    clock.now += 1.5  # capacity / rate

    await limiter.allow("bob")

    assert len(limiter) == 1


async def test_a_key_in_use_is_not_forgotten(limiter, clock):
    for _ in range(5):
        await take_all(limiter, "ann")
        clock.now += 0.375  # 1.875 s in all: a bucket left alone would be full

    await limiter.allow("bob")

    assert len(limiter) == 2
    assert not await limiter.allow("ann")


async def test_a_key_in_use_does_not_keep_the_idle_ones_behind_it(limiter, clock):
    await limiter.allow("ann")
    await limiter.allow("bob")

    for _ in range(5):
        clock.now += 0.375
        await limiter.allow("ann")

    assert len(limiter) == 1


async def test_of_many_keys_over_time_only_the_recent_ones_stay(clock):
    limiter = TokenBucketRateLimiter(rate=1, capacity=1, clock=clock)

    for number in range(10_000):
        clock.now += 0.01
        await limiter.allow(f"key-{number}")

    assert len(limiter) <= 101


async def test_a_limiter_reads_a_clock_of_its_own_by_default():
    limiter = TokenBucketRateLimiter(rate=1e-6, capacity=1)

    assert await take_all(limiter, "ann") == 1
