"""Meetings: which kinds of clients a test runs for, and on which hosts.

Each host meets each kind alone, and the couples of unlike kinds. All pairings meet on
`pondsocket serve`, and those with event streams on uvicorn: the JavaScript `SSEClient`
needs unnamed events, and the command line serves named ones. Hence there are two hosts
with the aiohttp adapter: its command line, and a program that leaves out the names.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.hosts.commands import HOSTS

__all__ = [
    "ALONE",
    "COUPLES",
    "ENDINGS",
    "RESTARTS",
    "RESTARTS_OF_PROGRAMS",
    "Meeting",
    "meetings",
]

COMMANDS = [host.name for host in HOSTS.values() if not host.is_asgi]
ASGI_HOSTS = [host.name for host in HOSTS.values() if host.is_asgi]

# of tests.clients.programs
PROGRAMS = ["uvicorn", "aiohttp", "websockets"]

WITH_STREAMS = [*ASGI_HOSTS, "aiohttp"]

PYTHON, JAVASCRIPT, SSE = ("python",), ("javascript",), ("sse",)


@dataclass(frozen=True, slots=True)
class Meeting:
    """One host, and the kinds of those who meet there."""

    host: str
    kinds: tuple[str, ...]


def meetings(hosts: Iterable[str], company: Iterable[tuple[str, ...]]) -> list[Any]:
    """Return parameters of a test, marked with what their clients need."""
    return [
        pytest.param(
            Meeting(host, kinds),
            id="-".join((host, *kinds)),
            marks=() if set(kinds) == {"python"} else pytest.mark.npm,
        )
        for host in hosts
        for kinds in company
    ]


ALONE = [
    *meetings([*COMMANDS, *ASGI_HOSTS], [PYTHON, JAVASCRIPT]),
    *meetings(WITH_STREAMS, [SSE]),
]

COUPLES = [
    *meetings([*COMMANDS, *ASGI_HOSTS], [PYTHON + JAVASCRIPT]),
    *meetings(WITH_STREAMS, [SSE + PYTHON, JAVASCRIPT + SSE]),
    *meetings(["serve-asgi"], [PYTHON * 2, JAVASCRIPT * 2]),
    *meetings(["uvicorn-websockets-sansio"], [SSE * 2]),
]

ENDINGS = meetings([*COMMANDS, *ASGI_HOSTS], [PYTHON, JAVASCRIPT])

# the JavaScript clients try until they find the server, the Python client only once
RESTARTS = [
    *meetings(COMMANDS, [JAVASCRIPT]),
    *meetings(ASGI_HOSTS, [JAVASCRIPT + SSE]),
]

RESTARTS_OF_PROGRAMS = [
    *meetings(PROGRAMS, [PYTHON + JAVASCRIPT]),
    *meetings(["uvicorn", "aiohttp"], [SSE + PYTHON]),
    *meetings(["uvicorn"], [PYTHON * 2, JAVASCRIPT * 2, SSE * 2]),
]
