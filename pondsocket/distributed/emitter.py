"""Emitter: speaks to the channels of all nodes from a process that serves no sockets.

It is no node: it has no users, and its messages stand outside the counting of what was
lost.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, Self

from pondsocket.callbacks import attempt_within
from pondsocket.changes import Sent
from pondsocket.distributed.answers import Answers
from pondsocket.distributed.messages import (
    MAX_SIZE,
    EvictUser,
    Message,
    StateRequest,
    encode,
)
from pondsocket.distributed.topics import Topics, is_safe_channel_name
from pondsocket.distributed.translation import to_messages
from pondsocket.errors import BadRequest, NotFound, PubSubClosedError
from pondsocket.event_names import check_event_name
from pondsocket.frame import Frame
from pondsocket.ids import uuid
from pondsocket.pubsub import PubSub, end_subscription, open_pubsub
from pondsocket.types import (
    AllExceptSender,
    AllUsers,
    Event,
    PondMessage,
    PondPresence,
    RecipientSpec,
    ServerActions,
    ToUsers,
    User,
)

__all__ = ["WAIT", "Emitter"]

logger: logging.Logger = logging.getLogger(__name__)

WAIT: Final = 1.0
"""Seconds in which nodes answer who is present; a busy one takes a quarter of one."""


class Emitter:
    """Broadcasts to channels, evicts their users and asks who is there.

    Every verb publishes, waits until the PubSub took it, and raises what that raises:
    then the message may be lost. Nodes deliver at most once and confirm nothing.
    ``namespace`` and ``key_prefix`` must be those of the nodes' ``Options``, and a
    channel is named as a client names it: ``broadcast("/socket", "/chat/1", ...)``.

    Args:
        pubsub: A backend, or the URL of one; one opened by URL is closed with this
            object.
        namespace: Separates applications on one server.
        key_prefix: Separates them too.
        node_id: Whom nodes see as the sender; no node's own id. "" for a random one.
        timeout: Seconds that the PubSub may take for one call.

    Raises:
        ValueError: If ``timeout`` is not above 0, or no backend knows the URL.
        ModuleNotFoundError: If the backend is not installed; says how to.
    """

    def __init__(
        self,
        pubsub: PubSub | str,
        *,
        namespace: str = "default",
        key_prefix: str = "pondsocket",
        node_id: str = "",
        timeout: float = 5.0,
    ) -> None:
        if timeout <= 0:
            raise ValueError(f"timeout must be above 0 seconds, got {timeout!r}")
        self._owns_pubsub = isinstance(pubsub, str)
        self._pubsub = open_pubsub(pubsub) if isinstance(pubsub, str) else pubsub
        self._topics = Topics(namespace, key_prefix)
        self._node_id = node_id or uuid()
        self._timeout = timeout
        self._is_closed = False

    async def broadcast(
        self, endpoint: str, channel: str, event: str, payload: PondMessage
    ) -> None:
        """Send to every member of a channel, on every node.

        Args:
            endpoint: The path with which the endpoint was created.
            channel: The channel's full name.
            event: The event's name.
            payload: A JSON object.

        Raises:
            BadRequest: If the payload has no JSON form or is above 4 MiB, or a name
                cannot be used.
            DeadlineExceeded: If the PubSub took longer than ``timeout``.
            PubSubClosedError: After :meth:`close`.
        """
        await self._emit(endpoint, channel, event, payload, AllUsers())

    async def broadcast_to(
        self,
        endpoint: str,
        channel: str,
        event: str,
        payload: PondMessage,
        *user_ids: str,
    ) -> None:
        """Send to the members named; raises as :meth:`broadcast` does."""
        await self._emit(endpoint, channel, event, payload, ToUsers(user_ids))

    async def broadcast_from(
        self,
        endpoint: str,
        channel: str,
        event: str,
        payload: PondMessage,
        exclude_id: str,
    ) -> None:
        """Send to every member but one; raises as :meth:`broadcast` does."""
        recipients = AllExceptSender(exclude_id)
        await self._emit(endpoint, channel, event, payload, recipients)

    async def evict(
        self, endpoint: str, channel: str, user_id: str, reason: str = ""
    ) -> None:
        """Have the node that has a user evict it; nobody tells if there is none.

        Raises:
            BadRequest: If the channel's name or the user's id cannot be used.
            DeadlineExceeded: If the PubSub took longer than ``timeout``.
            PubSubClosedError: After :meth:`close`.
        """
        if not user_id:
            raise BadRequest(channel, "user_id: expected an id, got ''")
        envelope = self._envelope(endpoint, channel)
        await self._publish(EvictUser(**envelope, user_id=user_id, reason=reason))

    async def presence(
        self, endpoint: str, channel: str, *, wait: float = WAIT
    ) -> dict[str, PondPresence]:
        """Return the presences of a channel by user id, as its members see them.

        Asks and raises as :meth:`users` does.
        """
        users = await self.users(endpoint, channel, wait=wait)
        return {
            user_id: user.presence
            for user_id, user in users.items()
            if user.presence is not None
        }

    async def users(
        self, endpoint: str, channel: str, *, wait: float = WAIT
    ) -> dict[str, User]:
        """Return the members of a channel on all nodes, by user id.

        Every node that has any tells them all to everybody in the channel: not a thing
        to ask many times a second. A node that does not answer in time is missing; one
        of whose answer a part is missing is logged.

        Args:
            endpoint: The path with which the endpoint was created.
            channel: The channel's full name.
            wait: Seconds that this takes, for nobody knows how many will answer.

        Raises:
            BadRequest: If the channel's name cannot be used.
            DeadlineExceeded: If the PubSub took longer than ``timeout``.
            PubSubClosedError: After :meth:`close`.
        """
        envelope = self._envelope(endpoint, channel)
        answers = Answers(envelope["endpoint_name"], channel)
        async with self._listening(endpoint, channel, answers):
            await self._publish(StateRequest(**envelope, from_node=self._node_id))
            await asyncio.sleep(wait)
        return answers.users()

    async def close(self) -> None:
        """Close the PubSub if it was opened by URL; idempotent."""
        self._is_closed = True
        if self._owns_pubsub:
            await self._pubsub.close()

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        await self.close()

    async def _emit(
        self,
        endpoint: str,
        channel: str,
        event: str,
        payload: PondMessage,
        recipients: RecipientSpec,
    ) -> None:
        check_event_name(event, channel)
        message = Event(ServerActions.BROADCAST, channel, uuid(), event, payload)
        sent = Sent(Frame(message), recipients)
        for each in to_messages(sent, self._envelope(endpoint, channel)):
            await self._publish(each)

    async def _publish(self, message: Message) -> None:
        data = encode(message)
        channel = message.channel_name
        if len(data) > MAX_SIZE:
            raise BadRequest(
                channel, f"nodes read up to {MAX_SIZE} bytes, got {len(data)}"
            )
        topic = self._topics.channel(message.endpoint_name, channel)
        await self._within(self._pubsub.publish, topic, data)

    @asynccontextmanager
    async def _listening(
        self, endpoint: str, channel: str, answers: Answers
    ) -> AsyncIterator[None]:
        topic = self._topics.channel(endpoint, channel)
        try:
            await self._within(self._pubsub.subscribe, topic, answers.take)
            yield
        finally:  # a subscription that was not confirmed in time is there nevertheless
            error = await attempt_within(
                self._timeout, end_subscription, self._pubsub, topic, answers.take
            )
            if error is not None and not isinstance(error, NotFound):
                logger.warning("unsubscribing %.200r failed: %s", channel, error)

    async def _within(self, work: Callable[..., object], *args: object) -> None:
        error = await attempt_within(self._timeout, work, *args)
        if error is not None:
            raise error

    def _envelope(self, endpoint: str, channel: str) -> dict[str, Any]:
        if self._is_closed:
            raise PubSubClosedError
        if not channel or not is_safe_channel_name(channel):
            raise BadRequest(
                channel,
                "channelName must not be empty, end in '.*' nor hold a lone surrogate "
                "between nodes",
            )
        return {
            "message_id": uuid(),
            "source_node_id": self._node_id,
            "endpoint_name": endpoint.removeprefix("/"),
            "channel_name": channel,
            "timestamp": int(time.time() * 1000),
        }
