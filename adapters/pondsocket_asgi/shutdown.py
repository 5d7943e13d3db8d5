"""Shutdown: closing a PondSocket in time under hosts that cut their clients off.

Hosts end or cancel what is connected and tell the application then, or never. What they
wait for is watched here, so that clients are told 1012 and leave handlers run first:

- hypercorn: its tasks that wait for the order to stop; they end, it waits for clients.
- granian: its workers treat SIGTERM and SIGINT alike. SIGTERM is taken over, and when
  the PondSocket is closed, SIGINT tells the host.
- daphne, uvicorn: their handler of SIGTERM is called when the PondSocket is closed.
  uvicorn would tell WebSockets by itself, but wait for event streams.

Nothing is done under other hosts, outside the main thread, and to SIGINT (Ctrl-C).
A second SIGTERM is handed on at once.
"""

import asyncio
import logging
import multiprocessing
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

from pondsocket import PondSocket

__all__ = ["ShutdownWatch"]

logger: logging.Logger = logging.getLogger(__name__)

_GRANIAN_WORKER = "granian-worker"  # the name of its processes
_CHAINED = ("twisted.", "uvicorn.", __name__)  # of handlers; ours: of another pond


class ShutdownWatch:
    """Closes a PondSocket as soon as its host is told to stop.

    Args:
        pond: What to close.
        is_wanted: Whether to do so at all.
    """

    def __init__(self, pond: PondSocket, *, is_wanted: bool = True) -> None:
        self._pond = pond
        self._has_begun = not is_wanted
        self._closing: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Watch the host that runs the current event loop; once, then do nothing.

        Called with each connection: only then every host is wholly there.
        """
        if self._has_begun:
            return
        self._has_begun = True
        loop = asyncio.get_running_loop()
        for waiting in _find_hypercorn():
            waiting.add_done_callback(lambda _: self._start(loop, _nothing))
        if threading.current_thread() is not threading.main_thread():
            return
        if _is_granian():
            loop.add_signal_handler(signal.SIGTERM, self._start, loop, _interrupt)
        elif callable(handler := signal.getsignal(signal.SIGTERM)) and _is_host(
            handler
        ):
            _HeldSignal(handler, loop, self._start).install()

    def _start(
        self, loop: asyncio.AbstractEventLoop, hand_on: Callable[[], None]
    ) -> None:
        if self._closing is not None:
            hand_on()
            return
        self._closing = loop.create_task(self._close(hand_on), name="pond-shutdown")

    async def _close(self, hand_on: Callable[[], None]) -> None:
        try:
            await self._pond.close()
        except Exception:  # a task root: the host has to end all the same
            logger.exception("closing failed")
        finally:
            hand_on()


class _HeldSignal:
    """A handler of SIGTERM in front of another, which is called later."""

    def __init__(
        self,
        handler: Callable[[int, FrameType | None], object],
        loop: asyncio.AbstractEventLoop,
        start: Callable[[asyncio.AbstractEventLoop, Callable[[], None]], None],
    ) -> None:
        self._handler = handler
        self._loop = loop
        self._start = start

    def install(self) -> None:
        signal.signal(signal.SIGTERM, self._hold)

    def _hold(self, number: int, frame: FrameType | None) -> None:
        if self._loop.is_running():
            self._loop.call_soon_threadsafe(self._start, self._loop, self._hand_on)
        else:  # nobody would run what is scheduled
            self._hand_on()

    def _hand_on(self) -> None:
        if signal.getsignal(signal.SIGTERM) == self._hold:
            signal.signal(signal.SIGTERM, self._handler)
        self._handler(signal.SIGTERM, None)


def _find_hypercorn() -> list["asyncio.Task[object]"]:
    """Return the tasks in which hypercorn waits for the order to stop."""
    utils = sys.modules.get("hypercorn.utils")
    if utils is None:
        return []
    code = utils.raise_shutdown.__code__
    return [
        task
        for task in asyncio.all_tasks()
        if getattr(task.get_coro(), "cr_code", None) is code
    ]


def _is_granian() -> bool:
    """Tell whether this is a worker of granian whose signals all mean the same."""
    return (
        multiprocessing.current_process().name == _GRANIAN_WORKER
        and signal.getsignal(signal.SIGTERM) == signal.getsignal(signal.SIGINT)
    )


def _is_host(handler: object) -> bool:
    """Tell whether a handler is of a host that is to be told later."""
    module: str = getattr(handler, "__module__", None) or ""
    return module.startswith(_CHAINED)


def _interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def _nothing() -> None:
    """Hand nothing on: the host goes its way."""
