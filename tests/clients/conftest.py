"""People with the published clients, and servers for them to meet on.

A person is of the kind `python`, `javascript` (WebSocket in Node.js) or `sse` (the
JavaScript package's `SSEClient`). A test that asks for `person` or `couple` runs for
each kind, or for each pairing of kinds, on each host: see tests.clients.meetings.
"""

import contextlib
import itertools
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.clients.meetings import ALONE, COUPLES, Meeting
from tests.clients.node_people import DRIVER, Node, NodePerson, run_node
from tests.clients.people import Person
from tests.clients.python_people import PythonPerson
from tests.clients.servers import CHAT, listening_server, url_of
from tests.hosts.commands import HOSTS
from tests.hosts.process import run_host

INSTALL_SECONDS = 40

NAMES = ("ann", "bob")

_ROOM_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def node(npm: Path) -> str:
    """Path of Node.js, where what the driver imports is installed.

    The second time that is quick.
    """
    options = "--no-audit --no-fund --no-package-lock --ignore-scripts --loglevel=error"
    try:
        subprocess.run(
            [npm, "install", *options.split()],
            cwd=DRIVER.parent,
            check=True,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"npm cannot install the JavaScript client: {error.stderr}")
    program = shutil.which("node")
    assert program
    return program


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def servers(tmp_path_factory) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """Return where a host listens; each is started once, and shared by all tests."""
    urls: dict[str, str] = {}
    async with contextlib.AsyncExitStack() as stack:

        async def find(host: str) -> str:
            if host not in urls:
                log = tmp_path_factory.mktemp(host) / "log"
                if host in HOSTS:
                    process = await stack.enter_async_context(run_host(host, CHAT, log))
                    urls[host] = url_of(process.port)
                else:
                    server = stack.enter_context(listening_server(host, log))
                    urls[host] = server.url
            return urls[host]

        yield find


@pytest.fixture
def channel() -> str:
    """Name of a room that no other test enters."""
    return f"/room/{next(_ROOM_NUMBERS)}"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def driver(node) -> AsyncIterator[Node]:
    """One Node.js for all: its start takes longer than most tests."""
    async with run_node(node) as driver:
        yield driver


@pytest.fixture
def driver_if_needed(request) -> Node | None:
    needs_npm = request.node.get_closest_marker("npm")
    return request.getfixturevalue("driver") if needs_npm else None


@pytest_asyncio.fixture(loop_scope="session")
async def open_person(driver_if_needed) -> AsyncIterator[Callable[..., Any]]:
    """Open a client that is not connected yet: (kind, name, url, params, options).

    At the end everyone hangs up, and no client may have met an error that the test did
    not look at, such as a message that it could not parse.
    """
    people: list[Person] = []

    async def open_one(
        kind: str, name: str, url: str, params: Any = None, options: Any = None
    ) -> Person:
        details = params or {}, options or {}
        person: Person
        if kind == "python":
            person = PythonPerson(name, url, *details)
        else:
            person = NodePerson(driver_if_needed, name)
            await person.open(kind, url, *details)
        people.append(person)
        return person

    yield open_one
    errors = [each.notes.unread("error") for each in people]
    for each in people:
        await each.disconnect()
    if driver_if_needed:
        errors.append(driver_if_needed.notes.unread("error"))
    assert not any(errors), errors


@pytest.fixture
def meet(open_person, servers) -> Callable[..., Any]:
    """Connect the people of a meeting, `ann` first."""

    async def meet(meeting: Meeting, **settings: Any) -> list[Person]:
        url = await servers(meeting.host)
        people = [
            await open_person(kind, name, url, **settings)
            for kind, name in zip(meeting.kinds, NAMES, strict=False)
        ]
        for each in people:
            await each.connect()
            await each.becomes("connected")
        return people

    return meet


@pytest_asyncio.fixture(params=ALONE, loop_scope="session")
async def person(request, meet) -> Person:
    """One connected person of each kind, on each host."""
    (person,) = await meet(request.param)
    return person


@pytest_asyncio.fixture(params=COUPLES, loop_scope="session")
async def couple(request, meet) -> list[Person]:
    """Two connected people, ann and bob, in each pairing of kinds, on each host."""
    return await meet(request.param)
