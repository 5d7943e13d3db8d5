"""What every adapter's ``serve`` does for ``pondsocket serve``, whatever its server.

A module of tests has a fixture ``start``, a coroutine function that returns a
:class:`Running`, and a class that derives from :class:`RunnerContract`.
"""

import asyncio
import errno
import signal
import socket

import pytest

PAGES = {"/": ("text/html", b"<h1>hi</h1>"), "/app.js": ("text/javascript", b"x=1")}


class Running:
    """A ``serve`` in a task of the test.

    Attributes:
        stop: Ends it.
        ready: Set once clients can connect.
        port: Where, by then.
        task: The serving.
    """

    def __init__(self, serve, pond):
        self.stop = asyncio.Event()
        self.ready = asyncio.Event()
        self.port = 0
        self.task = None
        self._serve = serve
        self._pond = pond

    async def start(self, **changes):
        """Return once it is ready, or has ended instead."""
        settings = {
            "host": "127.0.0.1",
            "port": 0,
            "pages": PAGES,
            "grace": 0.0,
            "stop": self.stop,
            "on_ready": self._note,
        }
        self.task = asyncio.create_task(self._serve(self._pond, **settings | changes))
        ready = asyncio.create_task(self.ready.wait())
        await asyncio.wait(
            {ready, self.task}, timeout=5, return_when=asyncio.FIRST_COMPLETED
        )
        ready.cancel()
        return self

    def _note(self, port):
        self.port = port
        self.ready.set()

    async def end(self):
        self.stop.set()
        async with asyncio.timeout(10):
            await self.task

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port}/socket"


class RunnerContract:
    """Listening, and what belongs to whoever calls."""

    async def test_a_port_in_use_is_an_os_error_that_names_the_address(self, start):
        first = await start()
        second = await start(port=first.port)

        with pytest.raises(OSError, match=f"127.0.0.1:{first.port}") as caught:
            await second.task

        assert caught.value.errno == errno.EADDRINUSE
        assert not second.ready.is_set()

    async def test_the_signals_stay_with_the_caller(self, start):
        before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]

        await start()

        during = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
        assert during == before

    async def test_a_callback_that_fails_ends_the_serving(self, start):
        def fail(port):
            raise RuntimeError("not ready at all")

        running = await start(on_ready=fail)

        with pytest.raises(RuntimeError, match="not ready at all"):
            await running.task

    async def test_clients_that_come_back_at_once_find_the_door_open(self, start):
        running = await start()
        address = ("127.0.0.1", running.port)

        # nothing is accepted meanwhile: this does not wait for the loop
        clients = [socket.create_connection(address, timeout=5) for _ in range(300)]

        for client in clients:
            client.close()
