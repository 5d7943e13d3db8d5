"""Room: what each user of one channel must get, in which order; a pure model.

It is told of everything at the moment in which the server produces it, and knows
nothing of frames, turns of a loop, sockets or slow readers.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Self

Payload = dict[str, Any]

FILTERED = "filtered"  # the broadcasts that outgoing handlers look at

_AT_THE_DOOR = {"ACKNOWLEDGE", "EXIT_ACKNOWLEDGE", "EVICTED"}
_FRESH = ""  # in place of a request id that the server makes up
_SHOWN = 60  # characters of a payload in a complaint


@dataclass(frozen=True)
class Delivery:
    """One message of a channel as its client gets it.

    Attributes:
        request_id: Only of an answer; that of an unsolicited message is empty.
        view: For a follower, the presences at that moment by user; None where it need
            not know them.
    """

    action: str
    event: str
    payload: Payload
    request_id: str = _FRESH
    view: Payload | None = None

    @classmethod
    def of(cls, message: Payload) -> Self:
        """Return what a message says, without an id that nobody can know before."""
        action, event = message["action"], message["event"]
        is_answer = action in {"SYSTEM", "ERROR"} and event != "EVICTED"
        request_id = message["requestId"] if is_answer else _FRESH
        return cls(action, event, message["payload"], request_id)

    def is_met_by(self, got: "Delivery") -> bool:
        """Tell whether that is what had to come."""
        return got == replace(self, view=got.view if self.view is None else self.view)

    def __str__(self) -> str:
        shown = f"{self.event} {str(self.payload)[:_SHOWN]} {self.request_id}"
        return f"{shown} {self.view or ''}".rstrip()


def read(messages: Iterable[Payload], *, is_follower: bool) -> list[Delivery]:
    """Return what messages say; a follower's are read with its view of presences."""
    if not is_follower:
        return [Delivery.of(message) for message in messages]
    read: list[Delivery] = []
    view: Payload = {}
    for message in messages:
        payload = message["payload"]
        if message["action"] != "PRESENCE":
            read.append(replace(Delivery.of(message), view=view))
        elif message["event"] == "SYNC":
            view = payload["presences"]
        else:
            left = payload.get("left", {})
            kept = {user: shown for user, shown in view.items() if user not in left}
            view = kept | payload.get("joined", {}) | payload.get("updated", {})
    return read


class Room:
    """Who is in a channel, what is shown of them, and what each has to get.

    Args:
        is_guarded: Whether an outgoing handler looks at presences; then there are no
            followers.

    Attributes:
        followers: Users who asked to be told of presences by changes.
        members: In no particular order.
        expected: By user, those who left too.
        presences: By user, in the order in which they appeared.
    """

    def __init__(self, *, is_guarded: bool) -> None:
        self.is_guarded = is_guarded
        self.followers: set[str] = set()
        self.members: set[str] = set()
        self.expected: defaultdict[str, list[Delivery]] = defaultdict(list)
        self.presences: dict[str, Payload] = {}

    # Doors.

    def join(self, user: str, request_id: str | None) -> None:
        """Let a user in; without the id of a request nobody acknowledges it."""
        self.members.add(user)
        if request_id is not None:
            self.tell([user], "ACKNOWLEDGE", {}, request_id)

    def leave(self, user: str, farewell: Delivery | None) -> None:
        """Take a user out; the others see its presence go."""
        if farewell is not None:
            self._deliver(farewell, [user])
        self.members.remove(user)
        if user in self.presences:
            self._show("LEAVE", self.presences.pop(user))

    # What is produced.

    def broadcast(self, event: str, payload: Payload, to: Iterable[str]) -> None:
        """Send to those who are members."""
        self._offer(Delivery("BROADCAST", event, payload), self.members & {*to})

    def tell(
        self, users: Iterable[str], event: str, payload: Payload, request_id: str
    ) -> None:
        """Answer a request, of a member or not."""
        self._deliver(Delivery("SYSTEM", event, payload, request_id), users)

    def refuse(self, user: str, payload: Payload, request_id: str) -> None:
        """Answer a message that no handler wants."""
        self._deliver(
            Delivery("ERROR", "HANDLER_NOT_FOUND", payload, request_id), [user]
        )

    def show(self, user: str, presence: Payload) -> None:
        """Show a member, or show it otherwise than before."""
        kind = "UPDATE" if user in self.presences else "JOIN"
        self.presences[user] = presence
        self._show(kind, presence)

    def hide(self, user: str) -> None:
        """Stop showing a member."""
        self._show("LEAVE", self.presences.pop(user))

    def _show(self, kind: str, changed: Payload) -> None:
        payload = {"presence": list(self.presences.values()), "changed": changed}
        self._offer(Delivery("PRESENCE", kind, payload), self.members - self.followers)

    def _offer(self, delivery: Delivery, users: Iterable[str]) -> None:
        """Deliver what outgoing handlers may have seen before."""
        names = {FILTERED, "UPDATE"} if self.is_guarded else {FILTERED}
        for user in users:
            payload = delivery.payload
            if delivery.event in names:
                payload = filtered(delivery.event, payload, user)
            if payload is not None:
                self._deliver(replace(delivery, payload=payload), [user])

    def _deliver(self, delivery: Delivery, users: Iterable[str]) -> None:
        for user in users:
            knows = user in self.members & self.followers
            is_at_the_door = delivery.event in _AT_THE_DOOR
            view = dict(self.presences) if knows and not is_at_the_door else None
            self.expected[user].append(replace(delivery, view=view))

    # What came of it.

    def find_difference(self, user: str, got: list[Delivery]) -> str:
        """Say where that user got something else or less; empty if it got it all."""
        expected = self.expected[user]
        if len(got) == len(expected) and self.has_begun(user, got):
            return ""
        index = _first_difference(expected, got)
        first = max(0, index - 2)
        lines = [f"{len(got)} of {len(expected)}, the first difference at {index}:"]
        lines += [f"  expected {each}" for each in expected[first : index + 4]]
        lines += [f"  got      {each}" for each in got[first : index + 4]]
        return "\n".join(lines)

    def has_begun(self, user: str, got: list[Delivery]) -> bool:
        """Tell whether that is what the user had to get, up to some moment."""
        expected = self.expected[user]
        return len(got) <= len(expected) and all(map(Delivery.is_met_by, expected, got))


def filtered(event: str, payload: Payload, user: str) -> Payload | None:
    """Return what the outgoing handlers make of a payload for one user."""
    if event == "UPDATE" and user in payload["changed"]["hidden from"]:
        return None
    if event == FILTERED and user in payload["blocked"]:
        return None
    if event == FILTERED and user in payload["changed"]:
        return {"n": payload["n"], "changed for": user}
    return payload


def _first_difference(expected: list[Delivery], got: list[Delivery]) -> int:
    pairs = zip(expected, got, strict=False)
    same = min(len(expected), len(got))
    return next((i for i, (x, y) in enumerate(pairs) if not x.is_met_by(y)), same)
