"""EventContext: one message of a member, and what can be done about it."""

import copy
from typing import Any, Self

from pondsocket.contexts._base import ChannelContext
from pondsocket.metrics import Telemetry
from pondsocket.patterns import Pattern
from pondsocket.ports import ChannelPort
from pondsocket.transport import Transport
from pondsocket.types import (
    Event,
    MessageEvent,
    PondAssigns,
    PondMessage,
    PondPresence,
    Route,
    User,
)

__all__ = ["EventContext"]


class EventContext(ChannelContext):
    """One message that a member sent to its channel.

    Args:
        channel: Where it was sent.
        message: What was sent, and by whom.
        route: What the handler's pattern found in the event's name.
        transport: The sender's connection; without one a reply goes to all that the
            sender has.
        pattern: The handler's pattern, which finds the route if that is asked for.
        has_shared_presence: Whether the sender's presence is to be copied before
            anybody sees it; few handlers look.

    Attributes:
        event: The message.
    """

    _has_replied = False

    def __init__(
        self,
        *,
        channel: ChannelPort,
        message: MessageEvent,
        route: Route | None = None,
        transport: Transport | None = None,
        pattern: Pattern | None = None,
        has_shared_presence: bool = False,
    ) -> None:
        super().__init__(channel, route)
        self.event: Event = message.event
        self._user = message.user
        self._has_shared_presence = has_shared_presence
        self._transport = transport
        self._pattern = pattern
        self._matched = self.event.event  # the handler may change the event

    @property
    def user(self) -> User:
        """The sender, as it was when the message was handled."""
        if self._has_shared_presence:
            self._has_shared_presence = False
            self._user.presence = copy.deepcopy(self._user.presence)
        return self._user

    @user.setter
    def user(self, user: User) -> None:
        """Replace the sender."""
        self._has_shared_presence = False
        self._user = user

    @property
    def telemetry(self) -> Telemetry:
        """Where the framework counts and reports; middleware reads it."""
        return self.channel.telemetry

    @property
    def request_id(self) -> str:
        """The message's id, by which the client correlates the reply."""
        return self.event.request_id

    @property
    def event_name(self) -> str:
        """The message's event name."""
        return self.event.event

    def get_payload(self) -> Any:  # noqa: ANN401 - whatever the client sent
        """Return what the client sent."""
        return self.event.payload

    def get_user(self) -> User:
        """Return the sender."""
        return self.user

    def has_replied(self) -> bool:
        """Tell whether a reply was sent."""
        return self._has_replied

    async def reply(self, event: str, payload: PondMessage) -> Self:
        """Answer the sender alone; only the first reply is sent.

        Raises:
            BadRequest: For a reserved event name or a payload that cannot be encoded.
        """
        if self._has_replied:
            return self
        if self._transport is not None:
            await self.channel.reply(
                self._transport, event, payload, self.event.request_id
            )
        else:  # a context made by hand
            await self.channel.send_system(
                event,
                payload,
                request_id=self.event.request_id,
                user_ids=[self._user.id],
            )
        self._has_replied = True
        return self

    async def broadcast(self, event: str, payload: PondMessage) -> Self:
        """Send to every member; raises as ``Channel.broadcast``."""
        await self.channel.broadcast(event, payload)
        return self

    async def broadcast_to(
        self, event: str, payload: PondMessage, *user_ids: str
    ) -> Self:
        """Send to the members named; raises as ``Channel.broadcast``."""
        await self.channel.broadcast_to(event, payload, *user_ids)
        return self

    async def broadcast_from(self, event: str, payload: PondMessage) -> Self:
        """Send to all but the sender; raises as ``Channel.broadcast``."""
        await self.channel.broadcast_from(event, payload, self._user.id)
        return self

    async def track(self, presence: PondPresence, *user_ids: str) -> Self:
        """Start to show presences (default: the sender's); 409 if one is tracked."""
        for user_id in self._whom(user_ids):
            await self.channel.track_presence(user_id, presence)
        return self

    async def update_presence(self, presence: PondPresence, *user_ids: str) -> Self:
        """Replace presences (default: the sender's); 404 if one is not tracked."""
        for user_id in self._whom(user_ids):
            await self.channel.update_presence(user_id, presence)
        return self

    async def untrack(self, *user_ids: str) -> Self:
        """Stop showing presences (default: the sender's); 404 if one is not tracked."""
        for user_id in self._whom(user_ids):
            await self.channel.untrack_presence(user_id)
        return self

    async def evict(self, reason: str, *user_ids: str) -> Self:
        """Remove users (default: the sender) from the channel; 404 if unknown."""
        for user_id in self._whom(user_ids):
            await self.channel.evict_user(user_id, reason)
        return self

    async def set_assign(self, key: str, value: Any) -> Self:  # noqa: ANN401 - as given
        """Set one assign of the sender in this channel."""
        return await self.assign({key: value})

    async def assign(self, assigns: PondAssigns) -> Self:
        """Set assigns of the sender in this channel."""
        for key, value in assigns.items():
            await self.channel.update_assign(self._user.id, key, value)
        return self

    async def get_assign(self, key: str) -> Any:  # noqa: ANN401 - as given
        """Return one assign of the sender, None if it is not set."""
        return await self.channel.get_user_assign(self._user.id, key)

    def _find_route(self) -> Route:
        route = None if self._pattern is None else self._pattern.match(self._matched)
        return route or Route()

    def _whom(self, user_ids: tuple[str, ...]) -> tuple[str, ...]:
        return user_ids or (self._user.id,)
