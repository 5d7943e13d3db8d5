"""Stand-ins that several tests of the core share; no test stands here."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from pondsocket.changes import Change, Command, Sent
from pondsocket.errors import BadRequest
from pondsocket.frame import Frame
from pondsocket.ports import LinkedChannel, NoPeers, Peers
from pondsocket.transport import OnCloseCallback, OnMessageHandler
from pondsocket.types import Event, ServerActions, TransportType, User
from pondsocket.wire import JSON_CODEC


class PlainTransport:
    """An application's own transport: only what the Transport Protocol asks for.

    While `gate` is not set, `send_event` hangs. What stands in `failure` is raised by
    everything that sends, what stands in `close_failure` by everything that closes.
    """

    def __init__(self, id: str = "ann") -> None:
        self.id = id
        self.sent: list[Event] = []
        self.closings: list[tuple[int, str] | None] = []
        self.failure: BaseException | None = None
        self.close_failure: BaseException | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.handler: OnMessageHandler | None = None
        self._assigns: dict[str, Any] = {}
        self._callbacks: list[OnCloseCallback] = []

    @property
    def numbers(self) -> list[int]:
        """What was sent, by the numbers that `event(n)` and `frame(n)` carry."""
        return [event.payload["n"] for event in self.sent]

    def get_id(self) -> str:
        return self.id

    async def send_event(self, event: Event) -> None:
        await self.gate.wait()
        self._take([event])

    def _take(self, events: list[Event]) -> None:
        if self.failure is not None:
            raise self.failure
        self.sent += events

    def get_assign(self, key: str) -> Any:
        return self._assigns.get(key)

    def set_assign(self, key: str, value: Any) -> None:
        self._assigns[key] = value

    def clone_assigns(self) -> dict[str, Any]:
        return dict(self._assigns)

    def is_active(self) -> bool:
        return not self.closings

    async def close(self) -> None:
        await self._close(None)

    async def _close(self, closing: tuple[int, str] | None) -> None:
        if self.closings:
            return
        self.closings.append(closing)
        if self.close_failure is not None:
            raise self.close_failure
        for callback in self._callbacks:
            result = callback(self)
            if result is not None:
                await result

    def on_close(self, callback: OnCloseCallback) -> None:
        self._callbacks.append(callback)

    def on_message(self, handler: OnMessageHandler) -> None:
        self.handler = handler

    async def handle_messages(self) -> None:
        pass

    def transport_type(self) -> TransportType:
        return TransportType.WEBSOCKET


class CodedTransport(PlainTransport):
    """A plain transport that can say why it closes."""

    async def close_with(self, code: int, reason: str) -> None:
        await self._close((code, reason))


class SinkTransport(CodedTransport):
    """A transport with the fast path; it refuses while `is_open` is False."""

    def __init__(self, id: str = "ann") -> None:
        super().__init__(id)
        self.is_open = True
        self.writes: list[list[Frame]] = []
        self._on_writable: Callable[[], None] = lambda: None

    def try_send(self, frames: Sequence[Frame]) -> bool:
        if not self.is_open:
            return False
        self._take([frame.event for frame in frames])
        self.writes.append(list(frames))
        return True

    def on_writable(self, callback: Callable[[], None]) -> None:
        self._on_writable = callback

    def open(self) -> None:
        """Take frames again, and say so."""
        self.is_open = True
        self._on_writable()


class CountingCodec:
    """JSON_CODEC that counts what it encodes."""

    name = "counted"

    def __init__(self) -> None:
        self.encoded = 0

    def decode(self, data: str | bytes) -> list[Event]:
        return JSON_CODEC.decode(data)

    def encode(self, event: Event) -> str:
        self.encoded += 1
        return JSON_CODEC.encode(event)


class NotingPeers:
    """The same channel on other nodes, which note what they are told and asked."""

    def __init__(self) -> None:
        self.announced: list[Change] = []
        self.asked: list[tuple[str, Command]] = []
        self.users: dict[str, User] = {}
        self.log: list[str] = []

    async def open(self) -> None:
        self.log.append("open")

    async def announce(self, change: Change) -> None:
        self.announced.append(change)

    async def ask(self, node: str, command: Command) -> None:
        self.asked.append((node, command))

    async def find_user(self, user_id: str) -> User | None:
        return self.users.get(user_id)

    async def close(self) -> None:
        self.log.append("close")


class NotingNetwork:
    """Other nodes that note what is emitted, and can be told of no name with a star."""

    def __init__(self) -> None:
        self.emitted: list[tuple[str, str, Sent]] = []

    def check_channel_name(self, name: str) -> None:
        if "*" in name:
            raise BadRequest(name, "channelName must not hold a star")

    def peers(
        self, endpoint_path: str, channel_name: str, channel: LinkedChannel
    ) -> Peers:
        return NoPeers()

    async def emit(self, endpoint_path: str, channel_name: str, sent: Sent) -> None:
        self.emitted.append((endpoint_path, channel_name, sent))


class Clock:
    """The running loop's clock, which goes only when the test says so."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.now = self.loop.time()
        self.loop.time = lambda: self.now  # type: ignore[method-assign]  # its purpose

    async def advance(self, seconds: float) -> None:
        """Let time pass, and what was due happen."""
        self.now += seconds
        await settle()


def event(
    number: int = 0, *, channel: str = "/room", name: str = "news", size: int = 0
) -> Event:
    """Return a numbered broadcast, made longer by `size` bytes."""
    payload = {"n": number, "x": "x" * size} if size else {"n": number}
    return Event(ServerActions.BROADCAST, channel, f"request-{number}", name, payload)


def frame(
    number: int = 0, *, channel: str = "/room", name: str = "news", size: int = 0
) -> Frame:
    """Return a frame of `event(number)`."""
    return Frame(event(number, channel=channel, name=name, size=size))


def other_tasks() -> set[asyncio.Task[Any]]:
    """Return all tasks but the one that asks."""
    return asyncio.all_tasks() - {asyncio.current_task()}


async def settle() -> None:
    """Let the loop run until only timers and what waits for the test are left."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(0)
        if not loop._ready:
            return


async def started(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Return a task that runs the coroutine and got as far as it can for now."""
    task = asyncio.create_task(coroutine)
    await settle()
    return task
