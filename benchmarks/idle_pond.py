"""The application whose idle connections are measured: rooms that anybody may join."""

import memory_probe

from pondsocket import JoinContext, PondSocket
from pondsocket_asgi import PondASGIApp


async def join(context: JoinContext) -> None:
    await context.accept()


pond = PondSocket()
endpoint = pond.create_endpoint("/live", lambda context: context.accept())
lobby = endpoint.create_channel("/room/:name", join)
lobby.on_message("say", lambda context: context.broadcast("said", {}))
app = PondASGIApp(pond)

memory_probe.start()
