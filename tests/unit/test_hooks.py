"""Running an application's hooks, and asking its limiter of channels."""

import asyncio
import logging

import pytest

from pondsocket.errors import DeadlineExceeded, TooManyRequests
from pondsocket.hooks import Hooks, check_broadcast_rate, run_hook
from pondsocket.metrics import NoopMetrics, Telemetry
from pondsocket.ratelimit import TokenBucketRateLimiter


class Errors(NoopMetrics):
    def __init__(self):
        self.errors = []

    def error(self, component, err):
        self.errors.append((component, err))


@pytest.fixture
def errors():
    return Errors()


@pytest.fixture
def telemetry(errors):
    return Telemetry(errors)


def failing(error):
    async def hook(*args):
        raise error

    return hook


async def stuck(*args):
    await asyncio.Event().wait()


def test_every_hook_is_optional():
    hooks = Hooks()

    assert all(getattr(hooks, name) is None for name in Hooks.__slots__)


def test_the_published_order_of_hooks_stands():
    assert Hooks.__match_args__ == (
        "rate_limiter",
        "channel_rate_limiter",
        "metrics",
        "on_connect",
        "on_disconnect",
        "before_join",
        "after_join",
        "before_message",
        "after_message",
    )


async def test_no_hook_is_nothing_to_do(telemetry):
    await run_hook(None, "ann", telemetry=telemetry, timeout=1)

    assert telemetry.counts()["hook_failed"] == 0


async def test_a_hook_gets_its_arguments_and_is_awaited(telemetry):
    got = []

    async def hook(*args):
        await asyncio.sleep(0)
        got.append(args)

    await run_hook(hook, "ann", "/chat/1", telemetry=telemetry, timeout=1)

    assert got == [("ann", "/chat/1")]


async def test_a_plain_function_is_a_hook_too(telemetry):
    got = []

    await run_hook(got.append, "ann", telemetry=telemetry, timeout=1)

    assert got == ["ann"]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad"),
        TimeoutError("its own"),
        asyncio.CancelledError(),
        BaseExceptionGroup("several", [asyncio.CancelledError()]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_hook_that_raises_is_logged_counted_and_reported(
    telemetry, errors, caplog, error
):
    with caplog.at_level(logging.ERROR, "pondsocket.hooks"):
        await run_hook(failing(error), telemetry=telemetry, timeout=1)

    assert telemetry.counts()["hook_failed"] == 1
    assert errors.errors == [("hook", error)]
    assert [record.exc_info[1] for record in caplog.records] == [error]


async def test_a_hook_that_hangs_is_given_up_at_its_deadline(telemetry, errors):
    await run_hook(stuck, telemetry=telemetry, timeout=1e-6)

    assert telemetry.counts()["hook_failed"] == 1
    assert isinstance(errors.errors[0][1], DeadlineExceeded)


async def test_a_deadline_of_zero_is_none(telemetry):
    go = asyncio.Event()
    hook = asyncio.ensure_future(run_hook(go.wait, telemetry=telemetry, timeout=0))
    await asyncio.sleep(0)
    assert not hook.done()

    go.set()
    await hook

    assert telemetry.counts()["hook_failed"] == 0


async def test_cancelling_whoever_runs_a_hook_cancels_both(telemetry):
    task = asyncio.ensure_future(run_hook(stuck, telemetry=telemetry, timeout=1))
    await asyncio.sleep(0)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert telemetry.counts()["hook_failed"] == 0


async def test_the_end_of_the_process_is_not_held_up_by_a_hook(telemetry):
    with pytest.raises(SystemExit):
        await run_hook(failing(SystemExit()), telemetry=telemetry, timeout=1)


@pytest.mark.parametrize("hooks", [None, Hooks()])
async def test_without_a_limiter_every_broadcast_is_let_through(hooks):
    await check_broadcast_rate(hooks, "/chat/1")


async def test_the_limiter_of_channels_denies_what_is_too_much_of_one_channel():
    hooks = Hooks(channel_rate_limiter=TokenBucketRateLimiter(rate=0.001, capacity=1))
    for name in ("/chat/1", "/chat/2"):
        await check_broadcast_rate(hooks, name)

    with pytest.raises(TooManyRequests):
        await check_broadcast_rate(hooks, "/chat/1")
