"""The chain around a handler, and the two middlewares that come with it."""

from types import SimpleNamespace

import pytest

from pondsocket.errors import TooManyRequests
from pondsocket.hooks import Hooks
from pondsocket.metrics import NoopMetrics, Telemetry
from pondsocket.middleware import run_chain, with_metrics, with_rate_limiter
from pondsocket.ratelimit import TokenBucketRateLimiter
from pondsocket.types import Event, MessageEvent, User

PUBLISHED = "(message, channel, next)"
TODAY = "(context, next)"


class Collector(NoopMetrics):
    def __init__(self):
        self.calls = []

    def error(self, component, err):
        self.calls.append((component, err))

    def handler_duration(self, handler, duration_seconds):
        self.calls.append((handler, duration_seconds))


class Broken(NoopMetrics):
    def error(self, component, err):
        raise RuntimeError("no database")

    def handler_duration(self, handler, duration_seconds):
        raise RuntimeError("no database")


class Handler:
    """What `next` goes on to."""

    def __init__(self):
        self.calls = 0
        self.error = None

    async def __call__(self):
        self.calls += 1
        if self.error is not None:
            raise self.error


@pytest.fixture
def handler():
    return Handler()


@pytest.fixture
def collector():
    return Collector()


@pytest.fixture(params=[PUBLISHED, TODAY])
def call(request, handler):
    """Send one message of a user through a middleware, called in either way."""

    async def call(middleware, *, user="ann", event="say", framework=None):
        known = {} if framework is None else {"telemetry": framework}
        sent = Event("BROADCAST", "/chat/1", "r1", event)
        if request.param == PUBLISHED:
            message = MessageEvent(sent, User(user))
            await middleware(message, SimpleNamespace(**known), handler)
        else:
            context = SimpleNamespace(event=sent, user=User(user), **known)
            await middleware(context, handler)

    return call


def once():
    """A limiter that lets each key through once."""
    return TokenBucketRateLimiter(rate=1, capacity=1, clock=lambda: 0.0)


def count_clock():
    """A clock that goes on by two seconds each time it is read."""
    return iter(range(0, 1000, 2)).__next__


# The chain


@pytest.fixture
def log():
    return []


def named(name):
    async def middleware(context, go_on):
        context.append(f"{name} in")
        await go_on()
        context.append(f"{name} out")

    return middleware


def final(context):
    context.append("handler")


async def test_without_middleware_the_handler_runs(log):
    await run_chain([], log, final)

    assert log == ["handler"]


async def test_middlewares_run_around_the_handler_in_order(log):
    await run_chain([named("a"), named("b")], log, final)

    assert log == ["a in", "b in", "handler", "b out", "a out"]


async def test_a_coroutine_function_can_be_the_handler(log):
    async def handle(context):
        context.append("awaited")

    await run_chain([named("a")], log, handle)

    assert log == ["a in", "awaited", "a out"]


async def test_a_middleware_that_does_not_go_on_stops_there(log):
    async def stop(context, go_on):
        context.append("stop")

    await run_chain([named("a"), stop, named("b")], log, final)

    assert log == ["a in", "stop", "a out"]


async def test_a_plain_function_goes_on_by_returning_next(log):
    def plain(context, go_on):
        context.append("plain")
        return go_on()

    await run_chain([plain, named("a")], log, final)

    assert log == ["plain", "a in", "handler", "a out"]


async def test_a_plain_function_can_stop_the_chain(log):
    await run_chain([lambda context, go_on: context.append("stop")], log, final)

    assert log == ["stop"]


async def test_going_on_twice_is_an_error_and_runs_the_handler_once(log):
    async def twice(context, go_on):
        await go_on()
        await go_on()

    with pytest.raises(RuntimeError, match=r"twice.* called next\(\) twice"):
        await run_chain([twice], log, final)

    assert log == ["handler"]


async def test_what_the_handler_raises_reaches_each_middleware_and_the_caller(log):
    async def watch(context, go_on):
        try:
            await go_on()
        except ValueError as error:
            context.append(error)
            raise

    error = ValueError("bad")

    def fail(context):
        raise error

    with pytest.raises(ValueError, match="bad"):
        await run_chain([watch, watch], log, fail)

    assert log == [error, error]


async def test_a_middleware_can_swallow_what_the_handler_raises(log):
    async def rescue(context, go_on):
        try:
            await go_on()
        except ZeroDivisionError:
            context.append("rescued")

    await run_chain([rescue], log, lambda context: 1 / 0)

    assert log == ["rescued"]


async def test_a_chain_is_fixed_when_it_starts(log):
    middlewares = []

    async def extend(context, go_on):
        middlewares.append(named("late"))
        await go_on()

    middlewares += [extend, named("a")]
    await run_chain(middlewares, log, final)

    assert log == ["a in", "handler", "a out"]


# The rate limiter


async def test_without_a_limiter_every_message_passes(call, handler):
    await call(with_rate_limiter(Hooks()))

    assert handler.calls == 1


async def test_an_allowed_message_reaches_the_handler(call, handler, collector):
    limit = with_rate_limiter(Hooks(rate_limiter=once(), metrics=collector))

    await call(limit)

    assert (handler.calls, collector.calls) == (1, [])


async def test_a_denied_message_raises_and_never_reaches_the_handler(call, handler):
    limit = with_rate_limiter(Hooks(rate_limiter=once()))
    await call(limit)

    with pytest.raises(TooManyRequests) as caught:
        await call(limit)

    assert handler.calls == 1
    assert (caught.value.code, caught.value.channel_name) == (429, "/chat/1")


async def test_each_user_has_a_limit_of_its_own_by_default(call, handler):
    limit = with_rate_limiter(Hooks(rate_limiter=once()))

    await call(limit, user="ann")
    await call(limit, user="bob")

    assert handler.calls == 2


async def test_the_key_can_be_made_of_user_and_event(call, handler):
    limit = with_rate_limiter(
        Hooks(rate_limiter=once()),
        key_fn=lambda message: f"{message.user.id} {message.event.event}",
    )

    await call(limit, event="say")
    await call(limit, event="wave")
    with pytest.raises(TooManyRequests):
        await call(limit, event="say")

    assert handler.calls == 2


async def test_a_limiter_that_is_set_later_counts(call):
    hooks = Hooks()
    limit = with_rate_limiter(hooks, key_fn=lambda message: "all")
    hooks.rate_limiter = once()
    await call(limit)

    with pytest.raises(TooManyRequests):
        await call(limit)


async def test_a_denial_is_reported_as_the_rate_limiters(call, collector):
    limit = with_rate_limiter(Hooks(rate_limiter=once(), metrics=collector))
    await call(limit)

    with pytest.raises(TooManyRequests) as caught:
        await call(limit)

    assert collector.calls == [("rate_limiter", caught.value)]


async def test_a_denial_is_reported_to_the_framework_before_it_reports_itself(
    call, collector
):
    framework = Telemetry(collector)
    limit = with_rate_limiter(Hooks(rate_limiter=once()))
    await call(limit, framework=framework)

    with pytest.raises(TooManyRequests) as caught:
        await call(limit, framework=framework)
    framework.error("message_handler", caught.value)

    assert collector.calls == [("rate_limiter", caught.value)]


async def test_a_denial_is_reported_once_to_a_collector_that_both_know(call, collector):
    framework = Telemetry(collector)
    limit = with_rate_limiter(Hooks(rate_limiter=once(), metrics=collector))
    await call(limit, framework=framework)

    with pytest.raises(TooManyRequests):
        await call(limit, framework=framework)

    assert len(collector.calls) == 1


async def test_a_denial_is_reported_to_both_of_two_collectors(call, collector):
    other = Collector()
    limit = with_rate_limiter(Hooks(rate_limiter=once(), metrics=other))
    await call(limit, framework=Telemetry(collector))

    with pytest.raises(TooManyRequests):
        await call(limit, framework=Telemetry(collector))

    assert len(collector.calls) == len(other.calls) == 1


async def test_a_collector_that_raises_does_not_hide_the_denial(call):
    limit = with_rate_limiter(Hooks(rate_limiter=once(), metrics=Broken()))
    await call(limit)

    with pytest.raises(TooManyRequests):
        await call(limit)


# Metrics


async def test_without_a_collector_nothing_is_measured(call, handler):
    def unread():
        raise AssertionError

    await call(with_metrics(Hooks(), clock=unread))

    assert handler.calls == 1


async def test_a_handler_is_measured_under_its_events_name(call, collector):
    await call(with_metrics(Hooks(metrics=collector), clock=count_clock()))

    assert collector.calls == [("say", 2)]


async def test_what_a_handler_raises_is_reported_measured_and_raised(
    call, handler, collector
):
    handler.error = ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        await call(with_metrics(Hooks(metrics=collector), clock=count_clock()))

    assert collector.calls == [("message_handler", handler.error), ("say", 2)]


async def test_the_frameworks_own_collector_is_not_told_twice(call, handler, collector):
    measure = with_metrics(Hooks(metrics=collector))

    await call(measure, framework=Telemetry(collector))

    assert (handler.calls, collector.calls) == (1, [])


async def test_a_collector_beside_the_frameworks_is_told(call, collector):
    measure = with_metrics(Hooks(metrics=collector), clock=count_clock())

    await call(measure, framework=Telemetry(Collector()))

    assert collector.calls == [("say", 2)]


async def test_a_collector_that_raises_does_not_disturb_the_handler(call, handler):
    await call(with_metrics(Hooks(metrics=Broken())))

    assert handler.calls == 1


async def test_a_stand_in_for_telemetry_is_not_taken_for_the_frameworks(
    call, collector
):
    measure = with_metrics(Hooks(metrics=collector), clock=count_clock())

    await call(measure, framework=SimpleNamespace(collector=collector))

    assert collector.calls == [("say", 2)]
