"""ChannelLink: one channel of this node in touch with the same channel on others.

Outgoing: each change that the channel announces becomes a message with the next number
of this link's life, and goes out in the background, in order. Incoming: ``Inbound``
takes what others say of their users; what they ask about ours is carried out by the
channel, which announces it like any other change. A node whose messages were missed is
asked for its whole state, at most once per ``anti_entropy_interval``; whoever is asked
answers for everybody, since all hear it.

The link lives from the channel's first member to its last. It subscribes once: keeping
the subscription through outages is the PubSub's part. After one it tells its own state
and asks for the others', for both sides may have missed something.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Final

import msgspec

from pondsocket.changes import AssignsSet, Change, Command, Left, Sent
from pondsocket.distributed.broadcasts import BroadcastWriter
from pondsocket.distributed.inbound import Inbound
from pondsocket.distributed.lookups import Lookups
from pondsocket.distributed.messages import (
    AssignsUpdate,
    EvictUser,
    Message,
    PresenceRemoved,
    PresenceUpdate,
    StateRequest,
    StateResponse,
    UserGetRequest,
    UserGetResponse,
    UserJoined,
    UserLeft,
    UserMessage,
    UserRemove,
    is_addressed_to,
)
from pondsocket.distributed.node import Node, Timers
from pondsocket.distributed.translation import (
    Ordered,
    divide_state,
    shareable,
    to_answer,
    to_commands,
    to_messages,
    to_order,
    to_state_user,
)
from pondsocket.frame import Frame
from pondsocket.ids import uuid
from pondsocket.ports import LinkedChannel
from pondsocket.pubsub import HANDLED
from pondsocket.types import RecipientSpec, User

__all__ = ["ChannelLink"]

logger: logging.Logger = logging.getLogger(__name__)

_SIGNS_OF_LIFE: Final = (
    UserJoined,
    UserLeft,
    PresenceUpdate,
    PresenceRemoved,
    AssignsUpdate,
    StateResponse,
)  # of a node that may have users; anything may publish a broadcast or a command

ANSWER_EVERY: Final = 0.25  # seconds; whoever asks meanwhile shares the next answer


class ChannelLink:
    """The peers of one channel, over a PubSub.

    Args:
        node: This node.
        endpoint_path: Path of the channel's endpoint.
        channel_name: The channel's full name.
        channel: The channel here.
        on_close: Called once, when the link is closed.

    Attributes:
        endpoint: The endpoint's path without its leading slash, as it travels.
        name: The channel's full name.
        epoch: Which life of the link this is.
        sent: How many numbered messages it has sent.
    """

    def __init__(
        self,
        node: Node,
        endpoint_path: str,
        channel_name: str,
        channel: LinkedChannel,
        on_close: Callable[["ChannelLink"], None],
    ) -> None:
        self.endpoint: str = endpoint_path.removeprefix("/")
        self.name: str = channel_name
        self.epoch: str = node.new_epoch()
        self.sent: int = 0
        self._node = node
        self._channel = channel
        self._on_close = on_close
        self._topic = node.topics.channel(self.endpoint, channel_name)
        self._inbound = Inbound(channel, node.telemetry, self._need_state)
        self._opening: asyncio.Task[None] | None = None
        self._lookups = Lookups(node.options.user_get_timeout)
        self._asked: dict[str, float] = {}
        self._answered = float("-inf")
        self._timers = Timers()
        self._writer = BroadcastWriter(node.id, self.endpoint, self.epoch)
        self._is_closed = False

    # What the channel does.

    async def open(self) -> None:
        """Return once messages arrive, or after ``subscribe_timeout``; never raises."""
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(
                self._listen(), name=f"pond-link-{self.name}"
            )
        await asyncio.shield(self._opening)

    async def _listen(self) -> None:
        await self._node.subscribe(self._topic, self.receive)
        self._inbound.since = self._node.now_ms()
        if not self._is_closed:
            self._ask_everyone()

    async def announce(self, change: Change) -> None:
        """Tell the other nodes of a change that was applied here; never raises."""
        match change:
            case Sent(frame=frame, recipients=recipients):
                self._send_broadcast(frame, recipients)
            case Left(user=user) if self._channel.local_user(user.id):
                return  # a member again meanwhile: others know the new one
            case _:
                self._send_facts(change)
        if self._node.publisher.is_crowded:
            await self._node.publisher.room()

    def _send_broadcast(self, frame: Frame, recipients: RecipientSpec) -> None:
        self.sent += 1
        node = self._node
        message = self._writer.write(
            frame, recipients, node.new_id(), self.sent, node.now_ms()
        )
        node.publish(self._topic, message)

    def _send_facts(self, change: Change) -> None:
        for message in self._messages(change):
            self.sent += 1
            numbered = msgspec.structs.replace(
                message, source_epoch=self.epoch, source_seq=self.sent
            )
            self._send(numbered)

    def _messages(self, change: Change) -> list[Message]:
        messages = list(to_messages(change, self._envelope()))
        if isinstance(change, AssignsSet) and not messages:
            self._count_unshareable()
            # The others may have a former value of it.
            user = self._channel.local_user(change.user_id)
            assigns = shareable(user.assigns) if user is not None else {}
            update = AssignsUpdate(
                **self._envelope(), user_id=change.user_id, assigns=assigns
            )
            messages.append(update)
        return messages

    def _count_unshareable(self) -> None:
        self._node.telemetry.count("unshareable")
        logger.warning("a value that has no JSON form stays on this node")

    async def ask(self, node: str, command: Command) -> None:
        """Ask the node that a user lives on for something; never raises."""
        envelope = self._envelope(node)
        message = to_order(command, envelope)
        if message is None:
            self._count_unshareable()
        else:
            self._send(message)

    async def find_user(self, user_id: str) -> User | None:
        """Ask all nodes for a user; None if none answers in ``user_get_timeout``."""
        request_id = uuid()
        self._lookups.begin(request_id)
        self._send(
            UserGetRequest(
                **self._envelope(),
                user_id=user_id,
                request_id=request_id,
                from_node=self._node.id,
            )
        )
        return await self._lookups.result(request_id)

    async def close(self) -> None:
        """Stop listening; what was announced still goes out."""
        self._is_closed = True
        self._on_close(self)
        self._timers.cancel_all()
        self._lookups.close()
        if self._opening is None:
            return
        await self._opening
        await self._node.unsubscribe(self._topic, self.receive)

    def _envelope(self, to_node: str = "") -> dict[str, Any]:
        envelope = self._node.envelope(self.endpoint, self.name)
        return envelope | {"to_node": to_node} if to_node else envelope

    def _send(self, message: Message) -> None:
        self._node.send(self._topic, message)

    # What other nodes say.

    def receive(self, topic: str, data: bytes) -> Awaitable[None]:
        """Take in what was published to the channel's topic.

        Called by the PubSub, on the event loop; never blocks.

        Returns:
            What to await before the next message; ``HANDLED`` need not be.
        """
        if self._is_closed:  # unsubscribing takes its time, or fails
            return HANDLED
        node = self._node
        message = node.read(topic, data)
        if message is None:
            return HANDLED
        if message.endpoint_name != self.endpoint or message.channel_name != self.name:
            node.telemetry.count("bus_misaddressed")
            return HANDLED
        if isinstance(message, _SIGNS_OF_LIFE) or message.source_epoch:
            node.hear(message.source_node_id)
        act = self._ACTIONS.get(type(message), ChannelLink._refuse)
        return asyncio.sleep(0) if act(self, message) else HANDLED

    def _take(self, message: UserMessage | UserJoined | UserLeft) -> bool:
        return self._inbound.take(message)

    def _settle(self, message: StateResponse) -> None:
        self._inbound.settle(message)

    def _refuse(self, message: object) -> None:
        """Count a message that belongs on the heartbeat topic."""
        self._node.telemetry.count("bus_misaddressed")

    def _take_fact(
        self, message: PresenceUpdate | PresenceRemoved | AssignsUpdate
    ) -> bool:
        if self._is_order(message):
            self._obey(message)
        elif is_addressed_to(message, message.source_node_id):  # else another node's
            return self._inbound.take(message)
        return False

    def _is_order(
        self, message: PresenceUpdate | PresenceRemoved | AssignsUpdate
    ) -> bool:
        """Tell whether a message asks for a change to a user of this node.

        Ours name the node; published nodes just write about a user that they lack.
        """
        if message.to_node == self._node.id:
            return True
        user_id, source = message.user_id, message.source_node_id
        return (
            not isinstance(message.source_epoch, str)
            and self._channel.local_user(user_id) is not None
            and user_id not in self._channel.users_of(source)
        )

    def _obey(self, message: Ordered) -> None:
        if not is_addressed_to(message, self._node.id):
            return
        if self._channel.local_user(message.user_id) is None:
            return
        for command in to_commands(message):
            self._node.run(self._channel.obey(command), "obey")

    def _found(self, message: UserGetResponse) -> None:
        self._lookups.answer(message)

    def _answer_user(self, message: UserGetRequest) -> None:
        user = self._channel.local_user(message.user_id)
        if user is None:
            return
        self._send(to_answer(user, message.request_id, self._envelope()))

    # States.

    def expect(self, node: str, epoch: str, number: int, digest: int = 0) -> None:
        """Take in how far another node's link has counted, as its digest says."""
        self._inbound.expect(node, epoch, number, digest)

    def drop_absent(self, node: str, timestamp: int) -> None:
        """Take in that a node's complete digest does not name the channel."""
        self._inbound.drop_absent(node, timestamp)

    def drop(self, node: str) -> None:
        """Take in that a node is dead."""
        self._ask_no_more(node)
        self._inbound.drop(node)

    def forget(self, node: str) -> None:
        """Take in that a node is dead for good."""
        self._ask_no_more(node)
        self._inbound.forget(node)

    def greet(self, node: str) -> None:
        """Take in that a node says it lives."""
        if self._inbound.is_behind(node):
            self._need_state(node)

    def resync(self, delay: float) -> None:
        """Tell the own state and ask for the others' after ``delay`` seconds."""
        self._timers.set("resync", delay, self._resync)

    def _resync(self) -> None:
        self._tell_state()
        self._ask_everyone()

    def _ask_everyone(self) -> None:
        self._send(StateRequest(**self._envelope(), from_node=self._node.id))

    def _need_state(self, node: str) -> None:
        """Ask a node for its state, now or as soon as it may be asked again."""
        if f"ask {node}" in self._timers:
            return
        now = asyncio.get_running_loop().time()
        interval = self._node.options.anti_entropy_interval
        delay = self._asked.get(node, float("-inf")) + interval - now
        if delay <= 0:
            self._ask(node)
        else:
            self._timers.set(f"ask {node}", delay, self._ask_again, node)

    def _ask_again(self, node: str) -> None:
        if self._inbound.is_behind(node):
            self._ask(node)

    def _ask_no_more(self, node: str) -> None:
        self._asked.pop(node, None)
        self._timers.cancel(f"ask {node}")

    def _ask(self, node: str) -> None:
        self._asked[node] = asyncio.get_running_loop().time()
        self._send(StateRequest(**self._envelope(node), from_node=self._node.id))

    def _answer_state(self, message: StateRequest) -> None:
        if not is_addressed_to(message, self._node.id):
            return
        if not self._channel.local_users() and not isinstance(message.to_node, str):
            return
        now = asyncio.get_running_loop().time()
        delay = self._answered + ANSWER_EVERY - now
        if delay <= 0:
            self._tell_state()
        elif "answer" not in self._timers:
            self._timers.set("answer", delay, self._tell_state)

    def _tell_state(self) -> None:
        self._answered = asyncio.get_running_loop().time()
        parts = divide_state(
            [to_state_user(user) for user in self._channel.local_users()]
        )
        states = [
            StateResponse(
                **self._envelope(),
                users=users,
                source_epoch=self.epoch,
                source_seq=self.sent,
                part=number,
                parts=len(parts),
            )
            for number, users in enumerate(parts, 1)
        ]
        self._node.send_all(self._topic, states)

    # True if one should yield to the event loop before the next message.
    _ACTIONS: ClassVar[dict[type, Callable[["ChannelLink", Any], bool | None]]] = {
        UserMessage: _take,
        UserJoined: _take,
        UserLeft: _take,
        PresenceUpdate: _take_fact,
        PresenceRemoved: _take_fact,
        AssignsUpdate: _take_fact,
        EvictUser: _obey,
        UserRemove: _obey,
        StateResponse: _settle,
        StateRequest: _answer_state,
        UserGetRequest: _answer_user,
        UserGetResponse: _found,
    }
