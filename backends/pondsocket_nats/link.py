"""Link: the connection to the server, watched; ours to make, or a user's.

Theory of operation. nats-py reconnects by itself and renews its subscriptions. What it
does not do is done here, by one task:

* A canary, a message to oneself, goes out each ``ping_interval``, and soon after
  something was published. The server works off a connection in order, so its return
  proves that everything before it has arrived: publishes (``Ledger``) and
  subscriptions (:meth:`Link.settle`). PING would prove less: nats-py writes it before
  what waits to be sent.
* Three intervals without an answer: the connection is dead, whatever TCP says, and
  nats-py is told to make another one.
* A client that nats-py closed for good (it does so after most errors that a server
  reports) is replaced, if it was ours.

The link is away from the first sign of a lost connection, or of a server that is down
at the start, until a canary is back. One line is logged at each end of that.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, NamedTuple

from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.errors import Error, StaleConnectionError

from pondsocket import Unavailable
from pondsocket_nats.intake import Sink
from pondsocket_nats.interest import close_client, unsubscribe
from pondsocket_nats.internals import (
    StrictClient,
    abort_closing,
    chain,
    forget_unsent,
)
from pondsocket_nats.ledger import Ledger
from pondsocket_nats.settings import Dial

__all__ = ["Link"]

logger: logging.Logger = logging.getLogger(__name__)

_SILENT_INTERVALS: Final = 3
_SOON: Final = 0.02  # seconds from a publish to the canary that confirms it
_AWAY: Final = "nats cannot be reached at the moment"
_AWAY_CHECK: Final = 0.1  # seconds between looks at a connection that is away


class _Canary(NamedTuple):
    number: int
    published: int  # what its return confirms
    sent_at: float


class Link:
    """Keeps a client connected and tells what the server is known to have.

    Args:
        source: A connected client, or how to make clients.
        owns_client: Whether a given client is closed at the end, as those made here.
        ledger: Of what is published over the link.
        ping_interval: Seconds between canaries.
        restore: Subscribes a new client to everything; called before it is used.
        came_back: Called each time the link was away and is back.
    """

    def __init__(
        self,
        source: Client | Dial,
        *,
        owns_client: bool,
        ledger: Ledger,
        ping_interval: float,
        restore: Callable[[Client], Awaitable[None]],
        came_back: Callable[[], None],
    ) -> None:
        self.reconnects: int = 0
        self.lag: float = 0.0
        self._dial = source if isinstance(source, Dial) else None
        self._client = source if isinstance(source, Client) else None
        self._owns_client = owns_client
        self._ledger = ledger
        self._interval = ping_interval
        self._restore = restore
        self._came_back = came_back
        self._task: asyncio.Task[None] | None = None
        self._unchain: list[Callable[[], None]] = []
        self._is_closing = False
        self._was_tried = asyncio.Event()
        self._news = asyncio.Event()  # something to confirm, or to look at
        self._away_since: float | None = None
        self._last_error: Exception | None = None
        self._subject = ""
        self._canaries: Subscription | None = None
        self._number = 0  # of the last canary
        self._valid_from = 0  # canaries before this one prove nothing any more
        self._flying: deque[_Canary] = deque()
        self._silent_intervals = 0
        self._judge_at = 0.0
        # who waits for a canary of that number or a later one, in rising order; each
        # gets whether it came
        self._waiters: OrderedDict[asyncio.Future[bool], int] = OrderedDict()

    @property
    def client(self) -> Client | None:
        """The client, if it is connected at this moment."""
        client = self._client
        return client if client is not None and client.is_connected else None

    @property
    def any_client(self) -> Client | None:
        """The client even if it is away; None while there is none of ours.

        What is subscribed there is renewed when it is back.
        """
        client = self._client
        return client if client is not None and not client.is_closed else None

    @property
    def is_up(self) -> bool:
        """Whether the last canary came back and nothing broke since."""
        return self.client is not None and self._away_since is None

    def start(self) -> None:
        """Connect and watch, if that was not begun yet. Never waits."""
        if self._task is None:
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._watch(), name="pond-nats-link")

    def check_usable(self) -> None:
        """Raise Unavailable if the link will never be up again."""
        if self._client is not None and self._client.is_closed and not self._dial:
            raise Unavailable("", "the nats client was closed")

    async def reach(self) -> Client:
        """Return the connected client; wait only for the very first attempt.

        Raises:
            Unavailable: If the server is known to be away.
        """
        self.start()
        await self._was_tried.wait()
        if self.client is None:
            raise Unavailable("", _AWAY)
        return self.client

    def note_publish(self) -> None:
        """Have what was just published confirmed soon. Cheap, never waits."""
        self._news.set()

    async def settle(self) -> None:
        """Return once the server has everything that was handed over before now.

        Whoever calls it has a deadline.

        Raises:
            Unavailable: At once, if the server is known to be away; later, if it goes
                away or the link is closed.
        """
        if self._away_since is not None and self.client is None:
            raise Unavailable("", _AWAY)
        waiter = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = self._number + 1
        try:
            await self._send_canary()
            if not await waiter:
                raise Unavailable("", _AWAY)
        finally:
            self._waiters.pop(waiter, None)

    async def close(self) -> None:
        """End the watch, and the client if it was made here. Takes a second at most.

        Before it, :meth:`settle` lets the server have what was published.
        """
        self._is_closing = True
        self._answer_waiters(self._number + 1, came=False)
        # nats-py swallows a cancellation here and there
        while self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=_AWAY_CHECK)
        for unchain in self._unchain:
            unchain()
        if self._client is None:
            return
        if self._owns_client or self._dial:
            await close_client(self._client)
        elif self._canaries is not None:
            await unsubscribe(self._canaries)

    # Making and watching

    async def _watch(self) -> None:
        while True:
            try:
                await self._look()
            except Exception:  # the root of the task, which must go on
                logger.exception("watching the nats connection failed")
            await self._pause()

    async def _look(self) -> None:
        client = self._client
        if self._dial and (client is None or client.is_closed):
            await self._connect(self._dial)
        elif client is not None:
            await self._look_at(client)

    async def _look_at(self, client: Client) -> None:
        if self._canaries is None:
            self._unchain = [chain(client, *each) for each in self._callbacks()]
            await self._adopt(client)
            await self._send_canary()
        elif client.is_connected:
            await self._judge(client)
            await self._send_canary()
        else:
            self._lose()
            abort_closing(client)

    async def _pause(self) -> None:
        if not self.is_up:
            await asyncio.sleep(min(_AWAY_CHECK, self._interval))
            return
        await asyncio.sleep(_SOON)
        with suppress(TimeoutError):  # the next canary is due
            async with asyncio.timeout(self._interval):
                await self._news.wait()
        self._news.clear()

    async def _connect(self, dial: Dial) -> None:
        client = StrictClient()
        callbacks = {name: _coroutine(ours) for name, ours in self._callbacks()}
        try:
            await client.connect(**{**dial.options, **callbacks})
            await self._adopt(client)
        except BaseException:
            await close_client(client)
            raise
        self._client = client
        self._was_tried.set()
        await self._restore(client)
        await self._send_canary()

    async def _adopt(self, client: Client) -> None:
        self._subject = client.new_inbox()
        self._canaries = await client.subscribe(
            self._subject, future=Sink(self._take_canary)
        )
        self._judge_at = asyncio.get_running_loop().time() + self._interval
        self._was_tried.set()

    def _callbacks(self) -> tuple[tuple[str, Callable[..., None]], ...]:
        return (
            ("error_cb", self._on_error),
            ("disconnected_cb", self._lose),
            ("reconnected_cb", self._news.set),
            ("closed_cb", self._on_closed),
        )

    # Canaries

    async def _send_canary(self) -> None:
        client = self.client
        if client is None or not self._subject:
            return
        self._number += 1
        now = asyncio.get_running_loop().time()
        self._flying.append(_Canary(self._number, self._ledger.published, now))
        try:
            await client.publish(self._subject, b"%d" % self._number)
        except Error as error:  # it is going away, which a callback will tell
            logger.debug("a canary to nats failed: %r", error)

    def _take_canary(self, data: bytes) -> None:
        number = int(data)
        if number < self._valid_from:
            return
        now = asyncio.get_running_loop().time()
        while self._flying and self._flying[0].number <= number:
            canary = self._flying.popleft()
            self._ledger.confirm(canary.published)
            self.lag = now - canary.sent_at
        self._silent_intervals = 0
        self._answer_waiters(number, came=True)
        if self._away_since is not None:
            self._return(now - self._away_since)

    def _answer_waiters(self, number: int, *, came: bool) -> None:
        while self._waiters and next(iter(self._waiters.values())) <= number:
            waiter, _ = self._waiters.popitem(last=False)
            if not waiter.done():
                waiter.set_result(came)

    async def _judge(self, client: Client) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._judge_at:
            return
        # Counted in looks, not by the clock: a loop that stood still for long has not
        # read the answers yet.
        self._judge_at = now + self._interval
        self._silent_intervals += bool(self._flying)
        if self._silent_intervals >= _SILENT_INTERVALS:
            self._last_error = TimeoutError("no answer")
            self._lose()
            await client.force_reconnect()

    # Away and back

    def _lose(self) -> None:
        if self._is_closing:
            return
        # each time: it may break again before a canary was back
        self._valid_from = self._number + 1
        self._flying.clear()
        self._silent_intervals = 0
        self._answer_waiters(self._valid_from, came=False)
        lost = self._ledger.write_off()
        if self._dial and self._client is not None:
            forget_unsent(self._client)
        self._was_tried.set()
        if self._away_since is None:
            self._away_since = asyncio.get_running_loop().time()
            logger.warning(
                "nats cannot be reached (%r); %d published messages were not confirmed",
                self._last_error or "connection closed",
                lost,
            )

    def _return(self, seconds: float) -> None:
        self._away_since = None
        self._last_error = None
        self.reconnects += 1
        logger.info("nats is back after %.1f s", seconds)
        self._came_back()

    def _on_error(self, error: Exception) -> None:
        self._last_error = error
        if self._client is None:
            self._lose()  # the first attempt failed
        elif isinstance(error, StaleConnectionError | OSError):
            logger.debug("nats reported %r", error)  # it ends here, which gets a line
        elif self._dial and self._away_since is None:
            logger.warning("nats reported %r", error)
        else:
            logger.debug("nats is away, and reported %r", error)

    def _on_closed(self) -> None:
        self._lose()
        self._news.set()
        if not self._dial and not self._is_closing:
            logger.error("the nats client was closed, so nothing is published any more")


def _coroutine(plain: Callable[..., None]) -> Callable[..., Awaitable[None]]:
    async def call(*args: object) -> None:
        plain(*args)

    return call
