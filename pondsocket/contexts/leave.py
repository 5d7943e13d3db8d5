"""LeaveContext: a member is gone; what is left to be done about it."""

from typing import Any, Self

from pondsocket.contexts._base import ChannelContext
from pondsocket.errors import BadRequest
from pondsocket.ports import ChannelPort
from pondsocket.types import LeaveReason, PondMessage, Route, User

__all__ = ["LeaveContext"]


class LeaveContext(ChannelContext):
    """One leaving; the user is already removed.

    Attributes:
        user: Who left, with its last assigns and presence.
        reason: Why, a ``LeaveReason``.
    """

    def __init__(
        self,
        *,
        channel: ChannelPort,
        user: User,
        reason: LeaveReason,
        route: Route | None = None,
    ) -> None:
        super().__init__(channel, route)
        self.user = user
        self.reason = reason
        self._has_sent = False

    def get_reason(self) -> LeaveReason:
        """Return why the user left."""
        return self.reason

    def get_user(self) -> User:
        """Return who left."""
        return self.user

    def get_assign(self, key: str) -> Any:  # noqa: ANN401 - the application's own
        """Return one assign that the user had, None if it was not set."""
        return self.user.assigns.get(key)

    async def remaining_user_count(self) -> int:
        """Return how many members this process has left."""
        return await self.channel.user_count()

    async def broadcast(self, event: str, payload: PondMessage) -> Self:
        """Send to the remaining members, once; raises as ``Channel.broadcast``."""
        self._send_once()
        await self.channel.broadcast(event, payload)
        return self

    async def broadcast_to(
        self, event: str, payload: PondMessage, *user_ids: str
    ) -> Self:
        """Send to the members named; raises as :meth:`broadcast`."""
        self._send_once()
        await self.channel.broadcast_to(event, payload, *user_ids)
        return self

    async def broadcast_from(self, event: str, payload: PondMessage) -> Self:
        """Send to all but the user that left; raises as :meth:`broadcast`."""
        self._send_once()
        await self.channel.broadcast_from(event, payload, self.user.id)
        return self

    def _send_once(self) -> None:
        if self._has_sent:
            raise BadRequest(self.channel.name, "a leave handler may send once")
        self._has_sent = True
