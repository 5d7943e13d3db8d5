"""Hooks: where an application listens in on the framework. They decide no routing.

All are optional. Each is a plain or an ``async`` function; a plain one runs on the
event loop and must not block.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVarTuple

from pondsocket.callbacks import attempt_within
from pondsocket.errors import TooManyRequests
from pondsocket.metrics import MetricsCollector, Telemetry
from pondsocket.ratelimit import RateLimiter
from pondsocket.transport import Transport
from pondsocket.types import Event, User

__all__ = [
    "AfterJoin",
    "AfterMessage",
    "BeforeJoin",
    "BeforeMessage",
    "Hooks",
    "OnConnect",
    "OnDisconnect",
    "check_broadcast_rate",
    "run_hook",
]

logger: logging.Logger = logging.getLogger(__name__)

_Args = TypeVarTuple("_Args")

OnConnect = Callable[[Transport], object]
OnDisconnect = Callable[[Transport], object]
BeforeJoin = Callable[[User, str], object]
AfterJoin = Callable[[User, str], object]
BeforeMessage = Callable[[Event], object]
AfterMessage = Callable[[Event, BaseException | None], object]


@dataclass(slots=True)
class Hooks:
    """What an application hands to the framework in ``Options.hooks``.

    A hook that raises is logged and counted (``hook_failed``) and breaks nothing; only
    what ``before_message`` raises has an effect, see there.

    Attributes:
        rate_limiter: Asked by ``with_rate_limiter``, by nothing else.
        channel_rate_limiter: Asked before every broadcast of a channel with the
            channel's name; denied, the broadcast raises TooManyRequests. Not asked for
            presence and system messages nor for what comes from another node.
        metrics: Where the framework's figures go; read once, at the start.
        on_connect: ``(transport)``, once a connection is registered.
        on_disconnect: ``(transport)``, once a connection ended, however it did.
        before_join: ``(user, channel name)``, before the join handler runs.
        after_join: ``(user, channel name)``, only after an accepted join.
        before_message: ``(event)``, before the handler of a client's message. If it
            raises, the message is dropped and answered as if the handler had raised.
        after_message: ``(event, error)``, after the handler; ``error`` is what it or
            ``before_message`` raised, else None.
    """

    rate_limiter: RateLimiter | None = None
    channel_rate_limiter: RateLimiter | None = None
    metrics: MetricsCollector | None = None
    on_connect: OnConnect | None = None
    on_disconnect: OnDisconnect | None = None
    before_join: BeforeJoin | None = None
    after_join: AfterJoin | None = None
    before_message: BeforeMessage | None = None
    after_message: AfterMessage | None = None


async def check_broadcast_rate(hooks: Hooks | None, channel_name: str) -> None:
    """Ask the limiter of channels, if there is one, before a broadcast.

    Raises:
        TooManyRequests: If it denies the broadcast.
    """
    limiter = hooks.channel_rate_limiter if hooks else None
    if limiter is not None and not await limiter.allow(channel_name):
        raise TooManyRequests(channel_name, "the channel broadcasts too often")


async def run_hook(
    hook: Callable[[*_Args], object] | None,
    *args: *_Args,
    telemetry: Telemetry,
    timeout: float,  # noqa: ASYNC109 - an Options value; it is logged, never raised
) -> None:
    """Run a hook of the application; its failure is logged and counted, never raised.

    Args:
        hook: The hook, or None: then nothing happens.
        *args: What the hook is called with.
        telemetry: Counts ``hook_failed`` and is told the error.
        timeout: Seconds until the hook is cancelled (``Options.handler_timeout``); 0
            lets it run as long as it likes.
    """
    if hook is None:
        return
    error = await attempt_within(timeout, hook, *args)
    if error is not None:
        telemetry.count("hook_failed")
        telemetry.error("hook", error)
        logger.error("hook %r failed", hook, exc_info=error)
