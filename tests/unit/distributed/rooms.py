"""A channel without members' connections, and a node that changes its users in it."""

import asyncio
import itertools

import msgspec

from pondsocket.changes import (
    AssignsSet,
    Joined,
    Left,
    PresenceGone,
    PresenceSet,
    Sent,
)
from pondsocket.distributed.messages import StateResponse
from pondsocket.distributed.translation import to_messages, to_state_user
from pondsocket.frame import Frame
from pondsocket.local_channel import LocalChannel
from pondsocket.metrics import Telemetry
from pondsocket.options import Options
from pondsocket.types import AllUsers, Event, LeaveReason, ServerActions, User

ENDPOINT, CHANNEL = "chat", "/room/1"
NUMBERS = itertools.count(1)


def envelope(node="there", **more):
    return {
        "message_id": f"m{next(NUMBERS)}",
        "source_node_id": node,
        "endpoint_name": ENDPOINT,
        "channel_name": CHANNEL,
        "timestamp": 1_767_225_600_000,
        **more,
    }


def sent(text="hello", recipients=AllUsers()):  # noqa: B008 - frozen
    event = Event(ServerActions.BROADCAST, CHANNEL, "r1", "said", {"text": text})
    return Sent(Frame(event), recipients)


def truth(users):
    """Return what everybody should show of a node's users."""
    assigns = {user.id: dict(user.assigns) for user in users.values()}
    presences = {u.id: u.presence for u in users.values() if u.presence}
    return assigns, presences


class _Quiet(LocalChannel):
    """What a channel keeps, without what it sends to its members."""

    def _show_presence(self, user_id, change):
        return False


class Room:
    """A channel as its link knows it; `users` are those of its own node."""

    def __init__(self, node="here"):
        self.users: dict[str, User] = {}
        self.heard: list[str] = []
        self.obeyed = []
        self.is_much = False
        self._local = _Quiet(CHANNEL, Options(node_id=node), Telemetry(None), None)

    def apply_remote(self, change):
        if isinstance(change, Sent):
            self.heard.append(msgspec.json.decode(change.frame.payload)["text"])
            return self.is_much
        return self._local.apply_remote(change)

    def local_users(self):
        return list(self.users.values())

    def local_user(self, user_id):
        return self.users.get(user_id)

    def users_of(self, node):
        remote, presence = self._local.remote, self._local.presence
        return frozenset(remote.of(node) + presence.of(node))

    async def obey(self, command):
        self.obeyed.append(command)

    def shows_of(self, node):
        """Return the assigns and presences of a node's users, both by user id."""
        remote, presence = self._local.remote, self._local.presence
        assigns = remote._by_node.get(node, {})
        return dict(assigns), dict(presence._remote.get(node, {}))

    def shows(self):
        """Return the assigns and presences that it shows, both by user id."""
        return self._local.remote.assigns(), self._local.presence.all()


class Home:
    """Another node with users in the channel: it numbers what it says, as links do."""

    def __init__(self, epoch="1000-a", node="there"):
        self.node, self.epoch = node, epoch
        self.sent = 0
        self.users: dict[str, User] = {}

    def shows(self):
        return truth(self.users)

    def say(self, change):
        """Return the numbered messages of a change."""
        messages = []
        for message in to_messages(change, envelope(self.node)):
            self.sent += 1
            numbers = {"source_epoch": self.epoch, "source_seq": self.sent}
            messages.append(msgspec.structs.replace(message, **numbers))
        return messages

    def join(self, user_id):
        user = self.users[user_id] = User(user_id, {"joined": self.sent})
        return self.say(Joined(user))

    def leave(self, user_id):
        user = self.users.pop(user_id)
        return self.say(Left(user, LeaveReason.EXPLICIT_LEAVE))

    def track(self, user_id):
        presence = self.users[user_id].presence = {"at": self.sent}
        return self.say(PresenceSet(user_id, presence))

    def untrack(self, user_id):
        self.users[user_id].presence = None
        return self.say(PresenceGone(user_id))

    def assign(self, user_id, key="mood"):
        self.users[user_id].assigns[key] = self.sent
        return self.say(AssignsSet(user_id, key, self.sent))

    def broadcast(self, text="hello"):
        return self.say(sent(text))

    def state(self, parts=1):
        """Return its whole state as of now, in parts."""
        users = [to_state_user(user) for user in self.users.values()]
        return [
            StateResponse(
                **envelope(self.node),
                users=users[part::parts],
                source_epoch=self.epoch,
                source_seq=self.sent,
                part=part + 1,
                parts=parts,
            )
            for part in range(parts)
        ]


def fly():
    """Return an event loop on which each wait for a timer ends at once."""
    loop = asyncio.new_event_loop()
    real_select, now = loop._selector.select, 0.0

    def select(timeout=None):
        nonlocal now
        ready = real_select(0 if timeout is not None else None)
        if not ready and timeout:
            now += timeout
        return ready

    loop.time = lambda: now
    loop._selector.select = select
    return loop
