"""What the framework counts, and what reaches an application's collector."""

import inspect
import logging

import pytest

from pondsocket.metrics import (
    COUNTERS,
    CountsEvents,
    MetricsCollector,
    NoopMetrics,
    Telemetry,
)

FIGURES = {  # every method of a collector, with arguments as the framework gives them
    "connection_opened": ("c1", "/chat"),
    "connection_closed": ("c1", 1.5),
    "connection_error": ("c1", OSError("cut")),
    "message_received": ("c1", "/chat/1", "say", 64),
    "message_sent": ("c1", "/chat/1", "say", 64),
    "message_broadcast": ("/chat/1", "say", 3),
    "channel_joined": ("ann", "/chat/1"),
    "channel_left": ("ann", "/chat/1"),
    "channel_created": ("/chat/1",),
    "channel_destroyed": ("/chat/1",),
    "handler_duration": ("say", 0.25),
    "queue_depth": ("inbox", 7),
    "error": ("handler", ValueError("bad")),
}

every_figure = pytest.mark.parametrize("method", FIGURES)


class Recorder:
    """A collector that remembers its calls, the optional `count` apart."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, method):
        if method not in FIGURES:
            raise AttributeError(method)
        return lambda *args: self.calls.append((method, *args))


class Counting(Recorder):
    def count(self, name, amount=1, **labels):
        self.calls.append((name, amount, labels))


class Broken(NoopMetrics):
    def queue_depth(self, queue, depth):
        raise RuntimeError("no database")

    def channel_created(self, channel):
        raise RuntimeError("no database")

    def count(self, name, amount=1, **labels):
        raise RuntimeError("no database")


class GuardedError(Exception):
    """An exception with a will of its own about attributes."""

    __slots__ = ()

    def __setattr__(self, name, value):
        raise TypeError("frozen")


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def telemetry(recorder):
    return Telemetry(recorder)


def test_figures_are_all_methods_of_the_protocol():
    methods = {
        name
        for name, _ in inspect.getmembers(MetricsCollector, inspect.isfunction)
        if not name.startswith("_")
    }

    assert methods == FIGURES.keys()


@every_figure
def test_a_figure_reaches_the_collector_as_it_is(telemetry, recorder, method):
    getattr(telemetry, method)(*FIGURES[method])

    assert recorder.calls == [(method, *FIGURES[method])]


@every_figure
def test_noop_metrics_take_every_figure(method):
    assert getattr(NoopMetrics(), method)(*FIGURES[method]) is None


@every_figure
def test_without_a_collector_a_figure_goes_nowhere(method):
    telemetry = Telemetry()

    getattr(telemetry, method)(*FIGURES[method])

    assert not any(telemetry.counts().values())


@pytest.mark.parametrize("collector", [NoopMetrics(), Telemetry(), Broken()])
def test_a_collector_satisfies_the_protocol(collector):
    assert isinstance(collector, MetricsCollector)


def test_counting_is_optional_for_a_collector():
    assert isinstance(Counting(), CountsEvents)
    assert not isinstance(Recorder(), CountsEvents)


@pytest.mark.parametrize("collector", [None, NoopMetrics()])
def test_nothing_is_measured_for_nobody(collector):
    assert not Telemetry(collector).measuring


@pytest.mark.parametrize("collector", [Recorder(), Broken()])
def test_a_collector_of_the_application_is_measured_for(collector):
    assert Telemetry(collector).measuring


def test_telemetry_names_the_collector_that_it_reports_to(telemetry, recorder):
    assert telemetry.collector is recorder


def test_a_collector_that_calls_itself_empty_is_one_nevertheless():
    class Empty(Recorder):
        def __len__(self):
            return 0

    collector = Empty()

    assert Telemetry(collector).collector is collector


def test_every_counter_starts_at_zero_and_says_what_it_counts():
    assert Telemetry().counts() == dict.fromkeys(COUNTERS, 0)
    assert all(COUNTERS.values())


def test_counts_add_up_without_a_collector():
    telemetry = Telemetry()

    telemetry.count("lost", 3)
    telemetry.count("lost")

    assert telemetry.counts()["lost"] == 4


def test_what_was_counted_too_early_is_taken_back():
    telemetry = Telemetry()
    telemetry.count("lost", 3)

    telemetry.count("lost", -1)

    assert telemetry.counts()["lost"] == 2


def test_counts_are_a_snapshot(telemetry):
    before = telemetry.counts()

    telemetry.count("flood")

    assert before["flood"] == 0


def test_an_unknown_counter_is_a_mistake_of_the_caller(telemetry):
    with pytest.raises(KeyError, match="losst"):
        telemetry.count("losst")


def test_a_counting_collector_gets_amount_and_labels():
    collector = Counting()

    Telemetry(collector).count("lost", 2, channel="/chat/1")

    assert collector.calls == [("lost", 2, {"channel": "/chat/1"})]


def test_an_exception_is_reported_once_with_its_first_component(telemetry, recorder):
    error = ValueError("bad")

    telemetry.error("rate_limiter", error)
    telemetry.error("handler", error)

    assert recorder.calls == [("error", "rate_limiter", error)]


def test_equal_exceptions_are_reported_each(telemetry, recorder):
    telemetry.error("handler", KeyError("a"))
    telemetry.error("handler", KeyError("a"))

    assert len(recorder.calls) == 2


def test_each_of_two_frameworks_reports_a_shared_exception_once():
    error = ValueError("bad")
    first, second = Recorder(), Recorder()
    reporters = Telemetry(first), Telemetry(second)

    for telemetry in reporters * 2:
        telemetry.error("handler", error)

    assert len(first.calls) == len(second.calls) == 1


def test_an_exception_that_takes_no_attributes_is_reported_once(telemetry, recorder):
    error = GuardedError()

    telemetry.error("handler", error)
    telemetry.error("handler", error)

    assert len(recorder.calls) == 1


def test_a_collector_that_raises_disturbs_nobody():
    telemetry = Telemetry(Broken())

    telemetry.queue_depth("inbox", 1)
    telemetry.queue_depth("inbox", 2)

    assert telemetry.counts()["metrics_failed"] == 2


def test_a_collector_that_ends_the_process_does_end_it():
    class Ending(NoopMetrics):
        def queue_depth(self, queue, depth):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Telemetry(Ending()).queue_depth("inbox", 1)


def test_a_collector_without_a_method_disturbs_nobody():
    telemetry = Telemetry(object())

    telemetry.channel_left("ann", "/chat/1")

    assert telemetry.counts()["metrics_failed"] == 1


def test_a_collector_that_cannot_count_does_not_hide_the_count():
    telemetry = Telemetry(Broken())

    telemetry.count("lost")

    counts = telemetry.counts()
    assert (counts["lost"], counts["metrics_failed"]) == (1, 1)


def test_the_first_failure_of_each_method_is_logged_with_its_traceback(caplog):
    telemetry = Telemetry(Broken())

    with caplog.at_level(logging.ERROR, "pondsocket.metrics"):
        telemetry.queue_depth("inbox", 1)
        telemetry.queue_depth("inbox", 2)
        telemetry.channel_created("/chat/1")

    assert ["queue_depth()" in each.message for each in caplog.records] == [True, False]
    assert all(each.exc_info for each in caplog.records)
