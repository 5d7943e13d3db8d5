"""Programs that serve the chat on a listening socket that somebody else opened.

    python -m tests.clients.programs aiohttp 7

They leave the names of the events out of event streams, as the JavaScript `SSEClient`
needs it.
"""

import asyncio
import socket
import sys

from tests.clients.chat import app, pond


def serve_on_uvicorn(listening: socket.socket) -> None:
    import uvicorn  # noqa: PLC0415 - each program loads its own server only

    # without the timeout uvicorn waits for the clients to end their event streams
    config = uvicorn.Config(app, ws="websockets-sansio", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run([listening])


def serve_on_aiohttp(listening: socket.socket) -> None:
    from aiohttp import web  # noqa: PLC0415 - as above

    from pondsocket_aiohttp import setup  # noqa: PLC0415 - as above

    application = web.Application()
    setup(application, pond, sse_event_names=False)
    web.run_app(application, sock=listening)


def serve_on_websockets(listening: socket.socket) -> None:
    from pondsocket_websockets import serve  # noqa: PLC0415 - as above

    async def run() -> None:
        async with serve(pond, sock=listening) as server:
            await server.serve_forever()

    asyncio.run(run())


PROGRAMS = {
    "uvicorn": serve_on_uvicorn,
    "aiohttp": serve_on_aiohttp,
    "websockets": serve_on_websockets,
}


def main() -> None:
    name, number = sys.argv[1:]
    PROGRAMS[name](socket.socket(fileno=int(number)))


if __name__ == "__main__":
    main()
