"""What hosts import in a process of their own: ``app``, the PondSockets of the vectors.

The first has no options of its own and is served at the root, where it hears of the
host's start and shutdown as any application does. Each further one is opened on request
and mounted as a framework does it: below its number, which is the first segment of the
path. Requests below ``/control`` ask what tests/adapters/protocol_places.py wants to
know; they are served on the event loop of the host, where the answers are.
"""

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from pondsocket import Options, PondSocket
from pondsocket_asgi import PondASGIApp
from tests import direct_writes
from tests.adapters.protocol_app import ProtocolApp
from tests.adapters.protocol_refusals import Refusal, noting_refusals

direct_writes.adopt()

SETTLE_SECONDS = 3


class Lines(logging.Handler):
    """Keeps what PondSocket logs as a warning; the host's log is the host's alone."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines: list[str] = []
        logger = logging.getLogger("pondsocket")
        logger.addHandler(self)
        logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage())

    def take(self) -> list[str]:
        lines, self._lines = self._lines, []
        return lines


class Served:
    """One PondSocket, and what is asked of it."""

    def __init__(self, options: dict[str, Any], settings: dict[str, Any]) -> None:
        self._app = ProtocolApp(Options(**options))
        self._refusals: list[Refusal] = []
        asgi = PondASGIApp(self.pond, **settings)
        self.asgi = noting_refusals(asgi, self._refusals)

    @property
    def pond(self) -> PondSocket:
        return self._app.pond

    async def settle(self) -> list[str]:
        return await self._app.settle(SETTLE_SECONDS)

    async def drain(self) -> None:
        await self.pond.drain(0.0)

    async def counts(self) -> dict[str, int]:
        return self.pond.stats().counts

    async def take_log_lines(self) -> list[str]:
        return LINES.take()

    async def take_refusals(self) -> list[Refusal]:
        taken = self._refusals.copy()
        self._refusals.clear()
        return taken


QUESTIONS: dict[str, Callable[[Served], Awaitable[Any]]] = {
    "settle": Served.settle,
    "drain": Served.drain,
    "counts": Served.counts,
    "take_log_lines": Served.take_log_lines,
    "take_refusals": Served.take_refusals,
}
LINES = Lines()
SERVED = [Served({}, {})]


async def app(scope: Any, receive: Any, send: Any) -> None:
    first, _, rest = scope.get("path", "").lstrip("/").partition("/")
    if first == "control":
        await answer(rest, receive, send)
    elif first.isdecimal():
        root_path = f"{scope.get('root_path', '')}/{first}"
        mounted = {**scope, "root_path": root_path}
        await SERVED[int(first)].asgi(mounted, receive, send)
    else:
        await SERVED[0].asgi(scope, receive, send)


async def answer(question: str, receive: Any, send: Any) -> None:
    about = json.loads(await read_body(receive))
    answer: Any
    if question == "open":
        SERVED.append(Served(**about))
        answer = len(SERVED) - 1
    else:
        answer = await QUESTIONS[question](SERVED[about["site"]])
    body = json.dumps(answer).encode()
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


async def read_body(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body
