"""Lingering: an end on which the client still gets what was sent last.

Bytes that arrive at a socket which nobody reads reset the connection, and what was on
its way to the client is lost (RFC 9112, 9.6). So our side is closed first, and what the
client goes on sending is read, up to a limit, until it closes too.
"""

import asyncio
from typing import Final

__all__ = ["linger"]

_READ_SIZE: Final = 65_536  # bytes
_LIMIT: Final = 4 * 1024 * 1024  # bytes; who sends more may well be reset


async def linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send the end, read until the client's end; the caller bounds it in time.

    Over TLS, which knows no half-closed connection, nothing is done.

    Raises:
        OSError: If the connection is lost.
    """
    if not writer.can_write_eof() or writer.is_closing():
        return
    writer.write_eof()
    budget = _LIMIT
    while budget > 0 and (data := await reader.read(_READ_SIZE)):
        budget -= len(data)
