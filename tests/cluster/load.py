"""Load: members who talk at a steady pace, and what their logs say afterwards."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from tests.cluster.members import Member

__all__ = [
    "Pair",
    "counted_as_lost",
    "heard_since",
    "pairs",
    "said",
    "talking",
    "until",
]

TICK = 0.01  # seconds between two bursts of a talker
PAUSE = 0.02  # between two looks
PATIENCE = 15.0
SOAK = int(os.environ.get("POND_SOAK", "1"))  # `make soak`: how many times longer
LATE = 100  # numbers that may come after the last one


@dataclass(frozen=True, slots=True)
class Pair:
    """What one member heard of another, by their own logs."""

    speaker: Member
    listener: Member

    @property
    def heard(self) -> list[int]:
        """The numbers in the order in which they came."""
        return [number for number, _ in self.listener.heard[self.speaker.name]]

    @property
    def is_local(self) -> bool:
        """Whether both are on one node."""
        return self.speaker.node is self.listener.node

    @property
    def lost(self) -> int:
        """How many numbers never came."""
        return len(self.speaker.sent) - len(set(self.heard))

    @property
    def repeated(self) -> int:
        """How many came again."""
        return len(self.heard) - len(set(self.heard))

    @property
    def is_ordered(self) -> bool:
        """Whether no number came after a higher one."""
        return self.heard == sorted(self.heard)

    @property
    def slowest(self) -> float:
        """Seconds that a number took at most."""
        log = self.listener.heard[self.speaker.name]
        return max(at - self.speaker.sent[number] for number, at in log)

    def reached_after(self, moment: float) -> float | None:
        """Return after how many seconds something said since ``moment`` was heard."""
        for number, at in self.listener.heard[self.speaker.name]:
            if self.speaker.sent[number] >= moment:
                return at - moment
        return None


def pairs(
    speakers: Sequence[Member], listeners: Sequence[Member], *, are_local: bool = False
) -> list[Pair]:
    """Return who hears whom on other nodes, or on the same one."""
    every = [Pair(speaker, listener) for speaker in speakers for listener in listeners]
    return [pair for pair in every if pair.is_local == are_local]


async def until(
    condition: Callable[[], Awaitable[bool]], seconds: float = PATIENCE
) -> float:
    """Look again and again; return how many seconds it took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(PAUSE)
    return loop.time() - began


async def said(members: Sequence[Member], more: float) -> None:
    """Return once each has said so many numbers more; POND_SOAK times longer."""
    goals = [len(member.sent) + more * SOAK for member in members]

    async def all_have() -> bool:
        return all(len(m.sent) >= g for m, g in zip(members, goals, strict=True))

    await until(all_have, PATIENCE * SOAK)


async def heard_since(members: Sequence[Pair], moment: float) -> float:
    """Wait until all pairs are in touch again; return the seconds from ``moment``."""

    async def all_do() -> bool:
        return all(pair.reached_after(moment) is not None for pair in members)

    await until(all_do)
    return max(pair.reached_after(moment) or 0.0 for pair in members)


@contextlib.asynccontextmanager
async def talking(
    speakers: Sequence[Member], listeners: Sequence[Member], rate: float
) -> AsyncIterator[None]:
    """Let members talk meanwhile; at the end all have heard the last of each.

    Args:
        speakers: Who talks.
        listeners: Who must hear the last number of everybody; between the nodes no
            number is on its way then.
        rate: Numbers a second, of all speakers together.
    """
    is_over = asyncio.Event()
    each = rate / len(speakers)
    async with asyncio.TaskGroup() as tasks:
        for speaker in speakers:
            tasks.create_task(_talk(speaker, each, is_over))
        try:
            yield
        finally:
            is_over.set()
    last = {speaker.name: len(speaker.sent) - 1 for speaker in speakers}

    async def all_have_it() -> bool:
        return all(
            any(heard == number for heard, _ in listener.heard[name][-LATE:])
            for listener in listeners
            for name, number in last.items()
        )

    await until(all_have_it)


async def _talk(speaker: Member, rate: float, is_over: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    began, before = loop.time(), len(speaker.sent)
    while not is_over.is_set():
        due = before + int((loop.time() - began) * rate)
        while len(speaker.sent) < due:
            await speaker.say()
        await asyncio.sleep(TICK)
    await speaker.say()


async def counted_as_lost(member: Member) -> int:
    """Return what the node of a member has counted as lost."""
    answer = await member.ask("stats")
    return int(answer["pond"]["counts"]["lost"])
