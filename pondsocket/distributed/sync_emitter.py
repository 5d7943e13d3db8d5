"""SyncEmitter: an Emitter for code without an event loop, in a thread of its own."""

import asyncio
import atexit
import concurrent.futures
import logging
import os
import threading
import time
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from weakref import WeakSet

from pondsocket.distributed.emitter import WAIT, Emitter
from pondsocket.errors import DeadlineExceeded, PubSubClosedError
from pondsocket.types import PondMessage, PondPresence, User

__all__ = ["SyncEmitter"]

logger: logging.Logger = logging.getLogger(__name__)

_T = TypeVar("_T")


class SyncEmitter:
    """An Emitter for threads: a Celery task, a Django view, a script.

    Its connections live in a daemon thread, from the first call until :meth:`close` or
    the end of the process. All threads may share one object, and so may the children of
    a fork: each child gets a thread and connections of its own. A call blocks its
    thread; on an event loop use ``Emitter``. What each verb does, and what else it
    raises, stands there.

    Args:
        url: Of the backend.
        namespace: As of ``Emitter``.
        key_prefix: As of ``Emitter``.
        node_id: As of ``Emitter``; without one each process has its own.
        timeout: Seconds that one call takes at most; ``wait`` comes on top.

    Raises:
        ValueError: If ``timeout`` is not above 0, or the URL is one of ``memory://``:
            that backend may be used from one thread only.
    """

    def __init__(
        self,
        url: str,
        *,
        namespace: str = "default",
        key_prefix: str = "pondsocket",
        node_id: str = "",
        timeout: float = 5.0,
    ) -> None:
        if timeout <= 0:
            raise ValueError(f"timeout must be above 0 seconds, got {timeout!r}")
        if url.lower().startswith("memory:"):
            raise ValueError("memory:// does not reach other threads; use an Emitter")
        self._timeout = timeout
        self._is_closed = False
        self._worker: _Worker | None = None
        self._lock = threading.Lock()  # of the worker: who starts it, uses it, ends it
        self._make = lambda: Emitter(
            url,
            namespace=namespace,
            key_prefix=key_prefix,
            node_id=node_id,
            timeout=timeout,
        )
        _ALL.add(self)

    def broadcast(
        self, endpoint: str, channel: str, event: str, payload: PondMessage
    ) -> None:
        """Send to every member of a channel, on every node.

        Raises:
            DeadlineExceeded: If it took longer than ``timeout``.
            PubSubClosedError: After :meth:`close`.
        """
        self._call(lambda e: e.broadcast(endpoint, channel, event, payload))

    def broadcast_to(
        self,
        endpoint: str,
        channel: str,
        event: str,
        payload: PondMessage,
        *user_ids: str,
    ) -> None:
        """Send to the members named; raises as :meth:`broadcast` does."""
        self._call(
            lambda e: e.broadcast_to(endpoint, channel, event, payload, *user_ids)
        )

    def broadcast_from(
        self,
        endpoint: str,
        channel: str,
        event: str,
        payload: PondMessage,
        exclude_id: str,
    ) -> None:
        """Send to every member but one; raises as :meth:`broadcast` does."""
        self._call(
            lambda e: e.broadcast_from(endpoint, channel, event, payload, exclude_id)
        )

    def evict(
        self, endpoint: str, channel: str, user_id: str, reason: str = ""
    ) -> None:
        """Have the node that has a user evict it; raises as :meth:`broadcast` does."""
        self._call(lambda e: e.evict(endpoint, channel, user_id, reason))

    def presence(
        self, endpoint: str, channel: str, *, wait: float = WAIT
    ) -> dict[str, PondPresence]:
        """Return the presences of a channel by user id; takes ``wait`` seconds.

        Raises as :meth:`broadcast` does.
        """
        return self._call(lambda e: e.presence(endpoint, channel, wait=wait), wait)

    def users(
        self, endpoint: str, channel: str, *, wait: float = WAIT
    ) -> dict[str, User]:
        """Return the members of a channel by user id; takes ``wait`` seconds.

        Raises as :meth:`broadcast` does.
        """
        return self._call(lambda e: e.users(endpoint, channel, wait=wait), wait)

    def close(self) -> None:
        """End the thread and its connections; idempotent.

        Calls of other threads end with a PubSubClosedError. Also called at the end of
        the process. What does not end within ``timeout`` is logged and left behind.
        """
        with self._lock:
            self._is_closed = True
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop(self._timeout)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def _call(
        self, work: Callable[[Emitter], Coroutine[Any, Any, _T]], wait: float = 0.0
    ) -> _T:
        deadline = time.monotonic() + self._timeout + wait
        # Held until the work is handed over: a loop that was closed would not take it.
        with self._lock:
            if self._is_closed:
                raise PubSubClosedError
            if self._worker is None:
                self._worker = _Worker(self._make, self._timeout)
            future = self._worker.submit(work)
        try:
            return future.result(max(0.0, deadline - time.monotonic()))
        except concurrent.futures.CancelledError as error:
            raise PubSubClosedError from error
        except TimeoutError as error:
            if not future.cancel():  # it ended: the error is the PubSub's
                raise
            raise DeadlineExceeded(
                "", f"took longer than timeout, {self._timeout} s"
            ) from error

    def _forget_parent(self) -> None:
        """Leave to the parent what it had before the fork."""
        if self._worker is not None:
            _INHERITED.append(self._worker)
        self._worker = None
        self._lock = threading.Lock()  # whoever held it runs in the parent


class _Worker:
    """A thread with an event loop, and an Emitter on it.

    Args:
        make: Makes the emitter, on the loop.
        timeout: Seconds that this may take.

    Raises:
        DeadlineExceeded: If it takes longer.
        Exception: What ``make`` raises.
    """

    def __init__(self, make: Callable[[], Emitter], timeout: float) -> None:
        self._make = make
        self._stop = asyncio.Event()
        self._started: concurrent.futures.Future[
            tuple[asyncio.AbstractEventLoop, Emitter]
        ] = concurrent.futures.Future()
        self._thread = threading.Thread(
            target=self._run, name="pond-sync-emitter", daemon=True
        )
        self._thread.start()
        done, _ = concurrent.futures.wait([self._started], timeout)
        if not done and self._started.cancel():
            raise DeadlineExceeded(
                "", f"the emitter did not start within timeout, {timeout} s"
            )
        self._loop, self._emitter = self._started.result()

    def submit(
        self, work: Callable[[Emitter], Coroutine[Any, Any, _T]]
    ) -> "concurrent.futures.Future[_T]":
        """Run ``work`` on the loop; never waits."""
        return asyncio.run_coroutine_threadsafe(work(self._emitter), self._loop)

    def stop(self, timeout: float) -> None:
        """End the thread; wait for it, ``timeout`` seconds at most."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout)
        if self._thread.is_alive():
            logger.error("a SyncEmitter did not end in %s s: left behind", timeout)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # the caller waits for it in another thread
            if self._started.done():
                logger.exception("a SyncEmitter ended badly")
            else:
                self._started.set_exception(error)

    async def _serve(self) -> None:
        async with self._make() as emitter:
            if not self._started.set_running_or_notify_cancel():
                return  # nobody waits any more
            self._started.set_result((asyncio.get_running_loop(), emitter))
            await self._stop.wait()


_ALL: Final[WeakSet[SyncEmitter]] = WeakSet()
# In a child: kept from the garbage collector, which would close sockets and loops that
# the parent goes on to use.
_INHERITED: Final[list[_Worker]] = []


def _close_all() -> None:
    for emitter in list(_ALL):
        emitter.close()


def _forget_parents() -> None:
    for emitter in list(_ALL):
        emitter._forget_parent()  # noqa: SLF001 - of this module


# At the end of a process daemon threads just stop, with connections open.
atexit.register(_close_all)
# Windows has no fork: there this makes a dictionary that nobody needs.
getattr(os, "register_at_fork", dict)(after_in_child=_forget_parents)
