"""Middleware: what runs around a handler. A chain of it holds no state of its own.

A middleware is called with a context and ``next``; it goes on with ``await next()`` (a
plain function returns ``next()`` instead) or stops there by not calling it.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar, cast, overload

from pondsocket.callbacks import invoke
from pondsocket.errors import TooManyRequests
from pondsocket.hooks import Hooks
from pondsocket.metrics import Telemetry
from pondsocket.types import Event, User

__all__ = [
    "Message",
    "MessageMiddleware",
    "Middleware",
    "Next",
    "run_chain",
    "with_metrics",
    "with_rate_limiter",
]

_Context = TypeVar("_Context")

Next = Callable[[], Awaitable[None]]
Middleware = Callable[[_Context, Next], object]


async def run_chain(
    middlewares: Sequence[Middleware[_Context]],
    context: _Context,
    final: Callable[[_Context], object],
) -> None:
    """Run the middlewares in order around ``final(context)``.

    What one of them raises travels out through those before it to the caller.

    Raises:
        RuntimeError: If a middleware goes on twice; the handler runs only once.
    """
    if not middlewares:
        await invoke(final, context)
        return
    first, *rest = middlewares
    went_on = False

    async def go_on() -> None:
        """Run what comes next, once."""
        nonlocal went_on
        if went_on:
            raise RuntimeError(f"middleware {first!r} called next() twice")
        went_on = True
        await run_chain(rest, context, final)

    await invoke(first, context, go_on)


class Message(Protocol):
    """What both an EventContext and a MessageEvent are: a user's message."""

    @property
    def user(self) -> User:
        """The sender."""
        ...

    @property
    def event(self) -> Event:
        """What was sent."""
        ...


class MessageMiddleware:
    """A middleware of message handlers, callable in both published ways.

    Args:
        run: Called with the message, with the telemetry of the framework if the message
            came by it, and with what goes on.
    """

    def __init__(
        self, run: Callable[[Message, Telemetry | None, Next], Awaitable[None]]
    ) -> None:
        self._run = run

    @overload
    async def __call__(self, context: Message, proceed: Next, /) -> None: ...
    @overload
    async def __call__(
        self, message: Message, channel: object, proceed: Next, /
    ) -> None: ...
    async def __call__(self, message: Message, *rest: object) -> None:
        """Run around the handler that ``proceed`` goes on to."""
        *channel, proceed = rest
        # Contexts and channels of the framework have it, those of a test need not.
        known = getattr(channel[0] if channel else message, "telemetry", None)
        telemetry = known if isinstance(known, Telemetry) else None
        await self._run(message, telemetry, cast("Next", proceed))


def with_rate_limiter(
    hooks: Hooks, key_fn: Callable[[Message], str] = lambda message: message.user.id
) -> MessageMiddleware:
    """Make a middleware that asks ``hooks.rate_limiter`` before each message.

    A denied message never reaches the handler: the middleware raises TooManyRequests,
    of which its sender is told, and reports it as ``error("rate_limiter", ...)``. A
    limiter that raises fails the message too. Without a limiter all messages pass.

    Args:
        hooks: Its ``rate_limiter`` is read for each message, its ``metrics`` now.
        key_fn: What is limited; gets an object with ``user`` and ``event``. By default
            each user has a limit of its own.
    """
    own = _telemetry_of(hooks)

    async def run(message: Message, known: Telemetry | None, proceed: Next) -> None:
        """Go on if the limiter allows it."""
        limiter = hooks.rate_limiter
        if limiter is None or await limiter.allow(key_fn(message)):
            await proceed()
            return
        error = TooManyRequests(message.event.channel_name, "Rate limit exceeded")
        # The framework first: it would report the error as the handler's otherwise.
        for telemetry in (known, _unless_shared(own, known)):
            if telemetry is not None:
                telemetry.error("rate_limiter", error)
        raise error

    return MessageMiddleware(run)


def with_metrics(
    hooks: Hooks, *, clock: Callable[[], float] = time.perf_counter
) -> MessageMiddleware:
    """Make a middleware that reports one handler to ``hooks.metrics``.

    ``handler_duration`` with the event's name, ``error("message_handler", ...)`` for
    what the handler raises. For the framework's own collector it does nothing: that is
    told all of this anyway.

    Args:
        hooks: Its ``metrics`` is read now.
        clock: A monotonic clock in seconds.
    """
    own = _telemetry_of(hooks)

    async def run(message: Message, known: Telemetry | None, proceed: Next) -> None:
        """Go on between two looks at the clock."""
        telemetry = _unless_shared(own, known)
        if telemetry is None:
            await proceed()
            return
        started = clock()
        try:
            await proceed()
        except Exception as error:
            telemetry.error("message_handler", error)
            raise
        finally:
            telemetry.handler_duration(message.event.event, clock() - started)

    return MessageMiddleware(run)


def _telemetry_of(hooks: Hooks) -> Telemetry | None:
    return None if hooks.metrics is None else Telemetry(hooks.metrics)


def _unless_shared(own: Telemetry | None, known: Telemetry | None) -> Telemetry | None:
    """Return ``own`` unless its collector hears from the framework anyway."""
    if own is None or (known is not None and own.collector is known.collector):
        return None
    return own
