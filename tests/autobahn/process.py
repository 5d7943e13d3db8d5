"""The process of an echo of :mod:`tests.autobahn.server`."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

__all__ = ["run_echo"]

ROOT = Path(__file__).parents[2]
PATHS = os.pathsep.join(str(path) for path in (ROOT, ROOT / "adapters"))
PATIENCE = 30.0  # seconds for a process to start


@contextlib.asynccontextmanager
async def run_echo(name: str, log: Path) -> AsyncIterator[int]:
    """Run an echo and yield its port; at the end nothing of it is left.

    Args:
        name: Of one of the server's echoes.
        log: The file for what the process says.
    """
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.autobahn.server", name),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            env={**os.environ, "PYTHONPATH": PATHS},
        )
    try:
        async with asyncio.timeout(PATIENCE):
            line = await process.stdout.readline()
        assert line, _read(log)
        yield int(line)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _read(log: Path) -> str:
    return log.read_text(errors="replace")
