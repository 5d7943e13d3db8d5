import asyncio
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from pondsocket_asgi.daphne import Daphne

ACCEPT = {"type": "websocket.accept"}
TEXT = {"type": "websocket.send", "text": "hello"}
START = {"type": "http.response.start", "status": 200, "headers": []}
PART = {"type": "http.response.body", "body": b"part", "more_body": True}
END = {"type": "http.response.body", "body": b""}


class Server:
    """As daphne's: it knows the task in which it called the application."""

    def __init__(self) -> None:
        self.connections: dict[Any, dict[str, Any]] = {}


class Connection:
    """As daphne's protocol of a WebSocket or a request, and its own transport."""

    def __init__(self) -> None:
        self.transport: Any = self
        self.producer: Any = "the HTTP channel"
        self.frames: list[tuple[int, bytes]] = []
        self.is_aborted = False

    def registerProducer(self, producer: object, streaming: bool) -> None:  # noqa: N802 - theirs
        assert streaming
        assert self.producer is None
        self.producer = producer

    def unregisterProducer(self) -> None:  # noqa: N802 - theirs
        self.producer = None

    def abortConnection(self) -> None:  # noqa: N802 - theirs
        self.is_aborted = True

    def sendCloseFrame(self, *, code, reasonUtf8) -> None:  # noqa: N802, N803 - theirs
        self.frames.append((code, reasonUtf8))


class Host:
    """A daphne that runs, and what it is sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server = Server()
        self.connection = Connection()
        self.sent: list[dict[str, Any]] = []
        self.port = SimpleNamespace(factory=SimpleNamespace(server=self.server))
        self.reactor = SimpleNamespace(running=True, getReaders=lambda: [self.port])
        module = SimpleNamespace(Server=Server)
        monkeypatch.setitem(sys.modules, "daphne.server", module)
        monkeypatch.setitem(sys.modules, "twisted.internet.reactor", self.reactor)
        self.daphne = Daphne()

    async def call(self, application, *, is_known: bool = True) -> None:
        """Call an application as daphne does; it takes ``send`` alone."""

        async def app(scope, receive, send):
            await application(send)

        serving = asyncio.create_task(
            self.daphne.serve(app, {}, self._receive, self._send)
        )
        if is_known:
            self.server.connections[object()] = {}  # a connection without application
            self.server.connections[self.connection] = {"application_instance": serving}
        await serving

    async def _send(self, message) -> None:
        self.sent.append(message)

    async def _receive(self):
        raise NotImplementedError


@pytest.fixture
def host(monkeypatch) -> Host:
    return Host(monkeypatch)


async def blocked(work) -> asyncio.Task[None]:
    """Start a send that does not return, and give it time to."""
    task = asyncio.create_task(work)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    return task


def test_a_daphne_that_runs_is_noticed(host):
    assert host.daphne.is_running()


def test_a_daphne_that_was_only_imported_does_not_run(host):
    host.reactor.running = False

    assert not host.daphne.is_running()


def test_where_there_is_no_daphne_none_runs(monkeypatch):
    monkeypatch.delitem(sys.modules, "daphne.server", raising=False)

    assert not Daphne().is_running()


async def test_sending_does_not_wait_while_there_is_room(host):
    async def application(send):
        await send(ACCEPT)
        await send(TEXT)

    await host.call(application)

    assert host.sent == [ACCEPT, TEXT]


@pytest.mark.parametrize("release", ["resumeProducing", "stopProducing"])
async def test_sending_waits_until_there_is_room_or_nobody_to_send_to(host, release):
    async def application(send):
        await send(ACCEPT)
        producer = host.connection.producer
        producer.pauseProducing()
        producer.pauseProducing()
        sending = await blocked(send(TEXT))
        getattr(producer, release)()
        await sending

    await host.call(application)

    assert host.sent == [ACCEPT, TEXT]
    assert not host.connection.is_aborted


async def test_a_send_that_is_given_up_leaves_the_next_one_waiting(host):
    async def application(send):
        await send(ACCEPT)
        host.connection.producer.pauseProducing()
        (await blocked(send(TEXT))).cancel()
        (await blocked(send(TEXT))).cancel()

    await host.call(application)

    assert host.sent == [ACCEPT, TEXT, TEXT]


async def test_who_does_not_read_is_cut_when_the_application_ends(host):
    async def application(send):
        await send(ACCEPT)
        host.connection.producer.pauseProducing()

    await host.call(application)

    assert host.connection.is_aborted
    assert host.connection.producer is None


async def test_a_streamed_response_waits_too(host):
    async def application(send):
        await send(START)
        host.connection.producer.pauseProducing()
        sending = await blocked(send(PART))
        host.connection.producer.resumeProducing()
        await sending

    await host.call(application)

    assert host.sent == [START, PART]


async def test_a_response_is_let_go_before_its_end(host):
    registered = []

    async def application(send):
        await send(START)
        registered.append(host.connection.producer)
        host.connection.producer.pauseProducing()
        await send(END)
        registered.append(host.connection.producer)

    await host.call(application)

    assert registered[0] is not None
    assert registered[1] is None
    assert not host.connection.is_aborted


@pytest.mark.parametrize("code", [1012, 1013, 1008])
async def test_a_close_code_that_daphne_refuses_is_sent_all_the_same(host, code):
    async def application(send):
        await send(ACCEPT)
        await send({"type": "websocket.close", "code": code, "reason": "é"})

    await host.call(application)

    assert host.connection.frames == [(code, "é".encode())]
    assert host.sent == [ACCEPT]


@pytest.mark.parametrize("code", [1000, 4001])
async def test_a_close_code_that_daphne_takes_is_its_own_to_send(host, code):
    close = {"type": "websocket.close", "code": code}

    async def application(send):
        await send(ACCEPT)
        await send(close)

    await host.call(application)

    assert host.sent == [ACCEPT, close]


async def test_a_connection_behind_tls_is_found(host):
    host.port.factory = SimpleNamespace(wrappedFactory=host.port.factory)

    async def application(send):
        await send(ACCEPT)
        assert host.connection.producer is not None

    await host.call(application)


async def test_a_connection_that_was_lost_meanwhile_is_left_alone(host):
    host.connection.transport = None

    async def application(send):
        await send(ACCEPT)
        await send(TEXT)

    await host.call(application)

    assert host.connection.producer == "the HTTP channel"


async def test_where_no_connection_is_found_daphne_is_used_as_it_is(host, caplog):
    close = {"type": "websocket.close", "code": 1012, "reason": "restart"}

    async def application(send):
        await send(ACCEPT)
        await send(close)

    await host.call(application, is_known=False)
    await host.call(application, is_known=False)

    assert host.sent == [ACCEPT, {**close, "code": 4012}] * 2
    assert caplog.text.count("was not found") == 1
