"""An echo, served by ws_bridge or by uvicorn with its wsproto implementation.

``python benchmarks/bridge_server.py ours`` (or ``uvicorn``; ``--uvloop`` for its event
loop) prints its port and serves until its standard input ends. Both get the same
application, and the settings that they have in common.
"""

import argparse
import asyncio
import socket
import sys

import uvicorn
import uvloop

from pondsocket_asgi.scope import Receive, Scope, Send
from pondsocket_asgi.ws_bridge import ServerConfig, serve


async def echo(_: Scope, receive: Receive, send: Send) -> None:
    """Send each text back."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def serve_ours(listener: socket.socket, ended: asyncio.Event) -> None:
    config = ServerConfig(lifespan="off")
    await serve(echo, config=config, sockets=[listener], stop=ended)


async def serve_uvicorn(listener: socket.socket, ended: asyncio.Event) -> None:
    config = uvicorn.Config(
        echo,
        http="h11",
        ws="wsproto",
        lifespan="off",
        log_level="warning",
        access_log=False,
    )
    server = uvicorn.Server(config)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve(sockets=[listener]))
        await ended.wait()
        server.should_exit = True


SERVERS = {"ours": serve_ours, "uvicorn": serve_uvicorn}


async def main(name: str) -> None:
    """Serve on a free port until standard input ends."""
    # with its protocol named: to others asyncio does not give TCP_NODELAY
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        loop.remove_reader(sys.stdin)
        ended.set()

    loop.add_reader(sys.stdin, end)
    print(listener.getsockname()[1], flush=True)
    await SERVERS[name](listener, ended)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=SERVERS)
    parser.add_argument("--uvloop", action="store_true")
    arguments = parser.parse_args()
    factory = uvloop.new_event_loop if arguments.uvloop else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main(arguments.name))
