"""A real aiohttp server on the loopback, in the test's own loop."""

import contextlib
import socket

from aiohttp import web

from pondsocket_aiohttp import setup


@contextlib.asynccontextmanager
async def serving_app(app, *, send_buffer=None, tls=None, **settings):
    """Serve an application; yields its port.

    Args:
        app: It is shut down at the end.
        send_buffer: Bytes that the kernel keeps for a client that does not read.
        tls: A server's context.
        **settings: Of aiohttp's runner.
    """
    listener = socket.socket()
    if send_buffer is not None:  # connections inherit it
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    listener.bind(("127.0.0.1", 0))
    settings = {"access_log": None, "shutdown_timeout": 1.0, **settings}
    runner = web.AppRunner(app, **settings)
    await runner.setup()
    try:
        await web.SockSite(runner, listener, ssl_context=tls).start()
        yield listener.getsockname()[1]
    finally:
        await runner.cleanup()
        listener.close()


@contextlib.asynccontextmanager
async def serving(pond, *, send_buffer=None, tls=None):
    """Serve a PondSocket in an application of its own; yields the port."""
    app = web.Application()
    setup(app, pond)
    async with serving_app(app, send_buffer=send_buffer, tls=tls) as port:
        yield port
