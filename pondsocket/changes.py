"""What can happen in a channel, as values: facts that one node shows and announces.

A change is made once, by the channel that owns the user it is about; ``LocalChannel``
shows it to the members in this process and ``Peers`` tells it to other nodes.
"""

from dataclasses import dataclass

from pondsocket.frame import Frame
from pondsocket.types import LeaveReason, PondPresence, RecipientSpec, User

__all__ = [
    "AssignsSet",
    "Change",
    "Evicted",
    "Joined",
    "Left",
    "PresenceGone",
    "PresenceSet",
    "Sent",
]


@dataclass(frozen=True, slots=True)
class Joined:
    """A user became a member; ``user`` is the snapshot of that moment."""

    user: User


@dataclass(frozen=True, slots=True)
class Left:
    """A user is a member no longer; ``user`` is its last known state."""

    user: User
    reason: LeaveReason


@dataclass(frozen=True, slots=True)
class Sent:
    """A message was broadcast; who receives it is decided when it is applied."""

    frame: Frame
    recipients: RecipientSpec


@dataclass(frozen=True, slots=True)
class PresenceSet:
    """A user's presence appeared or was replaced."""

    user_id: str
    presence: PondPresence


@dataclass(frozen=True, slots=True)
class PresenceGone:
    """A user's presence was removed."""

    user_id: str


@dataclass(frozen=True, slots=True)
class AssignsSet:
    """One assign of a user was set."""

    user_id: str
    key: str
    value: object


@dataclass(frozen=True, slots=True)
class Evicted:
    """A user that lives on another node is to be evicted there."""

    user_id: str
    reason: str


Change = Joined | Left | Sent | PresenceSet | PresenceGone | AssignsSet | Evicted
