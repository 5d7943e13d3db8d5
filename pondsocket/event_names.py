"""Event names: which ones the server may not give to its own messages."""

from pondsocket.errors import BadRequest
from pondsocket.types import SystemEvents

__all__ = ["check_event_name"]

# The stock JavaScript client acts on these names whatever the action says.
_RESERVED = frozenset(
    {SystemEvents.ACKNOWLEDGE, SystemEvents.UNAUTHORIZED, SystemEvents.CONNECTION}
)


def check_event_name(event: str, channel_name: str) -> None:
    """Refuse an event name that clients understand as something else.

    Raises:
        BadRequest: If it is reserved or empty; it names the channel.
    """
    if not event:
        raise BadRequest(channel_name, "event: expected a name, got ''")
    if event in _RESERVED:
        raise BadRequest(channel_name, f"event: the name {event!r} is reserved")
