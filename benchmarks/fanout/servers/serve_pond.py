"""The rooms on ours: an adapter as ``pondsocket serve`` runs it, or uvicorn as it is.

``python serve_pond.py asgi`` (or ``aiohttp``, ``websockets``, ``bridge``, ``uvicorn``)
runs on asyncio's own loop, as the peers do, an adapter with ``--uvloop`` on that one.
``uvicorn`` is the server without anything of ours but the application.
"""

import argparse
import asyncio
import gc
import os
import sys
from importlib.metadata import entry_points

import serving
import uvicorn
import uvloop
from rooms import build

from pondsocket import Options, PondSocket, SlowConsumerPolicy
from pondsocket_asgi import PondASGIApp

AS_IT_IS = "uvicorn"
ADAPTERS = ("aiohttp", "asgi", "bridge", "websockets")


async def serve_adapter(name: str, pond: PondSocket) -> None:
    """Do what the command line does with an adapter."""
    asyncio.get_running_loop().add_reader(sys.stdin, os._exit, 0)
    (entry,) = entry_points(group="pondsocket.adapters", name=name)

    def on_ready(port: int) -> None:
        gc.collect()
        gc.freeze()
        serving.announce(port)

    await entry.load()(
        pond,
        host="127.0.0.1",
        port=0,
        pages=None,
        grace=0.0,
        stop=asyncio.Event(),
        on_ready=on_ready,
    )


def serve_as_it_is(pond: PondSocket, ws: str) -> None:
    config = uvicorn.Config(
        PondASGIApp(pond), loop="asyncio", ws=ws, log_level="warning"
    )
    serving.run(lambda listener: uvicorn.Server(config).serve([listener]))


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=(*ADAPTERS, AS_IT_IS))
    parser.add_argument("--uvloop", action="store_true")
    parser.add_argument("--compression", action="store_true")
    parser.add_argument("--slow-consumer", default=SlowConsumerPolicy.CLOSE)
    parser.add_argument("--ws", default="auto", help="uvicorn's own option")
    return parser


def main() -> None:
    arguments = make_parser().parse_args()
    options = Options(
        compression=arguments.compression,
        slow_consumer=arguments.slow_consumer,
        max_messages_per_second=0,  # a client here sends more than people do
    )
    pond = build(options)
    if arguments.name == AS_IT_IS:
        serve_as_it_is(pond, arguments.ws)
        return
    serving.raise_limits()
    factory = uvloop.new_event_loop if arguments.uvloop else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve_adapter(arguments.name, pond))


if __name__ == "__main__":
    main()
