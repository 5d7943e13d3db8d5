import asyncio
import sys

import pytest

from pondsocket_asgi import granian

CLOSE = {"type": "websocket.close", "code": 1012, "reason": "restart"}
TEXT = {"type": "websocket.send", "text": "hello"}
MESSAGE = {"type": "websocket.receive", "text": "hi"}
WEBSOCKET = {"type": "websocket"}


class Host:
    """As granian: what is to close waits until nobody receives."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[dict] = asyncio.Queue()
        self.sent: list[dict] = []
        self._lock = asyncio.Lock()

    async def receive(self) -> dict:
        async with self._lock:
            return await self.incoming.get()

    async def send(self, message: dict) -> None:
        if message["type"] == "websocket.close":
            async with self._lock:
                self.sent.append(message)
        else:
            self.sent.append(message)

    async def call(self, application) -> None:
        async def app(scope, receive, send):
            await application(receive, send)

        async with asyncio.timeout(5):
            await granian.serve(app, WEBSOCKET, self.receive, self.send)


async def start(work) -> asyncio.Task:
    task = asyncio.create_task(work)
    await asyncio.sleep(0)
    return task


def test_granian_is_noticed_by_its_module(monkeypatch):
    monkeypatch.delitem(sys.modules, "granian.asgi", raising=False)
    assert not granian.is_running()

    monkeypatch.setitem(sys.modules, "granian.asgi", sys)
    assert granian.is_running()


async def test_messages_go_both_ways():
    host = Host()
    host.incoming.put_nowait(MESSAGE)

    async def application(receive, send):
        assert await receive() == MESSAGE
        await send(TEXT)

    await host.call(application)

    assert host.sent == [TEXT]


async def test_who_waits_for_a_message_does_not_hold_up_a_close():
    host = Host()

    async def application(receive, send):
        receiving = await start(receive())
        await send(CLOSE)
        assert await receiving == {"type": "websocket.disconnect", "code": 1012}

    await host.call(application)

    assert host.sent == [CLOSE]


async def test_whoever_receives_after_a_close_is_told_of_the_end():
    host = Host()

    async def application(receive, send):
        await send(CLOSE)
        assert await receive() == {"type": "websocket.disconnect", "code": 1012}

    await host.call(application)


async def test_a_second_close_is_the_hosts_to_judge():
    host = Host()

    async def application(receive, send):
        await send(CLOSE)
        await send(CLOSE)

    await host.call(application)

    assert host.sent == [CLOSE, CLOSE]


async def test_a_timeout_of_the_host_is_no_end_that_the_application_made():
    async def fail():
        raise TimeoutError

    async def app(scope, receive, send):
        await receive()

    with pytest.raises(TimeoutError):
        await granian.serve(app, WEBSOCKET, fail, Host().send)


async def test_a_timeout_of_the_application_ends_its_receiving():
    async def application(receive, send):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await receive()

    await Host().call(application)


async def test_requests_are_served_as_they_are():
    host, seen = Host(), []

    async def app(scope, receive, send):
        seen.extend([receive, send])

    await granian.serve(app, {"type": "http"}, host.receive, host.send)

    assert seen == [host.receive, host.send]
