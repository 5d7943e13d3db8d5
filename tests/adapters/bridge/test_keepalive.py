"""When a silent connection is pinged, and when it is given up."""

import asyncio

import pytest

from pondsocket_asgi.ws_bridge.keepalive import KeepAlive


class Clock:
    """The loop's clock and its timers, moved by hand."""

    def __init__(self):
        self.now = 0.0
        self.timers = []

    def time(self):
        return self.now

    def call_later(self, delay, callback):
        timer = Timer(self.now + delay, callback)
        self.timers.append(timer)
        return timer

    def move_to(self, moment):
        while due := [each for each in self.timers if each.moment <= moment]:
            timer = min(due, key=lambda each: each.moment)
            self.timers.remove(timer)
            self.now = timer.moment
            if not timer.is_cancelled:
                timer.callback()
        self.now = moment


class Timer:
    def __init__(self, moment, callback):
        self.moment = moment
        self.callback = callback
        self.is_cancelled = False

    def cancel(self):
        self.is_cancelled = True


class Watched:
    """A keep-alive with an interval of 10 s and a patience of 5 s."""

    def __init__(self, clock, interval=10.0):
        self.clock = clock
        self.done = []
        self.keepalive = KeepAlive(
            interval,
            5.0,
            ping=lambda: self.done.append(("ping", clock.now)),
            give_up=lambda: self.done.append(("give up", clock.now)),
        )
        self.keepalive.start()

    def hear(self, moment):
        self.clock.move_to(moment)
        self.keepalive.last_heard = moment


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: made)
    return made


def test_a_silent_client_is_pinged_after_the_interval_and_then_given_up(clock):
    watched = Watched(clock)

    clock.move_to(100.0)

    assert watched.done == [("ping", 10.0), ("give up", 15.0)]


def test_who_is_heard_is_not_pinged(clock):
    watched = Watched(clock)

    for moment in range(0, 100, 9):
        watched.hear(float(moment))

    assert watched.done == []


def test_the_interval_begins_with_what_was_heard_last(clock):
    watched = Watched(clock)
    watched.hear(4.0)

    clock.move_to(14.0)

    assert watched.done == [("ping", 14.0)]


def test_who_answers_is_pinged_again_after_an_interval(clock):
    watched = Watched(clock)
    watched.hear(11.0)

    clock.move_to(21.0)

    assert watched.done == [("ping", 10.0), ("ping", 21.0)]


def test_whoever_is_heard_while_a_ping_waits_stays(clock):
    watched = Watched(clock)
    watched.hear(14.9)

    clock.move_to(24.0)

    assert watched.done == [("ping", 10.0)]


def test_nobody_is_given_up_who_could_not_be_heard(clock):
    watched = Watched(clock)
    clock.move_to(11.0)
    watched.keepalive.is_deaf = True

    clock.move_to(1000.0)

    assert ("give up", 15.0) not in watched.done
    assert "give up" not in [what for what, _ in watched.done]


def test_who_can_be_heard_again_has_its_time(clock):
    watched = Watched(clock)
    watched.keepalive.is_deaf = True
    clock.move_to(100.0)
    watched.keepalive.is_deaf = False

    clock.move_to(1000.0)

    assert watched.done == [("ping", 110.0), ("give up", 115.0)]


def test_without_an_interval_nothing_happens(clock):
    watched = Watched(clock, interval=0)

    clock.move_to(1000.0)

    assert watched.done == []


def test_after_its_stop_nothing_happens(clock):
    watched = Watched(clock)
    watched.keepalive.stop()
    watched.keepalive.stop()

    clock.move_to(1000.0)

    assert watched.done == []
