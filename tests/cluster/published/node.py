"""A chat node; the same on the published pondsocket 0.0.7 and on ours.

For 0.0.7 it runs where requirements.txt is, for ours where the repository is.

    python node.py --redis redis://127.0.0.1:6379 --port 0

Prints ``ready <port>`` once it serves ``ws://127.0.0.1:<port>/socket``, and stops
cleanly on SIGTERM. A user's id is its connection's, as ``CONNECTION`` tells it.
Channels are ``/chat/<room>``. What a client may ask for::

    join, params {"assigns": {...}, "presence": {...}}    both are optional
    say {...}, say_others {...}, say_to {"users": [...], ...}    comes as "said"
    track {...}, update {...}, untrack {}                 its own presence
    assign {"key": ..., "value": ...}                     its own assigns
    assign_to, update_of {"user": id, ...}                another user's
    evict {"users": [...], "reason": ...}
    users {}            answered by "users": {"presence": {...}, "assigns": {...}}
    find {"user": id}   answered by "found": {"id", "assigns", "presence"}, or by
                        "not_found": {"code"}
"""

import argparse
import asyncio
import sys

import uvicorn
from redis.asyncio import Redis

from pondsocket import (
    ConnectionContext,
    EventContext,
    JoinContext,
    Options,
    PondError,
    PondSocket,
)
from pondsocket_asgi import PondASGIApp

try:
    from pondsocket_redis import RedisPubSub  # ours
except ImportError:
    from pondsocket.distributed import RedisPubSub


async def connect(context: ConnectionContext) -> None:
    context.accept()


async def join(context: JoinContext) -> None:
    params = context.get_join_params()
    await context.accept(params.get("assigns"))
    if "presence" in params:
        await context.track(params["presence"])


async def say(context: EventContext) -> None:
    await context.broadcast("said", context.get_payload())


async def say_others(context: EventContext) -> None:
    await context.broadcast_from("said", context.get_payload())


async def say_to(context: EventContext) -> None:
    payload = context.get_payload()
    await context.broadcast_to("said", payload, *payload["users"])


async def track(context: EventContext) -> None:
    await context.track(context.get_payload())


async def update(context: EventContext) -> None:
    await context.update_presence(context.get_payload())


async def untrack(context: EventContext) -> None:
    await context.untrack()


async def assign(context: EventContext) -> None:
    payload = context.get_payload()
    await context.set_assign(payload["key"], payload["value"])


async def assign_to(context: EventContext) -> None:
    payload = context.get_payload()
    await context.channel.update_assign(
        payload["user"], payload["key"], payload["value"]
    )


async def update_of(context: EventContext) -> None:
    payload = context.get_payload()
    await context.channel.update_presence(payload["user"], payload["presence"])


async def evict(context: EventContext) -> None:
    payload = context.get_payload()
    await context.evict(payload["reason"], *payload["users"])


async def users(context: EventContext) -> None:
    presence = await context.channel.get_presence()
    assigns = await context.channel.get_assigns()
    await context.reply("users", {"presence": presence, "assigns": assigns})


async def find(context: EventContext) -> None:
    try:
        user = await context.channel.get_user(context.get_payload()["user"])
    except PondError as error:
        await context.reply("not_found", {"code": error.code})
        return
    await context.reply(
        "found", {"id": user.id, "assigns": user.assigns, "presence": user.presence}
    )


HANDLERS = {
    handler.__name__: handler
    for handler in (
        say,
        say_others,
        say_to,
        track,
        update,
        untrack,
        assign,
        assign_to,
        update_of,
        evict,
        users,
        find,
    )
}


def build(arguments: argparse.Namespace) -> PondSocket:
    options = Options(
        node_id=arguments.node_id,
        namespace=arguments.namespace,
        key_prefix=arguments.prefix,
        heartbeat_interval=arguments.heartbeat_interval,
        heartbeat_timeout=arguments.heartbeat_timeout,
    )
    pubsub = RedisPubSub(Redis.from_url(arguments.redis), owns_client=True)
    pond = PondSocket(options=options, pubsub=pubsub)
    endpoint = pond.create_endpoint("/socket", connect)
    lobby = endpoint.create_channel("/chat/:room", join)
    for name, handler in HANDLERS.items():
        lobby.on_message(name, handler)
    return pond


async def serve(arguments: argparse.Namespace) -> None:
    pond = build(arguments)
    config = uvicorn.Config(
        PondASGIApp(pond), host="127.0.0.1", port=arguments.port, log_level="warning"
    )
    server = uvicorn.Server(config)
    serving = asyncio.get_running_loop().create_task(server.serve())
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)  # uvicorn has no event for it
    if server.started:
        port = server.servers[0].sockets[0].getsockname()[1]
        sys.stdout.write(f"ready {port}\n")
        sys.stdout.flush()
    await serving
    await pond.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--redis", required=True, metavar="URL")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--node-id", default="")
    parser.add_argument("--namespace", default="default")
    parser.add_argument("--prefix", default="pondsocket")
    parser.add_argument("--heartbeat-interval", type=float, default=30.0)
    parser.add_argument("--heartbeat-timeout", type=float, default=90.0)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
