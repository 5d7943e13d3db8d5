"""Figures: what a case measured, checked against what it must keep to, as cells."""

from collections.abc import Sequence

from tests.cluster.load import Pair, counted_as_lost
from tests.cluster.members import Member

__all__ = ["at_most", "exactly", "losses"]


def at_most(seconds: float, bound: float) -> str:
    """Check a duration; return its cell."""
    assert seconds <= bound, f"took {seconds:.3f} s, {bound} s are allowed"
    return f"{seconds:.2f} s (at most {bound:g} s)"


def exactly(count: int, expected: int) -> str:
    """Check a count; return its cell."""
    assert count == expected
    return f"{count:,} ({expected:,})"


async def losses(remote: Sequence[Pair], *, may_lose: bool) -> dict[str, str]:
    """Check what was lost and repeated between nodes, by the logs of the members.

    What nodes counted as lost must be what the logs of their members lack, node by
    node; all members of one node hear the same, so one of each is asked.

    Args:
        remote: The first member of each node, as a listener, with all other speakers.
        may_lose: Whether anything may be lost at all.

    Returns:
        The cells ``lost``, ``counted_as_lost`` and ``duplicates``.
    """
    listeners: dict[str, Member] = {
        pair.listener.name: pair.listener for pair in remote
    }
    lost = {
        name: sum(pair.lost for pair in remote if pair.listener.name == name)
        for name in listeners
    }
    counted = {name: await counted_as_lost(each) for name, each in listeners.items()}
    assert counted == lost, f"counted {counted}, by the logs {lost}"
    repeated = sum(pair.repeated for pair in remote)
    assert repeated == 0
    total = sum(lost.values())
    assert may_lose or total == 0
    return {
        "lost": f"{total:,} (any)" if may_lose else exactly(total, 0),
        "counted_as_lost": f"{sum(counted.values()):,} (all)",
        "duplicates": exactly(repeated, 0),
    }
