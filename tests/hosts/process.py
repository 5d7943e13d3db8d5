"""HostProcess: a host of tests.hosts.commands, running."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import psutil

from tests.hosts.commands import HOSTS, Target

__all__ = ["HostProcess", "run_host"]

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0  # seconds for a process to start and to end


class HostProcess:
    """A server process; all that it says goes to a file.

    Attributes:
        port: Where it listens.
        process: The one that was started; some hosts serve in a child of it.
    """

    def __init__(
        self, process: asyncio.subprocess.Process, port: int, log: Path
    ) -> None:
        self.port = port
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        """What it wrote to its standard output and error until now."""
        return self._log.read_text(errors="replace")

    @property
    def resident(self) -> int:
        """Bytes of memory that the process and its children hold."""
        parent = psutil.Process(self.process.pid)
        family = [parent, *parent.children(recursive=True)]
        return sum(each.memory_info().rss for each in family)

    async def terminate(self) -> int:
        """Send SIGTERM, wait for the end and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()

    def kill(self) -> None:
        """End it and its children at once."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
        if self.process.returncode is None:
            self.process.kill()


@contextlib.asynccontextmanager
async def run_host(
    name: str, module: str, log: Path, flags: Sequence[str] = (), **environment: str
) -> AsyncIterator[HostProcess]:
    """Serve a module with a host; at the end nothing of it is left.

    Args:
        name: Of one of the hosts.
        module: With ``app`` and ``pond``; imported from the root of the repository.
        log: The file for what the process says.
        flags: More arguments of the host's; the last of a kind counts.
        environment: More environment variables.
    """
    port = _find_port()
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *HOSTS[name].command(Target(module, port)),
            *flags,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        )
    host = HostProcess(process, port, log)
    try:
        await _wait_until_it_listens(host)
        yield host
    finally:
        host.kill()
        await process.wait()


def _find_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


async def _wait_until_it_listens(host: HostProcess) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            assert host.process.returncode is None, host.log
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", host.port)
            except OSError:
                await asyncio.sleep(0.05)  # a process tells nobody that it listens
            else:
                writer.close()
                return
