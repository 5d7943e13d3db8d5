"""Views: who is in the room and what is known of them, as each node sees it."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tests.cluster.load import until
from tests.cluster.members import Member

__all__ = ["agreement", "is_cut_off", "sees"]

View = tuple[set[str], dict[str, Any]]


async def sees(member: Member) -> View:
    """Return the names of the users and the presences by name, as a node knows them."""
    users, presences = await member.look()
    names = {user_id: assigns["name"] for user_id, assigns in users.items()}
    # A presence of somebody who is no user keeps its id: that would be a ghost.
    known = {names.get(user_id, user_id): each for user_id, each in presences.items()}
    return set(names.values()), known


async def is_cut_off(member: Member) -> bool:
    """Tell whether a member's node knows that its backend is out of reach."""
    return not (await member.ask("stats"))["pubsub"]["connected"]


async def agreement(
    members: Sequence[Member],
    *,
    names: Collection[str] | None = None,
    presences: Mapping[str, Any] | None = None,
) -> float:
    """Wait until all members see the same; return how many seconds it took.

    Args:
        members: One of each node.
        names: Exactly who must be there; whoever they see by default.
        presences: What must be known of some of them.
    """

    async def all_agree() -> bool:
        views = await asyncio.gather(*(sees(member) for member in members))
        users, known = views[0]
        return (
            all(view == views[0] for view in views)
            and (names is None or users == set(names))
            and (presences or {}).items() <= known.items()
        )

    return await until(all_agree)
