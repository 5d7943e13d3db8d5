"""ChannelUsers: the users of one channel, wherever they live, and what is kept of them.

A node is the only writer of its own users: a change to one of them is applied here and
then announced, a change to another node's user is asked of that node.
"""

import asyncio
import copy
from collections.abc import Callable
from typing import Protocol

from pondsocket.changes import (
    AssignsSet,
    Command,
    Evicted,
    PresenceGone,
    PresenceSet,
    RemoteChange,
    Removed,
)
from pondsocket.errors import NotFound
from pondsocket.local_channel import LocalChange, LocalChannel
from pondsocket.options import Options
from pondsocket.ports import Leaving, LinkedChannel, Peers
from pondsocket.presence import to_presence
from pondsocket.types import LeaveReason, PondAssigns, PondPresence, User

__all__ = ["ChannelUsers", "Dismiss"]


class Dismiss(Protocol):
    """Takes a user of this node out of the channel."""

    def __call__(
        self, user_id: str, reason: LeaveReason, why: str | None = None
    ) -> Leaving | None:
        """Return what is left to wait for, None if the user is no member here.

        Args:
            user_id: Who has to go.
            reason: What the leave handlers are told.
            why: What the user is told of its eviction; None tells it nothing.
        """
        ...


class ChannelUsers:
    """The users of one channel; what its link to the other nodes knows it as.

    Args:
        local: Where they are kept.
        options: ``max_presence_bytes`` is read.
        link: Returns the peers of the channel.
        dismiss: Takes a user of this node out.
    """

    def __init__(
        self,
        local: LocalChannel,
        options: Options,
        link: Callable[[LinkedChannel], Peers],
        dismiss: Dismiss,
    ) -> None:
        self._local = local
        self._options = options
        self._dismiss = dismiss
        self.peers: Peers = link(self)

    async def apply(self, change: LocalChange) -> None:
        """Show a change here, then announce it."""
        is_much = self._local.apply(change)
        await self.peers.announce(change)
        if is_much:  # a handler that sends in a tight loop must not starve the others
            await asyncio.sleep(0)

    async def get(self, user_id: str) -> User:
        """Return a snapshot of a user.

        Raises:
            NotFound: If nobody knows the user.
        """
        user = self.local_user(user_id) or self._local.remote_user(user_id)
        user = user or await self.peers.find_user(user_id)
        if user is None:
            raise self._not_found(user_id)
        return user

    def assigns(self) -> dict[str, PondAssigns]:
        """Return everyone's assigns by user id; those of this node's user win."""
        return self._local.remote.assigns() | self._local.roster.assigns()

    def presences(self) -> dict[str, PondPresence]:
        """Return everyone's presence by user id."""
        return copy.deepcopy(self._local.presence.all())

    # Changes to one user.

    async def set_assign(self, user_id: str, key: str, value: object) -> None:
        """Set one assign; NotFound if nobody knows the user."""
        await self._change(AssignsSet(user_id, key, value))

    async def track(self, user_id: str, data: PondPresence) -> None:
        """Start to show a presence; BadRequest, NotFound, Conflict if there is one."""
        presence = self._to_presence(data)
        if user_id in self._local.roster:
            self._local.presence.check_untracked(user_id)
        elif self._owner_of(user_id):
            self._local.presence.check_hidden(user_id)
        await self._change(PresenceSet(user_id, presence))

    async def update(self, user_id: str, data: PondPresence) -> None:
        """Replace a presence; BadRequest, or NotFound if there is none."""
        self._check_tracked(user_id)
        await self._change(PresenceSet(user_id, self._to_presence(data)))

    async def untrack(self, user_id: str) -> None:
        """Stop showing a presence; NotFound if there is none."""
        self._check_tracked(user_id)
        await self._change(PresenceGone(user_id))

    def _to_presence(self, data: PondPresence) -> PondPresence:
        return to_presence(data, self._local.name, self._options.max_presence_bytes)

    def _check_tracked(self, user_id: str) -> None:
        if user_id in self._local.roster or not self._owner_of(user_id):
            self._local.presence.check_tracked(user_id)
        else:
            self._local.presence.check_shown(user_id)

    async def _change(self, change: AssignsSet | PresenceSet | PresenceGone) -> None:
        if change.user_id in self._local.roster:
            await self.apply(change)
            return
        owner = self._owner_of(change.user_id)
        if not owner:
            raise self._not_found(change.user_id)
        await self.peers.ask(owner, change)

    # Users who have to go.

    async def evict(self, user_id: str, why: str) -> None:
        """Tell a user that it has to go, and remove it; NotFound if it is unknown."""
        leaving = self._dismiss(user_id, LeaveReason.EVICTED, why)
        if leaving is not None:
            await leaving.finish()
        elif not await self._ask_owner(Evicted(user_id, why)):
            raise self._not_found(user_id)

    async def remove(self, user_id: str, reason: LeaveReason) -> bool:
        """Remove a user; False if nobody knows it."""
        leaving = self._dismiss(user_id, reason)
        if leaving is None:
            return await self._ask_owner(Removed(user_id))
        await leaving.finish()
        return True

    async def _ask_owner(self, command: Evicted | Removed) -> bool:
        owner = self._owner_of(command.user_id)
        if not owner and await self.peers.find_user(command.user_id) is None:
            return False
        await self.peers.ask(owner, command)
        return True

    def _owner_of(self, user_id: str) -> str:
        return self._local.remote.node_of(user_id)

    def _not_found(self, user_id: str) -> NotFound:
        return NotFound(self._local.name, f"user {user_id!r} is not a member")

    # What the link does.

    def apply_remote(self, change: RemoteChange) -> bool:
        """Take in what another node announced; True if one should yield then."""
        return self._local.apply_remote(change)

    def local_users(self) -> list[User]:
        """Return snapshots of the users of this node."""
        return [self._local.user(m.user_id) for m in self._local.roster.members()]

    def local_user(self, user_id: str) -> User | None:
        """Return a snapshot of a user of this node, None if it is none."""
        return self._local.user(user_id) if user_id in self._local.roster else None

    def users_of(self, node: str) -> frozenset[str]:
        """Return the ids of another node's users, as far as they are known here."""
        return frozenset(self._local.remote.of(node) + self._local.presence.of(node))

    async def obey(self, command: Command) -> None:
        """Carry out what another node asks about a user of this one, and announce it.

        Raises:
            PondError: If that is not possible.
        """
        match command:
            case Evicted(user_id=user_id, reason=why):
                leaving = self._dismiss(user_id, LeaveReason.EVICTED, why)
            case Removed(user_id=user_id):
                leaving = self._dismiss(user_id, LeaveReason.EXPLICIT_LEAVE)
            case PresenceSet(user_id=user_id, presence=data):
                leaving = None
                self._local.roster.get(user_id)
                await self.apply(PresenceSet(user_id, self._to_presence(data)))
            case _:
                leaving = None
                self._local.roster.get(command.user_id)
                await self.apply(command)
        if leaving is not None:
            await leaving.finish()
