"""A bridge in a process of its own: for signals, and to measure its memory."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import psutil

from tests.adapters.bridge.serving import Server, echo

PROGRAM = Path(__file__).with_name("server.py")
PATIENCE = 15.0  # seconds to start, and to end


class Program(Server):
    """``server.py`` beside this file, running; clients connect as to a Server."""

    def __init__(self, process, port):
        super().__init__(echo)
        self.process = process
        self.port = port

    @property
    def resident(self):
        """Bytes of memory that it holds now."""
        return psutil.Process(self.process.pid).memory_info().rss

    @property
    def peak(self):
        """The most bytes of memory that it ever held; those of now but on Linux."""
        status = Path(f"/proc/{self.process.pid}/status")
        if not status.exists():
            return self.resident
        (line,) = (x for x in status.read_text().splitlines() if x[:6] == "VmHWM:")
        return int(line.split()[1]) * 1024

    async def wait(self):
        """Wait for its end and return the exit code."""
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()


@contextlib.asynccontextmanager
async def run_program(app, **settings):
    """Serve an application of ``server.py``; at the end nothing of it is left."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(PROGRAM),
        app,
        json.dumps(settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        async with asyncio.timeout(PATIENCE):
            port = int(await process.stdout.readline())
        program = Program(process, port)
        yield program
        program.cut_off()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
