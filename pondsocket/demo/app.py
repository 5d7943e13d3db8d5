"""The demo application: its endpoint, its channels, their handlers, and its pages."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from pondsocket import (
    BadRequest,
    ConnectionContext,
    Endpoint,
    EventContext,
    Hooks,
    JoinContext,
    LeaveContext,
    Options,
    PondSocket,
    PubSub,
    TokenBucketRateLimiter,
    with_rate_limiter,
)
from pondsocket.demo.numbers import Numbers, Publisher
from pondsocket.demo.rooms import Member, Room, Rooms, to_name, to_text

__all__ = ["Demo", "build_demo"]

ENDPOINT: Final = "/socket"
ROOMS: Final = "/rooms/:room"
NUMBERS: Final = "/metrics"

_INTERVAL: Final = 1.0
_MESSAGES_PER_SECOND: Final = 5.0
_BURST: Final = 20.0
_CHANNELS: Final = 8  # a page needs two or three; nobody alone may fill all rooms

_CONTENT_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class Demo:
    """What an adapter serves.

    Attributes:
        pond: The PondSocket; closing it ends everything that the demo started.
        pages: Path to (content type, body) of the pages beside it.
    """

    pond: PondSocket
    pages: Mapping[str, tuple[str, bytes]]


def build_demo(
    *, interval: float = _INTERVAL, pubsub: PubSub | str | None = None
) -> Demo:
    """Build the demo. It starts nothing before the first client comes.

    Over a PubSub several of them are one chat. Each shows its own numbers and its own
    list of rooms, and remembers what was said by its own clients.

    Args:
        interval: Seconds between two broadcasts of the live numbers.
        pubsub: As of PondSocket, which says what it raises.
    """
    numbers = Numbers(unseen=NUMBERS, now=time.monotonic())
    limiter = TokenBucketRateLimiter(rate=_MESSAGES_PER_SECOND, capacity=_BURST)
    hooks = Hooks(metrics=numbers, rate_limiter=limiter)
    pond = PondSocket(
        options=Options(
            max_connections=1000,
            max_channels_per_connection=_CHANNELS,
            max_message_size=16_384,
            hooks=hooks,
        ),
        pubsub=pubsub,
    )
    endpoint = pond.create_endpoint(ENDPOINT, _accept)
    rooms = Rooms()
    _Chat(rooms).attach(endpoint, hooks)
    _Board(pond, rooms, numbers, interval).attach(endpoint)
    return Demo(pond, dict(_read_pages()))


def _accept(context: ConnectionContext) -> None:
    context.accept()


class _Chat:
    """The handlers of the rooms."""

    def __init__(self, rooms: Rooms, clock: Callable[[], float] = time.time) -> None:
        self._rooms = rooms
        self._clock = clock

    def attach(self, endpoint: Endpoint, hooks: Hooks) -> None:
        lobby = endpoint.create_channel(ROOMS, self.join)
        limit = with_rate_limiter(hooks, key_fn=lambda message: message.user.id)
        lobby.on_message("message", self.say, limit)
        lobby.on_message("typing", self.type)
        lobby.on_message("rename", self.rename, limit)
        lobby.on_leave(self.leave)

    async def join(self, context: JoinContext) -> None:
        channel, user_id = context.channel.name, context.transport.get_id()
        room_name = context.route.param("room")
        if channel != f"/rooms/{room_name}":
            # "/rooms//lobby" matches too, but would be another channel of this room
            raise BadRequest(channel, "There is no such room.")
        name = to_name(context.join_params.get("name"), channel)
        member = Member(user_id, name, joined_at=self._now())
        # before accept(): as soon as that has happened, the user may be gone again
        room = self._rooms.enter(channel, room_name, member)
        try:
            await context.accept({"name": name})
        except BaseException:
            self._rooms.leave(channel, user_id)
            raise
        history = [message.to_payload() for message in room.history]
        await context.reply("history", {"messages": history})
        await context.track(member.to_payload())

    async def say(self, context: EventContext) -> None:
        room, member = self._find(context)
        payload = context.get_payload()
        text = to_text(payload.get("text"), context.channel.name)
        was_typing = member.is_typing
        message = room.say(member, text, payload.get("nonce"), self._now())
        await context.broadcast("message", message.to_payload())
        await context.reply("sent", {"id": message.id})
        if was_typing:
            await context.update_presence(member.to_payload())

    async def type(self, context: EventContext) -> None:
        _, member = self._find(context)
        is_typing = context.get_payload().get("typing") is True
        if is_typing != member.is_typing:
            member.is_typing = is_typing
            await context.update_presence(member.to_payload())

    async def rename(self, context: EventContext) -> None:
        _, member = self._find(context)
        member.name = to_name(context.get_payload().get("name"), context.channel.name)
        await context.set_assign("name", member.name)
        await context.update_presence(member.to_payload())
        await context.reply("renamed", {"name": member.name})

    async def leave(self, context: LeaveContext) -> None:
        self._rooms.leave(context.channel.name, context.user.id)

    def _find(self, context: EventContext) -> tuple[Room, Member]:
        return self._rooms.find(context.channel.name, context.user.id)

    def _now(self) -> int:
        return int(self._clock() * 1000)


class _Board:
    """The channel of the live numbers; rooms are listed there too."""

    def __init__(
        self, pond: PondSocket, rooms: Rooms, numbers: Numbers, interval: float
    ) -> None:
        self._pond = pond
        self._rooms = rooms
        self._numbers = numbers
        self._publisher = Publisher(self._publish, interval)

    def attach(self, endpoint: Endpoint) -> None:
        self._lobby = endpoint.create_channel(NUMBERS, self.join)
        self._lobby.on_leave(self.leave)

    async def join(self, context: JoinContext) -> None:
        user_id = context.transport.get_id()
        self._publisher.watch(user_id)
        try:
            await context.accept()
        except BaseException:
            await self._publisher.unwatch(user_id)
            raise
        await context.reply("stats", self._to_payload())

    async def leave(self, context: LeaveContext) -> None:
        await self._publisher.unwatch(context.user.id)

    async def _publish(self) -> None:
        self._numbers.tick(time.monotonic())
        # By name: who watches on another node sees the numbers of that one.
        watchers = self._publisher.watchers
        for channel in await self._lobby.list_channels():  # one, or none any more
            await channel.broadcast_to("stats", self._to_payload(), *watchers)

    def _to_payload(self) -> dict[str, Any]:
        stats = self._pond.stats()
        rates = self._numbers.rates.to_payload()
        return {
            **rates,
            "outbox": max(rates["outbox"], stats.outbox_messages),
            "connections": stats.connections,
            "channels": stats.channels,
            "dropped": stats.counts["outbound_dropped"]
            + stats.counts["inbound_dropped"],
            "rooms": self._rooms.to_payload(),
        }


def _read_pages() -> Iterator[tuple[str, tuple[str, bytes]]]:
    package = files("pondsocket")
    page = package / "demo" / "page"
    for file in (*page.iterdir(), package / "static" / "pondsocket.js"):
        content_type = _CONTENT_TYPES[file.name.rpartition(".")[2]]
        path = "/" if file.name == "index.html" else f"/{file.name}"
        yield path, (content_type, file.read_bytes())
