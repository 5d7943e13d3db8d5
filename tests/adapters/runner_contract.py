"""What every adapter's ``serve`` does for ``pondsocket serve``, whatever its server.

A module of tests has a fixture ``start``, a coroutine function that returns a
``Running``, and a class that derives from :class:`RunnerContract`.
"""

import errno
import signal
import socket

import pytest


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
