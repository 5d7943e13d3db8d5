"""The suites see what is wrong: each broken transport fails the test that is named.

The transports are in memory, and differ from the sound one in a few lines.
"""

import asyncio
from typing import Any, ClassVar

import pytest

from pondsocket import InMemoryTransport
from pondsocket.testing import (
    ConnectionIdContract,
    FrameSinkContract,
    PushContract,
    TransportContract,
    checks,
)
from tests.contract.memory import InMemory


class LosesOrder(InMemoryTransport):
    def try_send(self, frames):
        return super().try_send(frames[::-1])


class LosesSome(InMemoryTransport):
    def try_send(self, frames):
        return super().try_send(frames[:-1] if len(frames) > 1 else frames)


class TakesSomeOfWhatItRefuses(InMemoryTransport):
    def try_send(self, frames):
        taken = super().try_send(frames)
        if not taken and not self._closing:
            self._frames.append(frames[0])
        return taken


class NeverRefuses(InMemoryTransport):
    def try_send(self, frames):
        self._frames.extend(frames)
        self._arrived.set()
        return True


class NeverWritableAgain(InMemoryTransport):
    def on_writable(self, callback):
        pass


class SendsAfterTheEnd(InMemoryTransport):
    def try_send(self, frames):
        self._frames.extend(frames)
        return True


class ChangesText(InMemoryTransport):
    def receive(self, data):
        return super().receive(data.replace("\\n", " "))


class HandlesBackwards(InMemoryTransport):
    def on_message(self, handler):
        held = []

        async def hold(event, transport):
            held.insert(0, event)
            if event.event != "echo" or len(held) == 100:
                while held:
                    await handler(held.pop(0), transport)

        super().on_message(hold)


class IgnoresRubbish(InMemoryTransport):
    def receive(self, data):
        return "channelName" not in data or super().receive(data)


class CallsBackTwice(InMemoryTransport):
    async def _run(self, callbacks):
        await super()._run(callbacks)
        await super()._run(callbacks)


class CallsNobodyBack(InMemoryTransport):
    async def peer_gone(self):
        self._closing = True
        self._arrived.set()


class StopsAtAFailingCallback(InMemoryTransport):
    async def _run(self, callbacks):
        for callback in callbacks:
            if (result := callback(self)) is not None:
                await result


class WaitsForItself(InMemoryTransport):
    def __init__(self, *args, **keywords):
        super().__init__(*args, **keywords)
        self._lock = asyncio.Lock()

    async def close(self):
        async with self._lock:
            await super().close()


class StaysActive(InMemoryTransport):
    def is_active(self):
        return True


class LeavesATask(InMemoryTransport):
    async def handle_messages(self):
        self.task = asyncio.create_task(asyncio.Event().wait(), name="left")


class ReadsInHandleMessages(InMemoryTransport):
    async def handle_messages(self):
        await self._closed.wait()


class SharesAssigns(InMemoryTransport):
    shared: ClassVar[dict[str, Any]] = {}

    def __init__(self, *args, **keywords):
        super().__init__(*args, **keywords)
        self._assigns = self.shared


class ClonesNothing(InMemoryTransport):
    def clone_assigns(self):
        return self._assigns


class HasASecretForEverybody(InMemoryTransport):
    @property
    def connection_id(self):
        return "secret"


class RefusesNoPush(InMemoryTransport):
    async def push_message(self, data):
        self.receive(data)


class HandlesAfterTheEnd(RefusesNoPush):
    async def push_message(self, data):
        if self._closing:
            (event,) = self.codec.decode(data)
            self.task = asyncio.create_task(self._handler(event, self))
        await super().push_message(data)


BROKEN = [
    (LosesOrder, "test_frames_that_are_taken_together_arrive_in_order"),
    (LosesOrder, "test_a_client_that_reads_on_has_missed_nothing"),
    (LosesSome, "test_broadcasts_arrive_in_the_order_in_which_they_were_made"),
    (TakesSomeOfWhatItRefuses, "test_frames_that_are_refused_were_not_taken"),
    (NeverRefuses, "test_frames_that_are_refused_were_not_taken"),
    (NeverRefuses, "test_a_client_that_never_reads_is_cut_off"),
    (
        NeverWritableAgain,
        "test_each_refusal_is_followed_by_the_word_that_it_takes_again",
    ),
    (NeverWritableAgain, "test_a_client_that_reads_on_has_missed_nothing"),
    (SendsAfterTheEnd, "test_a_sink_that_is_closed_takes_nothing"),
    (ChangesText, "test_awkward_characters_travel_unchanged_both_ways"),
    (HandlesBackwards, "test_messages_of_one_channel_are_handled_in_order"),
    (
        IgnoresRubbish,
        "test_what_is_malformed_is_answered_and_the_connection_goes_on",
    ),
    (CallsBackTwice, "test_closing_calls_each_callback_once_and_tells_the_client"),
    (CallsBackTwice, "test_a_client_that_leaves_ends_its_connection_once"),
    (CallsNobodyBack, "test_a_client_that_leaves_ends_its_connection_once"),
    (CallsNobodyBack, "test_a_client_that_vanishes_ends_its_connection_once"),
    (StopsAtAFailingCallback, "test_a_callback_that_raises_costs_no_other_its_call"),
    (WaitsForItself, "test_a_callback_may_close_the_transport"),
    (StaysActive, "test_closing_calls_each_callback_once_and_tells_the_client"),
    (LeavesATask, "test_clients_talk_at_the_same_time"),
    (ReadsInHandleMessages, "test_registering_it_does_not_wait_for_its_client"),
    (SharesAssigns, "test_its_assigns_are_its_own"),
    (ClonesNothing, "test_its_assigns_are_its_own"),
    (HasASecretForEverybody, "test_ids_of_connections_are_long_and_differ"),
    (InMemoryTransport, "test_the_connection_is_found_by_its_own_id_while_it_lives"),
    (RefusesNoPush, "test_each_of_its_powers_is_tested"),
]


class Suite(InMemory, FrameSinkContract, ConnectionIdContract):
    """What every broken transport claims to pass."""


@pytest.fixture(autouse=True)
def little_patience(monkeypatch):
    """A suite that fails waits for what never comes."""
    monkeypatch.setattr(checks, "PATIENCE", 0.8)


@pytest.mark.parametrize(("transport_class", "test"), BROKEN)
def test_a_broken_transport_fails_the_test_that_is_about_it(transport_class, test):
    suite = Suite()
    suite.transport_class = transport_class

    with pytest.raises(AssertionError):
        getattr(suite, test)()


@pytest.mark.parametrize("test", sorted({test for _, test in BROKEN[:-3]}))
def test_the_sound_transport_passes_the_same_tests(test):
    getattr(Suite(), test)()


def test_a_power_whose_suite_is_missing_is_told():
    class Unclaimed(InMemory, TransportContract):
        pass

    with pytest.raises(AssertionError, match="powers that are tested"):
        Unclaimed().test_each_of_its_powers_is_tested()


def test_a_suite_whose_power_is_missing_is_told():
    class Boasting(InMemory, FrameSinkContract, PushContract):
        pass

    with pytest.raises(AssertionError, match="powers that are tested"):
        Boasting().test_each_of_its_powers_is_tested()
    with pytest.raises(AssertionError, match="a PushableTransport"):
        Boasting().test_a_pushed_message_is_handled()


def test_an_inbox_that_takes_whatever_is_pushed_is_told():
    class Pushed(InMemory, FrameSinkContract, PushContract):
        transport_class = RefusesNoPush

    with pytest.raises(AssertionError, match="TooManyRequests"):
        Pushed().test_a_full_inbox_refuses_what_is_pushed()
    Pushed().test_what_is_pushed_after_the_end_is_harmless()  # that one it keeps


def test_handling_what_is_pushed_after_the_end_is_told():
    class Pushed(InMemory, FrameSinkContract, PushContract):
        transport_class = HandlesAfterTheEnd

    with pytest.raises(AssertionError, match="who asked to join"):
        Pushed().test_what_is_pushed_after_the_end_is_harmless()


def test_a_failure_says_what_was_promised_expected_and_found():
    suite = Suite()
    suite.transport_class = LosesOrder

    with pytest.raises(AssertionError, match=r"expected .*, found") as failure:
        suite.test_frames_that_are_taken_together_arrive_in_order()

    (note,) = failure.value.__notes__
    assert note.startswith("The contract: ``try_send`` takes any number of frames")


def test_a_test_is_a_plain_method_that_wants_no_fixture():
    assert not asyncio.iscoroutinefunction(Suite.test_its_assigns_are_its_own)
    assert not hasattr(Suite.test_its_assigns_are_its_own, "__wrapped__")


async def test_a_timeout_of_the_transport_itself_is_not_ours():
    with pytest.raises(TimeoutError):
        async with checks.in_time("the end"):
            raise TimeoutError
