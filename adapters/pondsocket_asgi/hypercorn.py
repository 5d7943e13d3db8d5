"""Hypercorn: taking what a client still sends behind our close.

hypercorn keeps ten messages for an application and then waits for it to take one, also
with the very last, which says that the connection is over. Behind an application that
returned nobody takes any: a client that floods keeps its connection for ever, SIGTERM
waits for it, and a request whose body is too large keeps the answer to it. So what
still comes is taken, and thrown away, until that last message is here.

It also says nothing of a client whose first frames came together with the handshake: it
refuses them, drops the acceptance and everything after it. Its ``send`` is asked after
the acceptance whether that happened; where middleware wraps it, nobody can tell.
"""

import asyncio
import contextlib
import sys

from pondsocket_asgi.scope import ASGIApp, Message, Receive, Scope, Send

__all__ = ["is_running", "serve"]

_LAST = ("websocket.disconnect", "http.disconnect")
_PATIENCE = 10.0  # seconds; the last message comes within a few turns of the loop

_draining: set["asyncio.Task[None]"] = set()


def is_running() -> bool:
    """Tell whether hypercorn may be the host; another one does not mind."""
    return "hypercorn.protocol" in sys.modules


async def serve(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Run an application that may end before its client does."""
    incoming = _Incoming(receive)
    stream = getattr(send, "__self__", None)  # hypercorn's, unless it is wrapped

    async def send_unless_over(message: Message) -> None:
        """Send; an acceptance that is dropped raises, as ASGI demands."""
        await send(message)
        if message["type"] == "websocket.accept" and getattr(stream, "closed", False):
            incoming.is_over = True
            raise OSError("the client sent frames before it was accepted")

    async def send_and_drain(message: Message) -> None:
        """Send, and with the end of an answer begin to drain the request."""
        if message["type"] == "http.response.body" and not message.get("more_body"):
            incoming.drain()
        await send(message)

    if scope["type"] == "http":
        await app(scope, incoming.receive, send_and_drain)
        return
    try:
        await app(scope, incoming.receive, send_unless_over)
    finally:
        incoming.drain()


class _Incoming:
    """What hypercorn has for one application."""

    __slots__ = ("_receive", "is_over")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.is_over = False

    async def receive(self) -> Message:
        """Return the next message."""
        message = await self._receive()
        self.is_over = self.is_over or message["type"] in _LAST
        return message

    def drain(self) -> None:
        """Take and drop what still comes; returns at once."""
        if not self.is_over:
            task = asyncio.create_task(self._take_all(), name="pond-drain")
            _draining.add(task)
            task.add_done_callback(_draining.discard)

    async def _take_all(self) -> None:
        with contextlib.suppress(TimeoutError):  # another takes the last message
            async with asyncio.timeout(_PATIENCE):
                while not self.is_over:
                    await self.receive()
