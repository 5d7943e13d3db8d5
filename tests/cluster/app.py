"""What the nodes of these tests serve: rooms that anybody may join, and may ask about.

POND_PUBSUB in the environment is the URL of the backend, POND_TEST_OPTIONS holds the
options as JSON. A join may bring a ``name``, which becomes an assign, and a
``presence``.
"""

import asyncio
import dataclasses
import json
import os

from pondsocket import EventContext, JoinContext, Options, PondSocket

slowest_broadcast = 0.0


async def join(context: JoinContext) -> None:
    params = context.join_params
    await context.accept({"name": params["name"]})
    if presence := params.get("presence"):
        await context.track(presence)


async def say(context: EventContext) -> None:
    """Broadcast what the client says, and remember how long that took at most."""
    global slowest_broadcast  # noqa: PLW0603 - one process is one node
    loop = asyncio.get_running_loop()
    began = loop.time()
    await context.broadcast("said", context.get_payload())
    slowest_broadcast = max(slowest_broadcast, loop.time() - began)


async def pour(context: EventContext) -> None:
    """Broadcast numbers as if the client had said them, without pause."""
    wanted = context.get_payload()
    padding = "x" * wanted["size"]
    for number in range(wanted["first"], wanted["first"] + wanted["count"]):
        said = {"from": wanted["from"], "n": number, "padding": padding}
        await context.broadcast("said", said)
    await context.reply("poured", {})


async def update(context: EventContext) -> None:
    await context.update_presence(context.get_payload())
    await context.reply("updated", {})


async def look(context: EventContext) -> None:
    """Tell who is in the room, wherever they live."""
    await context.reply(
        "seen",
        {
            "users": await context.get_all_assigns(),
            "presences": await context.get_all_presence(),
        },
    )


async def stats(context: EventContext) -> None:
    await context.reply(
        "stats",
        {
            "pond": dataclasses.asdict(pond.stats()),
            "pubsub": pond.pubsub.stats(),
            "slowest_broadcast": slowest_broadcast,
        },
    )


pond = PondSocket(
    options=Options(**json.loads(os.environ["POND_TEST_OPTIONS"])),
    pubsub=os.environ["POND_PUBSUB"],
)
lobby = pond.create_endpoint("/live", lambda context: context.accept()).create_channel(
    "/room/:name", join
)
for handler in (say, pour, update, look, stats):
    lobby.on_message(handler.__name__, handler)
