"""ChannelOptions: what a channel is made of."""

from collections.abc import Callable
from dataclasses import dataclass, field

from pondsocket.contexts.leave import LeaveContext
from pondsocket.metrics import Telemetry
from pondsocket.options import Options
from pondsocket.ports import ChannelPort, Network, NoNetwork
from pondsocket.session import Intercept, Session
from pondsocket.transport import Transport

__all__ = ["ChannelOptions", "LeaveHandler", "OnDestroy"]

LeaveHandler = Callable[[LeaveContext], object]
OnDestroy = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelOptions:
    """What a channel is made of.

    Attributes:
        name: The channel's full name.
        options: Limits and hooks.
        leave_handler: Run once for each member that left; it bounds its own time.
        on_destroy: Called once, when the channel ended.
        endpoint_path: Path of the endpoint that it belongs to.
        telemetry: The framework's; by default one for ``options.hooks.metrics``.
        network: The other nodes.
        intercept: Returns a channel's outgoing handlers for an event's name, or None.
        find_session: Returns the session of a registered transport, or None.
    """

    name: str
    options: Options = field(default_factory=Options)
    leave_handler: LeaveHandler | None = None
    on_destroy: OnDestroy | None = None
    endpoint_path: str = ""
    telemetry: Telemetry | None = None
    network: Network = field(default_factory=NoNetwork)
    intercept: Callable[[ChannelPort, str], Intercept | None] = lambda *_: None
    find_session: Callable[[Transport], Session | None] = lambda _: None
