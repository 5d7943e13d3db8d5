"""What tests of the core share: clients in memory, time that flies, a collector."""

import asyncio
from typing import Any

import pytest

from pondsocket.transports import InMemoryTransport
from pondsocket.types import Event
from tests.unit.doubles import Clock, other_tasks, settle


class Client:
    """The far end of a connection in memory.

    `heard()` tells what the server sent since the last time, as (action, event,
    payload); `events()` the same as whole events.
    """

    def __init__(self, user_id: str, **assigns: Any) -> None:
        self.id = user_id
        self.transport = InMemoryTransport(user_id, assigns=assigns)

    async def ask(
        self, action, event="x", payload=None, *, channel="/chat/1", request_id="r1"
    ):
        message = Event(action, channel, request_id, event, payload or {})
        await self.transport.push_inbound(message)
        await settle()

    async def join(self, channel="/chat/1", request_id="j1", **params):
        await self.ask(
            "JOIN_CHANNEL", "join", params, channel=channel, request_id=request_id
        )

    async def leave(self, channel="/chat/1", request_id="l1"):
        await self.ask("LEAVE_CHANNEL", "leave", channel=channel, request_id=request_id)

    async def say(self, event, payload=None, *, channel="/chat/1", request_id="r1"):
        await self.ask(
            "BROADCAST", event, payload, channel=channel, request_id=request_id
        )

    async def events(self):
        await settle()
        return await self.transport.drain_outbox()

    async def heard(self):
        return [(e.action, e.event, e.payload) for e in await self.events()]


class Collector:
    """A metrics collector that notes each call as (method, arguments...)."""

    METHODS = (
        "connection_opened", "connection_closed", "connection_error",
        "message_received", "message_sent", "message_broadcast", "channel_joined",
        "channel_left", "channel_created", "channel_destroyed", "handler_duration",
        "queue_depth", "error",
    )  # fmt: skip

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        for name in self.METHODS:
            setattr(self, name, self._noting(name))

    def _noting(self, name):
        return lambda *args: self.calls.append((name, *args))

    def count(self, name, amount=1, **labels):
        self.calls.append(("count", name, amount))

    def of(self, name):
        """Tell the arguments of each call of one method."""
        return [args for method, *args in self.calls if method == name]


class Log:
    """What happened, in order; call it to get a callback that notes its arguments."""

    def __init__(self) -> None:
        self.entries: list[Any] = []

    def __call__(self, name, result=None):
        def callback(*args):
            self.entries.append((name, *args))
            if isinstance(result, BaseException):
                raise result
            return result

        return callback


@pytest.fixture
def client():
    """Make a client that no endpoint knows yet."""
    return Client


@pytest.fixture
def connect():
    """Make a client, register it and take the greeting away."""

    async def connect(endpoint, user_id, **assigns):
        connected = Client(user_id, **assigns)
        await endpoint.register_transport(connected.transport)
        await connected.events()
        return connected

    return connect


@pytest.fixture
def collector():
    return Collector()


@pytest.fixture
def log():
    return Log()


@pytest.fixture
async def no_task_is_left():
    """Fail the test if a task of it goes on; a module asks for it in `pytestmark`."""
    yield
    await settle()
    assert not other_tasks()


@pytest.fixture
async def clock():
    """The running loop's clock, which goes only when the test says so."""
    return Clock()


@pytest.fixture
async def flying_time(monkeypatch):
    """Let each wait for a timer end at once, with the loop's clock put forward."""
    loop = asyncio.get_running_loop()
    real_time, real_select = loop.time, loop._selector.select
    skipped = 0.0

    def select(timeout=None):
        nonlocal skipped
        ready = real_select(0 if timeout is not None else None)
        if not ready and timeout:
            skipped += timeout
        return ready

    monkeypatch.setattr(loop, "time", lambda: real_time() + skipped)
    monkeypatch.setattr(loop._selector, "select", select)
    return loop.time
