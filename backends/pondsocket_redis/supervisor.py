"""Supervisor: keeps one connection to a server open; it knows nothing of messages."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from redis.exceptions import RedisError

from pondsocket_redis.backoff import Backoff
from pondsocket_redis.outage import Outage
from pondsocket_redis.wire import Dial, Wire

__all__ = ["Supervisor", "end_task"]

logger: logging.Logger = logging.getLogger(__name__)

# Seconds after which a connection was a good one: a server that accepts and drops at
# once must not be asked without pause.
_STEADY: Final = 1.0
# Seconds until a task that goes on is cancelled once more.
_CANCEL_AGAIN: Final = 0.2


class Supervisor:
    """A task that opens a connection, has it served, and opens the next one.

    Args:
        name: Of the connection, in logs: ``publisher of redis``.
        dial: Opens a connection.
        serve: Gets each new connection, calls ``ready()`` once it is of use, and raises
            when it is lost.
        lost: Gets the reason of each loss and of each attempt that failed.
        outage: Is told of losses and returns.
        connect_timeout: Seconds for one attempt.
    """

    def __init__(
        self,
        name: str,
        dial: Dial,
        serve: Callable[[Wire], Awaitable[None]],
        *,
        lost: Callable[[Exception], None],
        outage: Outage,
        connect_timeout: float,
    ) -> None:
        self._name = name
        self._dial = dial
        self._serve = serve
        self._lost = lost
        self._outage = outage
        self._connect_timeout = connect_timeout
        self._backoff = Backoff()
        self._wire: Wire | None = None
        self._task: asyncio.Task[None] | None = None
        self.is_ready: bool = False
        self.is_away: bool = False

    def start(self) -> None:
        """Begin to connect, unless that was done; needs a running loop."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"pond-{self._name}")

    def ready(self) -> None:
        """Note that the connection is of use; called by ``serve``."""
        self.is_ready = True
        self.is_away = False
        self._outage.back(self._name)

    def cut(self) -> None:
        """Give the present connection up: it answers no more."""
        if self._wire is not None:
            self._wire.abort()

    async def close(self) -> None:
        """End the task and its connection; idempotent."""
        if self._task is not None:
            await end_task(self._task)
        self.is_ready = False
        self._outage.forget(self._name)

    async def _run(self) -> None:
        while True:
            began = time.monotonic()
            reason = await self._try_once()
            if time.monotonic() - began > _STEADY and self.is_ready:
                self._backoff.reset()
            self.is_ready = False
            self.is_away = True
            self._lost(reason)
            self._outage.lost(self._name, reason)
            await asyncio.sleep(self._backoff.next_delay())

    async def _try_once(self) -> Exception:
        try:
            async with asyncio.timeout(self._connect_timeout):
                self._wire = await self._dial()
            await self._serve(self._wire)
        except (RedisError, OSError, TimeoutError) as error:
            return error
        except Exception as error:  # the rim: a client may be of any make
            logger.exception("the %s failed", self._name)
            return error
        finally:
            wire, self._wire = self._wire, None
            if wire is not None:
                await wire.close()
        return EOFError("served to its end")


async def end_task(task: "asyncio.Task[Any]") -> None:
    """Cancel a task and wait until it has ended; what it raises is its own.

    Once may not be enough: redis-py sends its handshake by ``asyncio.wait_for``, which
    before Python 3.12 drops a cancellation that comes in the turn of its result.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_CANCEL_AGAIN)
