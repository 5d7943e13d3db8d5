"""ChannelOptions: what a channel is made of."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from pondsocket.contexts.leave import LeaveContext
from pondsocket.ids import uuid
from pondsocket.metrics import Telemetry
from pondsocket.options import Options
from pondsocket.ports import ChannelPort, Network, NoNetwork
from pondsocket.pubsub import PubSub
from pondsocket.session import Intercept, Session
from pondsocket.transport import Transport

__all__ = ["ChannelOptions", "LeaveHandler", "OnDestroy", "link_channels_with"]

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
        pubsub: Links a channel that is made by hand to the same channel on other nodes;
            it has to be made on the event loop then. It is not closed with it.
        network: The other nodes, for a channel of a PondSocket.
        intercept: Returns a channel's outgoing handlers for an event's name, or None.
        find_session: Returns the session of a registered transport, or None.
    """

    name: str
    options: Options = field(default_factory=Options)
    leave_handler: LeaveHandler | None = None
    on_destroy: OnDestroy | None = None
    endpoint_path: str = ""
    telemetry: Telemetry | None = None
    pubsub: PubSub | None = None
    network: Network = field(default_factory=NoNetwork)
    intercept: Callable[[ChannelPort, str], Intercept | None] = lambda *_: None
    find_session: Callable[[Transport], Session | None] = lambda _: None

    def linked(self, telemetry: Telemetry) -> "ChannelOptions":
        """Return them with a network and a node's id of their own, if need be."""
        if self.pubsub is None:
            return self
        options = self.options
        if not options.node_id:
            options = replace(options, node_id=uuid())
        network = _link_lone_channel[-1](self.pubsub, options, telemetry)
        return replace(self, options=options, network=network, pubsub=None)


LinkLoneChannel = Callable[[PubSub, Options, Telemetry], Network]

_link_lone_channel: list[LinkLoneChannel] = []


def link_channels_with(link: LinkLoneChannel) -> None:
    """Set what makes the network of a channel by hand; called once, by the server.

    A channel knows no cluster, so whoever does leaves it here.
    """
    _link_lone_channel.append(link)
