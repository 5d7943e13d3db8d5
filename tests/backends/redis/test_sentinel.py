"""A client of a Sentinel, whose master fails over to a replica."""

import asyncio

import pytest
from redis.asyncio.sentinel import Sentinel

from pondsocket_redis import RedisPubSub
from tests.backends.redis.ears import Ear, returns_of
from tests.backends.servers import command, free_port, valkey_server

pytestmark = pytest.mark.timeout(60)

SECONDS = 30


def write_rules(folder, master):
    """Return the file by which a Sentinel watches a master."""
    rules = folder / "sentinel.conf"
    rules.write_text(
        f"sentinel monitor pond 127.0.0.1 {master.port} 1\n"
        "sentinel down-after-milliseconds pond 500\n"
        "sentinel failover-timeout pond 3000\n"
    )
    return rules


async def test_the_new_master_is_found_after_a_failover(tmp_path):
    async with (
        valkey_server() as master,
        valkey_server("--replicaof", "127.0.0.1", str(master.port)) as replica,
    ):
        rules = write_rules(tmp_path, master)
        port = free_port()
        program = replica._command[0]
        process = await asyncio.create_subprocess_exec(
            program, str(rules), "--sentinel", "--port", str(port),
            "--bind", "127.0.0.1", stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            await fail_over(master, port)
        finally:
            process.kill()
            await process.wait()


async def fail_over(master, port):
    async with asyncio.timeout(SECONDS):
        while not await knows_replica(port):
            await asyncio.sleep(0.05)
    sentinel = Sentinel([("127.0.0.1", port)])
    pubsub = RedisPubSub(sentinel.master_for("pond"), owns_client=True)
    ear, back = Ear(), returns_of(pubsub)
    await pubsub.subscribe("a", ear)
    await master.kill()
    async with asyncio.timeout(SECONDS):
        await back.wait()

    await pubsub.publish("a", b"after")

    assert await ear.hears(1) == [("a", b"after")]
    await pubsub.close()
    for each in sentinel.sentinels:
        await each.aclose()


async def knows_replica(port):
    """Tell whether the Sentinel answers and has found the replica."""
    try:
        return "slaves=1" in await command(port, "INFO", "sentinel")
    except OSError:
        return False
