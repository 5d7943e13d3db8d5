"""App: where a PondSocket is inside an aiohttp application."""

import re

from aiohttp import web

from pondsocket import PondSocket
from pondsocket_aiohttp.exchange import TAIL
from pondsocket_aiohttp.handler import PondHandler

__all__ = ["routes", "setup"]

_PREFIX: re.Pattern[str] = re.compile(r"(?:/[A-Za-z0-9/._~-]*)?")


def setup(
    app: web.Application,
    pond: PondSocket,
    prefix: str = "",
    *,
    sse_event_names: bool = True,
) -> None:
    """Serve the endpoints of ``pond`` in ``app``, and close it at shutdown.

    They answer every path below ``prefix`` for which the application has no route of
    its own with a longer literal beginning; of two with the same beginning aiohttp
    takes the one that was added first. In a sub-application paths begin below its
    mount::

        setup(app, pond)

    ``pond`` is closed in the application's ``on_shutdown``, before aiohttp closes its
    connections: clients are told to come back (1012), leave handlers run. To spread
    that over some time, ``await pond.drain(grace)`` earlier.

    Args:
        app: The application or a sub-application; not started yet.
        pond: What to serve; endpoints may be created later, too.
        prefix: Where the paths of the endpoints begin, such as ``"/live"``.
        sse_event_names: Whether each event of a stream begins with an ``event:`` line.
            False for clients that listen to unnamed events only, such as ``SSEClient``
            of the JavaScript package.

    Raises:
        ValueError: If the prefix does not begin with a slash, or is more than letters,
            digits, ``/``, ``-``, ``.``, ``_`` and ``~``.
    """

    async def close(_: web.Application) -> None:
        """Close before aiohttp does."""
        await pond.close()

    app.add_routes(routes(pond, prefix, sse_event_names=sse_event_names))
    app.on_shutdown.append(close)


def routes(
    pond: PondSocket, prefix: str = "", *, sse_event_names: bool = True
) -> list[web.RouteDef]:
    """Return the routes alone; whoever adds them closes ``pond``.

    That must happen in the application's ``on_shutdown`` at the latest: aiohttp waits
    for the handlers of open connections after it.

    Args:
        pond: As for :func:`setup`, as the others are.
        prefix: As above.
        sse_event_names: As above.

    Raises:
        ValueError: If the prefix does not begin with a slash, or is more than letters,
            digits, ``/``, ``-``, ``.``, ``_`` and ``~``.
    """
    prefix = prefix.rstrip("/")
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(f"expected a plain prefix such as '/live', got {prefix!r}")
    handle = PondHandler(pond, sse_event_names=sse_event_names).handle
    paths = (prefix, f"{prefix}/{{{TAIL}:(?s:.*)}}")
    return [web.route("*", path, handle) for path in paths]
