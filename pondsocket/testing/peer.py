"""TransportPeer: the far end of a wire, the client's. Its author writes it."""

from abc import ABC, abstractmethod

__all__ = ["TransportPeer", "WireClosed"]


class WireClosed(Exception):  # noqa: N818 - how a connection ends, not what went wrong
    """The server ended the connection.

    Attributes:
        code: Why, where the wire tells it.
        reason: The same in words.
    """

    def __init__(self, code: int | None = None, reason: str = "") -> None:
        super().__init__(f"the connection was closed: {code} {reason!r}")
        self.code = code
        self.reason = reason


class TransportPeer(ABC):
    """What a client of the transport can do; messages are JSON texts here.

    It reads only while :meth:`receive` is awaited, a few hundred KB ahead at most: the
    suites play a client that does not read by not calling it.
    """

    @abstractmethod
    async def send(self, message: str) -> None:
        """Send one message.

        Never raises for what the server makes of it, nor for a connection that the
        server closed meanwhile: :meth:`receive` tells.
        """

    @abstractmethod
    async def receive(self) -> str | bytes:
        """Wait for the next message.

        Raises:
            WireClosed: If the server closed the connection and all was received; each
                time when called again.
        """

    @abstractmethod
    async def close(self) -> None:
        """Leave as a polite client does, and free everything; idempotent.

        Called at the end of each test too, whoever closed the connection.
        """

    async def vanish(self) -> None:
        """Cut the wire without a word; by default as :meth:`close`."""
        await self.close()
