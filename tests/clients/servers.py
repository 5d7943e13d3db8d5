"""Servers: processes that serve tests.clients.chat with uvicorn on the loopback.

Two kinds. `pondsocket serve` binds its port itself. The other one is uvicorn with
`PondASGIApp` as an application of its own; it serves on a socket that the tests keep
open, so that who calls while there is no server waits for the next one instead of being
refused (the published Python client tries to reconnect once only).
"""

import re
import select
import signal
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar

ROOT = Path(__file__).parents[2]
SECONDS = 15


class Server(ABC):
    """A process that the tests start, end and start again, on one port."""

    port: int

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect; a process that died by itself is told of."""
        assert self._process, "start it first"
        assert self._process.poll() is None, self._log.read_text()
        return f"http://127.0.0.1:{self.port}/socket"

    @abstractmethod
    def start(self) -> None:
        """Start the process; from then on clients can connect."""

    def _run(
        self, *arguments: str, stdout: int | IO[bytes], fd: int | None = None
    ) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                stdout=stdout,
                stderr=log,
                pass_fds=[] if fd is None else [fd],
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
        finally:
            if process.stdout:
                process.stdout.close()


class CommandLineServer(Server):
    """`pondsocket serve`; its first start finds a free port, and it keeps that one."""

    port = 0

    def start(self) -> None:
        run = "import sys; from pondsocket.cli import main; sys.exit(main())"
        target = "tests.clients.chat:pond"
        port = str(self.port)
        self._run(
            "-c", run, "serve", target, "--port", port, "--grace", "0",
            stdout=subprocess.PIPE,
        )  # fmt: skip
        self.port = self._read_port()

    def _read_port(self) -> int:
        assert self._process
        stdout = self._process.stdout
        assert stdout
        is_readable, _, _ = select.select([stdout], [], [], SECONDS)
        line = stdout.readline().decode() if is_readable else ""
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert found, f"said {line!r} and logged {self._log.read_text()!r}"
        return int(found[1])


class SocketServer(Server):
    """uvicorn on a socket of the tests; its event streams have unnamed events."""

    def __init__(self, log: Path, listening: socket.socket) -> None:
        super().__init__(log)
        self._socket = listening
        self.port = listening.getsockname()[1]

    def start(self) -> None:
        fd = self._socket.fileno()
        self._run("-m", "tests.clients.chat", str(fd), stdout=subprocess.DEVNULL, fd=fd)


ServerT = TypeVar("ServerT", bound=Server)


@contextmanager
def running(server: ServerT) -> Iterator[ServerT]:
    """Keep a server for as long as the block lasts."""
    try:
        server.start()
        yield server
        server.stop()
    finally:
        server.kill()


@contextmanager
def listening_server(log: Path) -> Iterator[SocketServer]:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        running(SocketServer(log, listening)) as server,
    ):
        yield server
