"""A node that the cluster benchmark measures; runs on the published pondsocket too.

    python cluster_node.py send|receive --url redis://127.0.0.1:6379 --count 100000

Opens its channels, prints ``ready``, and waits for a line. A sender broadcasts then; a
receiver prints what came once it has everything, or after a silence. Both end with a
line of JSON: times of the system's monotonic clock, and CPU seconds since that line.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio import Redis

from pondsocket import (
    ConnectionContext,
    Event,
    InMemoryTransport,
    JoinContext,
    Options,
    PondSocket,
)

try:
    from pondsocket import open_pubsub  # ours
except ImportError:
    from pondsocket.distributed import RedisPubSub

    IS_OURS = False
else:
    IS_OURS = True

SILENCE = 3.0  # seconds after which nothing more is expected
AT_ONCE = 50  # channels that are joined together
BUSY = "/room/0"


class Member(InMemoryTransport):
    """A client that counts what it would be sent, and notes how late it is."""

    def __init__(self, id: str, is_timed: bool) -> None:
        super().__init__(id)
        self.said = 0
        self.last = 0.0
        self.delays: list[float] = []
        self.joined = 0
        self._is_timed = is_timed

    def try_send(self, frames: Sequence[Any]) -> bool:
        """Take frames, as a WebSocket would have them; only ours calls this."""
        for frame in frames:
            data = frame.websocket
            if frame.name == "said":
                self._note(lambda: json.loads(frame.text)["payload"])  # noqa: B023 - called at once
            elif frame.name == "ACKNOWLEDGE":
                self.joined += 1
            assert data  # noqa: S101 - what is counted was built
        return True

    async def send_event(self, event: Event) -> None:
        if event.event == "said":
            self._note(lambda: event.payload)
        elif event.event == "ACKNOWLEDGE":
            self.joined += 1

    def _note(self, payload: Callable[[], dict[str, Any]]) -> None:
        self.said += 1
        self.last = time.monotonic()
        if self._is_timed:
            self.delays.append(self.last - payload()["at"])


def build(arguments: argparse.Namespace) -> tuple[PondSocket, Any, dict[str, Any]]:
    """Return a node, its endpoint, and its channels as they come into being."""
    if IS_OURS:
        # digests would come at other moments in each run
        options = Options(
            max_channels_per_connection=0,
            max_messages_per_second=0,
            anti_entropy_interval=3600.0,
        )
        pubsub = open_pubsub(arguments.url)
    else:
        options = Options()
        pubsub = RedisPubSub(Redis.from_url(arguments.url), owns_client=True)
    pond = PondSocket(options=options, pubsub=pubsub)
    channels: dict[str, Any] = {}

    async def connect(context: ConnectionContext) -> None:
        context.accept()

    async def join(context: JoinContext) -> None:
        await context.accept()
        channels[context.channel.name] = context.channel

    endpoint = pond.create_endpoint("/bench", connect)
    endpoint.create_channel("/room/:name", join)
    return pond, endpoint, channels


async def enter(member: Member, count: int) -> None:
    """Join ``count`` channels; the first is the busy one."""
    for start in range(0, count, AT_ONCE):
        end = min(start + AT_ONCE, count)
        for number in range(start, end):
            name = f"/room/{number}"
            join = Event("JOIN_CHANNEL", name, f"r{number}", "JOIN", {})
            await member.push_inbound(join)
        while member.joined < end:  # noqa: ASYNC110 - both kinds tell in other ways
            await asyncio.sleep(0.002)


async def broadcast(channel: Any, arguments: argparse.Namespace) -> None:  # noqa: ANN401 - of either kind
    loop = asyncio.get_running_loop()
    start = loop.time()
    for number in range(arguments.count):
        if arguments.rate:
            await asyncio.sleep(max(start + number / arguments.rate - loop.time(), 0))
        await channel.broadcast("said", {"n": number, "at": time.monotonic()})


async def wait_for_all(member: Member, count: int) -> None:
    """Return once ``count`` messages came, or none came for a while."""
    began = time.monotonic()
    while member.said < count:
        await asyncio.sleep(0.02)
        if time.monotonic() - max(member.last, began) > SILENCE + 5 * (not member.said):
            return


async def run(arguments: argparse.Namespace) -> None:
    pond, endpoint, channels = build(arguments)
    member = Member(arguments.role, bool(arguments.rate))
    await endpoint.register_transport(member)
    await enter(member, arguments.channels)
    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    began, cpu = time.monotonic(), time.process_time()
    if arguments.role == "send":
        await broadcast(channels[BUSY], arguments)
    else:
        await wait_for_all(member, arguments.count)
    answer = {
        "began": began,
        "said": member.said,
        "last": member.last,
        "delays": member.delays,
    }
    if arguments.role == "send":
        await loop.run_in_executor(None, sys.stdin.readline)
    answer["cpu"] = time.process_time() - cpu
    print(json.dumps(answer), flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    await pond.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=("send", "receive"))
    parser.add_argument("--url", required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0.0, help="0: as fast as it goes")
    parser.add_argument("--profile", help="write cProfile's figures to this file")
    arguments = parser.parse_args()
    if arguments.profile:
        import cProfile  # noqa: PLC0415 - nobody else pays for it

        cProfile.runctx(
            "asyncio.run(run(arguments))",
            globals(),
            {"arguments": arguments},
            f"{arguments.profile}.{arguments.role}",
        )
    else:
        asyncio.run(run(arguments))


if __name__ == "__main__":
    main()
