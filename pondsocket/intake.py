"""Intake: what happens to each message of a client before any handler sees it.

Size, rate, decoding, limits, then the inbox. What is wrong is answered to the client
and counted; only a message that is too big or a lasting flood ends the connection.
"""

import time
from collections.abc import Awaitable, Callable

from pondsocket.client_message import read_within
from pondsocket.errors import ValidationError
from pondsocket.ids import uuid
from pondsocket.inbox import FloodGate, Flooding, Inbox
from pondsocket.metrics import Telemetry
from pondsocket.types import (
    ErrorTypes,
    Event,
    Limits,
    ServerActions,
    SystemEntity,
    SystemEvents,
)
from pondsocket.wire import JSON_CODEC, Codec, check_limits

__all__ = ["Intake"]

POLICY_VIOLATION = 1008  # RFC 6455 7.4.1, as the next
MESSAGE_TOO_BIG = 1009


class Intake:
    """The way in for one connection's messages; nothing here waits.

    Args:
        user_id: Whose messages these are, for counting and task names.
        limits: What a client may send.
        telemetry: Where messages, drops and refusals are counted.
        codec: How the client's messages are encoded.
        handle: Called with each event, one at a time per channel.
        answer: Queues an event to this client.
        end: Starts closing the connection with a code and a reason.
    """

    __slots__ = (
        "_answer", "_codec", "_end", "_flood", "_inbox", "_is_closed", "_limits",
        "_measuring", "_telemetry", "_user_id",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - the ends of all the ways out of here
        self,
        user_id: str,
        *,
        limits: Limits,
        telemetry: Telemetry,
        codec: Codec,
        handle: Callable[[Event], Awaitable[object]],
        answer: Callable[[Event], None],
        end: Callable[[int, str], None],
    ) -> None:
        self._user_id = user_id
        self._limits = limits
        self._telemetry = telemetry
        self._measuring = telemetry.measuring
        self._codec = codec
        self._answer = answer
        self._end = end
        self._flood = FloodGate(limits, time.monotonic())
        self._inbox = Inbox(handle, limits, user_id)
        self._is_closed = False

    def __len__(self) -> int:
        """Return how many messages wait for a handler."""
        return len(self._inbox)

    @property
    def is_idle(self) -> bool:
        """Whether no message waits and no handler runs."""
        return self._inbox.is_idle

    def receive(self, data: str | bytes) -> bool:
        """Take one encoded message; False if the inbox is full and took nothing.

        What comes after the end of the connection is ignored.
        """
        if self._is_closed:
            return True
        limit = self._limits.max_message_size
        size = _size(data, limit)
        if limit and size > limit:
            self._telemetry.count("oversized")
            self._finish(MESSAGE_TOO_BIG, f"message above {limit} bytes")
            return True
        now = time.monotonic()
        if not self._flood.admits(now):
            if self._refuse(now):
                self._answer_flood(self._decode_for_answer(data))
            return True
        try:
            events = self._decode(data)
        except ValidationError as error:
            self._reject(error)
            return True
        takes_all = True
        for event in events:
            takes_all = self._put(event, size, now) and takes_all
        return takes_all

    def take(self, event: Event) -> bool:
        """Take one event that was decoded elsewhere; as :meth:`receive`."""
        if self._is_closed:
            return True
        now = time.monotonic()
        if not self._flood.admits(now):
            if self._refuse(now):
                self._answer_flood(event)
            return True
        try:
            check_limits(event, self._limits)
        except ValidationError as error:
            self._reject(error)
            return True
        return self._put(event, 0, now)

    def close(self) -> None:
        """Drop what waits, and count it; running handlers finish. Idempotent."""
        self._is_closed = True
        dropped = self._inbox.close()
        if dropped:
            self._telemetry.count("inbound_dropped", dropped)

    async def settle(self, timeout: float) -> None:  # noqa: ASYNC109 - ends, not raises
        """Wait ``timeout`` seconds for running handlers, then cancel them."""
        await self._inbox.settle(timeout)

    def _decode(self, data: str | bytes) -> list[Event]:
        """Return the events in a message; ValidationError if one is above a limit."""
        if self._codec is JSON_CODEC:
            return read_within(data, self._limits)
        events = self._codec.decode(data)
        for event in events:
            check_limits(event, self._limits)
        return events

    def _put(self, event: Event, size: int, now: float) -> bool:
        if self._measuring:
            self._telemetry.message_received(
                self._user_id, event.channel_name, event.event, size
            )
            self._telemetry.queue_depth("inbox", len(self._inbox))
        if self._inbox.put(event, size):
            return True
        self._telemetry.count("inbound_dropped")
        if self._refuse(now):
            self._answer_flood(event)
        return False

    def _reject(self, error: ValidationError) -> None:
        self._telemetry.count("malformed")
        self._answer(
            Event(
                ServerActions.ERROR,
                SystemEntity.GATEWAY,
                error.request_id or uuid(),
                ErrorTypes.INVALID_MESSAGE,
                {"error": str(error)},
            )
        )

    def _refuse(self, now: float) -> bool:
        """Deal with a message too many; True if it gets an answer."""
        self._telemetry.count("flood")
        verdict = self._flood.refuse(now)
        if verdict is Flooding.CLOSE:
            self._telemetry.count("flood_closed")
            self._finish(POLICY_VIOLATION, "too many messages")
        return verdict is Flooding.ANSWER

    def _answer_flood(self, event: Event | None) -> None:
        if event is not None:
            self._answer(_flood_answer(event))

    def _finish(self, code: int, reason: str) -> None:
        """Take nothing more, and start closing the connection."""
        self.close()
        self._end(code, reason)

    def _decode_for_answer(self, data: str | bytes) -> Event | None:
        try:
            event = next(iter(self._decode(data)), None)
        except ValidationError as error:
            self._reject(error)
            return None
        return event


def _size(data: str | bytes, limit: int) -> int:
    """Return the size in bytes of UTF-8; a text that is surely too long as it is."""
    if isinstance(data, bytes) or data.isascii() or 0 < limit < len(data):
        return len(data)
    return len(data.encode(errors="replace"))


def _flood_answer(event: Event) -> Event:
    payload = {
        "code": 429,
        "message": "Too many messages",
        "details": None,
        "temporary": True,
    }
    return Event(
        ServerActions.SYSTEM,
        event.channel_name,
        event.request_id,
        SystemEvents.INTERNAL_ERROR,
        payload,
    )
