"""Lifespan: an application's start and end around the serving (ASGI lifespan 2.0)."""

import asyncio
import logging
from typing import Any, Final, Literal

from pondsocket_asgi.scope import ASGIApp, Message

__all__ = ["Lifespan", "LifespanError"]

logger: logging.Logger = logging.getLogger(__name__)

_ASGI: Final = {"version": "3.0", "spec_version": "2.0"}

_LAST_PATIENCE: Final = 1.0  # seconds for a task that was cancelled


class LifespanError(RuntimeError):
    """The application could not start, or says that it could not end well."""


class Lifespan:
    """The lifespan of one application; its task lasts as long as the serving.

    Args:
        app: The ASGI application.
        mode: ``"on"`` if it must support lifespans, ``"auto"`` if it may, ``"off"`` if
            it is not asked.

    Attributes:
        state: What the application put there, for the scope of each connection; None
            if it has no lifespan.
    """

    def __init__(self, app: ASGIApp, mode: Literal["auto", "on", "off"]) -> None:
        self._app = app
        self._mode = mode
        self._events: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._phase = ""
        self._answer: asyncio.Future[Message] | None = None
        self.state: dict[str, Any] | None = None

    async def start(self) -> None:
        """Ask the application to start, and wait until it has, however long that takes.

        Raises:
            LifespanError: If it says that it failed, or has no lifespan though it must.
        """
        if self._mode == "off":
            return
        self.state = {}
        task = asyncio.create_task(self._run(self.state), name="pond-lifespan")
        try:
            answer = await self._ask("startup", task)
            if answer is not None:
                _check(answer)
                self._task = task
                return
        finally:
            if self._task is None:
                await _end(task)
        self.state = None
        error = None if task.cancelled() else task.exception()
        if self._mode == "on":
            raise LifespanError("the application has no lifespan") from error
        logger.debug("the application has no lifespan: %r", error)

    async def stop(self, patience: float) -> None:
        """Ask the application to end, and wait until it has; idempotent.

        Args:
            patience: Seconds that it may take.

        Raises:
            LifespanError: If it says that it failed, takes longer, or has ended before
                it was asked.
        """
        task, self._task = self._task, None
        if task is None:
            return
        try:
            async with asyncio.timeout(patience):
                answer = await self._ask("shutdown", task)
            if answer is None:
                error = None if task.cancelled() else task.exception()
                raise LifespanError("the lifespan ended too early") from error
            _check(answer)
        except TimeoutError:
            raise LifespanError(
                f"the lifespan did not end within {patience} s"
            ) from None
        finally:
            await _end(task)

    async def _run(self, state: dict[str, Any]) -> None:
        scope = {"type": "lifespan", "asgi": dict(_ASGI), "state": state}
        await self._app(scope, self._events.get, self._take)

    async def _ask(self, phase: str, task: "asyncio.Task[None]") -> Message | None:
        """Return the application's answer, None if it ended without one."""
        self._phase = phase
        self._answer = asyncio.get_running_loop().create_future()
        self._events.put_nowait({"type": f"lifespan.{phase}"})
        awaited: set[asyncio.Future[Any]] = {self._answer, task}
        await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        return self._answer.result() if self._answer.done() else None

    async def _take(self, message: Message) -> None:
        answer, kind = self._answer, message.get("type")
        expected = [f"lifespan.{self._phase}.{end}" for end in ("complete", "failed")]
        if answer is None or answer.done() or kind not in expected:
            raise RuntimeError(f"{kind!r} was sent out of order")
        answer.set_result(message)


def _check(answer: Message) -> None:
    if answer["type"].endswith(".failed"):
        raise LifespanError(answer.get("message") or f"{answer['type']} without a text")


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    _, late = await asyncio.wait({task}, timeout=_LAST_PATIENCE)
    if late:
        logger.error("the lifespan ignores that it was cancelled")
    elif not task.cancelled() and (error := task.exception()):
        logger.debug("the lifespan ended with %r", error)
