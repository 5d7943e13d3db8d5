"""What can happen in a channel, as values: facts that one node shows and announces.

A change is made once, by the channel that owns the user it is about; ``LocalChannel``
shows it to the members in this process and ``Peers`` tells it to other nodes. There it
carries the ``node`` that the user lives on, which is empty for a user of this one.
"""

from dataclasses import dataclass

from pondsocket.frame import Frame
from pondsocket.types import (
    LeaveReason,
    PondAssigns,
    PondPresence,
    RecipientSpec,
    User,
)

__all__ = [
    "AssignsReplaced",
    "AssignsSet",
    "Change",
    "Command",
    "Evicted",
    "Joined",
    "Left",
    "PresenceGone",
    "PresenceSet",
    "RemoteChange",
    "Removed",
    "Sent",
]


@dataclass(frozen=True, slots=True)
class Joined:
    """A user became a member; ``user`` is the snapshot of that moment."""

    user: User
    node: str = ""


@dataclass(frozen=True, slots=True)
class Left:
    """A user is a member no longer; ``user`` is its last known state."""

    user: User
    reason: LeaveReason
    node: str = ""


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
    node: str = ""


@dataclass(frozen=True, slots=True)
class PresenceGone:
    """A user's presence was removed."""

    user_id: str
    node: str = ""


@dataclass(frozen=True, slots=True)
class AssignsSet:
    """One assign of a user was set."""

    user_id: str
    key: str
    value: object
    node: str = ""


@dataclass(frozen=True, slots=True)
class AssignsReplaced:
    """All assigns of a user of another node, as that node has them now."""

    user_id: str
    assigns: PondAssigns
    node: str


@dataclass(frozen=True, slots=True)
class Evicted:
    """A user that lives on another node is to be evicted there."""

    user_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Removed:
    """A user that lives on another node is to be removed there."""

    user_id: str


Change = Joined | Left | Sent | PresenceSet | PresenceGone | AssignsSet
"""What a channel tells the other nodes about its own users."""

RemoteChange = Change | AssignsReplaced
"""What a channel hears of another node's users; ``node`` says which."""

Command = Evicted | Removed | PresenceSet | PresenceGone | AssignsSet
"""What a channel asks of the node that a user lives on."""
