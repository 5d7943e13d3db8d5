"""What is used of nats-py that it does not document; nothing else touches such parts.

nats-py has no way to add a callback to a connected client, waits without end for a dead
connection to close, leaves one open whose handshake failed, sends after an outage what
was published before it, and goes on without encryption at a server that offers none.
tests/backends/nats/test_internals.py holds this module against each release.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from nats.aio.client import Client, Srv
from nats.errors import Error

__all__ = ["StrictClient", "abort_closing", "chain", "forget_unsent"]


class StrictClient(Client):
    """A client that leaves no connection open and cannot be talked out of TLS.

    Whoever writes ``tls://`` wants no password and no message sent in the clear.
    """

    async def _connect_to_server(self, s: Srv) -> None:
        # a handshake that failed is left as it is
        if (transport := _transport_of(self)) is not None:
            transport.abort()
        await super()._connect_to_server(s)

    async def _process_info(
        self, info: dict[str, Any], initial_connection: bool = False
    ) -> None:
        server = self._current_server
        wants_tls = server is not None and server.uri.scheme == "tls"
        if initial_connection and wants_tls and not info.get("tls_required"):
            raise Error("nats: the URL says tls://, but the server offers no TLS")
        await super()._process_info(info, initial_connection)


def chain(client: Client, name: str, ours: Callable[..., None]) -> Callable[[], None]:
    """Have ``ours`` called before the callback that a client has already.

    Args:
        client: May be connected.
        name: That of the parameter of ``Client.connect``: ``"error_cb"``, ...
        ours: Must not raise; gets what the library passes.

    Returns:
        What undoes it; the callback of somebody who came later keeps working.
    """
    attribute = f"_{name}"
    theirs = getattr(client, attribute)
    is_chained = True

    async def both(*args: object) -> None:
        """Call the one, then the other."""
        if is_chained:
            ours(*args)
        if theirs is not None:
            await theirs(*args)

    def unchain() -> None:
        nonlocal is_chained
        is_chained = False
        if getattr(client, attribute) is both:
            setattr(client, attribute, theirs)

    setattr(client, attribute, both)
    return unchain


def abort_closing(client: Client) -> None:
    """Drop the connection that a client is closing, with what it still wants to send.

    Before it connects anew, the library waits until all is written to the old
    connection: without end, if the server was stopped or the cable cut.
    """
    transport = _transport_of(client)
    if transport is not None and transport.is_closing():
        transport.abort()


def forget_unsent(client: Client) -> None:
    """Drop what was never written; for a client that has lost its connection.

    Subscriptions are no part of it: the library renews them from its own list.
    """
    client._pending.clear()  # noqa: SLF001 - see above
    client._pending_data_size = 0  # noqa: SLF001 - see above


def _transport_of(client: Client) -> asyncio.WriteTransport | None:
    # a WebSocket has none of these; aiohttp bounds how long it closes
    writer = getattr(client._transport, "_io_writer", None)  # noqa: SLF001 - see above
    return None if writer is None else writer.transport
