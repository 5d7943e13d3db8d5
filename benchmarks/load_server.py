"""The server that the load benchmarks talk to, in a process of its own.

Prints its port, serves until its standard input ends. ``stats`` on any channel replies
with what the process holds and has spent.
"""

import argparse
import asyncio
import resource
import sys

from pondsocket import (
    ConnectionContext,
    EventContext,
    JoinContext,
    Options,
    PondSocket,
)
from pondsocket.wire import JsonCodec
from pondsocket_asgi.runner import serve

encoded = 0
encode_once = JsonCodec.encode


def counting_encode(self: JsonCodec, event: object) -> str:
    """Count what is encoded: a broadcast should be, once."""
    global encoded  # noqa: PLW0603 - a counter of a script
    encoded += 1
    return encode_once(self, event)


def build() -> PondSocket:
    """Return the application: rooms that broadcast, and rooms with presence."""
    pond = PondSocket(
        options=Options(max_channels_per_connection=0, max_messages_per_second=0)
    )

    def accept(ctx: ConnectionContext) -> None:
        ctx.accept()

    endpoint = pond.create_endpoint("/load", accept)

    async def join(ctx: JoinContext) -> None:
        await ctx.accept()
        if "track" in ctx.join_params:
            await ctx.track({"n": ctx.join_params["track"]})

    lobby = endpoint.create_channel("/room/:name", join)

    @lobby.on_message("stats")
    async def stats(ctx: EventContext) -> None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        held = pond.stats()
        await ctx.reply(
            "stats",
            {
                "encoded": encoded,
                "cpu": usage.ru_utime + usage.ru_stime,
                "rss": resident_kib(),
                "connections": held.connections,
                "channels": held.channels,
                "tasks": len(asyncio.all_tasks()),
                "counts": {k: v for k, v in held.counts.items() if v},
            },
        )

    @lobby.on_message("say")
    async def say(ctx: EventContext) -> None:
        await ctx.broadcast("said", ctx.get_payload())

    return pond


def resident_kib() -> int:
    """Return the resident memory of this process in KiB."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if "VmRSS" in line)


async def main() -> None:
    """Serve on a free port until standard input ends."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        loop.remove_reader(sys.stdin)  # its end would be told again and again
        stop.set()

    loop.add_reader(sys.stdin, end)
    await serve(
        build(),
        host="127.0.0.1",
        port=0,
        pages=None,
        grace=0.0,
        stop=stop,
        on_ready=lambda port: print(port, flush=True),
    )


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    JsonCodec.encode = counting_encode  # type: ignore[method-assign]
    asyncio.run(main())
