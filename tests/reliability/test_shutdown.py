"""What ends, ends whole: nothing is cut in half and nothing goes on behind a close."""

import asyncio

import pytest

from pondsocket import (
    Event,
    EventContext,
    InMemoryTransport,
    JoinContext,
    LeaveContext,
    Options,
    PondSocket,
)
from tests.unit.doubles import other_tasks, settle

ROOM = "/room/1"


class Application:
    """One room; its handlers wait until the test lets them go on."""

    def __init__(self) -> None:
        self.log: list[tuple[str, str]] = []
        self.go = asyncio.Event()
        self.pond = PondSocket(options=Options(send_timeout=1.0))
        self.endpoint = self.pond.create_endpoint("/socket", lambda ctx: ctx.accept())
        lobby = self.endpoint.create_channel("/room/:id", self.join)
        lobby.on_message("work", self.work)
        lobby.on_leave(self.leave)
        self.lobby = lobby

    async def join(self, ctx: JoinContext) -> None:
        await ctx.accept()

    async def work(self, ctx: EventContext) -> None:
        self.log.append(("begins", ctx.user.id))
        await self.go.wait()
        await ctx.reply("done", {})
        self.log.append(("works", ctx.user.id))

    async def leave(self, ctx: LeaveContext) -> None:
        await self.go.wait()
        self.log.append(("left", ctx.user.id))

    async def enter(self, user_id: str) -> InMemoryTransport:
        client = InMemoryTransport(user_id)
        await self.endpoint.register_transport(client)
        await client.push_inbound(Event("JOIN_CHANNEL", ROOM, "1", "join"))
        await settle()
        await client.drain_outbox()
        return client


@pytest.fixture
async def application():
    application = Application()
    yield application
    application.go.set()
    await application.pond.close()
    assert not other_tasks()


async def start(coroutine) -> asyncio.Task:
    task = asyncio.create_task(coroutine)
    await settle()
    return task


async def test_closing_waits_for_those_who_are_leaving(application):
    ann = await application.enter("ann")
    leaving = await start(ann.close())
    closing = await start(application.pond.close())

    assert not closing.done()
    application.go.set()
    await closing

    assert application.log == [("left", "ann")]
    await leaving


async def test_closing_waits_for_the_handler_of_one_who_left(application):
    ann = await application.enter("ann")
    await ann.push_inbound(Event("BROADCAST", ROOM, "2", "work"))
    application.lobby.on_leave(lambda ctx: None)
    leaving = await start(ann.close())
    closing = await start(application.pond.close())

    assert not closing.done()
    application.go.set()
    await closing

    assert ("works", "ann") in application.log
    await leaving


async def test_a_second_close_waits_as_well(application):
    await application.enter("ann")
    first = await start(application.pond.close())
    second = await start(application.pond.close())

    assert not second.done()
    application.go.set()
    await asyncio.gather(first, second)

    assert application.log == [("left", "ann")]


async def test_a_cancelled_close_can_be_called_again(application):
    await application.enter("ann")
    first = await start(application.pond.close())
    first.cancel()
    await settle()

    application.go.set()
    await application.pond.close()

    assert application.log == [("left", "ann")]
    assert application.pond.stats().channels == 0


async def test_everyone_leaves_a_channel_whose_closing_is_cancelled(application):
    for name in ("ann", "bob", "eve"):
        await application.enter(name)
    channel = application.lobby.find(ROOM)
    closing = await start(channel.close())

    closing.cancel()
    application.go.set()
    await settle()

    assert sorted(application.log) == [("left", n) for n in ("ann", "bob", "eve")]
    assert not channel.is_active


async def test_an_eviction_that_is_cancelled_is_complete(application):
    await application.enter("ann")
    evicting = await start(application.lobby.find(ROOM).evict_user("ann", "go"))

    evicting.cancel()
    application.go.set()
    await settle()

    assert application.log == [("left", "ann")]


async def test_draining_lets_a_handler_answer_before_its_client_has_to_go(application):
    ann = await application.enter("ann")
    await ann.push_inbound(Event("BROADCAST", ROOM, "2", "work"))
    draining = await start(application.pond.drain(30.0))
    assert ann.is_active()

    application.go.set()
    await draining

    assert [event.event for event in await ann.drain_outbox()] == ["done"]
    assert not ann.is_active()


async def test_a_reply_just_before_a_close_arrives(application):
    async def bye(ctx: EventContext) -> None:
        await ctx.reply("bye", {})
        await ann.close()

    application.lobby.on_message("bye", bye)
    ann = await application.enter("ann")
    application.go.set()

    await ann.push_inbound(Event("BROADCAST", ROOM, "2", "bye"))
    await settle()

    assert [event.event for event in await ann.drain_outbox()] == ["bye"]


async def test_nothing_new_begins_after_the_end(application):
    application.go.set()
    await application.pond.close()

    with pytest.raises(ValueError, match="closed"):
        application.pond.create_endpoint("/late", lambda ctx: ctx.accept())
