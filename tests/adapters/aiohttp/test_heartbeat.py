"""Heartbeat, on a clock that is moved by hand."""

import pytest

from pondsocket_aiohttp.heartbeat import Heartbeat


class Loop:
    """As much of an event loop as a timer needs."""

    def __init__(self):
        self.now = 100.0
        self._timers = []

    def time(self):
        return self.now

    def call_at(self, when, callback):
        timer = Timer(when, callback)
        self._timers.append(timer)
        return timer

    def advance(self, seconds):
        end = self.now + seconds
        while due := [each for each in self._timers if each.when <= end]:
            timer = min(due, key=lambda each: each.when)
            self._timers.remove(timer)
            self.now = max(self.now, timer.when)
            if not timer.is_cancelled:
                timer.callback()
        self.now = end


class Timer:
    def __init__(self, when, callback):
        self.when = when
        self.callback = callback
        self.is_cancelled = False

    def cancel(self):
        self.is_cancelled = True


@pytest.fixture
def loop():
    return Loop()


@pytest.fixture
def log():
    return []


class Owner:
    """Writes when it asked and when it gave up."""

    def __init__(self, loop, log):
        self._loop = loop
        self._log = log

    def ask(self):
        self._log.append(("asked", self._loop.now - 100))

    def give_up(self):
        self._log.append(("gave up", self._loop.now - 100))


@pytest.fixture
def start(loop, log):
    owner = Owner(loop, log)

    def make(interval, patience):
        return Heartbeat(loop, interval=interval, patience=patience, owner=owner)

    return make


def test_a_client_that_answers_is_asked_at_each_interval(start, loop, log):
    heartbeat = start(10, 3)

    for _ in range(3):
        loop.advance(11)
        heartbeat.hear()
        loop.advance(-1)

    assert log == [("asked", 10), ("asked", 20), ("asked", 30)]


def test_one_that_says_nothing_is_given_up_once(start, loop, log):
    start(10, 3)

    loop.advance(100)

    assert log == [("asked", 10), ("gave up", 13)]


def test_a_patience_above_the_interval_asks_again_meanwhile(start, loop, log):
    start(10, 25)

    loop.advance(100)

    asked = [("asked", 10), ("asked", 20), ("asked", 30)]
    assert log == [*asked, ("gave up", 35)]


def test_whatever_is_heard_late_is_still_a_sign_of_life(start, loop, log):
    heartbeat = start(10, 5)
    loop.advance(14.9)
    heartbeat.hear()

    loop.advance(5.2)

    assert log == [("asked", 10), ("asked", 20)]


def test_a_stopped_heartbeat_does_nothing(start, loop, log):
    heartbeat = start(10, 5)
    loop.advance(11)

    heartbeat.stop()
    heartbeat.stop()
    loop.advance(100)

    assert log == [("asked", 10)]
