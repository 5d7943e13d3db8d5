"""The load counts what comes, whatever it comes in, and says what goes wrong."""

import asyncio
import json
import random

import pytest

from benchmarks.fanout.programs import compiled
from tests.benchmarks.odd_server import serve_oddly

JOINING = ("--step", "", "hello", "--say", "%b")
PATIENCE = 15.0


async def put(programs, port, *arguments):
    """Run the load; return the answers of its phases and what it complained about."""
    options = [each for each in arguments if ":" not in each]
    phases = [each for each in arguments if ":" in each]
    process = await asyncio.create_subprocess_exec(
        compiled("load.c", programs),
        *(*JOINING, *options, str(port), *phases),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            said, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return [json.loads(line) for line in said.splitlines()], complaint.decode()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [64, 200, 70_000])
async def test_deliveries_are_counted_in_whatever_pieces_they_come(
    seed, size, programs
):
    async with serve_oddly(random.Random(seed)) as port:
        answers, _ = await put(programs, port, "--batch", "join:3", f"count:20:{size}")

    assert (answers[1]["deliveries"], answers[1]["disordered"]) == (60, 0)


async def test_a_delivery_that_comes_twice_is_a_failure(programs):
    async with serve_oddly(random.Random(1)) as port:
        _, complaint = await put(
            programs, port, "--batch", "--say", "%b\n~00000000", "join:1", "count:2:9"
        )

    assert "too often" in complaint


async def test_a_server_that_refuses_the_handshake_is_a_failure(programs):
    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        _, complaint = await put(programs, port, "join:1")

    assert "403" in complaint


async def test_a_server_that_does_not_compress_is_not_taken_for_one(programs):
    async with serve_oddly(random.Random(1)) as port:
        _, complaint = await put(programs, port, "--deflate", "join:1")

    assert "does not compress" in complaint or "without zlib" in complaint


async def test_an_unknown_phase_is_a_failure(programs):
    _, complaint = await put(programs, 1, "dance:1")

    assert "dance" in complaint
