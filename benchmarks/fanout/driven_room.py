"""A room without sockets: what ours does for a broadcast and an answer, alone.

``python -m benchmarks.fanout.driven_room HOST ACT COUNT`` makes a room of 1,000 members
on a host, does everything once to warm up, then the act as often as told, and ends. It
measures nothing: it is to be counted from outside (see ``instructions.py``), twice, so
that what both runs have in common cancels out.

Hosts are ``asgi`` and ``uvicorn`` (uvicorn's protocol with our class and with its own,
on a transport whose ``write`` is a list's ``append``), ``frames`` and ``events``
(custom transports with ``try_send`` and with ``send_event``).
"""

import argparse
import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import (
    WebSocketsSansIOProtocol,
)
from uvicorn.server import ServerState

from benchmarks.echo_load import frame
from pondsocket import (
    BaseTransport,
    Endpoint,
    Event,
    EventContext,
    Frame,
    IncomingConnection,
    JoinContext,
    Options,
    PondSocket,
)
from pondsocket_asgi import PondASGIApp
from pondsocket_asgi.uvicorn import WebSocketProtocol

__all__ = ["ACTS", "BUSY", "HOSTS", "MEMBERS", "WrongCountError", "drive"]

MEMBERS = 1000
BUSY = 8  # broadcasts in one turn of the event loop, in a busy room
ROOM = "/room/one"
BODY = {"body": "x" * 64}
MASK = bytes(4)  # RFC 6455 5.3 asks for a random one; here each run is to be the same
TURNS = 1000  # of the event loop, for whatever must happen
QUIET = 5  # of them, after which nothing more is expected
MESSAGE = (
    '{"action":"%s","event":"%s","channelName":"/room/one",'
    '"requestId":"f81d4fae-7dec-11d0-a765-00a0c91e6bf6","payload":{"body":"x"}}'
)
JOIN = MESSAGE % ("JOIN_CHANNEL", "join")
ASK = MESSAGE % ("BROADCAST", "ask")
JOIN_FRAME, ASK_FRAME = (frame(text.encode(), MASK) for text in (JOIN, ASK))
HANDSHAKE = (
    b"GET /live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)

Written = list[object]
"""What reached the wires of all members, one entry for each write."""

Ask = Callable[[], object]
"""Acts as a client: sends a request that is answered."""


class WrongCountError(Exception):
    """A room did not do what was to be counted."""


class Wire(asyncio.Transport):
    """A socket's transport, always writable, that costs as little as C can."""

    def __init__(self, written: Written) -> None:
        super().__init__()
        self.write = written.append  # type: ignore[assignment, method-assign]

    def get_write_buffer_size(self) -> int:
        """Return 0: all was taken."""
        return 0

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return asyncio's own."""
        return 16_384, 65_536

    def is_closing(self) -> bool:
        """Return False."""
        return False

    def close(self) -> None:
        """Stay as it is: there is nothing to free."""

    def pause_reading(self) -> None:
        """Go on: who drives the room waits for each answer."""

    def resume_reading(self) -> None:
        """Go on as before."""


class FrameMember(BaseTransport):
    """A custom transport that takes ready frames."""

    def __init__(self, id: str, written: Written) -> None:
        super().__init__(id)
        self._written = written

    def try_send(self, frames: Sequence[Frame]) -> bool:
        """Take them all."""
        self._written.append(frames)
        return True

    def on_writable(self, _: Callable[[], None]) -> None:
        """Forget it: nothing is ever refused."""


class EventMember(BaseTransport):
    """A custom transport as plain as can be."""

    def __init__(self, id: str, written: Written) -> None:
        super().__init__(id)
        self._written = written

    async def send_event(self, event: Event) -> None:
        """Take it."""
        self._written.append(event)


async def join(context: JoinContext) -> None:
    await context.accept()


async def ask(context: EventContext) -> None:
    await context.reply("told", context.get_payload())


def build() -> tuple[PondSocket, Endpoint]:
    """Return the application and its endpoint."""
    pond = PondSocket(options=Options(max_messages_per_second=0))
    endpoint = pond.create_endpoint("/live", lambda context: context.accept())
    endpoint.create_channel("/room/:name", join).on_message("ask", ask)
    return pond, endpoint


class DrivenRoom:
    """A room whose members all have joined.

    Attributes:
        endpoint: It is on.
        written: What reached the members.
        is_joining: Whether what is broadcast in one turn is one write.
    """

    def __init__(
        self, endpoint: Endpoint, written: Written, asks: list[Ask], *, is_joining: bool
    ) -> None:
        self.endpoint: Endpoint = endpoint
        self.written: Written = written
        self._asks = asks
        self.is_joining: bool = is_joining

    async def quiet(self) -> None:
        """Broadcast once."""
        await self._broadcast(1)

    async def busy(self) -> None:
        """Broadcast several times in one turn of the loop."""
        await self._broadcast(BUSY)

    async def reply(self) -> None:
        """Answer one member's request."""
        wanted = len(self.written) + 1
        self._asks[0]()
        await self._until(wanted)

    async def _broadcast(self, times: int) -> None:
        writes = len(self._asks) * (1 if self.is_joining else times)
        wanted = len(self.written) + writes
        for _ in range(times):
            await self.endpoint.broadcast(ROOM, "said", BODY)
        await self._until(wanted)

    async def _until(self, wanted: int) -> None:
        """Let the loop turn until there are so many writes, and then once more."""
        await _until(lambda: len(self.written) >= wanted)
        await asyncio.sleep(0)
        if len(self.written) != wanted:
            found = len(self.written) - wanted
            raise WrongCountError(f"{found} writes more than expected")


@asynccontextmanager
async def room_on_uvicorn(
    protocol_class: type[WebSocketsSansIOProtocol], members: int
) -> AsyncIterator[DrivenRoom]:
    """Make a room whose members connect to a protocol of uvicorn."""
    pond, endpoint = build()
    config = uvicorn.Config(
        PondASGIApp(pond),
        ws=protocol_class,
        ws_ping_interval=None,
        lifespan="off",
        log_config=None,
    )
    config.load()
    state = ServerState()
    written: Written = []

    protocols = []
    for number in range(members):
        protocol = protocol_class(config, state, {}, asyncio.get_running_loop())
        protocols.append(protocol)
        protocol.connection_made(Wire(written))
        protocol.data_received(HANDSHAKE)
        await _settle(written)
        protocol.data_received(JOIN_FRAME)
        await _admit(endpoint, number + 1)
    await _settle(written)
    yield DrivenRoom(
        endpoint,
        written,
        [partial(each.data_received, ASK_FRAME) for each in protocols],
        is_joining=protocol_class is WebSocketProtocol,
    )
    for protocol in protocols:
        protocol.connection_lost(None)
    await _until(lambda: not state.tasks)
    await pond.close()


@asynccontextmanager
async def room_of(
    member_class: type[FrameMember] | type[EventMember], members: int
) -> AsyncIterator[DrivenRoom]:
    """Make a room of custom transports."""
    pond, endpoint = build()
    written: Written = []
    joined = []
    for number in range(members):
        member = member_class(f"user-{number}", written)
        joined.append(member)
        incoming = IncomingConnection(id=member.get_id(), address="")
        context = await endpoint.request_connection(incoming)
        await endpoint.register_transport(member, context)
        member.receive(JOIN)
        await _admit(endpoint, number + 1)
    await _settle(written)
    yield DrivenRoom(
        endpoint,
        written,
        [partial(each.receive, ASK) for each in joined],
        is_joining=member_class is FrameMember,
    )
    await pond.close()


async def _admit(endpoint: Endpoint, count: int) -> None:
    """Let the loop turn until there are so many members."""
    (lobby,) = endpoint.lobbies
    for _ in range(TURNS):
        channel = await lobby.get_channel(ROOM)
        if channel is not None and await channel.user_count() == count:
            return
        await asyncio.sleep(0)
    raise WrongCountError(f"member {count} did not join")


async def _settle(written: Written) -> None:
    """Let the loop turn until nothing has been written for some turns."""
    quiet, before = 0, len(written)
    while quiet < QUIET:
        await asyncio.sleep(0)
        quiet = quiet + 1 if len(written) == before else 0
        before = len(written)


async def _until(is_done: Callable[[], bool]) -> None:
    """Let the loop turn until something is so.

    Raises:
        WrongCountError: If it is not within a thousand turns.
    """
    for _ in range(TURNS):
        if is_done():
            return
        await asyncio.sleep(0)
    raise WrongCountError("what was to be counted did not happen")


HOSTS = {
    "asgi": partial(room_on_uvicorn, WebSocketProtocol),
    "uvicorn": partial(room_on_uvicorn, WebSocketsSansIOProtocol),
    "frames": partial(room_of, FrameMember),
    "events": partial(room_of, EventMember),
}
ACTS: dict[str, Callable[[DrivenRoom], Awaitable[None]]] = {
    "quiet": DrivenRoom.quiet,
    "busy": DrivenRoom.busy,
    "reply": DrivenRoom.reply,
}


async def drive(host: str, act: str, count: int, members: int = MEMBERS) -> int:
    """Make a room, warm it up, act; return how many writes the acts caused.

    Raises:
        WrongCountError: If members do not get what they must.
    """
    async with HOSTS[host](members) as room:
        for each in ACTS.values():
            await each(room)
        gc.collect()
        gc.freeze()
        before = len(room.written)
        for _ in range(count):
            await ACTS[act](room)
        return len(room.written) - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host", choices=HOSTS)
    parser.add_argument("act", choices=ACTS)
    parser.add_argument("count", type=int)
    parser.add_argument("--members", type=int, default=MEMBERS)
    arguments = parser.parse_args()
    gc.disable()  # when it runs depends on all that was allocated
    host, act, count = arguments.host, arguments.act, arguments.count
    print(asyncio.run(drive(host, act, count, arguments.members)))


if __name__ == "__main__":
    main()
