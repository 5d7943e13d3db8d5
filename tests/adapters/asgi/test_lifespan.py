"""Start and shutdown: as the host tells us, and for an application around us."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from pondsocket import PondSocket
from pondsocket_asgi import lifespan
from pondsocket_asgi.lifespan import serve_lifespan


class Pond(PondSocket):
    """A PondSocket that notes when it is closed, and may fail to."""

    def __init__(self, notes, fault=None):
        super().__init__()
        self.notes = notes
        self.fault = fault

    async def close(self):
        self.notes.append("pond closed")
        if self.fault:
            raise self.fault
        await super().close()


async def test_startup_is_acknowledged_at_once_and_closes_nothing(host):
    notes = []
    task = asyncio.create_task(serve_lifespan(Pond(notes), host.receive, host.send))

    host.tell("lifespan.startup")
    async with asyncio.timeout(5):
        while not host.sent:
            await asyncio.sleep(0)

    assert host.sent == [{"type": "lifespan.startup.complete"}]
    assert notes == []
    task.cancel()


async def test_shutdown_closes_the_pond_before_it_is_acknowledged(make_host):
    notes = []
    host = make_host({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})

    await serve_lifespan(Pond(notes), host.receive, host.send)

    assert notes == ["pond closed"]
    assert host.sent[1:] == [{"type": "lifespan.shutdown.complete"}]


async def test_a_pond_that_cannot_be_closed_is_a_failed_shutdown(make_host, caplog):
    host = make_host({"type": "lifespan.shutdown"})
    pond = Pond([], RuntimeError("no backend"))

    await serve_lifespan(pond, host.receive, host.send)

    assert host.sent == [{"type": "lifespan.shutdown.failed", "message": "no backend"}]
    assert "closing failed" in caplog.text


async def test_an_outer_application_closes_the_pond_when_it_ends():
    notes = []

    async with lifespan(Pond(notes))(object()) as state:
        assert notes == []

    assert state is None
    assert notes == ["pond closed"]


async def test_the_pond_is_closed_when_the_application_fails():
    notes = []

    with pytest.raises(RuntimeError, match="broken"):
        async with lifespan(Pond(notes))(object()):
            raise RuntimeError("broken")

    assert notes == ["pond closed"]


async def test_what_the_inner_lifespan_opened_outlives_the_pond():
    notes = []
    app = object()

    @asynccontextmanager
    async def database(outer):
        assert outer is app
        yield {"database": "open"}
        notes.append("database closed")

    async with lifespan(Pond(notes), database)(app) as state:
        assert state == {"database": "open"}

    assert notes == ["pond closed", "database closed"]
