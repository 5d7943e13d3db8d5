"""FaultyPubSub: a PubSub that loses, repeats, delays and reorders, by seed.

It has no clock and no task: a message is late when others have overtaken it.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from random import Random
from typing import Final

from pondsocket.callbacks import attempt
from pondsocket.errors import Conflict, NotFound, PondError
from pondsocket.pubsub import OnReconnect, PubSub, PubSubHandler, ReconnectAware

__all__ = ["FaultyPubSub"]

_HANDFUL: Final = 5  # later deliveries that may overtake a late one
_SEPARATOR: Final = b"\x00"


class FaultyPubSub:
    """A PubSub around another one that does worse than that.

    Faults are rolled for each delivery to each subscription. Which ones a subscription
    meets depends on the seed, its pattern, how many of that pattern this object made
    before, and the number of the delivery: on nothing that other subscriptions do.

    All objects on one server must be wrapped, since the data are framed.

    Args:
        inner: Carries the messages. It is closed with this object.
        seed: Makes the faults repeatable.
        loss: Probability that a delivery does not happen.
        duplicate: Probability that it happens twice.
        delay: Probability that up to five later deliveries overtake it.
        island: See the attribute.

    Attributes:
        faults: False lets everything through unharmed.
        island: Messages travel between objects of the same island only; may be set at
            any time, without NUL. Holds for the sender when it publishes, and for the
            receiver when the message arrives.

    Raises:
        ValueError: If a probability is not within 0 and 1.
    """

    def __init__(
        self,
        inner: PubSub,
        *,
        seed: int,
        loss: float = 0.0,
        duplicate: float = 0.0,
        delay: float = 0.0,
        island: str = "",
    ) -> None:
        odds = {"loss": loss, "duplicate": duplicate, "delay": delay}
        for name, probability in odds.items():
            if not 0.0 <= probability <= 1.0:
                raise ValueError(
                    f"{name} must be within 0.0 and 1.0, got {probability!r}"
                )
        self.faults = True
        self.island = island
        self._inner = inner
        self._seed = seed
        self._odds = _Odds(**odds)
        self._counts = _Counts()
        self._deliveries: dict[str, list[_Delivery]] = {}
        self._made: dict[str, int] = {}
        self._callbacks: list[OnReconnect] = []

    async def subscribe(self, pattern: str, handler: PubSubHandler) -> None:
        """Subscribe at the inner object; raises what that raises."""
        present = self._deliveries.setdefault(pattern, [])
        if any(each.handler == handler for each in present):
            raise Conflict("", f"{handler!r} is already subscribed to {pattern!r}")
        number = self._made[pattern] = self._made.get(pattern, 0) + 1
        roll = Random(f"{self._seed} {number} {pattern}")  # noqa: S311 - no secret
        delivery = _Delivery(self, handler, roll)
        present.append(delivery)
        try:
            await self._inner.subscribe(pattern, delivery)
        except (PondError, ValueError) as error:
            # What is temporary the inner object makes good by itself.
            if not (isinstance(error, PondError) and error.temporary):
                present.remove(delivery)
            raise

    async def unsubscribe(
        self, pattern: str, handler: PubSubHandler | None = None
    ) -> None:
        """Unsubscribe at the inner object what this one subscribed.

        What is late for it is dropped.

        Raises:
            NotFound: If there is no such subscription.
        """
        present = self._deliveries.get(pattern, [])
        found = [each for each in present if handler in (None, each.handler)]
        if not found:
            raise NotFound("", f"no such subscription of {pattern!r}")
        for each in found:
            present.remove(each)
            each.end()
        for each in found:
            await self._inner.unsubscribe(pattern, each)

    async def publish(self, topic: str, data: bytes) -> None:
        """Publish at the inner object; raises what that raises."""
        await self._inner.publish(topic, self.island.encode() + _SEPARATOR + data)

    async def close(self) -> None:
        """Close the inner object; idempotent. What is late is dropped."""
        for each in self._every():
            each.end()
        self._deliveries.clear()
        await self._inner.close()

    def on_reconnect(self, callback: OnReconnect) -> None:
        """Call ``callback()`` at each :meth:`rejoin`, and when the inner one would."""
        self._callbacks.append(callback)
        if isinstance(self._inner, ReconnectAware):
            self._inner.on_reconnect(callback)

    def rejoin(self) -> None:
        """Tell that a lost connection is back, as after a netsplit; raises as they do.

        Set :attr:`island` before.
        """
        for callback in self._callbacks:
            callback()

    async def settle(self) -> None:
        """Deliver all that is late, subscription by subscription; wait for handlers.

        What the inner object still has to deliver is not awaited. Not to be called by a
        handler.
        """
        for each in list(self._every()):
            await each.settle()

    def stats(self) -> dict[str, int]:
        """Return the faults so far, and how many deliveries are late just now.

        ``lost``, ``duplicated``, ``delayed``; ``cut`` came from another island.
        """
        late = sum(each.late for each in self._every())
        return asdict(self._counts) | {"late": late}

    def admit(self, data: bytes, roll: Random) -> tuple[int, int, bytes] | None:
        """Decide on one delivery; called by subscriptions.

        Returns:
            How many deliveries overtake it, how often it happens, and the data without
            the frame; None if it does not happen.
        """
        island, _, bare = data.partition(_SEPARATOR)
        if island != self.island.encode():
            self._counts.cut += 1
            return None
        # Always as many rolls, so that a change of one probability leaves the others.
        is_lost = roll.random() < self._odds.loss
        is_twice = roll.random() < self._odds.duplicate
        is_late = roll.random() < self._odds.delay
        overtaking = roll.randint(1, _HANDFUL)
        if not self.faults:
            return 0, 1, bare
        if is_lost:
            self._counts.lost += 1
            return None
        self._counts.duplicated += is_twice
        self._counts.delayed += is_late
        return overtaking if is_late else 0, 1 + is_twice, bare

    def _every(self) -> Iterator["_Delivery"]:
        for several in self._deliveries.values():
            yield from several


@dataclass(frozen=True, slots=True)
class _Odds:
    """Probabilities."""

    loss: float
    duplicate: float
    delay: float


@dataclass(slots=True)
class _Counts:
    """What was done to deliveries."""

    lost: int = 0
    duplicated: int = 0
    delayed: int = 0
    cut: int = 0


@dataclass(slots=True)
class _Late:
    """A delivery that others overtake."""

    overtaking: int
    topic: str
    data: bytes


class _Delivery:
    """One subscription at the inner object."""

    __slots__ = ("_is_ended", "_late", "_pubsub", "_roll", "_turn", "handler")

    def __init__(
        self, pubsub: FaultyPubSub, handler: PubSubHandler, roll: Random
    ) -> None:
        self.handler = handler
        self._pubsub = pubsub
        self._roll = roll
        self._late: list[_Late] = []  # of a handful: the next deliveries free them
        self._is_ended = False
        # Held while the handler is awaited: else settle() would call it meanwhile.
        self._turn = asyncio.Lock()

    @property
    def late(self) -> int:
        """How many deliveries are late."""
        return len(self._late)

    async def __call__(self, topic: str, data: bytes) -> None:
        """Take what the inner object delivers."""
        async with self._turn:
            # One that is lost or late itself overtakes too: else nothing might free
            # what is late.
            due = self._overtake()
            admitted = self._pubsub.admit(data, self._roll)
            if admitted is not None:
                overtaking, times, bare = admitted
                now = [_Late(overtaking, topic, bare) for _ in range(times)]
                if overtaking:
                    self._late += now
                else:
                    due = now + due
            await self._hand_over(due)

    async def settle(self) -> None:
        """Deliver what is late, in the order of arrival."""
        async with self._turn:
            due, self._late = self._late, []
            await self._hand_over(due)

    def end(self) -> None:
        """Drop what is late, and hand over nothing more."""
        self._is_ended = True
        self._late.clear()

    def _overtake(self) -> list[_Late]:
        """Return what was overtaken often enough."""
        for each in self._late:
            each.overtaking -= 1
        due = [each for each in self._late if each.overtaking <= 0]
        self._late = [each for each in self._late if each.overtaking > 0]
        return due

    async def _hand_over(self, due: list[_Late]) -> None:
        errors: list[BaseException] = []
        for each in due:
            if self._is_ended:
                break
            error = await attempt(self.handler, each.topic, each.data)
            if error is not None:
                errors.append(error)
        if errors:
            # The inner object logs and counts it, as for any handler.
            raise BaseExceptionGroup(f"{self.handler!r} failed", errors)
