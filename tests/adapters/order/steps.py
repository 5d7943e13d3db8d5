"""Steps: what may happen to a channel and its members, and how to make any of it up.

A step that the moment does not allow (one who is no member cannot be evicted) does
nothing, so that every list of steps is a good one. Members are numbered; a number
above the last one begins anew.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from hypothesis import strategies as st

from pondsocket import EventContext
from tests.adapters.order.application import turn
from tests.adapters.order.model import FILTERED
from tests.adapters.order.play import Play

__all__ = ["INTERRUPTED", "STEPS", "Step"]

BIG = 70_000  # bytes; above what a channel and a batch join, and of what hosts buffer
MANY = 70  # above what a channel keeps pending


class Step(Protocol):
    """One thing that happens."""

    def take(self, play: Play) -> Awaitable[None]: ...


# What the server does, in a handler or elsewhere.


@dataclass(frozen=True)
class Broadcast:
    size: int = 0

    async def take(self, play: Play) -> None:
        await play.broadcast("news", play.new_payload(self.size))


@dataclass(frozen=True)
class BroadcastMany:
    count: int = MANY

    async def take(self, play: Play) -> None:
        for _ in range(self.count):
            await play.broadcast("news", play.new_payload())


@dataclass(frozen=True)
class BroadcastTo:
    whom: tuple[int, ...]

    async def take(self, play: Play) -> None:
        users = play.users(self.whom)
        await play.broadcast_to("secret", play.new_payload(), *users)


@dataclass(frozen=True)
class BroadcastFrom:
    who: int

    async def take(self, play: Play) -> None:
        await play.broadcast_from("news", play.new_payload(), play.user(self.who))


@dataclass(frozen=True)
class BroadcastFiltered:
    """A broadcast that outgoing handlers look at."""

    blocked: tuple[int, ...] = ()
    changed: tuple[int, ...] = ()
    turns: int = 0

    async def take(self, play: Play) -> None:
        payload = {
            **play.new_payload(),
            "blocked": play.users(self.blocked),
            "changed": play.users(self.changed),
            "turns": self.turns,
        }
        await play.broadcast(FILTERED, payload)


@dataclass(frozen=True)
class SendSystem:
    whom: tuple[int, ...]

    async def take(self, play: Play) -> None:
        await play.send_system(play.users(self.whom))


@dataclass(frozen=True)
class Reply:
    who: int

    async def take(self, play: Play) -> None:
        await play.reply(play.user(self.who))


@dataclass(frozen=True)
class Show:
    """Presence: track it, or update it, which some do not hear of."""

    who: int
    hidden_from: tuple[int, ...] = ()

    async def take(self, play: Play) -> None:
        await play.show(play.user(self.who), play.users(self.hidden_from))


@dataclass(frozen=True)
class Hide:
    who: int

    async def take(self, play: Play) -> None:
        await play.hide(play.user(self.who))


@dataclass(frozen=True)
class Join:
    who: int
    is_acknowledged: bool = True

    async def take(self, play: Play) -> None:
        await play.join(play.user(self.who), is_acknowledged=self.is_acknowledged)


@dataclass(frozen=True)
class Leave:
    who: int

    async def take(self, play: Play) -> None:
        await play.leave(play.user(self.who))


@dataclass(frozen=True)
class Remove:
    """The end of a membership that its client is not told of."""

    who: int

    async def take(self, play: Play) -> None:
        await play.remove(play.user(self.who))


@dataclass(frozen=True)
class Evict:
    who: int

    async def take(self, play: Play) -> None:
        await play.evict(play.user(self.who))


@dataclass(frozen=True)
class Turns:
    """Let the event loop turn; without this, steps happen in one turn."""

    count: int = 1

    async def take(self, play: Play) -> None:
        await turn(self.count)


# What clients do.


@dataclass(frozen=True)
class Answer:
    """In a handler: the reply to its message."""


@dataclass(frozen=True)
class Ask:
    """A message, whose handler takes steps of its own."""

    who: int
    script: tuple[Step | Answer, ...]

    async def take(self, play: Play) -> None:
        async def run(context: EventContext) -> None:
            for step in self.script:
                if isinstance(step, Answer):
                    await play.answer(context)
                else:
                    await step.take(play)

        await play.ask(self.who, run)


@dataclass(frozen=True)
class Request:
    """A message that the library handles by itself."""

    who: int
    action: str

    async def take(self, play: Play) -> None:
        await play.request(self.who, self.action)


@dataclass(frozen=True)
class StopReading:
    who: int

    async def take(self, play: Play) -> None:
        play.stop_reading(self.who)


@dataclass(frozen=True)
class ReadOn:
    who: int

    async def take(self, play: Play) -> None:
        play.read_on(self.who)


@dataclass(frozen=True)
class FallBehind:
    """A client that stops reading, and more than anyone buffers for it."""

    who: int

    async def take(self, play: Play) -> None:
        play.stop_reading(self.who)
        for _ in range(8):
            payload = play.new_payload(BIG)
            await play.broadcast_to("heavy", payload, play.user(self.who))


@dataclass(frozen=True)
class Vanish:
    who: int

    async def take(self, play: Play) -> None:
        play.vanish(self.who)


@dataclass(frozen=True)
class CloseConnection:
    """The end of a connection, in one turn with what is produced before."""

    who: int
    before: tuple[Step, ...] = ()

    async def take(self, play: Play) -> None:
        async def produce() -> None:
            for step in self.before:
                await step.take(play)

        await play.close_connection(self.who, produce)


@dataclass(frozen=True)
class Rest:
    """Wait until all who read have got everything."""

    async def take(self, play: Play) -> None:
        await play.rest()


WHO = st.integers(0, 5)
WHOM = st.lists(WHO, max_size=3).map(tuple)

PRODUCTIONS = st.one_of(
    st.builds(Broadcast),
    st.builds(BroadcastTo, WHOM),
    st.builds(BroadcastFrom, WHO),
    st.builds(BroadcastFiltered, WHOM, WHOM, st.integers(0, 2)),
    st.builds(SendSystem, WHOM),
    st.builds(Reply, WHO),
    st.builds(Show, WHO, WHOM),
    st.builds(Hide, WHO),
)
MASSES = st.one_of(st.builds(BroadcastMany), st.just(Broadcast(BIG)))
DOORS = st.one_of(
    st.builds(Join, WHO, st.booleans()),
    st.builds(Leave, WHO),
    st.builds(Remove, WHO),
    st.builds(Evict, WHO),
)
TURNS = st.builds(Turns, st.integers(1, 3))
SCRIPTS = st.lists(
    st.one_of(PRODUCTIONS, PRODUCTIONS, DOORS, TURNS, st.just(Answer())), max_size=5
).map(tuple)
CLIENTS = st.one_of(
    st.builds(Ask, WHO, SCRIPTS),
    st.builds(
        Request, WHO, st.sampled_from(["JOIN_CHANNEL", "LEAVE_CHANNEL", "BROADCAST"])
    ),
    st.builds(StopReading, WHO),
    st.builds(ReadOn, WHO),
    st.builds(FallBehind, WHO),
)
ENDS = st.one_of(
    st.builds(Vanish, WHO),
    st.builds(
        CloseConnection,
        WHO,
        st.lists(st.one_of(PRODUCTIONS, DOORS), max_size=5).map(tuple),
    ),
)

STEP = st.one_of(
    *[PRODUCTIONS] * 3, *[DOORS] * 2, *[CLIENTS] * 2, MASSES, TURNS, ENDS,
    st.just(Rest()),
)  # fmt: skip
# lists of lists: by itself a list is short on average, and few things happen in it
STEPS = st.lists(st.lists(STEP, max_size=10), max_size=10).map(
    lambda lists: [step for each in lists for step in each]
)

# What chance seldom brings together, for six members or more.
INTERRUPTED = [
    # what changes the roster while a broadcast is written slice by slice
    Broadcast(), Turns(), Broadcast(), Remove(5), Rest(),
    Broadcast(), Turns(), SendSystem((3, 4)), Join(5), Rest(),
    # one who reads late, and all that can pile up for it
    Show(1), Show(0), FallBehind(0), BroadcastFiltered((1,), (0, 2), 2), Broadcast(),
    Show(0, (3,)), Reply(0), BroadcastFrom(0), Turns(3), Broadcast(), ReadOn(0), Rest(),
    # presences, which some are told of by changes, and what else comes in that turn
    Show(2), Broadcast(), Hide(2), Reply(1), Reply(4), Show(2), SendSystem((1, 4)),
    Rest(),
    # more than is kept pending, then members who go and come again
    BroadcastMany(), Broadcast(BIG), Leave(1), Join(1), Broadcast(), Evict(2), Reply(2),
    # what a handler does in one turn, and what becomes of its client
    Ask(3, (Broadcast(), Answer(), BroadcastTo((3, 4)), Hide(0), Show(3), Leave(3))),
    Request(5, "BROADCAST"), Request(5, "LEAVE_CHANNEL"), Rest(),
    # what is pending for those whose connection is closed
    CloseConnection(4, (Broadcast(), Remove(4))),
    CloseConnection(3, (Reply(3),)),
    CloseConnection(0, (SendSystem((0, 1)), Broadcast())),
]  # fmt: skip
