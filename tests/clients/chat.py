"""The application that the published clients talk to: rooms, and doors that stay shut.

``pondsocket serve tests.clients.chat:pond`` serves it as people do. ``app`` is for ASGI
hosts, and leaves the names of the events out of event streams as the JavaScript
`SSEClient` needs it.
"""

from pondsocket import (
    ConnectionContext,
    EventContext,
    JoinContext,
    LeaveContext,
    PondError,
    PondSocket,
)
from pondsocket_asgi import PondASGIApp

REFUSAL = "Kein Zutritt für Fremde 🚪"

pond = PondSocket()
app = PondASGIApp(pond, sse_event_names=False)


def welcome(ctx: ConnectionContext) -> None:
    if "refuse" in ctx.query:
        ctx.decline(int(ctx.query["refuse"]), "not today")
    else:
        ctx.accept(device=ctx.query.get("device", ""))


endpoint = pond.create_endpoint("/socket", welcome)


async def enter(ctx: JoinContext) -> None:
    name = ctx.join_params["name"]
    await ctx.accept({"name": name})
    await ctx.track({"name": name, "mood": "curious"})


async def decline(ctx: JoinContext) -> None:
    await ctx.decline(403, REFUSAL)


async def break_down(ctx: JoinContext) -> None:
    raise ValueError("a secret")


async def say_nothing(ctx: JoinContext) -> None:
    pass


endpoint.create_channel("/members/*", decline)
endpoint.create_channel("/broken/*", break_down)
endpoint.create_channel("/silent/*", say_nothing)
room = endpoint.create_channel("/room/:id", enter)


@room.on_message("say")
async def say(ctx: EventContext) -> None:
    await ctx.broadcast("said", ctx.get_payload())


@room.on_message("tell-others")
async def tell_others(ctx: EventContext) -> None:
    await ctx.broadcast_from("told", ctx.get_payload())


@room.on_message("tell")
async def tell(ctx: EventContext) -> None:
    listener = await find_id(ctx, ctx.get_payload()["name"])
    await ctx.broadcast_to("told", ctx.get_payload(), listener)


@room.on_message("count")
async def count(ctx: EventContext) -> None:
    for number in range(ctx.get_payload()["to"]):
        await ctx.broadcast("number", {"n": number})


@room.on_message("echo")
async def echo(ctx: EventContext) -> None:
    await ctx.reply("echo", ctx.get_payload())


@room.on_message("who-am-i")
async def who_am_i(ctx: EventContext) -> None:
    await ctx.reply(
        "you-are",
        {
            "id": ctx.user.id,
            "name": await ctx.get_assign("name"),
            "device": await ctx.get_assign("device"),
            "room": ctx.channel.name,
        },
    )


@room.on_message("mood")
async def change_mood(ctx: EventContext) -> None:
    name = await ctx.get_assign("name")
    await ctx.update_presence({"name": name, "mood": ctx.get_payload()["mood"]})


@room.on_message("hide")
async def hide(ctx: EventContext) -> None:
    await ctx.untrack()


@room.on_message("throw-out")
async def throw_out(ctx: EventContext) -> None:
    payload = ctx.get_payload()
    await ctx.evict(payload["reason"], await find_id(ctx, payload["name"]))


@room.on_message("object")
async def object_to_it(ctx: EventContext) -> None:
    raise PondError("the seat is taken", 409, details={"seat": 7}, temporary=True)


@room.on_message("crash")
async def crash(ctx: EventContext) -> None:
    raise ValueError("a secret")


@room.on_leave
async def say_goodbye(ctx: LeaveContext) -> None:
    await ctx.broadcast("left", {"name": ctx.get_assign("name"), "reason": ctx.reason})


async def find_id(ctx: EventContext, name: str) -> str:
    everyone = await ctx.get_all_assigns()
    return next(id for id, assigns in everyone.items() if assigns["name"] == name)
