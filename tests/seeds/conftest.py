"""How a document's examples are run: as they stand there, under real hosts."""

import ast
import asyncio
import contextlib
import inspect
import sys
from pathlib import Path

import pytest

import pondsocket_asgi.websocket
from tests.adapters.hosts_here import HOSTS

SEEDS = Path(__file__).parent / "asgi"


@pytest.fixture
def run_seed(monkeypatch):
    """Run an example in a namespace that several may share."""
    monkeypatch.setitem(sys.modules, "simple_websocket", pondsocket_asgi.websocket)
    namespace = {}

    async def run_example(name, **names):
        namespace.update(names)
        path = SEEDS / f"{name}.txt"
        code = compile(
            path.read_text(), path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        )
        result = eval(code, namespace)  # noqa: S307 - our own file
        if inspect.iscoroutine(result):
            await result
        return namespace

    return run_example


class Served:
    """An application, where its host serves it, and how its calls ended."""

    def __init__(self, app):
        self.url = ""
        self._app = app
        self._ends = asyncio.Queue()

    async def __call__(self, scope, receive, send):
        try:
            await self._app(scope, receive, send)
        except Exception as exc:
            self._ends.put_nowait(exc)
            raise
        self._ends.put_nowait(None)

    async def end_of_call(self):
        """Wait until the application is done with a connection; return its fault."""
        async with asyncio.timeout(5):
            return await self._ends.get()


@pytest.fixture(params=HOSTS)
async def serve(request):
    """Serve an application on a free port until the test ends; once for each host."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(app):
            served = Served(app)
            host = HOSTS[request.param]
            port = await stack.enter_async_context(host(served))
            served.url = f"ws://127.0.0.1:{port}"
            return served

        yield start
