"""Application: what is served; its handlers do what the play of the moment says."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable

from pondsocket import (
    Endpoint,
    EventContext,
    JoinContext,
    Lobby,
    Options,
    OutgoingContext,
    PondSocket,
)
from tests.adapters.order.model import FILTERED
from tests.reliability.clients import PATH

__all__ = ["Application", "Script", "turn"]

Script = Callable[[EventContext], Awaitable[None]]


class Application:
    """Rooms in which a message says by its number what is to be done about it.

    Attributes:
        pond: To be served.
        open: Rooms where nobody looks at presences on their way out.
        guarded: Rooms where a handler does.
        scripts: By number, what to do about a message.
        running: How many scripts run.
        numbers: One for whatever must be told from all else.
    """

    def __init__(self, options: Options) -> None:
        self.pond = PondSocket(options=options)
        self.endpoint: Endpoint = self.pond.create_endpoint(
            PATH, lambda context: context.accept()
        )
        self.open: Lobby = self._make_lobby("/open/:name")
        self.guarded: Lobby = self._make_lobby("/guarded/:name")
        self.guarded.on_outgoing("UPDATE", self._guard_presence)
        self.scripts: dict[int, Script] = {}
        self.running = 0
        self.numbers = itertools.count(1)

    def _make_lobby(self, pattern: str) -> Lobby:
        lobby = self.endpoint.create_channel(pattern, self._join)
        lobby.on_message("play", self._play)
        lobby.on_outgoing(FILTERED, self._filter)
        return lobby

    async def _join(self, context: JoinContext) -> None:
        await context.accept()

    async def _play(self, context: EventContext) -> None:
        self.running += 1
        try:
            await self.scripts.pop(context.get_payload()["script"])(context)
        finally:
            self.running -= 1

    async def _filter(self, context: OutgoingContext) -> None:
        payload = context.get_payload()
        await turn(payload["turns"])
        if context.user.id in payload["blocked"]:
            context.block()
        elif context.user.id in payload["changed"]:
            context.transform({"n": payload["n"], "changed for": context.user.id})

    async def _guard_presence(self, context: OutgoingContext) -> None:
        await turn(1)
        if context.user.id in context.get_payload()["changed"]["hidden from"]:
            context.block()


async def turn(count: int) -> None:
    """Let so many turns of the event loop pass."""
    for _ in range(count):
        await asyncio.sleep(0)
