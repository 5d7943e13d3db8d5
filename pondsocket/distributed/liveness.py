"""Liveness: which nodes are there, by when they were last heard. Reads no clock."""

__all__ = ["NodeTable"]


class NodeTable:
    """When each other node was last heard.

    A node that falls silent is dead, and forgotten later: until then its late messages
    are told from those of a stranger.

    Args:
        timeout: Seconds of silence after which a node is dead.
        memory: Seconds after which a dead node is forgotten; ``timeout`` by default.
    """

    __slots__ = ("_died", "_heard", "_memory", "_timeout")

    def __init__(self, timeout: float, memory: float | None = None) -> None:
        self._timeout = timeout
        self._memory = timeout if memory is None else memory
        self._heard: dict[str, float] = {}
        self._died: dict[str, float] = {}

    def __len__(self) -> int:
        """Return the number of nodes that are alive."""
        return len(self._heard)

    def __contains__(self, node: object) -> bool:
        """Tell whether a node is alive."""
        return node in self._heard

    def hear(self, node: str, now: float) -> None:
        """Note a sign of life."""
        self._heard[node] = now
        self._died.pop(node, None)

    def excuse(self, seconds: float) -> None:
        """Note that this node could not listen for a while: silence does not count."""
        self._heard = {node: at + seconds for node, at in self._heard.items()}

    def bury(self, now: float) -> list[str]:
        """Let the nodes that were silent for too long be dead, and return them."""
        dead = _due(self._heard, self._timeout, now)
        self._died |= dict.fromkeys(dead, now)
        return dead

    def forget(self, now: float) -> list[str]:
        """Forget the nodes that have been dead for long enough, and return them."""
        return _due(self._died, self._memory, now)

    def next_death(self) -> float:
        """Return when the first of them is dead unless it is heard; else infinity."""
        return min(self._heard.values(), default=float("inf")) + self._timeout


def _due(table: dict[str, float], span: float, now: float) -> list[str]:
    """Take out what happened ``span`` seconds ago or earlier."""
    # Added as in next_death(), or rounding could let that be past and nobody be due.
    due = [node for node, at in table.items() if at + span <= now]
    for node in due:
        del table[node]
    return due
