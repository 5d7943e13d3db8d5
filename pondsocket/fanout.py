"""FanOut: what a channel has sent and not yet written to its members.

Frames of one turn of the event loop are joined, so that a member gets one write for all
of them. The first pending frame schedules the flush with ``call_soon``; there is no
timer and so no added delay. Every entry keeps its recipients, fixed when it was pushed,
which is why everything is written before a roster changes. A large room is written in
slices, one a turn; a forced flush first finishes what is being sliced.
"""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass

from pondsocket.burst import Burst
from pondsocket.frame import Frame
from pondsocket.session import Deferred, Intercept, Session

__all__ = ["FanOut"]

logger: logging.Logger = logging.getLogger(__name__)

MAX_FRAMES = 64  # pending at most; more are flushed inline
MAX_BYTES = 65_536
SLICE = 500  # members written in one go
COLLECTED = 2000  # frames sorted by member in one go, of those who get more than others


@dataclass(slots=True)  # not frozen: each broadcast makes one
class _Entry:
    frame: Frame
    recipients: tuple[Session, ...]
    intercept: Intercept | None

    def to_item(self) -> Frame | Deferred:
        if self.intercept is None:
            return self.frame
        return Deferred(self.frame, self.intercept)


class FanOut:
    """Pending frames of one channel, in the order in which they were produced."""

    __slots__ = ("_bytes", "_job", "_pending", "_running", "_scheduled")

    def __init__(self) -> None:
        self._pending: list[_Entry] = []
        self._bytes = 0
        self._job: Iterator[None] | None = None
        self._running = False
        self._scheduled = False

    def push(
        self,
        frame: Frame,
        recipients: tuple[Session, ...],
        intercept: Intercept | None = None,
    ) -> bool:
        """Queue a frame for its recipients; never waits.

        Args:
            frame: What to send.
            recipients: To whom, decided now.
            intercept: Outgoing handlers, run per recipient in its session's writer.

        Returns:
            True if so much was pending that it was flushed inline: the caller should
            yield to the event loop once before it sends more.
        """
        if not recipients:
            return False
        self._pending.append(_Entry(frame, recipients, intercept))
        self._bytes += frame.size
        if len(self._pending) >= MAX_FRAMES or self._bytes >= MAX_BYTES:
            self.flush()
            return True
        self._schedule()
        return False

    def flush(self) -> None:
        """Write everything now."""
        if self._running:  # a transport that calls back into its channel: next turn
            self._schedule()
            return
        self._finish_job()
        if self._pending:
            self._begin()
            self._finish_job()

    def _finish_job(self) -> None:
        while self._job is not None:
            self._step(self._job)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """One turn of the loop: a slice of what is being written, or all there is."""
        self._scheduled = False
        if self._job is None and self._pending:
            self._begin()
        if self._job is not None:
            self._step(self._job)
        if self._job is not None or self._pending:
            self._schedule()

    def _begin(self) -> None:
        entries, self._pending, self._bytes = self._pending, [], 0
        first = entries[0]
        if len(entries) == 1 and len(first.recipients) == 1 and not first.intercept:
            self._write_one(first)  # an answer, mostly
        else:
            self._job = _write(entries)

    def _write_one(self, entry: _Entry) -> None:
        self._running = True
        try:
            # it is one slice, which yields nothing
            next(_write_same(Burst((entry.frame,)), entry.recipients), None)
        finally:
            self._running = False

    def _step(self, job: Iterator[None]) -> None:
        self._running = True
        try:
            next(job)
        except StopIteration:
            self._job = None
        finally:
            self._running = False


def _write(entries: list[_Entry]) -> Iterator[None]:
    """Write entries member by member, yielding after each slice.

    Most members get just what goes to all of them: one burst. Only those who get
    something else, too, such as an answer, have a list of their own.
    """
    plain = [entry.recipients for entry in entries if entry.intercept is None]
    common = max(plain, key=len, default=())
    shared = [entry for entry in entries if _is_shared(entry, common)]
    apart: dict[Session, list[Frame | Deferred]] = {}
    if len(shared) < len(entries):
        yield from _collect(entries, common, apart)
        common = tuple([session for session in common if session not in apart])
    yield from _write_same(Burst([entry.frame for entry in shared]), common)
    yield from _write_apart(apart)


def _is_shared(entry: _Entry, common: tuple[Session, ...]) -> bool:
    return entry.recipients is common and entry.intercept is None


def _collect(
    entries: list[_Entry],
    common: tuple[Session, ...],
    apart: dict[Session, list[Frame | Deferred]],
) -> Iterator[None]:
    """Find all that goes to those who get more than what is shared, in its order."""
    for entry in entries:
        if not _is_shared(entry, common):
            apart.update((session, []) for session in entry.recipients)
    also = tuple([session for session in common if session in apart])
    for entry in entries:
        recipients = also if _is_shared(entry, common) else entry.recipients
        item = entry.to_item()
        for start in range(0, len(recipients), COLLECTED):
            if start:
                yield
            for session in recipients[start : start + COLLECTED]:
                apart[session].append(item)


def _write_same(burst: Burst, recipients: tuple[Session, ...]) -> Iterator[None]:
    for start in range(0, len(recipients), SLICE):
        if start:
            yield
        for session in recipients[start : start + SLICE]:
            direct = session.direct
            try:
                if not direct.is_held and direct.try_write(burst):
                    continue
            except Exception:
                logger.debug("writing to %r failed", session.id, exc_info=True)
            session.write(burst)


def _write_apart(apart: dict[Session, list[Frame | Deferred]]) -> Iterator[None]:
    """Write what each gets; those who get the same share a burst."""
    bursts: dict[tuple[Frame | Deferred, ...], Burst] = {}
    for count, (session, found) in enumerate(apart.items(), 1):
        items = tuple(found)
        burst = bursts.get(items)
        if burst is None:
            frames = [item for item in items if isinstance(item, Frame)]
            if len(frames) == len(items):
                burst = bursts[items] = Burst(frames)
        if burst is None:
            session.enqueue(items)
        else:
            session.write(burst)
        if not count % SLICE:
            yield
