"""Speaking to channels from threads, over a PubSub that each worker has for itself."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pondsocket import LocalPubSub
from pondsocket.distributed import SyncEmitter, emitter, sync_emitter
from pondsocket.distributed.messages import decode
from pondsocket.distributed.sync_emitter import _ALL
from pondsocket.errors import (
    BadRequest,
    DeadlineExceeded,
    PubSubClosedError,
    Unavailable,
)

CHANNEL = ("/socket", "/chat/1")
PATIENCE = 10.0


class Recorder(LocalPubSub):
    """A PubSub that notes what is published, and from where."""

    def __init__(self):
        super().__init__()
        self.messages = []
        self.thread = threading.current_thread()
        self.was_called = threading.Event()
        self.is_stuck = False
        self.failure = None

    async def publish(self, topic, data):
        self.was_called.set()
        if self.is_stuck:
            await asyncio.Event().wait()
        if self.failure:
            raise self.failure
        self.messages.append(decode(data))
        await super().publish(topic, data)


@pytest.fixture
def opened(monkeypatch):
    """Return a list that fills with the PubSub of each worker that starts."""
    opened = []

    def open_one(url):
        if url == "broken://":
            raise ValueError("no such backend")
        opened.append(Recorder())
        return opened[-1]

    monkeypatch.setattr(emitter, "open_pubsub", open_one)
    return opened


@pytest.fixture
def sync(opened):
    with SyncEmitter("bus://") as sync:
        yield sync


def workers():
    return [t for t in threading.enumerate() if t.name == "pond-sync-emitter"]


# What it says.


def test_every_verb_publishes_its_message(opened, sync):
    sync.broadcast(*CHANNEL, "news", {"n": 1})
    sync.broadcast_to(*CHANNEL, "news", {"n": 2}, "ann", "bob")
    sync.broadcast_from(*CHANNEL, "news", {"n": 3}, "ann")
    sync.evict(*CHANNEL, "ann", "enough")

    said = [getattr(each, "recipient_descriptor", None) for each in opened[0].messages]
    assert said == ["ALL_USERS", ["ann", "bob"], "ALL_EXCEPT_SENDER", None]
    assert opened[0].messages[3].reason == "enough"


@pytest.mark.parametrize("verb", ["users", "presence"])
def test_nobody_is_present_where_nobody_answers(opened, sync, verb):
    assert getattr(sync, verb)(*CHANNEL, wait=0.01) == {}

    assert opened[0].messages[0].from_node


def test_settings_are_those_of_the_emitter(opened):
    with SyncEmitter("bus://", namespace="n", key_prefix="p", node_id="me") as sync:
        sync.broadcast(*CHANNEL, "news", {})

        assert sync._worker._emitter._topics.heartbeat() == "p:v1:n:__heartbeat__"
        assert opened[0].messages[0].source_node_id == "me"


# What it raises.


def test_what_the_emitter_raises_is_raised(sync):
    with pytest.raises(BadRequest, match="reserved"):
        sync.broadcast(*CHANNEL, "ACKNOWLEDGE", {})


@pytest.mark.parametrize("failure", [Unavailable("", "away"), TimeoutError("its own")])
def test_what_the_pubsub_raises_is_raised(opened, sync, failure):
    sync.broadcast(*CHANNEL, "news", {})
    opened[0].failure = failure

    with pytest.raises(type(failure), match=r"away|its own"):
        sync.broadcast(*CHANNEL, "news", {})


def test_a_call_takes_no_longer_than_timeout(opened):
    with SyncEmitter("bus://", timeout=0.2) as sync:
        sync.broadcast(*CHANNEL, "news", {})
        opened[0].is_stuck = True

        with pytest.raises(DeadlineExceeded, match=r"0\.2 s"):
            sync.broadcast(*CHANNEL, "news", {})


def test_a_call_ends_in_time_when_the_loop_is_stuck(opened):
    released = threading.Event()
    with SyncEmitter("bus://", timeout=0.1) as sync:
        sync.broadcast(*CHANNEL, "news", {})
        sync._worker._loop.call_soon_threadsafe(released.wait, PATIENCE)

        with pytest.raises(DeadlineExceeded, match=r"longer than timeout, 0\.1 s"):
            sync.broadcast(*CHANNEL, "news", {})
        released.set()


def test_a_start_that_takes_too_long_is_given_up(monkeypatch):
    released = threading.Event()
    monkeypatch.setattr(
        emitter, "open_pubsub", lambda url: released.wait(PATIENCE) and Recorder()
    )
    sync = SyncEmitter("bus://", timeout=0.1)

    with pytest.raises(DeadlineExceeded, match="did not start"):
        sync.broadcast(*CHANNEL, "news", {})

    (worker,) = workers()
    released.set()
    worker.join(PATIENCE)
    assert not worker.is_alive()


def test_a_url_that_cannot_be_opened_says_why_at_each_call(opened):
    with SyncEmitter("broken://") as sync:
        for _ in range(2):
            with pytest.raises(ValueError, match="no such backend"):
                sync.broadcast(*CHANNEL, "news", {})


@pytest.mark.parametrize("url", ["memory://", "MEMORY://rooms"])
def test_memory_which_has_one_event_loop_is_refused(url):
    with pytest.raises(ValueError, match="memory://"):
        SyncEmitter(url)


def test_a_timeout_that_allows_nothing_is_refused():
    with pytest.raises(ValueError, match="timeout must be above 0 seconds, got -1"):
        SyncEmitter("bus://", timeout=-1)


# Its thread.


def test_nothing_starts_before_the_first_call(opened):
    with SyncEmitter("bus://"):
        assert workers() == []

    assert opened == []


def test_all_threads_share_one_worker(opened, sync):
    with ThreadPoolExecutor(8) as pool:
        for number in range(200):
            pool.submit(sync.broadcast, *CHANNEL, "news", {"n": number})

    (bus,) = opened
    assert len(bus.messages) == 200
    assert (bus.thread.name, bus.thread.daemon) == ("pond-sync-emitter", True)


def test_closing_ends_the_thread_and_closes_the_pubsub(opened):
    sync = SyncEmitter("bus://")
    sync.broadcast(*CHANNEL, "news", {})
    sync.close()
    sync.close()

    assert workers() == []
    assert opened[0]._closed


def test_a_closed_one_refuses_to_work(sync):
    sync.close()

    with pytest.raises(PubSubClosedError):
        sync.broadcast(*CHANNEL, "news", {})


def test_closing_ends_the_calls_of_other_threads(opened, sync):
    sync.broadcast(*CHANNEL, "news", {})
    opened[0].is_stuck = True
    opened[0].was_called.clear()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(sync.broadcast, *CHANNEL, "news", {})
        assert opened[0].was_called.wait(PATIENCE)
        sync.close()

        assert isinstance(call.exception(PATIENCE), PubSubClosedError)


def test_a_worker_that_does_not_end_is_logged_and_left_behind(opened, caplog):
    released = threading.Event()
    sync = SyncEmitter("bus://", timeout=1.0)
    sync.broadcast(*CHANNEL, "news", {})
    sync._worker._loop.call_soon_threadsafe(released.wait, PATIENCE)
    sync.close()

    assert "did not end in 1.0 s" in caplog.text
    (worker,) = workers()
    released.set()
    worker.join(PATIENCE)


def test_a_worker_that_ends_badly_is_logged(opened, caplog):
    sync = SyncEmitter("bus://")
    sync.broadcast(*CHANNEL, "news", {})

    async def fail():
        raise OSError("no way")

    opened[0].close = fail
    sync.close()

    assert "a SyncEmitter ended badly" in caplog.text
    assert "no way" in caplog.text


# Processes.


def test_what_was_there_before_a_fork_is_left_to_the_parent(opened, sync):
    unused = SyncEmitter("bus://")
    sync.broadcast(*CHANNEL, "news", {})
    before = sync._worker

    sync_emitter._forget_parents()
    sync.broadcast(*CHANNEL, "news", {})

    assert sync._worker is not before
    assert len(opened) == 2
    assert sync_emitter._INHERITED[-1] is before
    sync_emitter._INHERITED.remove(before)
    before.stop(PATIENCE)
    unused.close()


def test_the_end_of_the_process_closes_all(opened, sync):
    sync.broadcast(*CHANNEL, "news", {})

    sync_emitter._close_all()

    assert workers() == []


PROGRAM = """
import os, sys, threading
from pondsocket import LocalPubSub
from pondsocket.distributed import SyncEmitter, emitter, sync_emitter

class Bus(LocalPubSub):
    def __init__(self, url):
        super().__init__()
    async def publish(self, topic, data):
        print(os.getpid() == parent, "published", flush=True)
    async def close(self):
        await super().close()
        print(os.getpid() == parent, "closed", flush=True)

parent = os.getpid()
emitter.open_pubsub = Bus
sync = SyncEmitter("bus://")
say = lambda: sync.broadcast("/socket", "/chat/1", "news", {})
"""

FORK = """
say()
sync._lock.acquire()  # as another thread may, while this one forks
child = os.fork()
if not child:
    say()
    sys.exit()
sync._lock.release()
_, status = os.waitpid(child, 0)
print(status)
say()
"""


def run(program):
    """Run a program in a process of its own; return what it printed."""
    done = subprocess.run(
        # Python 3.12 warns of every fork of a process that has threads.
        [sys.executable, "-W", "error", "-W", "ignore:This process:DeprecationWarning",
         "-c", PROGRAM + program],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.splitlines()


def test_the_end_of_the_process_closes_what_nobody_closed():
    assert run("say()") == ["True published", "True closed"]


def test_a_process_that_said_nothing_just_ends():
    assert run("") == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_of_a_fork_has_a_worker_of_its_own():
    assert run(FORK) == [
        "True published",
        "False published",
        "False closed",
        "0",
        "True published",
        "True closed",
    ]


def test_one_that_nobody_used_is_forgotten(opened):
    gc.collect()
    before = len(_ALL)
    SyncEmitter("bus://")
    gc.collect()

    assert len(_ALL) == before
