"""Clients of tests.hosts.room, and what the room noted about them."""

from collections import Counter
from pathlib import Path

from tests.reliability.clients import Member, eventually

__all__ = ["ROOM", "Notes", "enter"]

ROOM = "/room/one"


class Notes:
    """The file in which the served application notes what happens."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def count(self, what: str) -> int:
        """Return how often something happened to anybody."""
        return len(self._users(what))

    def once_each(self, what: str, members: list[Member]) -> bool:
        """Tell whether something happened to these members, once, and to no other."""
        return Counter(self._users(what)) == Counter(each.user_id for each in members)

    async def wait_for(self, what: str, count: int, seconds: float = 10.0) -> None:
        """Wait until something has happened so often."""
        await eventually(lambda: self.count(what) >= count, seconds)

    def _users(self, what: str) -> list[str]:
        lines = (line.split() for line in self.path.read_text().splitlines())
        return [user for event, user in lines if event == what]


async def enter(port: int, kind: type[Member], **options) -> Member:
    """Connect and join the room."""
    member = await kind.open(port, **options)
    await member.join(ROOM)
    return member
