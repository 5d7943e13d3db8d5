"""The suites for what a transport may do beyond the Protocol: one for each power."""

import asyncio
from typing import Any, ClassVar

from pondsocket.errors import TooManyRequests
from pondsocket.testing.checks import expect, expect_equal, in_time
from pondsocket.testing.client import Client, make_message
from pondsocket.testing.scenario import scenario
from pondsocket.testing.stage import BACKLOG, FILL, Stage, make_frame
from pondsocket.testing.transport import TransportContract
from pondsocket.transport import (
    ClosesWithCode,
    FrameSink,
    HasConnectionId,
    PushableTransport,
)

__all__ = [
    "CloseCodeContract",
    "ConnectionIdContract",
    "FrameSinkContract",
    "PushContract",
]

MARK = 2000  # frames that no sink takes for a client that does not read
BATCH = 3
LONGEST_REASON = "é" * 61 + "e"  # 123 bytes of UTF-8, RFC 6455 5.5
SECRET_LETTERS = 22  # of base64, which is 128 bits


class FrameSinkContract(TransportContract):
    """For a ``FrameSink``: it takes all frames or none, and never waits."""

    power: ClassVar[type | None] = FrameSink

    @scenario()
    async def test_frames_that_are_taken_together_arrive_in_order(
        self, stage: Stage
    ) -> None:
        """``try_send`` takes any number of frames and keeps their order."""
        client = await stage.connect()
        sink: FrameSink = _has(client, FrameSink)
        expect(sink.try_send([make_frame(n) for n in range(100)]), "an idle sink takes")
        heard = await client.hear_numbers(100)
        expect_equal(heard, list(range(100)), "the numbers of 100 frames")

    @scenario()
    async def test_frames_that_are_refused_were_not_taken(self, stage: Stage) -> None:
        """``try_send`` takes all that it is given, or none of it."""
        client = await stage.connect()
        count = _fill(_has(client, FrameSink), first=0)
        heard = await client.hear_numbers(count)
        await client.peer.send("rubbish")
        while (answer := await client.hear())["event"] == "news":
            pass
        expect_equal(answer["event"], "INVALID_MESSAGE", "what comes last")
        expect_equal(heard, list(range(count)), "what was taken")
        expect_equal(client.numbers, heard, "what was taken, and no more")

    @scenario()
    async def test_each_refusal_is_followed_by_the_word_that_it_takes_again(
        self, stage: Stage
    ) -> None:
        """After a refusal the callback of ``on_writable`` is called, each time."""
        client = await stage.connect()
        sink: FrameSink = _has(client, FrameSink)
        writable = asyncio.Event()
        sink.on_writable(writable.set)
        count = 0
        for _ in range(3):
            count += _fill(sink, first=count)
            writable.clear()
            heard = await client.hear_numbers(count)
            expect_equal(heard, list(range(count)), "what was taken")
            async with in_time("a call of on_writable()'s callback"):
                await writable.wait()
            expect(sink.try_send([make_frame(count)]), "frames that are taken again")
            count += 1

    @scenario()
    async def test_a_sink_that_is_closed_takes_nothing(self, stage: Stage) -> None:
        """``try_send`` after the end is harmless."""
        client = await stage.connect()
        sink: FrameSink = _has(client, FrameSink)
        await client.transport.close()
        expect(not sink.try_send([make_frame(1)]), "a closed sink that takes nothing")
        await client.hear_out()
        expect_equal(client.numbers, [], "what the client hears after the end")


class CloseCodeContract(TransportContract):
    """For a transport that ``ClosesWithCode`` and whose clients see the code."""

    @scenario()
    async def test_the_client_is_told_the_code_and_the_reason(
        self, stage: Stage
    ) -> None:
        """Code and reason of ``close_with`` reach the client as they are."""
        for reason in ("", "the end", LONGEST_REASON):
            client = await stage.enter()
            async with in_time("a close_with() that returns"):
                await _has(client, ClosesWithCode).close_with(4001, reason)
            closed = await client.hear_out()
            expect_equal((closed.code, closed.reason), (4001, reason), "the end")
            await stage.until_left(client)

    @scenario()
    async def test_the_first_code_counts(self, stage: Stage) -> None:
        """``close_with`` is idempotent, with ``close`` too."""
        client = await stage.connect()
        transport: ClosesWithCode = _has(client, ClosesWithCode)
        await asyncio.gather(transport.close_with(4001, "a"), client.transport.close())
        await transport.close_with(4002, "b")
        expect_equal((await client.hear_out()).code, 4001, "the code")

    @scenario()
    async def test_an_ordinary_end_has_an_ordinary_code(self, stage: Stage) -> None:
        """``close`` is a normal closure, 1000."""
        client = await stage.connect()
        await client.transport.close()
        expect_equal((await client.hear_out()).code, 1000, "the code")

    @scenario()
    async def test_the_end_of_the_server_is_a_restart(self, stage: Stage) -> None:
        """A PondSocket that closes says 1012."""
        client = await stage.connect()
        _, closed = await asyncio.gather(stage.pond.close(), client.hear_out())
        expect_equal(closed.code, 1012, "the code")

    @scenario(max_message_size=4096)
    async def test_a_message_too_long_is_closed_with_its_code(
        self, stage: Stage
    ) -> None:
        """A message above ``max_message_size`` closes the connection with 1009."""
        client = await stage.connect()
        await client.say("echo", {"fill": "x" * 4096})
        expect_equal((await client.hear_out()).code, 1009, "the code")

    @scenario(outbound_max_messages=BACKLOG, send_timeout=8.0)
    async def test_a_slow_consumer_may_come_back_later(self, stage: Stage) -> None:
        """A full outbox closes with 1013, behind what the wire had taken."""
        client = await stage.enter()
        count = await stage.overfill(client)
        await stage.broadcast(count, 2 * BACKLOG, client.user_id)
        expect_equal((await client.hear_out()).code, 1013, "the code")
        heard = client.numbers
        expect_equal(heard, list(range(len(heard))), "what it hears before the end")


class PushContract(TransportContract):
    """For a ``PushableTransport``: its client's messages come from outside."""

    power: ClassVar[type | None] = PushableTransport

    @scenario()
    async def test_a_pushed_message_is_handled(self, stage: Stage) -> None:
        """``push_message`` takes one message as bytes, malformed ones too."""
        client = await stage.enter()
        transport: PushableTransport = _has(client, PushableTransport)
        await transport.push_message(b"rubbish")
        await client.hear_named("INVALID_MESSAGE")
        message = make_message("BROADCAST", "echo", {"n": 1})
        await transport.push_message(message.encode())
        await client.hear_named("echoed")

    @scenario(inbound_max_messages=2)
    async def test_a_full_inbox_refuses_what_is_pushed(self, stage: Stage) -> None:
        """``push_message`` raises TooManyRequests, and takes again later."""
        client = await stage.enter()
        transport: PushableTransport = _has(client, PushableTransport)
        await client.say("hold")
        message = make_message("BROADCAST", "echo", {"n": 1}).encode()
        try:
            for _ in range(4):
                await transport.push_message(message)
        except TooManyRequests:
            stage.gate.set()
            await client.hear_named("held")
            await client.echo(1)
        else:
            raise AssertionError("expected: TooManyRequests from a full inbox")

    @scenario()
    async def test_what_is_pushed_after_the_end_is_harmless(self, stage: Stage) -> None:
        """``push_message`` on a closed transport reaches no handler."""
        client, other = await stage.enter(), await stage.enter()
        transport: PushableTransport = _has(client, PushableTransport)
        await client.transport.close()
        for message in (
            make_message("BROADCAST", "echo", {"n": 1}),
            make_message("JOIN_CHANNEL", "join", channel="/room/late"),
        ):
            await transport.push_message(message.encode())
        await other.echo(2)  # whatever was started has had its turn
        expect_equal(stage.handled, [{"n": 2}], "what the message handler got")
        asked = [client.user_id, other.user_id]
        expect_equal(stage.asked, asked, "who asked to join, before the end")


class ConnectionIdContract(TransportContract):
    """For a transport that ``HasConnectionId``, which only its own client knows."""

    @scenario()
    async def test_the_connection_is_found_by_its_own_id_while_it_lives(
        self, stage: Stage
    ) -> None:
        """The id is in the greeting, is not the user's, and leads to the transport."""
        client = await stage.connect()
        connection_id = _has(client, HasConnectionId).connection_id
        told = client.heard[0]["payload"]["connectionId"]
        expect_equal(told, connection_id, "the id in the greeting")
        expect(connection_id != client.user_id, "an id that is not the user's")
        find = stage.pond.find_connection
        expect_equal(await find(connection_id), client.transport, "who is found")
        await client.transport.close()
        expect_equal(await find(connection_id), None, "who is found after the end")

    @scenario()
    async def test_ids_of_connections_are_long_and_differ(self, stage: Stage) -> None:
        """An id is a secret of at least 128 bits."""
        clients = [await stage.connect() for _ in range(5)]
        ids = {_has(each, HasConnectionId).connection_id for each in clients}
        expect_equal(len(ids), 5, "the number of different ids")
        expect(min(map(len, ids)) >= SECRET_LETTERS, f"{SECRET_LETTERS} letters")


def _has(client: Client, power: type) -> Any:  # noqa: ANN401 - a `power`
    """Return the server's end of a client, which must have a power."""
    expect(isinstance(client.transport, power), f"a {power.__name__}")
    return client.transport


def _fill(sink: FrameSink, first: int) -> int:
    """Give frames, three at a time, until they are refused; return how many it took."""
    for taken in range(0, MARK, BATCH):
        numbers = range(first + taken, first + taken + BATCH)
        if not sink.try_send([make_frame(n, fill=FILL) for n in numbers]):
            return taken
    raise AssertionError(f"expected: a refusal before {MARK * len(FILL)} bytes wait")
