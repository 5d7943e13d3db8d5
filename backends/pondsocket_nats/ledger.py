"""Ledger: what became of the messages that were published. No I/O."""

__all__ = ["Ledger"]


class Ledger:
    """Counts what was handed to the connection and what the server never confirmed.

    NATS confirms nothing of itself, but it works off a connection in order: once a
    message to oneself is back, all that was handed over before it has arrived.

    Attributes:
        published: Messages that were handed to the connection.
        lost: Messages that were refused, or not confirmed when the connection broke.
            Of the latter some may have arrived.
    """

    __slots__ = ("_confirmed", "lost", "published")

    def __init__(self) -> None:
        self.published: int = 0
        self.lost: int = 0
        self._confirmed = 0

    @property
    def unconfirmed(self) -> int:
        """How many messages are on their way."""
        return self.published - self._confirmed

    def confirm(self, published: int) -> None:
        """Note that the server has what was published up to that count."""
        self._confirmed = max(self._confirmed, published)

    def write_off(self) -> int:
        """Count what is on its way as lost: the connection broke. Return how many."""
        lost = self.unconfirmed
        self.lost += lost
        self._confirmed = self.published
        return lost
