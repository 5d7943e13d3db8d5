"""Answers: what nodes say of their users in one channel, put together. Asks nobody."""

import logging
from collections.abc import Awaitable
from dataclasses import dataclass, field

from pondsocket.distributed.messages import (
    MalformedMessage,
    StateResponse,
    StateUser,
    decode,
)
from pondsocket.distributed.translation import to_joined
from pondsocket.pubsub import HANDLED
from pondsocket.types import User

__all__ = ["Answers"]

logger: logging.Logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _State:
    """The latest state of one node; the parts of older ones are forgotten."""

    identity: tuple[str, int, int]
    parts: dict[int, list[StateUser]] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        return len(self.parts) == self.identity[2]


class Answers:
    """The states that nodes told of one channel, the latest of each node.

    Args:
        endpoint_name: The endpoint's path without its leading slash.
        channel: The channel's full name.
    """

    def __init__(self, endpoint_name: str, channel: str) -> None:
        self._endpoint_name = endpoint_name
        self._channel = channel
        self._states: dict[str, _State] = {}

    def take(self, topic: str, data: bytes) -> Awaitable[None]:
        """Take in what was published to the channel's topic; never blocks."""
        try:
            message = decode(data)
        except MalformedMessage as fault:
            logger.debug("what came on %.200r is no message: %s", topic, fault)
            return HANDLED
        if isinstance(message, StateResponse) and (
            (message.endpoint_name, message.channel_name)
            == (self._endpoint_name, self._channel)
        ):
            self._take(message)
        return HANDLED

    def _take(self, message: StateResponse) -> None:
        node, parts = message.source_node_id, message.parts or 1
        identity = (message.source_epoch or "", message.source_seq or 0, parts)
        state = self._states.get(node)
        if state is None or state.identity != identity:
            state = self._states[node] = _State(identity)
        state.parts[message.part or 1] = message.users

    def users(self) -> dict[str, User]:
        """Return all of them, by id; of one on several nodes what members see.

        A node of whose state a part is missing is logged.
        """
        found: dict[str, User] = {}
        for node, state in sorted(self._states.items()):
            if not state.is_whole:
                logger.warning("a part of the users of node %.200r did not come", node)
            for each in (each for part in state.parts.values() for each in part):
                user = to_joined(each, node).user
                known = found.setdefault(user.id, user)
                if known.presence is None and user.presence is not None:
                    found[user.id] = user
        return found
