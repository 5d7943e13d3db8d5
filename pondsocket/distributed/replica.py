"""Replica: how far this node has followed one other node in one channel.

It decides which of that node's facts are news; the users themselves are kept by the
channel. It sends nothing and reads no clock.

The other node numbers what its link to the channel sends (``sourceSeq``), from 1 for
each life of that link (``sourceEpoch``). A fact is applied if nothing newer was applied
to the same user. Whatever is missing is made up for by the node's whole state, which
carries the number at which it was taken.
"""

from pondsocket.distributed.arrivals import Arrival, Arrivals

__all__ = ["Replica", "epoch_start"]


def epoch_start(epoch: str) -> int:
    """Return when an epoch began, in milliseconds of its node's clock; 0 if unknown."""
    start = epoch.partition("-")[0]
    return int(start) if start.isascii() and start.isdigit() else 0


class Replica:
    """One life of another node's link to one channel.

    Args:
        epoch: Which life.
        baseline: The highest number used before this node could hear.

    Attributes:
        epoch: Which life.
        is_behind: Whether something is missing that only the node's state makes up for.
    """

    __slots__ = ("_applied", "_arrivals", "_floor", "_needed", "epoch", "is_behind")

    def __init__(self, epoch: str, baseline: int = 0) -> None:
        self.epoch: str = epoch
        self.is_behind: bool = baseline > 0
        self._arrivals = Arrivals(baseline)
        self._needed = baseline  # what a state has to cover
        self._floor = 0  # facts up to it have nothing to say any more
        self._applied: dict[str, int] = {}

    @property
    def lost(self) -> int:
        """How many messages are missing now that this node should have heard."""
        return self._arrivals.lost

    def note(self, number: int) -> Arrival:
        """Take in the number of a message that arrived."""
        self.expect(number - 1)
        return self._arrivals.note(number)

    def expect(self, number: int) -> None:
        """Take in that the node has used all numbers up to ``number``."""
        if number > self._arrivals.highest:
            self._arrivals.expect(number)
            self._need(number)

    def lapse(self) -> None:
        """Take in that the node's users were dropped here: its state is needed."""
        self._floor = self._arrivals.highest
        self._applied.clear()
        self._need(self._floor)

    def end(self) -> None:
        """Take in that this life is over and nobody is left: nothing is needed."""
        self._floor = self._needed = self._arrivals.highest
        self._applied.clear()
        self.is_behind = False

    def _need(self, number: int) -> None:
        self._needed = number
        self.is_behind = True

    def is_news(self, arrival: Arrival, number: int, user_id: str) -> bool:
        """Tell whether a fact about a user is to be applied, and remember it if so.

        Args:
            arrival: What :meth:`note` said.
            number: The fact's.
            user_id: Whom it is about.
        """
        if arrival is Arrival.DUPLICATE:
            return False
        is_late = arrival is Arrival.LATE
        if is_late and number <= max(self._floor, self._applied.get(user_id, 0)):
            return False
        if self.is_behind:
            self._applied[user_id] = number
        else:
            self._applied.clear()  # whatever is missing is settled
        return True

    def settle(self, number: int) -> bool:
        """Take in that the node's whole state as of ``number`` is here.

        Returns:
            Whether it replaces what is known of the node's users, but for
            :meth:`newer_users`; False if it says nothing new.
        """
        self.expect(number)
        # Whoever is not behind knows everything up to the highest number.
        if number < self._floor or not self.is_behind:
            return False
        self._floor = number
        self._applied = {u: n for u, n in self._applied.items() if n > number}
        # Of those users only a part may be known: a fact seldom says all of its user.
        self._needed = max(self._needed, *self._applied.values(), number)
        self.is_behind = number < self._needed
        return True

    def newer_users(self) -> frozenset[str]:
        """Return the users about whom something newer than the last state is known."""
        return frozenset(self._applied)
