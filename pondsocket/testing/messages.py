"""What a transport promises about messages: whole, in order, in both directions."""

import asyncio
import json

from pondsocket.testing.checks import expect, expect_equal, in_time
from pondsocket.testing.client import ROOM, Client, make_message
from pondsocket.testing.peer import WireClosed
from pondsocket.testing.scenario import scenario
from pondsocket.testing.served import Served
from pondsocket.testing.stage import Stage, make_event

__all__ = ["MessagesContract"]

OTHER_ROOM = "/room/two"
SIZES = (0, 1, 100, 125, 126, 60_000, 65_535, 65_536, 200_000)
AWKWARD = 'a\nb\r\n\r c\t\x00 \u2028\u2029\x85 é 中 😀 " \\ \\n data: x\n\n'
MALFORMED = (
    "rubbish",
    "{",
    "[]",
    "1",
    "null",
    '{"action":"JOIN_CHANNEL"}',
    make_message("NO_SUCH_ACTION", "x"),
    "[" * 500,
)
SMALL = 4096


class MessagesContract(Served):
    """Tests of what travels."""

    @scenario()
    async def test_broadcasts_arrive_in_the_order_in_which_they_were_made(
        self, stage: Stage
    ) -> None:
        """Each event of a channel arrives once, in order."""
        client = await stage.enter()
        await stage.broadcast(0, 500)
        heard = await client.hear_numbers(500)
        expect_equal(heard, list(range(500)), "the numbers of 500 broadcasts")

    @scenario()
    async def test_events_given_to_the_transport_itself_arrive_in_order(
        self, stage: Stage
    ) -> None:
        """``send_event`` returns once the next event may be given."""
        client = await stage.connect()
        for number in range(20):
            async with in_time("a send_event() that returns"):
                await client.transport.send_event(make_event(number))
            await client.hear()
        expect_equal(client.numbers, list(range(20)), "the numbers of 20 events")

    @scenario()
    async def test_a_message_of_any_size_arrives_whole(self, stage: Stage) -> None:
        """What a message holds arrives as it is, whatever its size."""
        client = await stage.enter()
        channel = await stage.lobby.get_or_create_channel(ROOM)
        for size in SIZES:
            payload = {"n": size, "fill": "x" * size}
            await channel.broadcast("news", payload)
            message = await client.hear_named("news")
            expect(message["payload"] == payload, f"{size} bytes of fill, unchanged")

    @scenario()
    async def test_awkward_characters_travel_unchanged_both_ways(
        self, stage: Stage
    ) -> None:
        """Line breaks, NUL and what is no ASCII mean nothing to the wire."""
        client = await stage.enter()
        await client.say("echo", {"text": AWKWARD})
        message = await client.hear_named("echoed")
        expect_equal(stage.handled, [{"text": AWKWARD}], "what the handler got")
        expect_equal(message["payload"], {"text": AWKWARD}, "what came back")

    @scenario()
    async def test_messages_of_one_channel_are_handled_in_order(
        self, stage: Stage
    ) -> None:
        """The messages of a client reach the handlers in the order of sending."""
        client = await stage.enter()
        for number in range(100):
            await client.say("echo", {"n": number})
        for _ in range(100):
            await client.hear_named("echoed")
        handled = [payload["n"] for payload in stage.handled]
        expect_equal(handled, list(range(100)), "the numbers of 100 messages")

    @scenario()
    async def test_reading_does_not_wait_for_a_handler(self, stage: Stage) -> None:
        """While a handler waits, other channels go on and its own channel waits."""
        client = await stage.enter()
        await client.join(OTHER_ROOM)
        await client.say("hold")
        await client.say("echo", {"n": 1})
        await client.echo(2, channel=OTHER_ROOM)
        stage.gate.set()
        await client.hear_named("held")
        await client.hear_named("echoed")
        handled = [payload["n"] for payload in stage.handled]
        expect_equal(handled, [2, 1], "the order of handling")

    @scenario()
    async def test_what_is_malformed_is_answered_and_the_connection_goes_on(
        self, stage: Stage
    ) -> None:
        """A malformed message gets ``INVALID_MESSAGE`` and ends nothing."""
        client = await stage.enter()
        for text in MALFORMED:
            await client.peer.send(text)
            answer = await client.hear()
            expect_equal(answer["event"], "INVALID_MESSAGE", f"the answer to {text!r}")
        await client.echo(1)

    @scenario(max_message_size=SMALL)
    async def test_a_message_of_just_the_permitted_size_is_handled(
        self, stage: Stage
    ) -> None:
        """``max_message_size`` counts the message, without what the wire adds."""
        client = await stage.enter()
        await client.peer.send(_sized("echo", SMALL))
        await client.hear_named("echoed")

    @scenario(max_message_size=SMALL)
    async def test_a_message_too_long_reaches_no_handler_and_harms_nobody(
        self, stage: Stage
    ) -> None:
        """A message above ``max_message_size`` ends its own connection at most."""
        client, other = await stage.enter(), await stage.enter()
        for size in (SMALL + 1, 100 * SMALL):
            await client.peer.send(_sized("echo", size))
        await other.echo(1)
        try:
            await client.echo(2)
        except WireClosed:
            await stage.until_left(client)
        handled = [payload["n"] for payload in stage.handled]
        expect(set(handled) <= {1, 2}, "no handler that sees what is too long")

    @scenario()
    async def test_clients_talk_at_the_same_time(self, stage: Stage) -> None:
        """Connections share nothing."""
        clients = [await stage.enter() for _ in range(5)]
        await asyncio.gather(*map(_chat, clients, range(0, 500, 100)))


async def _chat(client: Client, first: int) -> None:
    for number in range(first, first + 20):
        await client.echo(number)


def _sized(event: str, size: int) -> str:
    """Return a message of exactly ``size`` bytes."""
    empty = len(make_message("BROADCAST", event, {"n": -1, "fill": ""}))
    text = make_message("BROADCAST", event, {"n": -1, "fill": "x" * (size - empty)})
    expect_equal(len(json.dumps(json.loads(text))), size, "the size of a message")
    return text
