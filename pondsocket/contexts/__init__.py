"""Contexts: what a handler is given. Each lives for one handler and keeps nothing."""

from pondsocket.contexts.connection import ConnectionContext, ConnectionDecision
from pondsocket.contexts.event import EventContext
from pondsocket.contexts.join import JoinContext
from pondsocket.contexts.leave import LeaveContext
from pondsocket.contexts.outgoing import OutgoingContext

__all__ = [
    "ConnectionContext",
    "ConnectionDecision",
    "EventContext",
    "JoinContext",
    "LeaveContext",
    "OutgoingContext",
]
