"""Aborting: a connection is cut off, even one that has just ended."""

import asyncio

from pondsocket.web import abort


async def test_a_connection_is_cut_off():
    reader = asyncio.StreamReader()
    server = await asyncio.start_server(lambda r, w: w.write(b"x"), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.read(1)

    abort(writer.transport)

    assert writer.transport.is_closing()
    server.close()


async def test_one_that_has_let_go_of_its_loop_raises_nothing():
    class Gone:
        def abort(self):
            raise AttributeError("'NoneType' object has no attribute 'call_soon'")

    abort(Gone())
