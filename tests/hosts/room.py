"""What the hosts serve in these tests: rooms that anybody may join.

POND_TEST_OPTIONS in the environment holds the options as JSON. What happens is appended
to the file that POND_TEST_NOTES names, a line each: ``joined``, ``left``, ``worked``,
``waits``, and the id of the user.
"""

import asyncio
import json
import os

from pondsocket import (
    ConnectionContext,
    EventContext,
    JoinContext,
    LeaveContext,
    Options,
    PondSocket,
)
from pondsocket_asgi import PondASGIApp
from tests import direct_writes

direct_writes.adopt()

WORK = 0.5  # seconds that a handler may need

NOTES = os.open(
    os.environ.get("POND_TEST_NOTES", os.devnull),
    os.O_CREAT | os.O_APPEND | os.O_WRONLY,
)


def note(what: str, user_id: str) -> None:
    os.write(NOTES, f"{what} {user_id}\n".encode())


async def wait(context: ConnectionContext) -> None:
    """Decide about nobody, as when a database does not answer."""
    note("waits", context.user_id)
    await asyncio.Event().wait()


async def join(context: JoinContext) -> None:
    await context.accept()
    note("joined", context.user.id)


def leave(context: LeaveContext) -> None:
    note("left", context.user.id)


async def work(context: EventContext) -> None:
    """Take some time, as a query of a database does."""
    note("begins", context.user.id)
    await asyncio.sleep(WORK)
    note("worked", context.user.id)


async def pour(context: EventContext) -> None:
    """Broadcast as many messages as the client asks for, then answer."""
    wanted = context.get_payload()
    padding = "x" * wanted["size"]
    for number in range(wanted["first"], wanted["first"] + wanted["count"]):
        await context.broadcast("poured", {"n": number, "padding": padding})
    await context.reply("done", {})


pond = PondSocket(
    options=Options(**json.loads(os.environ.get("POND_TEST_OPTIONS", "{}")))
)
pond.create_endpoint("/waiting", wait)
lobby = pond.create_endpoint("/live", lambda context: context.accept()).create_channel(
    "/room/:name", join
)
lobby.on_message("work", work)
lobby.on_message("pour", pour)
lobby.on_message("echo", lambda context: context.reply("echoed", context.get_payload()))
lobby.on_message(
    "said", lambda context: context.broadcast("said", context.get_payload())
)
lobby.on_leave(leave)

app = PondASGIApp(pond)
