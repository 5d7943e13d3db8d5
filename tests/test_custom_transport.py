"""The transport of examples/tcp_lines.py: pond channels over something without HTTP.

It keeps the contract over real TCP, and it runs as its first lines say.
"""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from examples.tcp_lines import serve_lines
from pondsocket import Options, PondSocket
from pondsocket.testing import CloseCodeContract, Connect, FrameSinkContract, WireClosed
from tests.contract.peers import LinePeer

EXAMPLE = Path(__file__).parent.parent / "examples" / "tcp_lines.py"
PATIENCE = 10.0

COMMAND = re.compile(r"^    python (\w+\.py)$", re.MULTILINE)
MESSAGE = re.compile(r"^    (\{.*\})$", re.MULTILINE)
ADDRESS = re.compile(r"serving lines on 127\.0\.0\.1:(\d+)")


class TestLines(FrameSinkContract, CloseCodeContract):
    @asynccontextmanager
    async def serve(self, pond: PondSocket) -> AsyncIterator[Connect]:
        async with serve_lines(pond.endpoints[0], port=0) as port:
            yield lambda: LinePeer.open(port)


class Program:
    """The example in a process of its own."""

    def __init__(self, process, port):
        self._process = process
        self.port = port

    async def interrupt(self):
        """Stop it as Ctrl+C does; return its exit code and what it complained about."""
        self._process.send_signal(signal.SIGINT)
        async with asyncio.timeout(PATIENCE):
            complaint = await self._process.stderr.read()
            return await self._process.wait(), complaint.decode()


@asynccontextmanager
async def started():
    """Start the example by its own command, on a free port."""
    (script,) = COMMAND.findall(EXAMPLE.read_text())
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, script),
        cwd=EXAMPLE.parent,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PORT": "0"},
    )
    try:
        async with asyncio.timeout(PATIENCE):
            line = (await process.stdout.readline()).decode()
        yield Program(process, int(ADDRESS.match(line)[1]))
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def connected(port):
    """Connect, hear the greeting, and free everything at the end."""
    peer = await LinePeer.open(port)
    try:
        await hear(peer, "CONNECTION")
        yield peer
    finally:
        await peer.close()


async def hear(peer, event):
    """Return the next message, which must be of that name."""
    async with asyncio.timeout(PATIENCE):
        message = json.loads(await peer.receive())
    assert message["event"] == event
    return message


async def hear_the_end(peer):
    """Return how the server closed the connection, which must be the next thing."""
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(WireClosed) as closed:
            await peer.receive()
    return closed.value


def documented_messages():
    """Return the lines that the docstring tells to type."""
    return MESSAGE.findall(EXAMPLE.read_text())


async def test_the_lines_of_the_docstring_join_a_room_and_speak_in_it():
    join, speak = documented_messages()
    async with (
        started() as program,
        connected(program.port) as one,
        connected(program.port) as other,
    ):
        for peer in (one, other):
            await peer.send(join)
            await hear(peer, "ACKNOWLEDGE")
        await one.send(speak)

        for peer in (one, other):
            assert (await hear(peer, "e"))["action"] == "BROADCAST"


async def test_rubbish_too_long_a_line_and_half_a_line_harm_nobody_else():
    join, speak = documented_messages()
    async with started() as program, connected(program.port) as member:
        await member.send(join)
        await hear(member, "ACKNOWLEDGE")

        async with connected(program.port) as talker:
            await talker.send("hello, is anybody there?")
            await hear(talker, "INVALID_MESSAGE")
            await talker.send("\n \r")  # who presses Enter says nothing
            await talker.send("x" * 2_000_000)
            assert (await hear_the_end(talker)).code == 1009
        async with connected(program.port) as leaver:
            await leaver.send(speak[:40] + "\n" + join[:-10])
            await hear(leaver, "INVALID_MESSAGE")
            await leaver.vanish()

        await member.send(speak)
        await hear(member, "e")
        _, complaint = await program.interrupt()
    assert complaint == ""


async def test_an_interrupted_server_tells_its_clients_and_exits_well():
    async with started() as program, connected(program.port) as peer:
        stopping = asyncio.create_task(program.interrupt())
        closed = await hear_the_end(peer)

        assert (closed.code, closed.reason) == (1012, "server restarts")
        assert await stopping == (0, "")


async def test_a_line_in_two_parts_is_one_message():
    join, _ = documented_messages()
    async with started() as program:
        reader, writer = await asyncio.open_connection("127.0.0.1", program.port)
        for part in (join[:20], join[20:] + "\r\n" + join[:5], join[5:] + "\n"):
            writer.write(part.encode())
            await writer.drain()
        async with asyncio.timeout(PATIENCE):
            events = [json.loads(await reader.readline())["event"] for _ in range(3)]
        writer.close()
        await writer.wait_closed()

    assert events == ["CONNECTION", "ACKNOWLEDGE", "ACKNOWLEDGE"]


async def test_who_is_refused_reads_why_in_the_only_line():
    pond = PondSocket()
    endpoint = pond.create_endpoint("/", lambda ctx: ctx.decline(403, "not you"))
    async with pond, serve_lines(endpoint, port=0) as port:
        peer = await LinePeer.open(port)
        closed = await hear_the_end(peer)

    assert (closed.code, closed.reason) == (4403, "not you")


async def test_a_connection_too_many_is_refused():
    pond = PondSocket(options=Options(max_connections=1))
    endpoint = pond.create_endpoint("/", lambda ctx: ctx.accept())
    async with pond, serve_lines(endpoint, port=0) as port, connected(port):
        peer = await LinePeer.open(port)
        closed = await hear_the_end(peer)

    assert closed.code == 4503


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the times are fixed")
async def test_the_kernel_is_asked_to_notice_a_client_that_vanished():
    pond = PondSocket(options=Options(ping_interval=3.0, pong_wait=7.5))
    endpoint = pond.create_endpoint("/", lambda ctx: ctx.accept())
    async with pond, serve_lines(endpoint, port=0) as port, connected(port) as peer:
        (session,) = endpoint.connections.sessions()
        plain = session.transport._socket.get_extra_info("socket")
        found = [
            plain.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            plain.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
            plain.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
            plain.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
        ]
        await peer.close()

    assert found == [1, 3, 3, 7500]
