"""Case 18: a client that is gone without a FIN leaves its channels, and leaves once.

Over WebSocket the host notices: nobody answers its pings. uvicorn's oldest
implementation takes ten seconds more for that, so only the others are tested. And all
of them wait for what they still hold to go out: if the client vanished amid traffic, it
is ours to notice that nothing goes out any more.

An event stream has no pings that a client would answer: while nothing is sent to it,
only the kernel can notice (by its retransmission timeout, after some minutes).
"""

import contextlib
from collections.abc import AsyncIterator

import pytest

from pondsocket import JoinContext, LeaveContext, LeaveReason, Options, PondSocket
from pondsocket_asgi.runner import serve
from tests.adapters.running import served
from tests.reliability.cable import cable_to
from tests.reliability.clients import (
    EventStreamClient,
    Member,
    WebSocketClient,
    eventually,
    hang_up_all,
)
from tests.reliability.hosts import DEFAULT, WEBSOCKETS, serving

# uvicorn's oldest implementation, in use
pytestmark = pytest.mark.filterwarnings("ignore:remove second argument of ws_handler")

ROOM = "/room/one"
PING, PONG, SEND = 0.1, 0.2, 0.3  # seconds
GRACE = 2.0  # seconds beyond these, for a machine that does much else
SMALL_BUFFER = 4096
BIG = {"padding": "x" * 65_536}
MANY = 300  # broadcasts of that size: more than the kernel takes

KINDS = [
    *(pytest.param(WebSocketClient, ws, id=ws) for ws in WEBSOCKETS),
    pytest.param(EventStreamClient, DEFAULT, id="sse"),
]
WITH_PINGS = [ws for ws in WEBSOCKETS if ws != "websockets"]


class Application:
    """A room that tracks presences and notes who leaves."""

    def __init__(self, **options) -> None:
        self.pond = PondSocket(options=Options(**options))
        self.left: list[tuple[str, str]] = []
        self.endpoint = self.pond.create_endpoint("/live", lambda ctx: ctx.accept())
        self.lobby = self.endpoint.create_channel("/room/:name", self._join)
        self.lobby.on_leave(self._note_leave)

    async def _join(self, context: JoinContext) -> None:
        await context.accept()
        await context.track({"id": context.user.id})

    def _note_leave(self, context: LeaveContext) -> None:
        self.left.append((context.user.id, context.reason))

    async def presences(self) -> set[str]:
        channel = await self.lobby.get_channel(ROOM)
        return set(await channel.get_presence())

    async def check_that_one_left(self, goes: Member, stays: Member) -> None:
        """Wait until a member is gone, from everywhere and once."""
        within = PING + PONG + SEND + GRACE
        await eventually(lambda: bool(self.left), within)
        await eventually(lambda: self.pond.stats().connections == 1, within)
        assert self.left == [(goes.user_id, LeaveReason.CONNECTION_CLOSED)]
        assert await self.presences() == {stays.user_id}
        await stays.until(lambda: len(stays.named("LEAVE")) == 1)

    def check_that_nobody_left_twice(self, goes: Member, stays: Member) -> None:
        """Look again after everything has ended."""
        assert [user for user, _ in self.left] == [goes.user_id, stays.user_id]


@contextlib.asynccontextmanager
async def pondsocket_serve(application: Application) -> AsyncIterator[int]:
    """Serve as ``pondsocket serve`` does, and yield the port."""
    async with served(serve, application.pond, pages=None) as port:
        try:
            yield port
        finally:
            await hang_up_all()


async def enter(port: int, kind: type[Member]) -> Member:
    member = await kind.open(port)
    await member.join(ROOM)
    return member


@pytest.mark.parametrize("ws", WITH_PINGS)
async def test_a_client_behind_a_cut_cable_leaves_once(ws):
    application = Application()
    async with (
        serving(
            application.pond, ws, ws_ping_interval=PING, ws_ping_timeout=PONG
        ) as port,
        cable_to(port) as cable,
    ):
        stays = await enter(port, WebSocketClient)
        goes = await enter(cable.port, WebSocketClient)
        cable.cut()

        await application.check_that_one_left(goes, stays)
    application.check_that_nobody_left_twice(goes, stays)


async def test_pondsocket_serve_pings_as_its_options_say():
    application = Application(ping_interval=PING, pong_wait=PONG)
    async with (
        pondsocket_serve(application) as port,
        cable_to(port) as cable,
    ):
        stays = await enter(port, WebSocketClient)
        goes = await enter(cable.port, WebSocketClient)
        cable.cut()

        await application.check_that_one_left(goes, stays)
    application.check_that_nobody_left_twice(goes, stays)


@pytest.mark.parametrize(("kind", "ws"), KINDS)
@pytest.mark.parametrize("policy", ["close", "drop_oldest", "drop_newest"])
async def test_a_client_that_vanishes_amid_traffic_leaves_whatever_the_policy_is(
    policy, kind, ws
):
    application = Application(
        slow_consumer=policy, send_timeout=SEND, ping_interval=PING, pong_wait=PONG
    )
    async with (
        serving(
            application.pond,
            ws,
            send_buffer=SMALL_BUFFER,
            ws_ping_interval=PING,
            ws_ping_timeout=PONG,
        ) as port,
        cable_to(port) as cable,
    ):
        stays = await enter(port, WebSocketClient)
        goes = await enter(cable.port, kind)
        cable.cut()
        channel = await application.lobby.get_channel(ROOM)
        for _ in range(MANY):
            await channel.broadcast_to("news", BIG, goes.user_id)

        await application.check_that_one_left(goes, stays)
    application.check_that_nobody_left_twice(goes, stays)


@pytest.mark.parametrize(("kind", "ws"), KINDS)
async def test_a_client_whose_connection_is_reset_leaves_once(kind, ws):
    application = Application()
    async with serving(application.pond, ws) as port:
        stays = await enter(port, WebSocketClient)
        goes = await enter(port, kind)
        goes.reset()

        await application.check_that_one_left(goes, stays)
    application.check_that_nobody_left_twice(goes, stays)


@pytest.mark.parametrize(("kind", "ws"), KINDS)
async def test_a_client_that_closes_its_socket_without_a_word_leaves_once(kind, ws):
    application = Application()
    async with serving(application.pond, ws) as port:
        stays = await enter(port, WebSocketClient)
        goes = await enter(port, kind)
        goes.hang_up()

        await application.check_that_one_left(goes, stays)
    application.check_that_nobody_left_twice(goes, stays)
