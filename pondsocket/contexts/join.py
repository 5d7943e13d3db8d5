"""JoinContext: decides whether a connection becomes a member of a channel."""

from typing import Any, Self

from pondsocket.contexts._base import ChannelContext
from pondsocket.errors import BadRequest
from pondsocket.ports import ChannelPort
from pondsocket.transport import Transport
from pondsocket.types import (
    Event,
    JoinParams,
    PondAssigns,
    PondMessage,
    PondPresence,
    Route,
    User,
)

__all__ = ["JoinContext"]


class JoinContext(ChannelContext):
    """One request to join; a handler that does not respond declines it with 401.

    Attributes:
        event: The request; its payload are the join params.
        transport: The connection that asks.
    """

    def __init__(
        self,
        *,
        channel: ChannelPort,
        event: Event,
        transport: Transport,
        route: Route | None = None,
    ) -> None:
        super().__init__(channel, route)
        self.event = event
        self.transport = transport
        self._assigns: PondAssigns = {}
        self._has_responded = False
        self._is_accepted = False

    @property
    def user(self) -> User:
        """The user that asks, with the connection's assigns; it is no member yet."""
        return User(self.transport.get_id(), self.transport.clone_assigns())

    @property
    def has_responded(self) -> bool:
        """Whether the join was accepted or declined."""
        return self._has_responded

    @property
    def is_accepted(self) -> bool:
        """Whether the join was accepted."""
        return self._is_accepted

    @property
    def join_params(self) -> JoinParams:
        """What the client sent along."""
        return self.get_join_params()

    def get_join_params(self) -> JoinParams:
        """Return what the client sent along, as a copy."""
        return dict(self.event.payload or {})

    async def accept(self, assigns: PondAssigns | None = None) -> Self:
        """Make the user a member and acknowledge it.

        Args:
            assigns: The user's assigns in this channel, beside the connection's own.

        Raises:
            BadRequest: If the join was answered already.
            Conflict: If the user is a member already.
            Unavailable: If the connection ended meanwhile.
        """
        self._respond()
        try:
            await self.channel.join(
                self.transport,
                self.event.request_id,
                {**self._assigns, **(assigns or {})},
            )
        except BaseException:
            self._has_responded = False  # nothing was sent: it can be declined yet
            raise
        self._is_accepted = True
        return self

    async def decline(self, code: int, message: str) -> Self:
        """Refuse the join; the client gets ``UNAUTHORIZED`` with code and message.

        Raises:
            BadRequest: If the join was answered already.
        """
        self._respond()
        await self.channel.decline(self.transport, self.event.request_id, code, message)
        return self

    async def reply(self, event: str, payload: PondMessage) -> Self:
        """Send an answer to the user alone, after the acknowledgement.

        Raises:
            BadRequest: Before acceptance, for a reserved name or a bad payload.
        """
        self._check_accepted()
        await self.channel.reply(self.transport, event, payload, self.event.request_id)
        return self

    async def track(self, presence: PondPresence) -> Self:
        """Start to show the user's presence; raises as ``Channel.track_presence``."""
        self._check_accepted()
        await self.channel.track_presence(self.transport.get_id(), presence)
        return self

    async def broadcast(self, event: str, payload: PondMessage) -> Self:
        """Send to every member, the new one too; raises as ``Channel.broadcast``."""
        self._check_accepted()
        await self.channel.broadcast(event, payload)
        return self

    async def broadcast_to(
        self, event: str, payload: PondMessage, *user_ids: str
    ) -> Self:
        """Send to the members named; raises as ``Channel.broadcast``."""
        self._check_accepted()
        await self.channel.broadcast_to(event, payload, *user_ids)
        return self

    async def broadcast_from(self, event: str, payload: PondMessage) -> Self:
        """Send to all but the new member; raises as ``Channel.broadcast``."""
        self._check_accepted()
        await self.channel.broadcast_from(event, payload, self.transport.get_id())
        return self

    async def set_assign(self, key: str, value: Any) -> Self:  # noqa: ANN401 - as given
        """Set one assign of the user in this channel; before acceptance it waits."""
        return await self.assign({key: value})

    async def assign(self, assigns: PondAssigns) -> Self:
        """Set assigns of the user in this channel; before acceptance they wait."""
        self._assigns.update(assigns)
        if self._is_accepted:
            for key, value in assigns.items():
                await self.channel.update_assign(self.transport.get_id(), key, value)
        return self

    async def get_assign(self, key: str) -> Any:  # noqa: ANN401 - as given
        """Return one assign of the user, None if it is not set."""
        if self._is_accepted:
            return await self.channel.get_user_assign(self.transport.get_id(), key)
        return self._assigns.get(key, self.transport.get_assign(key))

    def _respond(self) -> None:
        if self._has_responded:
            raise BadRequest(self.channel.name, "the join was answered already")
        self._has_responded = True

    def _check_accepted(self) -> None:
        if not self._is_accepted:
            raise BadRequest(self.channel.name, "the join was not accepted")
