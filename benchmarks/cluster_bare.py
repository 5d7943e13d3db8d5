"""The bare client libraries doing what a node of the cluster benchmark does.

Same arguments, lines and answers as ``cluster_node.py``. Messages are as long as ours.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import nats
from redis.asyncio import Redis

TOPIC = "bench"
BATCH = 100
DATA = json.dumps(
    {
        "protocol": "pondsocket.distributed",
        "version": 1,
        "type": "USER_MESSAGE",
        "messageId": "0123456789ab-100000",
        "sourceNodeId": "01234567-89ab-4cde-8f01-23456789abcd",
        "endpointName": "bench",
        "channelName": "/room/0",
        "timestamp": 1767225600000,
        "sourceEpoch": "1767225600000-01234567",
        "sourceSeq": 100000,
        "fromUserId": "CHANNEL",
        "event": "said",
        "payload": {"n": 100000, "at": 12345.123456789},
        "requestId": "01234567-89ab-4cde-8f01-23456789abcd",
        "recipientDescriptor": "ALL_USERS",
    },
    separators=(",", ":"),
).encode()


class Count:
    """How many messages came, and when the last did."""

    def __init__(self, wanted: int) -> None:
        self.said = 0
        self.last = 0.0
        self.is_complete = asyncio.Event()
        self._wanted = wanted

    def note(self) -> None:
        self.said += 1
        self.last = time.monotonic()
        if self.said >= self._wanted:
            self.is_complete.set()


async def publish_redis(url: str, count: int) -> None:
    client = Redis.from_url(url)
    for start in range(0, count, BATCH):
        pipeline = client.pipeline(transaction=False)
        for _ in range(min(BATCH, count - start)):
            pipeline.publish(TOPIC, DATA)
        await pipeline.execute()
    await client.aclose()


@asynccontextmanager
async def hear_redis(url: str, note: Callable[[], None]) -> AsyncIterator[None]:
    client = Redis.from_url(url)
    pubsub = client.pubsub()
    await pubsub.subscribe(TOPIC)

    async def read() -> None:
        async for message in pubsub.listen():
            if message["type"] == "message":
                note()

    reading = asyncio.get_running_loop().create_task(read())
    yield
    reading.cancel()
    await asyncio.wait([reading])
    await pubsub.aclose()
    await client.aclose()


async def publish_nats(url: str, count: int) -> None:
    client = await nats.connect(url)
    for start in range(0, count, BATCH):
        for _ in range(min(BATCH, count - start)):
            await client.publish(TOPIC, DATA)
        await client.flush()  # as the pipeline: what was handed over has arrived
    await client.close()


@asynccontextmanager
async def hear_nats(url: str, note: Callable[[], None]) -> AsyncIterator[None]:
    client = await nats.connect(url)

    async def hear(_: object) -> None:
        note()

    await client.subscribe(TOPIC, cb=hear)
    await client.flush()
    yield
    await client.close()


PUBLISH = {"redis": publish_redis, "nats": publish_nats}
HEAR = {"redis": hear_redis, "nats": hear_nats}


async def line() -> None:
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


async def run(arguments: argparse.Namespace) -> None:
    scheme = arguments.url.partition(":")[0]
    count = Count(arguments.count)
    if arguments.role == "send":
        print("ready", flush=True)
        await line()
        began, cpu = time.monotonic(), time.process_time()
        await PUBLISH[scheme](arguments.url, arguments.count)
        await line()
    else:
        async with HEAR[scheme](arguments.url, count.note):
            print("ready", flush=True)
            await line()
            began, cpu = time.monotonic(), time.process_time()
            try:
                async with asyncio.timeout(60):
                    await count.is_complete.wait()
            except TimeoutError:
                pass  # the answer tells how many came
    answer = {
        "began": began,
        "said": count.said,
        "last": count.last,
        "delays": [],
        "cpu": time.process_time() - cpu,
    }
    print(json.dumps(answer), flush=True)
    await line()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=("send", "receive"))
    parser.add_argument("--url", required=True)
    parser.add_argument("--count", type=int, required=True)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
