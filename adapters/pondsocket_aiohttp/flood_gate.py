"""FloodGate: what a client sends and no message comes of, before aiohttp sees it.

aiohttp joins the parts of a message and tells nobody of them: parts with nothing in
them could go on for ever, at the full speed of a processor. Here bytes are counted
instead, with no regard to frames.
"""

import asyncio
from collections.abc import Callable
from typing import cast

__all__ = ["FloodGate"]

_READ_AHEAD = 1_048_576  # bytes; above what socket, parser and queue hold together
_MESSAGES = 2  # of the greatest size: one that waits to be read, one that arrives


class FloodGate(asyncio.Protocol):
    """Takes a wire's place in front of its protocol, and hands on what comes.

    Once shut it lets nothing in: the connection is about to end.

    Args:
        wire: Its protocol is a prepared WebSocket's.
        message_size: Of the greatest message in bytes; 0 for any size, with which
            nothing can be counted.
        on_flood: Called once, when there came far more than a message takes.
    """

    __slots__ = ("_limit", "_on_flood", "_protocol", "_unread")

    def __init__(
        self,
        wire: asyncio.Transport,
        *,
        message_size: int,
        on_flood: Callable[[], None],
    ) -> None:
        self._limit = _MESSAGES * message_size + _READ_AHEAD
        self._on_flood = on_flood
        self._protocol = cast("asyncio.Protocol", wire.get_protocol())
        self._unread = 0  # bytes that no message was read of
        if message_size:
            wire.set_protocol(self)

    def note_message(self) -> None:
        """Begin anew: a whole message was read."""
        self._unread = 0

    def note_bytes(self, size: int) -> None:
        """Leave out what a frame was made of that is limited elsewhere."""
        self._unread = max(0, self._unread - size)

    def data_received(self, data: bytes) -> None:
        """Hand on what comes, unless it is too much."""
        was_open = self._unread <= self._limit
        self._unread += len(data)
        if self._unread <= self._limit:
            self._protocol.data_received(data)
        elif was_open:
            self._on_flood()

    def eof_received(self) -> bool | None:
        """Hand on that the client sends no more."""
        return self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Hand on that it is over."""
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """Hand on that the client does not read."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Hand on that it reads again."""
        self._protocol.resume_writing()
