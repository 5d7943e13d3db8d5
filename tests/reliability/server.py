"""A server in a process of its own, for tests that measure it from outside.

Started by ``hosts.server_process`` with one JSON argument. It prints its port; each
line of its standard input is a JSON command and gets one line of JSON as its answer.
When its input ends, so does it.
"""

import asyncio
import gc
import json
import sys
from typing import Any

from pondsocket import JoinContext, LeaveContext, Options, PondSocket
from pondsocket_asgi import PondASGIApp
from tests.reliability.hosts import Uvicorn, configure, listen

ROOM = "/room/one"


class Application:
    """Rooms that anybody may join; what happens there is counted."""

    def __init__(self, options: Options) -> None:
        self.pond = PondSocket(options=options)
        self.leaves = 0
        endpoint = self.pond.create_endpoint("/live", lambda ctx: ctx.accept())
        lobby = endpoint.create_channel("/room/:name", self._join)
        lobby.on_message("say", lambda ctx: ctx.broadcast("said", ctx.get_payload()))
        lobby.on_message("echo", lambda ctx: ctx.reply("echoed", ctx.get_payload()))
        lobby.on_message("never/:name", lambda ctx: None)
        lobby.on_leave(self._note_leave)

    async def _join(self, context: JoinContext) -> None:
        await context.accept()
        if "track" in context.join_params:
            await context.track({"is": context.join_params["track"]})

    def _note_leave(self, context: LeaveContext) -> None:
        self.leaves += 1

    async def perform(self, command: dict[str, Any]) -> dict[str, Any]:
        match command["do"]:
            case "broadcast":
                await self._broadcast(**command)
                return {}
            case "stats":
                return self._stats()
            case unknown:
                raise ValueError(f"unknown command {unknown!r}")

    async def _broadcast(
        self, *, first: int, count: int, size: int, at: float, **_: object
    ) -> None:
        padding = "x" * size
        for number in range(first, first + count):
            payload = {"n": number, "at": at, "padding": padding}
            await self.pond.broadcast("/live", ROOM, "said", payload)

    def _stats(self) -> dict[str, Any]:
        gc.collect()
        stats = self.pond.stats()
        return {
            "connections": stats.connections,
            "channels": stats.channels,
            "outbox_messages": stats.outbox_messages,
            "outbox_bytes": stats.outbox_bytes,
            "leaves": self.leaves,
            "tasks": len(asyncio.all_tasks()),
            **stats.counts,
        }


async def main(settings: dict[str, Any]) -> None:
    """Serve until standard input ends."""
    application = Application(Options(**settings["options"]))
    app = PondASGIApp(application.pond)
    server = Uvicorn(configure(app, settings["ws"], ws_ping_interval=None))
    listener = listen(settings["send_buffer"])
    serving = asyncio.create_task(server.serve([listener]))
    await server.listening.wait()
    print(listener.getsockname()[1], flush=True)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin
    )
    while line := await commands.readline():
        print(json.dumps(await application.perform(json.loads(line))), flush=True)
    await server.stop()
    await serving


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
