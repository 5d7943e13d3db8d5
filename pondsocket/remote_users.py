"""RemoteUsers: who of a channel lives on other nodes, and their assigns. Pure.

The same user id may live on several nodes at a time: what is kept is a user of a node.
"""

from pondsocket.types import PondAssigns

__all__ = ["RemoteUsers"]


class RemoteUsers:
    """The users of one channel on every other node, as far as this one has heard."""

    __slots__ = ("_by_node",)

    def __init__(self) -> None:
        self._by_node: dict[str, dict[str, PondAssigns]] = {}

    def put(self, node: str, user_id: str, assigns: PondAssigns) -> None:
        """Remember a user of a node, with all its assigns."""
        self._by_node.setdefault(node, {})[user_id] = assigns

    def set_assign(self, node: str, user_id: str, key: str, value: object) -> None:
        """Set one assign; the user becomes known if it was not."""
        self._by_node.setdefault(node, {}).setdefault(user_id, {})[key] = value

    def remove(self, node: str, user_id: str) -> None:
        """Forget a user of a node."""
        users = self._by_node.get(node)
        if users is not None:
            users.pop(user_id, None)
            if not users:
                del self._by_node[node]

    def of(self, node: str) -> tuple[str, ...]:
        """Return the ids of a node's users."""
        return tuple(self._by_node.get(node, ()))

    def node_of(self, user_id: str) -> str:
        """Return the node that a user lives on, the first by name; "" for none."""
        nodes = (node for node, users in self._by_node.items() if user_id in users)
        return min(nodes, default="")

    def assigns_of(self, user_id: str) -> PondAssigns | None:
        """Return a copy of a user's assigns, None if nobody knows it."""
        users = self._by_node.get(self.node_of(user_id))
        return None if users is None else dict(users[user_id])

    def assigns(self) -> dict[str, PondAssigns]:
        """Return a copy of everyone's assigns, by user id."""
        everyone: dict[str, PondAssigns] = {}
        for _, users in sorted(self._by_node.items(), reverse=True):
            everyone |= {user_id: dict(each) for user_id, each in users.items()}
        return everyone
