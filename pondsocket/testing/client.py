"""Client: a peer that was greeted, and what it hears and says in a test."""

import json
from collections.abc import Mapping
from typing import Any

from pondsocket.ids import uuid
from pondsocket.testing.checks import eventually, expect, expect_equal, in_time
from pondsocket.testing.peer import TransportPeer, WireClosed
from pondsocket.transport import Transport

__all__ = ["ROOM", "Client", "make_message"]

ROOM = "/room/one"


class Client:
    """One connection, seen from both ends.

    Args:
        peer: The wire's end.
        transports: The server's ends by user id, as they are registered.

    Attributes:
        user_id: As the greeting tells it.
        transport: The server's end.
        heard: All that was received, decoded, in order.
    """

    def __init__(
        self, peer: TransportPeer, transports: Mapping[str, Transport]
    ) -> None:
        self.peer = peer
        self.user_id: str = ""
        self.transport: Transport
        self.heard: list[dict[str, Any]] = []
        self._transports = transports

    async def be_greeted(self) -> None:
        """Receive the first message, which names the connection."""
        greeting = await self.hear()
        expect_equal(greeting["event"], "CONNECTION", "the first message")
        self.user_id = greeting["payload"]["id"]
        known = self._transports
        await eventually(lambda: self.user_id in known, "the transport's registration")
        self.transport = known[self.user_id]

    async def hear(self) -> dict[str, Any]:
        """Return the next message."""
        async with in_time("a message to the client"):
            message: dict[str, Any] = json.loads(await self.peer.receive())
        self.heard.append(message)
        return message

    async def hear_named(self, event: str) -> dict[str, Any]:
        """Return the next message with that event name."""
        while (message := await self.hear())["event"] != event:
            pass
        return message

    async def hear_out(self) -> WireClosed:
        """Receive until the server has closed the connection, and return how it did."""
        try:
            while True:
                await self.hear()
        except WireClosed as closed:
            return closed

    async def hear_numbers(self, count: int) -> list[int]:
        """Return the numbers of all broadcasts so far, once there are so many."""
        while len(self.numbers) < count:
            await self.hear()
        return self.numbers

    @property
    def numbers(self) -> list[int]:
        """The numbers of the broadcasts that were heard, in order."""
        return [
            each["payload"]["n"] for each in self.heard if each["action"] == "BROADCAST"
        ]

    async def join(self, channel: str = ROOM) -> None:
        """Join a channel and hear that it is joined."""
        await self.peer.send(make_message("JOIN_CHANNEL", "join", channel=channel))
        await self.hear_named("ACKNOWLEDGE")

    async def say(
        self, event: str, payload: dict[str, Any] | None = None, *, channel: str = ROOM
    ) -> None:
        """Send an event to a channel."""
        await self.peer.send(make_message("BROADCAST", event, payload, channel=channel))

    async def echo(self, number: int, *, channel: str = ROOM) -> None:
        """Be answered by a handler: the connection works, in both directions."""
        await self.say("echo", {"n": number}, channel=channel)
        answer = await self.hear_named("echoed")
        expect_equal(answer["payload"], {"n": number}, "the answer to an echo")

    def check_ended(self) -> None:
        """Fail unless the server's end knows that it is closed."""
        expect(not self.transport.is_active(), "a closed transport that is not active")


def make_message(
    action: str,
    event: str,
    payload: dict[str, Any] | None = None,
    *,
    channel: str = ROOM,
) -> str:
    """Return one message of a client as text."""
    message = {
        "action": action,
        "event": event,
        "channelName": channel,
        "requestId": uuid(),
        "payload": payload or {},
    }
    return json.dumps(message, ensure_ascii=False)
