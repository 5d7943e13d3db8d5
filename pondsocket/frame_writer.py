"""FrameWriter: the way of ready WebSocket frames past a host's own send.

A host's send is a coroutine that frames each message anew, for each connection. Where
a host's connection is in a state in which its own send would write just those bytes,
they can go to its socket directly: one plain call, nothing that waits. A channel calls
it in a loop over its members, and touches nothing else of theirs.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Final, Protocol, cast

from pondsocket.burst import Burst

__all__ = ["MAX_UNSENT", "NO_WRITER", "BurstWriter", "FrameWriter", "find_burst_writer"]

# Bytes that may wait for a client; twice what a channel writes at once. With more, the
# host's own send is what waits for the client.
MAX_UNSENT: Final = 131_072

# (whether messages are joined, whether they are compressed) -> the bytes of a burst
_FORMS: Final[dict[tuple[bool, bool], Callable[[Burst], bytes]]] = {
    (False, False): attrgetter("websocket"),
    (False, True): attrgetter("deflated"),
    (True, False): attrgetter("batch"),
    (True, True): attrgetter("deflated_batch"),
}


class BurstWriter(Protocol):
    """What a channel hands bursts of JSON to, if nothing waits before them.

    Attributes:
        is_held: Whether nothing may be written just now.
    """

    is_held: bool

    def try_write(self, burst: Burst) -> bool:
        """Take all of a burst, or nothing; never waits."""
        ...


class FrameWriter:
    """How to write past the host of one connection; an adapter derives its own.

    Args:
        is_deflating: Whether the frames of messages may be compressed: permessage-
            deflate (RFC 7692) was agreed on with ``server_no_context_takeover`` and a
            window of ``DEFLATE_WINDOW_BITS`` or more. If not, no extension was.

    Attributes:
        is_deflating: As above.
        is_held: Whether nothing may be written just now, set by the transport: while a
            send of the host is in flight, and from the beginning of the end on.
    """

    __slots__ = ("_form", "is_deflating", "is_held")

    def __init__(self, *, is_deflating: bool = False) -> None:
        self.is_deflating: bool = is_deflating
        self.is_held: bool = False
        self._form = _FORMS[False, is_deflating]

    def join_messages(self) -> None:
        """Put several messages into one frame from now on, for a client that asked."""
        self._form = _FORMS[True, self.is_deflating]

    def try_write(self, burst: Burst) -> bool:
        """Write all of a burst, or nothing; the caller has nothing that waits."""
        return not self.is_held and self.write(self._form(burst))

    def write(self, frames: bytes) -> bool:
        """Write whole, unmasked frames (RFC 6455 5.2) at once, or write nothing.

        Never waits, never raises.

        Returns:
            False if nothing was written: the connection is not open any more, or more
            than ``MAX_UNSENT`` bytes could wait for the client.
        """
        raise NotImplementedError


NO_WRITER: Final = FrameWriter()  # for those who have none
NO_WRITER.is_held = True


def find_burst_writer(transport: object) -> BurstWriter:
    """Return the fastest way of bursts to a transport, ``NO_WRITER`` if it has none."""
    writer: BurstWriter = getattr(transport, "frame_writer", NO_WRITER)
    is_one = hasattr(transport, "try_write") and hasattr(transport, "is_held")
    return cast("BurstWriter", transport) if is_one and writer is NO_WRITER else writer
