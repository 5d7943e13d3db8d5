"""What a transport promises about clients that do not read: only they feel it."""

from pondsocket.testing.checks import eventually, expect, expect_equal, in_time
from pondsocket.testing.scenario import scenario
from pondsocket.testing.served import Served
from pondsocket.testing.stage import BACKLOG, Stage

__all__ = ["SlownessContract"]

PATIENT = 10.0  # send_timeout where a slow client is not to be cut off


class SlownessContract(Served):
    """Tests with a client that stops reading."""

    @scenario(send_timeout=PATIENT)
    async def test_a_client_that_does_not_read_delays_nobody(
        self, stage: Stage
    ) -> None:
        """A send that waits for one client holds up no other."""
        slow, other = await stage.enter(), await stage.enter()
        await stage.overfill(slow)
        await stage.broadcast(0, 50, other.user_id)
        heard = await other.hear_numbers(50)
        expect_equal(heard, list(range(50)), "what the other hears meanwhile")
        await other.echo(1)

    @scenario(send_timeout=PATIENT)
    async def test_a_client_that_reads_on_has_missed_nothing(
        self, stage: Stage
    ) -> None:
        """What waited arrives, once and in order, when the client reads again."""
        slow = await stage.enter()
        count = await stage.overfill(slow)
        heard = await slow.hear_numbers(count)
        expect_equal(heard, list(range(count)), "what the slow client hears")
        await slow.echo(1)

    @scenario(send_timeout=0.3)
    async def test_a_client_that_never_reads_is_cut_off(self, stage: Stage) -> None:
        """A send that hangs for ``send_timeout`` makes a slow consumer, which leaves.

        What it had heard until then is the beginning of what was sent.
        """
        slow, other = await stage.enter(), await stage.enter()
        await stage.overfill(slow)
        await stage.until_left(slow)
        slow.check_ended()
        expect(stage.pond.stats().counts["slow_consumer_closed"], "that it is counted")
        await slow.hear_out()
        heard = slow.numbers
        expect_equal(heard, list(range(len(heard))), "what the slow client hears")
        await other.echo(1)

    @scenario(
        send_timeout=PATIENT, slow_consumer="drop_oldest", outbound_max_messages=BACKLOG
    )
    async def test_a_client_for_whom_some_is_dropped_keeps_its_order(
        self, stage: Stage
    ) -> None:
        """Under a policy that drops, whole messages are missing, and none twice."""
        slow = await stage.enter()
        first = await stage.overfill(slow)
        await stage.broadcast(first, 50, slow.user_id)
        while not slow.numbers or slow.numbers[-1] < first + 49:
            await slow.hear()
        expect_equal(
            slow.numbers, sorted(set(slow.numbers)), "an order without doubles"
        )
        dropped = stage.pond.stats().counts["outbound_dropped"]
        expect_equal(len(slow.numbers) + dropped, first + 50, "heard and dropped")
        await slow.echo(1)

    @scenario(send_timeout=1.0)
    async def test_closing_does_not_wait_for_a_client_that_does_not_read(
        self, stage: Stage
    ) -> None:
        """``close`` is bounded in time, whatever is still in flight."""
        slow = await stage.enter()
        await stage.overfill(slow)
        async with in_time("a close that ends"):
            await stage.endpoint.close_connection(slow.user_id)
        slow.check_ended()
        await stage.until_left(slow)

    @scenario(send_timeout=PATIENT)
    async def test_a_client_that_left_without_reading_is_gone(
        self, stage: Stage
    ) -> None:
        """A client that leaves is noticed while something waits for it."""
        slow = await stage.enter()
        await stage.overfill(slow)
        await slow.peer.vanish()
        await eventually(lambda: not slow.transport.is_active(), "its end is noticed")
        await stage.until_left(slow)
