"""OutgoingContext: one message on its way to one recipient."""

from typing import Any, Self

from pondsocket.contexts._base import ChannelContext
from pondsocket.ports import ChannelPort
from pondsocket.transport import Transport
from pondsocket.types import Event, PondMessage, Route, User

__all__ = ["OutgoingContext"]


class OutgoingContext(ChannelContext):
    """One delivery, which a handler may change or block for this recipient alone.

    Attributes:
        event: A copy of the message, of this recipient's own.
        user: The recipient.
        transport: The recipient's connection.
    """

    def __init__(
        self,
        *,
        channel: ChannelPort,
        event: Event,
        user: User,
        transport: Transport,
        route: Route | None = None,
    ) -> None:
        super().__init__(channel, route)
        self.event = event
        self.user: User = user
        self.transport = transport
        self._is_blocked = False
        self._has_transformed = False

    def block(self) -> Self:
        """Do not deliver the message to this recipient."""
        self._is_blocked = True
        return self

    def unblock(self) -> Self:
        """Deliver the message after all."""
        self._is_blocked = False
        return self

    def is_blocked(self) -> bool:
        """Tell whether the delivery is blocked."""
        return self._is_blocked

    def transform(self, payload: PondMessage) -> Self:
        """Deliver another payload to this recipient."""
        self.event.payload = payload
        self._has_transformed = True
        return self

    def has_transformed(self) -> bool:
        """Tell whether the payload was replaced."""
        return self._has_transformed

    def get_payload(self) -> Any:  # noqa: ANN401 - whatever was sent
        """Return the payload as this recipient would get it now."""
        return self.event.payload

    def get_event(self) -> str:
        """Return the event's name."""
        return self.event.event

    def get_user(self) -> User:
        """Return the recipient."""
        return self.user

    async def refresh_user(self) -> Self:
        """Look the recipient up again, after a wait in the handler.

        Raises:
            NotFound: If it is no member any more.
        """
        self.user = await self.channel.get_user(self.user.id)
        return self
