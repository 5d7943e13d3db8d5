import asyncio
import multiprocessing
import signal
import sys
from types import SimpleNamespace

import pytest
from hypercorn.utils import ShutdownError, raise_shutdown

from pondsocket_asgi.shutdown import ShutdownWatch


class Pond:
    """A PondSocket that closes when the test lets it."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.may_close = asyncio.Event()
        self.is_closing = asyncio.Event()
        self.is_told = asyncio.Event()

    async def close(self) -> None:
        self.log.append("closing")
        self.is_closing.set()
        await self.may_close.wait()
        self.log.append("closed")

    def tell_host(self, *_: object) -> None:
        self.log.append("host told")
        self.is_told.set()


@pytest.fixture
async def pond() -> Pond:
    return Pond()


@pytest.fixture(autouse=True)
def handlers():
    """Put the handlers of signals back."""
    kept = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def install_handler(pond: Pond, module: str):
    """Install what a host would, and return it."""

    def handler(number, frame):
        assert number == signal.SIGTERM
        pond.tell_host()

    handler.__module__ = module
    signal.signal(signal.SIGTERM, handler)
    return handler


@pytest.mark.parametrize("module", ["twisted.internet.base", "uvicorn.server"])
async def test_the_pond_is_closed_before_the_host_is_told(pond, module):
    install_handler(pond, module)
    ShutdownWatch(pond).begin()

    signal.raise_signal(signal.SIGTERM)
    await pond.is_closing.wait()
    pond.may_close.set()
    await pond.is_told.wait()

    assert pond.log == ["closing", "closed", "host told"]


async def test_the_host_gets_its_handler_back(pond):
    handler = install_handler(pond, "uvicorn.server")
    pond.may_close.set()
    ShutdownWatch(pond).begin()

    signal.raise_signal(signal.SIGTERM)
    await pond.is_told.wait()

    assert signal.getsignal(signal.SIGTERM) is handler


async def test_a_second_signal_is_handed_on_at_once(pond):
    install_handler(pond, "uvicorn.server")
    ShutdownWatch(pond).begin()

    signal.raise_signal(signal.SIGTERM)
    await pond.is_closing.wait()
    signal.raise_signal(signal.SIGTERM)
    await pond.is_told.wait()

    assert pond.log == ["closing", "host told"]
    pond.may_close.set()


async def test_two_ponds_are_closed_before_the_host_is_told(pond):
    other = Pond()
    pond.may_close.set()
    other.may_close.set()
    install_handler(pond, "uvicorn.server")
    ShutdownWatch(pond).begin()
    ShutdownWatch(other).begin()

    signal.raise_signal(signal.SIGTERM)
    await pond.is_told.wait()

    assert other.log == ["closing", "closed"]
    assert pond.log == ["closing", "closed", "host told"]


async def test_the_host_is_told_though_closing_failed(pond, caplog):
    async def fail():
        raise RuntimeError("no")

    install_handler(pond, "uvicorn.server")
    pond.close = fail
    ShutdownWatch(pond).begin()

    signal.raise_signal(signal.SIGTERM)
    await pond.is_told.wait()

    assert "closing failed" in caplog.text


def test_the_host_is_told_when_its_loop_does_not_run_any_more():
    async def begin() -> Pond:
        pond = Pond()
        install_handler(pond, "uvicorn.server")
        ShutdownWatch(pond).begin()
        return pond

    pond = asyncio.run(begin())
    signal.raise_signal(signal.SIGTERM)

    assert pond.log == ["host told"]


async def test_the_watch_begins_once(pond):
    install_handler(pond, "uvicorn.server")
    watch = ShutdownWatch(pond)
    watch.begin()
    handler = signal.getsignal(signal.SIGTERM)
    watch.begin()

    assert signal.getsignal(signal.SIGTERM) == handler


@pytest.mark.parametrize("module", ["my.own.program", "gunicorn.workers"])
async def test_a_handler_of_somebody_else_is_left_alone(pond, module):
    handler = install_handler(pond, module)

    ShutdownWatch(pond).begin()

    assert signal.getsignal(signal.SIGTERM) is handler


async def test_ctrl_c_is_left_alone(pond):
    install_handler(pond, "uvicorn.server")
    before = signal.getsignal(signal.SIGINT)

    ShutdownWatch(pond).begin()

    assert signal.getsignal(signal.SIGINT) == before


async def test_who_does_not_want_it_gets_nothing(pond):
    handler = install_handler(pond, "uvicorn.server")

    ShutdownWatch(pond, is_wanted=False).begin()

    assert signal.getsignal(signal.SIGTERM) is handler


async def test_outside_the_main_thread_no_handler_is_touched(pond):
    handler = install_handler(pond, "uvicorn.server")

    async def begin() -> None:
        ShutdownWatch(pond).begin()

    await asyncio.to_thread(asyncio.run, begin())

    assert signal.getsignal(signal.SIGTERM) is handler


async def test_what_makes_hypercorn_stop_closes_the_pond(pond):
    stop = asyncio.Event()
    waiting = asyncio.create_task(raise_shutdown(stop.wait))
    ShutdownWatch(pond).begin()

    stop.set()
    await pond.is_closing.wait()
    pond.may_close.set()

    with pytest.raises(ShutdownError):
        await waiting


async def test_a_hypercorn_that_does_not_run_here_has_no_tasks(pond, monkeypatch):
    async def raise_shutdown() -> None:
        """Stand in for hypercorn's."""

    utils = SimpleNamespace(raise_shutdown=raise_shutdown)
    monkeypatch.setitem(sys.modules, "hypercorn.utils", utils)
    other = asyncio.create_task(asyncio.sleep(0))
    ShutdownWatch(pond).begin()

    await other

    assert pond.log == []


async def test_granian_is_told_when_the_pond_is_closed(pond, monkeypatch):
    monkeypatch.setattr(multiprocessing.current_process(), "_name", "granian-worker")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, pond.tell_host)
    ShutdownWatch(pond).begin()

    signal.raise_signal(signal.SIGTERM)
    await pond.is_closing.wait()
    pond.may_close.set()
    await pond.is_told.wait()

    assert pond.log == ["closing", "closed", "host told"]


async def test_a_granian_whose_signals_differ_is_left_alone(pond, monkeypatch):
    monkeypatch.setattr(multiprocessing.current_process(), "_name", "granian-worker")
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, pond.tell_host)
    ShutdownWatch(pond).begin()

    signal.raise_signal(signal.SIGTERM)
    await pond.is_told.wait()

    assert pond.log == ["host told"]
