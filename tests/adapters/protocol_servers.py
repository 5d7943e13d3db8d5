"""The servers behind the vectors: started when first needed, asked by the runner.

All of them are minded by one event loop in a thread of its own, so that a client that
does not read blocks no server.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from tests.adapters.protocol_hosts import Adapter
from tests.adapters.protocol_places import Log, Place, Site
from tests.adapters.protocol_refusals import Refusal

T = TypeVar("T")

CALL_SECONDS = 6  # whatever the servers are asked to do, stopping included
START_SECONDS = 12  # a process on a busy machine
STOP_SECONDS = 12  # all of them at once


@dataclass
class Server:
    """A PondSocket on an adapter, as the runner sees it."""

    adapter: Adapter
    has_event_names: bool
    _site: Site
    _call: Callable[[Coroutine[Any, Any, Any]], Any]

    @property
    def port(self) -> int:
        return self._site.port

    @property
    def prefix(self) -> str:
        return self._site.prefix

    async def begin(self) -> dict[str, int]:
        """Forget what others left to be taken, and return the counters."""
        await self.take_log_lines()
        await self.take_refusals()
        return await self.counts()

    async def settle(self) -> list[str]:
        return await self._call(self._site.settle())

    async def drain(self) -> None:
        await self._call(self._site.drain())

    async def stop(self) -> None:
        await self._call(self._site.stop())

    async def counts(self) -> dict[str, int]:
        return await self._call(self._site.counts())

    async def take_log_lines(self) -> list[str]:
        return await self._call(self._site.take_log_lines())

    async def take_refusals(self) -> list[Refusal]:
        return await self._call(self._site.take_refusals())


class Servers:
    """One place for each adapter, in it a server for each set of options."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._note)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._places: dict[str, Place] = {}
        self._servers: dict[str, Server] = {}
        self._log = Log()

    def _note(self, loop: object, context: dict[str, Any]) -> None:
        """Keep what an event loop would only log: nobody awaited a failure."""
        problem = f"{context['message']}: {context.get('exception')!r}"
        self._log.problems.append(problem)

    def take_problems(self) -> list[str]:
        """Return what went wrong behind the scenes since the last call."""
        problems, self._log.problems = self._log.problems, []
        for place in self._places.values():
            problems += place.take_problems()
        return problems

    async def find(self, adapter: Adapter, vector: dict[str, Any]) -> Server:
        name = _name_place(adapter, vector)
        if name not in self._places:
            self._places[name] = adapter.place(self._log)
        options, settings = vector.get("options", {}), vector.get("adapter", {})
        key = f"{name} {options} {settings}"
        if key not in self._servers:
            opening = self._places[name].open(options, settings)
            site = await self._call(opening, START_SECONDS)
            has_event_names = settings.get("sse_event_names", True)
            self._servers[key] = Server(adapter, has_event_names, site, self._call)
        return self._servers[key]

    async def discard(self, server: Server) -> None:
        """Stop a server that was meant for one test."""
        [key] = [key for key, each in self._servers.items() if each is server]
        del self._servers[key]
        place = self._places.pop(key.split()[0])
        await self._close(place)

    async def _close(self, place: Place) -> None:
        await self._call(place.close())
        self._log.problems += place.take_problems()

    async def _call(
        self, work: Coroutine[Any, Any, T], seconds: float = CALL_SECONDS
    ) -> T:
        return await asyncio.wrap_future(self._submit(work, seconds))

    def _submit(self, work: Coroutine[Any, Any, T], seconds: float) -> Any:
        async def bounded() -> T:
            async with asyncio.timeout(seconds):
                return await work

        return asyncio.run_coroutine_threadsafe(bounded(), self._loop)

    def close(self) -> None:
        try:
            self._submit(self._stop_all(), STOP_SECONDS).result()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CALL_SECONDS)
            self._loop.close()
            self._log.close()

    async def _stop_all(self) -> None:
        await asyncio.gather(*(place.close() for place in self._places.values()))


def _name_place(adapter: Adapter, vector: dict[str, Any]) -> str:
    """Return the key of a place: a vector that ends its server has one to itself."""
    return (
        f"{adapter.name}:{vector['id']}" if vector.get("own_server") else adapter.name
    )
