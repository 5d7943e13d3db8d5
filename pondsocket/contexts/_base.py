"""What the contexts that live inside a channel have in common."""

from pondsocket.ports import ChannelPort
from pondsocket.types import PondAssigns, PondPresence, Route

__all__ = ["ChannelContext"]


class ChannelContext:
    """A context with a channel.

    Attributes:
        channel: The channel, for everything that the context has no verb for.
    """

    def __init__(self, channel: ChannelPort, route: Route | None) -> None:
        self.channel = channel
        self._route = route

    @property
    def route(self) -> Route:
        """What the lobby's or handler's pattern found in the name."""
        if self._route is None:
            self._route = self._find_route()
        return self._route

    @route.setter
    def route(self, route: Route) -> None:
        """Replace the route."""
        self._route = route

    def _find_route(self) -> Route:
        return Route()

    async def get_all_presence(self) -> dict[str, PondPresence]:
        """Return everyone's presence by user id, as copies."""
        return await self.channel.get_presence()

    async def get_all_assigns(self) -> dict[str, PondAssigns]:
        """Return everyone's assigns by user id, as copies."""
        return await self.channel.get_assigns()
