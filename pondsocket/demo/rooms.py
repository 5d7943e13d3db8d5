"""The rooms of the demo: who is in them and what was said last.

Plain state without I/O and clock. A room exists while somebody is in it.
"""

import re
import zlib
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

from pondsocket import BadRequest, Conflict, NotFound, Unavailable

__all__ = ["Member", "Message", "Room", "Rooms", "to_name", "to_text"]

MAX_NAME: Final = 32
MAX_TEXT: Final = 2000
MAX_NONCE: Final = 64
HISTORY: Final = 50
MAX_ROOMS: Final = 100

_ROOM_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")


def to_name(value: object, channel: str) -> str:
    """Return a person's name, runs of white space being one space.

    Raises:
        BadRequest: If it is no text of 1 to 32 printable characters.
    """
    name = " ".join(value.split()) if isinstance(value, str) else ""
    if not 1 <= len(name) <= MAX_NAME or not _is_clean(name):
        raise BadRequest(channel, f"A name has 1 to {MAX_NAME} characters.")
    return name


def to_text(value: object, channel: str) -> str:
    """Return what somebody says, without the white space around it.

    Raises:
        BadRequest: If it is no text of 1 to 2000 characters.
    """
    text = value.strip() if isinstance(value, str) else ""
    if not 1 <= len(text) <= MAX_TEXT or not _is_clean(text):
        raise BadRequest(channel, f"A message has 1 to {MAX_TEXT} characters.")
    return text


def _is_clean(text: str) -> bool:
    return all(char >= " " or char in "\n\t" for char in text)


@dataclass(slots=True)
class Member:
    """Somebody in a room. ``joined_at`` is in milliseconds since 1970."""

    id: str
    name: str
    joined_at: int
    is_typing: bool = False

    def to_payload(self) -> dict[str, Any]:
        """Return what the others may know: the member's presence."""
        return {
            "id": self.id,
            "name": self.name,
            "hue": self.hue,
            "typing": self.is_typing,
            "joinedAt": self.joined_at,
        }

    @property
    def hue(self) -> int:
        """The colour of the name, in degrees; the same on every visit."""
        return zlib.crc32(self.name.encode()) % 360


@dataclass(frozen=True, slots=True)
class Message:
    """Something said. ``nonce`` is its sender's own mark, ``sent_at`` in ms.

    Ids grow, also from a room to a later one of the same name: a client that comes
    back can tell what is new.
    """

    id: int
    user_id: str
    name: str
    hue: int
    text: str
    sent_at: int
    nonce: str

    def to_payload(self) -> dict[str, Any]:
        """Return what is broadcast."""
        return {
            "id": self.id,
            "user": {"id": self.user_id, "name": self.name, "hue": self.hue},
            "text": self.text,
            "sentAt": self.sent_at,
            "nonce": self.nonce,
        }


@dataclass(slots=True)
class Room:
    """Members by user id, and the last messages, the oldest first."""

    name: str
    members: dict[str, Member] = field(default_factory=dict)
    history: deque[Message] = field(default_factory=lambda: deque(maxlen=HISTORY))
    last_id: int = 0

    def say(self, member: Member, text: str, nonce: object, now: int) -> Message:
        """Keep and return a message of ``member``; it ends the member's typing."""
        self.last_id = max(self.last_id + 1, now)
        member.is_typing = False
        message = Message(
            id=self.last_id,
            user_id=member.id,
            name=member.name,
            hue=member.hue,
            text=text,
            sent_at=now,
            nonce=nonce[:MAX_NONCE] if isinstance(nonce, str) else "",
        )
        self.history.append(message)
        return message


class Rooms:
    """All rooms by the name of their channel, at most ``MAX_ROOMS``."""

    def __init__(self) -> None:
        self._rooms: dict[str, Room] = {}

    def __len__(self) -> int:
        return len(self._rooms)

    def enter(self, channel: str, room_name: str, member: Member) -> Room:
        """Add a member and return the room, which is made if need be.

        Raises:
            BadRequest: If a room cannot have this name.
            Conflict: If the member is in.
            Unavailable: If there are too many rooms.
        """
        if not _ROOM_NAME.fullmatch(room_name):
            raise BadRequest(
                channel,
                "A room's name has 1 to 32 of a-z, 0-9 and inner hyphens.",
            )
        room = self._rooms.get(channel)
        if room is None:
            if len(self._rooms) >= MAX_ROOMS:
                raise Unavailable(channel, "There are too many rooms, join another.")
            room = self._rooms[channel] = Room(room_name)
        elif member.id in room.members:
            raise Conflict(channel, "You are in this room.")
        room.members[member.id] = member
        return room

    def leave(self, channel: str, user_id: str) -> None:
        """Remove a member, and the room with its last one; do nothing otherwise."""
        room = self._rooms.get(channel)
        if room is None:
            return
        room.members.pop(user_id, None)
        if not room.members:
            del self._rooms[channel]

    def find(self, channel: str, user_id: str) -> tuple[Room, Member]:
        """Return a room and one of its members.

        Raises:
            NotFound: If there is no such room or member.
        """
        room = self._rooms.get(channel)
        if room is None or user_id not in room.members:
            raise NotFound(channel, "You are not in this room.")
        return room, room.members[user_id]

    def to_payload(self) -> list[dict[str, Any]]:
        """Return name and size of every room, the fullest first."""
        rooms = sorted(self._rooms.values(), key=lambda room: -len(room.members))
        return [{"name": room.name, "members": len(room.members)} for room in rooms]
