"""The rooms that are measured, for the published pondsocket and for ours alike.

``say`` in a channel goes to all its members as ``said``, ``ask`` comes back as
``told``. Whoever joins with a ``track`` is present. In ``/handled/...`` an outgoing
handler sees each ``said``, in ``/unhandled/...`` one waits for what nobody sends.
"""

from pondsocket import EventContext, JoinContext, Options, OutgoingContext, PondSocket

__all__ = ["build"]


async def join(context: JoinContext) -> None:
    params = context.get_join_params()
    await context.accept()
    if "track" in params:
        await context.track({"n": params["track"]})


async def say(context: EventContext) -> None:
    await context.broadcast("said", context.get_payload())


async def ask(context: EventContext) -> None:
    await context.reply("told", context.get_payload())


async def look(_: OutgoingContext) -> None:
    pass


def build(options: Options) -> PondSocket:
    """Return the application."""
    pond = PondSocket(options=options)
    endpoint = pond.create_endpoint("/live", lambda context: context.accept())
    for path in ("/room/:name", "/handled/:name", "/unhandled/:name"):
        lobby = endpoint.create_channel(path, join)
        lobby.on_message("say", say)
        lobby.on_message("ask", ask)
        if path.startswith("/handled"):
            lobby.on_outgoing("said", look)
        if path.startswith("/unhandled"):
            lobby.on_outgoing("sung", look)
    return pond
