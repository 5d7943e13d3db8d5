"""Roster: who is in a channel, and each member's assigns. It sends nothing."""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pondsocket.errors import Conflict, NotFound
from pondsocket.types import (
    AllExceptSender,
    AllUsers,
    PondAssigns,
    RecipientSpec,
)

__all__ = ["Member", "Roster"]

Handle = TypeVar("Handle")


@dataclass(slots=True)
class Member(Generic[Handle]):
    """One member: the handle it is reached by, and its assigns in this channel."""

    user_id: str
    handle: Handle
    assigns: PondAssigns = field(default_factory=dict)


class Roster(Generic[Handle]):
    """The members of one channel in this process, in the order in which they joined.

    ``Handle`` is whatever reaches a member; the roster only keeps it.

    Args:
        channel_name: For error messages.
    """

    __slots__ = ("_channel_name", "_handles", "_members")

    def __init__(self, channel_name: str) -> None:
        self._channel_name = channel_name
        self._members: dict[str, Member[Handle]] = {}
        self._handles: tuple[Handle, ...] | None = ()

    def __len__(self) -> int:
        """Return the number of members."""
        return len(self._members)

    def __contains__(self, user_id: object) -> bool:
        """Tell whether a user is a member."""
        return user_id in self._members

    def add(self, user_id: str, handle: Handle, assigns: PondAssigns) -> None:
        """Add a member; its assigns are copied.

        Raises:
            Conflict: If the user is a member already.
        """
        if user_id in self._members:
            raise Conflict(self._channel_name, f"user {user_id!r} is already a member")
        self._members[user_id] = Member(user_id, handle, dict(assigns))
        self._handles = None

    def remove(self, user_id: str) -> Member[Handle] | None:
        """Remove a member and return it; None if there is no such member."""
        member = self._members.pop(user_id, None)
        if member is not None:
            self._handles = None
        return member

    def find(self, user_id: str) -> Member[Handle] | None:
        """Return a member, None if there is no such member."""
        return self._members.get(user_id)

    def get(self, user_id: str) -> Member[Handle]:
        """Return a member.

        Raises:
            NotFound: If the user is not a member.
        """
        member = self._members.get(user_id)
        if member is None:
            raise NotFound(self._channel_name, f"user {user_id!r} is not a member")
        return member

    def members(self) -> tuple[Member[Handle], ...]:
        """Return all members."""
        return tuple(self._members.values())

    def handles(self) -> tuple[Handle, ...]:
        """Return everyone's handle: one tuple, built anew only after a change."""
        if self._handles is None:
            self._handles = tuple(m.handle for m in self._members.values())
        return self._handles

    def select(self, recipients: RecipientSpec) -> tuple[Handle, ...]:
        """Return the handles of those to whom a message goes, each once."""
        match recipients:
            case AllUsers():
                return self.handles()
            case AllExceptSender(sender_id=sender_id):
                return tuple(
                    m.handle for i, m in self._members.items() if i != sender_id
                )
        found = (self._members.get(i) for i in dict.fromkeys(recipients.user_ids))
        return tuple(m.handle for m in found if m is not None)

    def assigns(self) -> dict[str, PondAssigns]:
        """Return a copy of every member's assigns, by user id."""
        return {i: dict(m.assigns) for i, m in self._members.items()}
