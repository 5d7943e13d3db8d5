import asyncio
import sys

import pytest

from pondsocket_asgi import hypercorn

MESSAGE = {"type": "websocket.receive", "text": "hi"}
BODY = {"type": "http.request", "body": b"x", "more_body": True}
PART = {"type": "http.response.body", "body": b"", "more_body": True}
END = {"type": "http.response.body", "body": b""}


class Host:
    """As hypercorn: it keeps a few messages, and waits with the next."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[dict] = asyncio.Queue(1)
        self.sent: list[dict] = []

    async def send(self, message: dict) -> None:
        self.sent.append(message)

    async def say(self, *messages: dict) -> None:
        async with asyncio.timeout(5):
            for message in messages:
                await self.incoming.put(message)


def test_hypercorn_is_noticed_by_its_module(monkeypatch):
    monkeypatch.delitem(sys.modules, "hypercorn.protocol", raising=False)
    assert not hypercorn.is_running()

    monkeypatch.setitem(sys.modules, "hypercorn.protocol", sys)
    assert hypercorn.is_running()


async def test_what_comes_after_a_websocket_ended_is_taken_to_the_last():
    host = Host()

    async def app(scope, receive, send):
        """End at once."""

    await hypercorn.serve(app, {"type": "websocket"}, host.incoming.get, host.send)

    await host.say(MESSAGE, MESSAGE, MESSAGE, {"type": "websocket.disconnect"})
    await asyncio.gather(*hypercorn._draining)


async def test_what_comes_after_an_application_failed_is_taken_too():
    host = Host()

    async def app(scope, receive, send):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await hypercorn.serve(app, {"type": "websocket"}, host.incoming.get, host.send)

    await host.say(MESSAGE, MESSAGE, {"type": "websocket.disconnect"})


async def test_a_body_that_nobody_wants_does_not_hold_up_the_answer():
    host = Host()

    async def app(scope, receive, send):
        await send(PART)
        assert not hypercorn._draining
        await send(END)
        await host.say(BODY, BODY, BODY, {"type": "http.disconnect"})

    await hypercorn.serve(app, {"type": "http"}, host.incoming.get, host.send)

    assert host.sent == [PART, END]


async def test_taking_ends_where_the_last_message_never_comes(monkeypatch):
    monkeypatch.setattr(hypercorn, "_PATIENCE", 0)

    async def app(scope, receive, send):
        """End at once."""

    await hypercorn.serve(app, {"type": "websocket"}, Host().incoming.get, Host().send)
    await asyncio.gather(*hypercorn._draining)

    assert not hypercorn._draining


async def test_nothing_is_taken_once_the_last_message_was_received():
    host = Host()

    async def app(scope, receive, send):
        await receive()

    await host.say({"type": "websocket.disconnect"})
    await hypercorn.serve(app, {"type": "websocket"}, host.incoming.get, host.send)

    assert not hypercorn._draining


@pytest.mark.parametrize("is_dropped", [True, False])
async def test_an_acceptance_that_hypercorn_drops_is_told(is_dropped):
    host = Host()
    host.closed = is_dropped
    told = []

    async def app(scope, receive, send):
        try:
            await send({"type": "websocket.accept"})
        except OSError as error:
            told.append(error)
        await send(MESSAGE)

    await hypercorn.serve(app, {"type": "websocket"}, host.incoming.get, host.send)

    assert bool(told) is is_dropped
    assert len(hypercorn._draining) == (not is_dropped)
    if not is_dropped:
        await host.say({"type": "websocket.disconnect"})
        await asyncio.gather(*hypercorn._draining)
