"""What a transport promises about its end: it ends once, whoever ends it."""

import asyncio
from contextlib import suppress

from pondsocket.testing.checks import expect_equal, in_time
from pondsocket.testing.client import Client
from pondsocket.testing.scenario import scenario
from pondsocket.testing.served import Served
from pondsocket.testing.stage import CALLS, Stage, make_event
from pondsocket.transport import Transport

__all__ = ["EndingsContract"]


class EndingsContract(Served):
    """Tests of closing; nothing may hang, nothing may happen twice."""

    @scenario()
    async def test_closing_calls_each_callback_once_and_tells_the_client(
        self, stage: Stage
    ) -> None:
        """``close`` ends the wire; plain and ``async`` callbacks get the transport."""
        client = await stage.enter()
        calls = stage.watch(client)
        await close(client)
        client.check_ended()
        expect_equal(
            stage.left, [client.user_id], "leave handlers when close() is over"
        )
        await client.hear_out()
        expect_equal(calls, list(CALLS), "the close callbacks called")

    @scenario()
    async def test_a_client_that_leaves_ends_its_connection_once(
        self, stage: Stage
    ) -> None:
        """A polite client's end is noticed while nothing is sent to it."""
        client, other = await stage.enter(), await stage.enter()
        stage.watch(client)
        await client.peer.close()
        await stage.until_left(client)
        client.check_ended()
        await other.echo(1)

    @scenario()
    async def test_a_client_that_vanishes_ends_its_connection_once(
        self, stage: Stage
    ) -> None:
        """A wire that breaks ends the connection as leaving does."""
        client = await stage.enter()
        stage.watch(client)
        await client.peer.vanish()
        await stage.until_left(client)

    @scenario()
    async def test_both_ends_may_close_at_once(self, stage: Stage) -> None:
        """It ends once though both sides end it."""
        client = await stage.enter()
        stage.watch(client)
        await asyncio.gather(close(client), client.peer.close(), close(client))
        await stage.until_left(client)

    @scenario()
    async def test_closing_again_does_nothing(self, stage: Stage) -> None:
        """``close`` is idempotent, after a client that left too."""
        client, other = await stage.enter(), await stage.enter()
        stage.watch(client)
        stage.watch(other)
        await close(client)
        await close(client)
        await other.peer.close()
        await stage.until_left(other)
        await close(other)

    @scenario()
    async def test_a_callback_that_raises_costs_no_other_its_call(
        self, stage: Stage
    ) -> None:
        """Every close callback is called, and ``close`` raises nothing of theirs."""
        client = await stage.enter()
        client.transport.on_close(_fail)
        client.transport.on_close(_fail_later)
        calls = stage.watch(client)
        await close(client)
        expect_equal(calls, list(CALLS), "the close callbacks called")
        await stage.until_left(client)

    @scenario()
    async def test_a_callback_may_close_the_transport(self, stage: Stage) -> None:
        """``close`` from inside a close callback returns."""
        client = await stage.enter()
        client.transport.on_close(lambda transport: transport.close())
        calls = stage.watch(client)
        await close(client)
        expect_equal(calls, list(CALLS), "the close callbacks called")

    @scenario()
    async def test_a_handler_may_close_its_own_connection(self, stage: Stage) -> None:
        """``close`` from inside a message handler returns."""
        client = await stage.enter()
        await client.say("leave")
        async with in_time("a close() that returns to the handler"):
            await stage.closed_by_handler.wait()
        await stage.until_left(client)
        await client.hear_out()

    @scenario()
    async def test_a_client_may_leave_while_its_handler_runs(
        self, stage: Stage
    ) -> None:
        """A client that goes away is noticed at once, not after the handler."""
        client = await stage.enter()
        await client.say("hold")
        await client.peer.close()
        await stage.until_left(client)

    @scenario()
    async def test_what_was_sent_before_the_end_arrives_before_it(
        self, stage: Stage
    ) -> None:
        """Closing comes behind what was broadcast before."""
        client = await stage.enter()
        await stage.broadcast(0, 100)
        _, closed = await asyncio.gather(
            stage.endpoint.close_connection(client.user_id), client.hear_out()
        )
        expect_equal(client.numbers, list(range(100)), f"what came before {closed!r}")

    @scenario()
    async def test_closing_amid_sending_ends_once_and_harms_nobody(
        self, stage: Stage
    ) -> None:
        """Whatever is being sent when a connection ends, the others get theirs."""
        client, other = await stage.enter(), await stage.enter()
        calls = stage.watch(client)

        await asyncio.gather(_keep_sending(stage, 200), close(client))
        heard = await other.hear_numbers(200)
        expect_equal(heard, list(range(200)), "what the other hears")
        await client.hear_out()
        heard = client.numbers
        expect_equal(heard, list(range(len(heard))), "what the closed one has heard")
        expect_equal(calls, list(CALLS), "the close callbacks called")

    @scenario()
    async def test_sending_after_the_end_is_harmless(self, stage: Stage) -> None:
        """``send_event`` on a closed transport raises or does nothing, at once."""
        client = await stage.enter()
        await close(client)
        async with in_time("a send_event() that ends"):
            with suppress(Exception):
                await client.transport.send_event(make_event(1))
        await client.hear_out()
        expect_equal(client.numbers, [], "what the client hears after the end")
        client.check_ended()

    @scenario()
    async def test_the_end_of_the_server_ends_every_connection(
        self, stage: Stage
    ) -> None:
        """Every client is told when the PondSocket closes."""
        clients = [await stage.enter() for _ in range(5)]
        calls = [stage.watch(client) for client in clients]
        async with in_time("a PondSocket that closes"):
            await asyncio.gather(
                stage.pond.close(), *(client.hear_out() for client in clients)
            )
        expect_equal([len(each) for each in calls], [2] * 5, "callbacks per client")
        expect_equal(sorted(stage.left), sorted(stage.transports), "leave handlers")


async def close(client: Client) -> None:
    """Close the server's end; it may not raise, nor hang."""
    async with in_time("a close() that returns"):
        try:
            await client.transport.close()
        except Exception as error:  # the transport is not ours: it may raise anything
            raise AssertionError("expected: a close() that never raises") from error


async def _keep_sending(stage: Stage, count: int) -> None:
    for number in range(count):
        await stage.broadcast(number, 1)
        await asyncio.sleep(0)


def _fail(transport: Transport) -> None:
    raise RuntimeError("a callback's own failure")


async def _fail_later(transport: Transport) -> None:
    await asyncio.sleep(0)
    raise RuntimeError("a callback's own failure")
