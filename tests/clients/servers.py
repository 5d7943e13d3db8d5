"""Servers that a test may kill and start again on their port.

A `SocketServer` runs a program of ours on a socket that the tests keep open, so that
who calls while there is no server waits for the next one instead of being refused (the
published Python client tries to reconnect once only). A host that binds its port itself
is started again by `run_again`.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from tests.hosts.commands import HOSTS, Target
from tests.hosts.process import HostProcess

ROOT = Path(__file__).parents[2]
SECONDS = 15

CHAT = "tests.clients.chat"


def url_of(port: int) -> str:
    """Return where clients of the chat connect."""
    return f"http://127.0.0.1:{port}/socket"


class SocketServer:
    """A process that the tests start, end and start again, on one listening socket."""

    def __init__(self, program: str, log: Path, listening: socket.socket) -> None:
        self._program = program
        self._log = log
        self._socket = listening
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect; a process that died by itself is told of."""
        assert self._process, "start it first"
        assert self._process.poll() is None, self._log.read_text()
        return url_of(self._socket.getsockname()[1])

    def start(self) -> None:
        """Start the process; clients can connect before it is ready."""
        number = self._socket.fileno()
        command = ["-m", "tests.clients.programs", self._program, str(number)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                pass_fds=[number],
            )

    def kill(self) -> None:
        """End the process at once, as ``kill -9`` does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask the process to end, and wait for it."""
        code = self._end(signal.SIGTERM)
        # uvicorn by itself raises the signal again when it has stopped
        assert code in {0, -signal.SIGTERM}, self._log.read_text()

    def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(number)
        try:
            return process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


@contextlib.contextmanager
def listening_server(program: str, log: Path) -> Iterator[SocketServer]:
    """Keep a server, and its socket, for as long as the block lasts."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = SocketServer(program, log, listening)
        try:
            server.start()
            yield server
            server.stop()
        finally:
            server.kill()


@contextlib.asynccontextmanager
async def run_again(name: str, port: int, log: Path) -> AsyncIterator[HostProcess]:
    """Start a host where one has listened; who calls too early has to call again."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *HOSTS[name].command(Target(CHAT, port)),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    host = HostProcess(process, port, log)
    try:
        yield host
    finally:
        host.kill()
        await process.wait()
