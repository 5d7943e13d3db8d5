"""The command line: ``pondsocket serve`` and ``pondsocket demo``.

It parses, loads, owns the signals, and says in one sentence what its user can mend. It
is no server: an adapter is, found by its entry point.

Exit codes: 0 stopped by a signal, 1 the address cannot be served, 2 the command line
names something that is not there, 130 interrupted twice. Any other exception is a
defect of the application or of ours: it keeps its traceback.

The environment variable ``POND_PUBSUB``, the URL of a PubSub, makes several processes
one pond. An application reads it where it is made, in
``PondSocket(pubsub=os.environ.get("POND_PUBSUB"))``. ``--pubsub`` sets the variable
before the application is imported; one that does not read it is not served.
"""

import argparse
import asyncio
import errno
import gc
import importlib
import logging
import math
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from types import FrameType
from typing import Protocol

from pondsocket import __version__
from pondsocket.demo import build_demo
from pondsocket.pubsub import find_backend
from pondsocket.server import PondSocket

__all__ = ["Adapter", "main"]

_ADAPTERS = "pondsocket.adapters"

_EXTRAS = {  # adapter of this distribution -> the libraries of its extra
    "aiohttp": frozenset({"aiohttp"}),
    "asgi": frozenset({"uvicorn", "websockets"}),
    "bridge": frozenset({"h11", "wsproto"}),
    "websockets": frozenset({"websockets"}),
}

_PUBSUB = "POND_PUBSUB"
_PUBSUB_LIBRARIES = frozenset({"nats", "redis"})  # of the extras for backends

_LOG_LEVELS = ("debug", "info", "warning", "error", "critical")

_ADDRESS_ERRORS = frozenset({errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES})

_HIGHEST_PORT = 65_535

_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


class Adapter(Protocol):
    """Serves a PondSocket; an entry point of the group ``pondsocket.adapters``."""

    async def __call__(  # noqa: PLR0913 - one call tells a host everything, by keyword
        self,
        pond: PondSocket,
        *,
        host: str,
        port: int,
        pages: Mapping[str, tuple[str, bytes]] | None,
        grace: float,
        stop: asyncio.Event,
        on_ready: Callable[[int], None],
    ) -> None:
        """Serve ``pond`` until ``stop`` is set, then drain it, close it and end.

        Called once by the command line, which owns the signals and the logging: an
        adapter installs no handlers of its own.

        Args:
            pond: What to serve.
            host: The address to listen on.
            port: The port to listen on, 0 for any free one.
            pages: Plain GET pages beside the endpoints, path to (content type, body).
            grace: Seconds for ``pond.drain``.
            stop: Set by the first SIGINT or SIGTERM.
            on_ready: To be called once, with the port, as soon as clients can connect.

        Raises:
            OSError: If the address cannot be listened on.
        """


class _CommandError(Exception):
    """What the user of the command line can mend, as one sentence."""

    def __init__(self, sentence: str, exit_code: int = 2) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Called by the ``pondsocket`` script.

    Args:
        argv: The arguments after the program's name; ``sys.argv`` by default.

    Raises:
        SystemExit: From argparse: 0 after ``--help`` and ``--version``, 2 for usage.
    """
    arguments = _build_parser().parse_args(argv)
    logging.basicConfig(
        level=arguments.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        arguments.command(arguments)
    except _CommandError as exc:
        print(f"pondsocket: error: {exc}", file=sys.stderr)
        return exc.exit_code
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pondsocket", description="Channel-based real-time toolkit."
    )
    parser.add_argument(
        "--version", action="version", version=f"pondsocket {__version__}"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="serve a PondSocket")
    serve.add_argument(
        "target", metavar="MODULE:NAME", help="where the PondSocket is: chat:pond"
    )
    _add_shared(serve, log_level="info")
    serve.add_argument(
        "--grace",
        default=10.0,
        type=_to_seconds,
        metavar="SECONDS",
        help="to move clients elsewhere before the end; default: %(default)s",
    )
    serve.set_defaults(command=_serve_target)

    demo = commands.add_parser("demo", help="serve the demo")
    _add_shared(demo, log_level="warning")  # its one line, the URL, stays in sight
    demo.set_defaults(command=_serve_demo, grace=1.0)
    return parser


def _add_shared(parser: argparse.ArgumentParser, *, log_level: str) -> None:
    default = "default: %(default)s"
    parser.add_argument(
        "--adapter",
        default="asgi",
        metavar="NAME",
        help=f"one of {', '.join(_find_adapters())}; {default}",
    )
    parser.add_argument("--host", default="127.0.0.1", help=default)
    parser.add_argument(
        "--port", default=8000, type=_to_port, help=f"0 for any free one; {default}"
    )
    parser.add_argument(
        "--pubsub",
        metavar="URL",
        help="what links several processes, such as redis://host:6379; "
        f"default: {_PUBSUB} of the environment",
    )
    parser.add_argument(
        "--log-level", choices=_LOG_LEVELS, default=log_level, help=default
    )


def _to_port(text: str) -> int:
    if not text.isdecimal() or int(text) > _HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"expected 0 to {_HIGHEST_PORT}, got {text!r}")
    return int(text)


def _to_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"expected seconds from 0 up, got {text!r}")
    return seconds


def _serve_target(arguments: argparse.Namespace) -> None:
    url = _find_pubsub(arguments)
    pond = _load_pond(arguments.target)
    if url and pond.pubsub is None:
        raise _CommandError(
            f"{arguments.target!r} is to be linked to other processes but has no "
            f'pubsub; make it with PondSocket(pubsub=os.environ.get("{_PUBSUB}"))'
        )
    _run(pond, None, arguments)


def _serve_demo(arguments: argparse.Namespace) -> None:
    demo = build_demo(pubsub=_find_pubsub(arguments))
    _run(demo.pond, demo.pages, arguments)


def _find_pubsub(arguments: argparse.Namespace) -> str | None:
    """Return the URL of the PubSub, after leaving it where the application looks."""
    if arguments.pubsub:
        os.environ[_PUBSUB] = arguments.pubsub
    url = os.environ.get(_PUBSUB) or None
    if url is not None:
        try:
            find_backend(url)
        except ModuleNotFoundError as exc:
            if exc.name not in _PUBSUB_LIBRARIES:
                raise
            raise _CommandError(str(exc)) from None
        except ValueError as exc:
            raise _CommandError(str(exc)) from None
    return url


def _load_pond(target: str) -> PondSocket:
    """Import ``module:name`` and return the PondSocket that is there."""
    module_name, _, names = target.partition(":")
    if not module_name or not names or module_name.startswith("."):
        raise _CommandError(f"expected MODULE:NAME such as chat:pond, got {target!r}")
    working_directory = str(Path.cwd())  # a script's own entry in sys.path is its bin/
    if working_directory not in sys.path:
        sys.path.insert(0, working_directory)
    found: object = _import_module(module_name)
    for name in names.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise _CommandError(f"{module_name!r} has no {names!r}") from None
    if not isinstance(found, PondSocket):
        raise _CommandError(
            f"expected a PondSocket at {target!r}, got {type(found).__name__}"
        )
    return found


def _import_module(name: str) -> object:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        # a module that `name` itself fails to import is the application's own error
        if exc.name is None or not f"{name}.".startswith(f"{exc.name}."):
            raise
        raise _CommandError(f"there is no module {name!r}") from None


def _find_adapters() -> list[str]:
    return sorted(entry_points(group=_ADAPTERS).names)


def _load_adapter(name: str) -> Adapter:
    entry = next(iter(entry_points(group=_ADAPTERS, name=name)), None)
    if entry is None:
        known = ", ".join(_find_adapters()) or "none"
        raise _CommandError(f"there is no adapter {name!r}; installed: {known}")
    try:
        adapter: Adapter = entry.load()
    except ModuleNotFoundError as exc:
        library = (exc.name or "").partition(".")[0]
        if library not in _EXTRAS.get(name, ()):
            raise
        raise _CommandError(
            f"the {name} adapter needs {library}; install it with: "
            f'pip install "pondsocket[{name}]"'
        ) from None
    return adapter


def _run(
    pond: PondSocket,
    pages: Mapping[str, tuple[str, bytes]] | None,
    arguments: argparse.Namespace,
) -> None:
    adapter = _load_adapter(arguments.adapter)
    with asyncio.Runner(loop_factory=_find_loop_factory()) as runner:
        runner.run(_serve(adapter, pond, pages, arguments))


def _find_loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's factory if the extra ``speed`` is installed."""
    try:
        uvloop = importlib.import_module("uvloop")
    except ModuleNotFoundError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _serve(
    adapter: Adapter,
    pond: PondSocket,
    pages: Mapping[str, tuple[str, bytes]] | None,
    arguments: argparse.Namespace,
) -> None:
    stop = asyncio.Event()
    is_ready = False

    def on_ready(port: int) -> None:
        nonlocal is_ready
        is_ready = True
        # what start-up made lives as long as the process: keep the collector off it
        gc.collect()
        gc.freeze()
        url = _to_url(arguments.host, port)
        print(f"Serving {url} - press Ctrl+C to stop", flush=True)

    with _stopped_by_signals(stop):
        try:
            await adapter(
                pond,
                host=arguments.host,
                port=arguments.port,
                pages=pages,
                grace=arguments.grace,
                stop=stop,
                on_ready=on_ready,
            )
        except OSError as exc:
            reason = _find_address_fault(exc)
            if is_ready or reason is None:
                raise
            url = _to_url(arguments.host, arguments.port)
            raise _CommandError(f"cannot serve {url}: {reason}", 1) from None


def _find_address_fault(exc: OSError) -> str | None:
    """Say what is wrong with the address, None if the error is about another thing."""
    if isinstance(exc, socket.gaierror):
        return exc.strerror
    if exc.errno in _ADDRESS_ERRORS:
        return os.strerror(exc.errno)
    return None


def _to_url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _stopped_by_signals(stop: asyncio.Event) -> Iterator[None]:
    """Set ``stop`` at SIGINT and SIGTERM; a second SIGINT interrupts the stopping."""
    loop = asyncio.get_running_loop()

    def on_signal(number: int, _: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        loop.call_soon_threadsafe(stop.set)

    # not loop.add_signal_handler: Windows has none
    before = {
        number: signal.signal(number, on_signal)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
