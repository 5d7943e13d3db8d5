"""Play: one channel with its clients; whatever is done to it, its model is told too.

Each verb tells the model and the channel in the same breath, nothing comes between
them. Of joins and leaves, which clients cause as well, the channel's local part says
when they happen: its methods are wrapped.
"""

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pondsocket import Channel, Event, EventContext
from tests.adapters.order.application import Application, Script
from tests.adapters.order.clients import HereClient, Member, is_follower
from tests.adapters.order.model import Delivery, Payload, Room, read
from tests.reliability.clients import eventually

__all__ = ["Play", "Player"]

PATIENCE = 5.0  # seconds for whatever must come
PADDING = random.Random(1).randbytes(50_000).hex()  # compression has little from it
OWN_ANSWERS = {"ACKNOWLEDGE", "HANDLER_NOT_FOUND"}  # the server's, to a request

Player = Member | HereClient


class Play:
    """One example.

    Args:
        application: Where the channel lives.
        channel: Fresh.
        players: Connected, and members of nothing.
        is_guarded: Whether an outgoing handler looks at the channel's presences.
    """

    def __init__(
        self,
        application: Application,
        channel: Channel,
        players: Sequence[Player],
        *,
        is_guarded: bool,
    ) -> None:
        self.room = Room(is_guarded=is_guarded)
        if not is_guarded:
            self.room.followers = {p.user_id for p in players if is_follower(p)}
        self.players = players
        self._application = application
        self._channel = channel
        self._gone: set[str] = set()
        self._due: dict[str, int] = {}
        self._slow: set[str] = set()
        self._dropped_before = self._dropped
        self._observe_doors()

    def _observe_doors(self) -> None:
        local, room = self._channel._local, self.room
        admit, dismiss, send_frame = local.admit, local.dismiss, local.send_frame

        def observed_admit(session, assigns, ack):
            joined = admit(session, assigns, ack)
            room.join(session.id, None if ack is None else ack.request_id)
            return joined

        def observed_dismiss(user_id, reason, farewell=None):
            left = dismiss(user_id, reason, farewell)
            if left is not None:
                room.leave(user_id, farewell and delivery_of(farewell))
            return left

        def observed_send_frame(frame, session):
            send_frame(frame, session)
            answer = delivery_of(frame.copy_event())
            if answer.event in OWN_ANSWERS:
                room.expected[session.id].append(answer)

        local.admit = observed_admit
        local.dismiss = observed_dismiss
        local.send_frame = observed_send_frame

    # Whom a step means: the so manieth player.

    def user(self, who: int) -> str:
        return self._player(who).user_id

    def users(self, whom: Sequence[int]) -> list[str]:
        return [self.user(who) for who in whom]

    def _player(self, who: int) -> Player:
        return self.players[who % len(self.players)]

    # What the server does.

    def new_payload(self, size: int = 0) -> Payload:
        number = {"n": next(self._application.numbers)}
        return number | {"padding": PADDING[:size]} if size else number

    async def broadcast(self, event: str, payload: Payload) -> None:
        self.room.broadcast(event, payload, self.room.members)
        await self._channel.broadcast(event, payload)

    async def broadcast_to(self, event: str, payload: Payload, *users: str) -> None:
        self.room.broadcast(event, payload, users)
        await self._channel.broadcast_to(event, payload, *users)

    async def broadcast_from(self, event: str, payload: Payload, sender: str) -> None:
        self.room.broadcast(event, payload, self.room.members - {sender})
        await self._channel.broadcast_from(event, payload, sender)

    async def send_system(self, users: Sequence[str]) -> None:
        payload, request_id = self.new_payload(), self._new_request_id()
        members = [user for user in dict.fromkeys(users) if user in self.room.members]
        self.room.tell(members, "notice", payload, request_id)
        await self._channel.send_system(
            "notice", payload, request_id=request_id, user_ids=list(users)
        )

    async def reply(self, user: str) -> None:
        """Answer a request that was handled some time ago."""
        transport = await self._transport_of(user)
        if transport is not None:
            payload, request_id = self.new_payload(), self._new_request_id()
            self.room.tell([user], "reply", payload, request_id)
            await self._channel.reply(transport, "reply", payload, request_id)

    async def answer(self, context: EventContext) -> None:
        """Answer the request that is being handled, unless that was done already."""
        if not context.has_replied():
            payload = self.new_payload()
            self.room.tell([context.user.id], "answer", payload, context.request_id)
            await context.reply("answer", payload)

    async def show(self, user: str, hidden_from: Sequence[str]) -> None:
        """Track a member's presence, or update it, which some do not hear of."""
        presence = {**self.new_payload(), "hidden from": list(hidden_from)}
        if user not in self.room.members:
            return
        is_shown = user in self.room.presences
        self.room.show(user, presence)
        if is_shown:
            await self._channel.update_presence(user, presence)
        else:
            await self._channel.track_presence(user, presence)

    async def hide(self, user: str) -> None:
        if user in self.room.presences:
            self.room.hide(user)
            await self._channel.untrack_presence(user)

    async def join(self, user: str, *, is_acknowledged: bool = True) -> None:
        """Let a user in who did not ask."""
        transport = await self._transport_of(user)
        if transport is None or user in self.room.members:
            return
        if is_acknowledged:
            await self._channel.join(transport, self._new_request_id(), {})
        else:
            await self._channel.add_user(transport)

    async def leave(self, user: str) -> None:
        """Let a member leave as if it had asked."""
        await self._channel.leave(user, self._new_request_id())

    async def remove(self, user: str) -> None:
        """Take a member out without a word; its leaving goes on by itself."""
        self._channel.remove(user, "explicit_leave")

    async def evict(self, user: str) -> None:
        if user in self.room.members:
            await self._channel.evict_user(user, "go away")

    async def close_connection(
        self, who: int, before: Callable[[], Awaitable[None]]
    ) -> None:
        """Close a connection whose client reads, right after something else.

        Args:
            who: Whose.
            before: Whatever it is, the client gets it.
        """
        player = self._player(who)
        user = player.user_id
        if user in self._gone:
            return
        self.read_on(who)
        await before()
        if user not in self._gone:
            self._gone.add(user)
            self._due[user] = len(self.room.expected[user])
            await self._application.endpoint.close_connection(user)

    async def _transport_of(self, user: str) -> Any:
        """Return a user's transport, None if the connection ends or has ended."""
        if user in self._gone:
            return None
        return await self._application.endpoint.get_transport(user)

    @property
    def _dropped(self) -> int:
        return self._application.pond.stats().counts["outbound_dropped"]

    # What clients do.

    async def request(self, who: int, action: str, event: str = "what") -> None:
        await self._say(who, action, event, {})

    async def ask(self, who: int, script: Script) -> None:
        """Let a client send a message, which the server handles by a script."""
        number = next(self._application.numbers)
        self._application.scripts[number] = script
        await self._say(who, "BROADCAST", "play", {"script": number})

    async def _say(self, who: int, action: str, event: str, payload: Payload) -> str:
        player, request_id = self._player(who), self._new_request_id()
        if player.user_id not in self._gone:
            message = {
                "action": action,
                "event": event,
                "channelName": self._channel.name,
                "requestId": request_id,
                "payload": payload,
            }
            await player.send(message)
        return request_id

    def stop_reading(self, who: int) -> None:
        player = self._player(who)
        if player.user_id not in self._gone:
            self._slow.add(player.user_id)
            player.stop_reading()

    def read_on(self, who: int) -> None:
        player = self._player(who)
        if player.user_id in self._slow:
            self._slow.remove(player.user_id)
            player.read_on()

    def vanish(self, who: int) -> None:
        player = self._player(who)
        if player.user_id not in self._gone:
            self._gone.add(player.user_id)
            player.hang_up()

    def _new_request_id(self) -> str:
        return f"request-{next(self._application.numbers)}"

    # What came of it.

    async def rest(self) -> None:
        """Wait until everybody who reads has what was produced so far."""
        await self._until(lambda: not self._late())

    def _late(self) -> list[Player]:
        return [
            player
            for player in self.players
            if player.user_id not in self._gone | self._slow
            and len(self._got(player)) < len(self.room.expected[player.user_id])
        ]

    def _got(self, player: Player) -> list[Delivery]:
        name = self._channel.name
        messages = [each for each in player.received if each["channelName"] == name]
        return read(messages, is_follower=player.user_id in self.room.followers)

    async def finish(self) -> None:
        """Let all there is arrive, and what is too much as well."""
        live = [i for i, p in enumerate(self.players) if p.user_id not in self._gone]
        for who in live:
            self.read_on(who)
        # its lane is in order: once that is answered, nothing is left of it
        last = [await self._say(who, "JOIN_CHANNEL", "e", {}) for who in live]
        await self._until(lambda: self._are_expected(last))
        find = self._application.endpoint.connections.find_user
        await self._until(lambda: not any(map(find, self._gone)))
        ended = [player for player in self.players if player.user_id in self._gone]
        await self._until(lambda: all(player.is_over for player in ended))
        await self._until(lambda: not self._application.running)
        await self.broadcast("end", {})
        await self.rest()
        for player in self.players:
            if player.user_id not in self._gone:
                await self._go_round(player)

    def _are_expected(self, request_ids: Sequence[str]) -> bool:
        found = {d.request_id for each in self.room.expected.values() for d in each}
        return found.issuperset(request_ids)

    async def _go_round(self, player: Player) -> None:
        """Let a request go to the server and its answer come back."""
        message = {
            "action": "JOIN_CHANNEL",
            "event": "e",
            "channelName": "/nowhere",
            "requestId": self._new_request_id(),
            "payload": {},
        }
        await player.send(message)
        await self._until(lambda: self._has_answer(player, message["requestId"]))

    def _has_answer(self, player: Player, request_id: str) -> bool:
        return any(m["requestId"] == request_id for m in reversed(player.received))

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition; if it does not come, say what is missing."""
        try:
            await eventually(condition, PATIENCE)
        except TimeoutError:
            self.check()
            raise

    def check(self) -> None:
        """Hold what everybody got against the model."""
        complaints = [
            f"player {number}, a {type(player).__name__}: {complaint}"
            for number, player in enumerate(self.players)
            if (complaint := self._complaint_of(player))
        ]
        assert not complaints, "\n".join(complaints)
        # no client whose connection the server closed lacks what nobody counted
        lost = sum(
            len(self.room.expected[player.user_id]) - len(self._got(player))
            for player in self.players
            if player.user_id in self._due
        )
        assert lost <= self._dropped - self._dropped_before

    def _complaint_of(self, player: Player) -> str:
        """Say what is wrong with what a client got; empty if nothing is."""
        user, got = player.user_id, self._got(player)
        if user not in self._gone:
            return self.room.find_difference(user, got)
        is_enough = len(got) >= self._due.get(user, 0)
        if is_enough and self.room.has_begun(user, got):
            return ""
        return f"at its end {self.room.find_difference(user, got)}"


def delivery_of(event: Event) -> Delivery:
    return Delivery.of(
        {
            "action": event.action,
            "event": event.event,
            "requestId": event.request_id,
            "payload": event.payload,
        }
    )
