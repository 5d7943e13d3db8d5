"""The hosts that people run, and the command lines that start them.

Each host serves the same module: ``app`` in it is what an ASGI host imports, ``pond``
what ``pondsocket serve`` does. A host runs in a process of its own, as in production,
and nothing here reaches into it.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["HOSTS", "Host", "Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """What is served, and where.

    Attributes:
        module: Name of a module with ``app`` and ``pond``.
        port: A free port of the loopback.
    """

    module: str
    port: int


@dataclass(frozen=True, slots=True)
class Host:
    """One way to serve.

    Attributes:
        name: In the ids of tests and in the table of the documentation.
        command: Returns the arguments after the Python interpreter.
        is_asgi: Whether it is an ASGI host as it is, without our own runner.
        serves_streams: Whether it can serve event streams.
    """

    name: str
    command: Callable[[Target], list[str]]
    is_asgi: bool = True
    serves_streams: bool = True

    @property
    def family(self) -> str:
        """First word of the name: the program, whose flags all of them understand."""
        return self.name.partition("-")[0]


def _uvicorn(ws: str, loop: str = "asyncio") -> Callable[[Target], list[str]]:
    return lambda target: [
        *("-m", "uvicorn", f"{target.module}:app", "--port", str(target.port)),
        *("--ws", ws, "--loop", loop, "--log-level", "warning"),
        *("--timeout-graceful-shutdown", "10"),
    ]


def _hypercorn(target: Target) -> list[str]:
    bind = f"127.0.0.1:{target.port}"
    return [
        *("-m", "hypercorn", "--bind", bind, "--graceful-timeout", "10"),
        f"{target.module}:app",
    ]


def _granian(target: Target) -> list[str]:
    return [
        *("-m", "granian", "--interface", "asgi", "--host", "127.0.0.1"),
        *("--port", str(target.port), "--log-level", "warning"),
        f"{target.module}:app",
    ]


def _daphne(target: Target) -> list[str]:
    port = str(target.port)
    return ["-m", "daphne", "-b", "127.0.0.1", "-p", port, f"{target.module}:app"]


def _pondsocket(adapter: str) -> Callable[[Target], list[str]]:
    run = "import sys; from pondsocket.cli import main; sys.exit(main())"
    return lambda target: [
        *("-c", run, "serve", f"{target.module}:pond", "--adapter", adapter),
        *("--port", str(target.port), "--grace", "2", "--log-level", "warning"),
    ]


HOSTS = {
    host.name: host
    for host in [
        Host("uvicorn-websockets", _uvicorn("websockets")),
        Host("uvicorn-websockets-sansio", _uvicorn("websockets-sansio")),
        Host("uvicorn-wsproto", _uvicorn("wsproto")),
        Host("uvicorn-uvloop", _uvicorn("websockets-sansio", "uvloop")),
        Host("hypercorn", _hypercorn),
        Host("granian", _granian),
        Host("daphne", _daphne),
        Host("serve-asgi", _pondsocket("asgi"), is_asgi=False),
        Host("serve-aiohttp", _pondsocket("aiohttp"), is_asgi=False),
        Host(
            "serve-websockets",
            _pondsocket("websockets"),
            is_asgi=False,
            serves_streams=False,
        ),
        Host(
            "serve-bridge", _pondsocket("bridge"), is_asgi=False, serves_streams=False
        ),
    ]
}

PYTHON = sys.executable
