"""The demo in a process of its own, which can be killed and started again."""

import asyncio
import re
import signal
import sys
from pathlib import Path

__all__ = ["DemoServer"]

COMMAND = str(Path(sys.executable).with_name("pondsocket"))


class DemoServer:
    """`pondsocket demo` on one port, through all its restarts."""

    def __init__(self) -> None:
        self.port = 0
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            COMMAND,
            "demo",
            "--port",
            str(self.port),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(20):
            while not self.port or not await self._answers():
                line = (await self._process.stdout.readline()).decode()
                assert line, "the demo ended before it listened"
                if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                    self.port = int(found[1])

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> int:
        """Ask it to end, as a user does; returns its exit code."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            return await self._process.wait()
