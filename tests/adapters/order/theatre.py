"""Theatre: a server that lasts for many plays, each with a channel of its own."""

import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from pondsocket import Options
from tests.adapters.order.application import Application
from tests.adapters.order.places import Connect, Place
from tests.adapters.order.play import Play
from tests.adapters.order.steps import Step
from tests.reliability.clients import eventually, hang_up_all

__all__ = ["Theatre"]

UNLIMITED = {  # no message may be coalesced, refused or dropped
    "presence_budget": 0,
    "max_messages_per_second": 0.0,
    "outbound_max_messages": 100_000,
    "outbound_max_bytes": 1 << 28,
}


class Theatre:
    """What plays are given in; made by :meth:`open`."""

    def __init__(self, application: Application, connect: Connect) -> None:
        self._application = application
        self._connect = connect
        self._numbers = itertools.count(1)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, place: Place, options: Mapping[str, bool]
    ) -> "AsyncIterator[Theatre]":
        """Serve at a place, in the running loop."""
        application = Application(Options(**UNLIMITED, **options))
        async with place.serve(application.pond) as connect:
            yield cls(application, connect)

    async def play(
        self,
        kinds: Sequence[int],
        members: int,
        steps: Sequence[Step],
        *,
        is_guarded: bool,
    ) -> None:
        """Let clients connect, take the steps, and see what came of it.

        Args:
            kinds: The kind of each client.
            members: How many of them are in from the beginning.
            steps: What happens then.
            is_guarded: Whether an outgoing handler looks at presences.
        """
        app = self._application
        lobby = app.guarded if is_guarded else app.open
        name = lobby.path.replace(":name", str(next(self._numbers)))
        channel = await lobby.get_or_create_channel(name)
        async with channel.held():
            players = [await self._connect(kind) for kind in kinds]
            play = Play(app, channel, players, is_guarded=is_guarded)
            try:
                for player in players[:members]:
                    await play.join(player.user_id)
                for step in steps:
                    await step.take(play)
                await play.finish()
                play.check()
            finally:
                for player in players:
                    player.hang_up()
                await hang_up_all()
                await eventually(lambda: all(player.is_over for player in players))
